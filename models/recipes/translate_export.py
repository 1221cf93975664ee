"""Export of the trained translation model to a model folder, beam search, and the figures of its model card."""

import json
import textwrap
from collections import defaultdict
from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor
from tqdm import tqdm

from models.recipes.translate_training import (
    BEGIN,
    DECODER_LAYERS,
    EMBEDDING,
    ENCODER_LAYERS,
    END,
    HIDDEN,
    SOURCE_FILE,
    SOURCE_VOCAB,
    SPECIAL,
    TARGET_FILE,
    TARGET_VOCAB,
    UNKNOWN,
    Data,
    Translator,
    load_best,
)

CARD = Path(__file__).with_name("translate_card.md")
BEAM, SENTENCES_AT_ONCE = 5, 48


def export(model: Translator, data: Data, out: Path) -> None:
    """Write config, float16 weights, tokenizers and golden vectors; the figures come with `evaluate_folder`."""
    out.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}
    del weights["output.weight"]  # tied
    save_file(weights, out / "model.safetensors")
    data.source.save(str(out / SOURCE_FILE))
    data.target.save(str(out / TARGET_FILE))
    (out / "config.json").write_text(json.dumps(_config(), indent=2) + "\n")
    _write_golden(load(out), data, out)


def _config() -> dict[str, object]:
    sizes = {"cell": "lstm", "input_size": EMBEDDING, "embedding_size": EMBEDDING}
    return {
        "format_version": 1,
        "task": "translation",
        "architecture": "encoder-decoder",
        "encoder": {
            **sizes,
            "num_layers": ENCODER_LAYERS,
            "hidden_size": HIDDEN // 2,
            "bidirectional": True,
            "vocab_size": SOURCE_VOCAB,
            "tokenizer": SOURCE_FILE,
        },
        "decoder": {
            **sizes,
            "num_layers": DECODER_LAYERS,
            "hidden_size": HIDDEN,
            "vocab_size": TARGET_VOCAB,
            "tokenizer": TARGET_FILE,
            "tie_weights": True,
            "input_feed": False,
        },
        "bridge": "concat",
        "attention": "general",
        "combine": {"size": EMBEDDING, "activation": "tanh"},
        # The source ends with the end token; the target starts with the begin token. Unknown is never predicted.
        "special_tokens": {"unknown": UNKNOWN, "begin": BEGIN, "end": END},
        # State of the decoder. The encoder output follows from the source, which a session keeps.
        "state": [
            {"name": f"{tensor}_l{layer}", "shape": [HIDDEN], "dtype": "float32"}
            for layer in range(DECODER_LAYERS)
            for tensor in "hc"
        ],
        "dtype": "float32",
    }


def load(out: Path) -> Translator:
    """Read the exported weights back into the trainer's own network."""
    weights = {name: tensor.float() for name, tensor in load_file(out / "model.safetensors").items()}
    model = Translator()
    model.load_state_dict(weights | {"output.weight": weights["decoder.embedding.weight"]})
    return model.eval()


@torch.inference_mode()
def _write_golden(model: Translator, data: Data, out: Path) -> None:
    """Write encoder outputs, decoder outputs and final states of two pairs with equal lengths on both sides."""
    pairs = [pair for pair in data.valid if (len(pair.source), len(pair.target)) == (8, 9)][:2]
    source = torch.tensor([pair.source for pair in pairs])
    target = torch.tensor([pair.target[:-1] for pair in pairs])
    memory, (first_hidden, first_cell) = model.encode(source)
    features, weights, (hidden, cell) = model.decode(target, (first_hidden, first_cell), memory, model.keys(memory))
    tensors = {
        "inputs.source": source,
        "inputs.target": target,
        "outputs.memory": memory,
        "outputs.attention": weights,
        "outputs.logits": model.output(features),
        "state.initial_h": first_hidden,
        "state.initial_c": first_cell,
        "state.h": hidden,
        "state.c": cell,
    }
    path = out / "golden.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, {"tolerance": "1e-4"})


class BeamSearch:
    """Beam search for several source sentences of one length, with `size` hypotheses each."""

    def __init__(self, model: Translator, source: Tensor, size: int) -> None:
        self.model, self.size, self.rows = model, size, len(source)
        memory, (hidden, cell) = model.encode(source)
        self.memory = memory.repeat_interleave(size, 0)
        self.keys = model.keys(memory).repeat_interleave(size, 0)
        self.state = (hidden.repeat_interleave(size, 1), cell.repeat_interleave(size, 1))
        self.pieces = torch.full((self.rows * size, 1), SPECIAL.index(BEGIN))
        self.scores = torch.full((self.rows, size), -torch.inf)
        self.scores[:, 0] = 0.0
        self.finished: list[list[tuple[float, list[int]]]] = [[] for _ in range(self.rows)]

    def advance(self) -> None:
        """Append one piece to every hypothesis, and move those that ended to `finished`."""
        features, _, self.state = self.model.decode(self.pieces[:, -1:], self.state, self.memory, self.keys)
        logprobs = self.model.output(features[:, -1]).log_softmax(-1)
        never = [UNKNOWN, BEGIN] if self.pieces.shape[1] > 1 else SPECIAL  # no answer is empty
        logprobs[:, [SPECIAL.index(token) for token in never]] = -torch.inf
        # Twice as many as are kept, because half of them can end here.
        best, where = torch.topk(logprobs, 2 * self.size)
        totals, chosen = torch.topk((self.scores.view(-1, 1) + best).view(self.rows, -1), 2 * self.size)
        origin = chosen // (2 * self.size) + torch.arange(self.rows)[:, None] * self.size
        piece = where.view(self.rows, -1).gather(1, chosen)
        ends = piece == SPECIAL.index(END)
        length = self.pieces.shape[1]  # with the end token, without the begin token
        for row, rank in ends[:, : self.size].nonzero().tolist():
            if len(self.finished[row]) < self.size:  # so that an answer does not depend on its neighbours
                hypothesis = self.pieces[origin[row, rank], 1:].tolist()
                self.finished[row].append((totals[row, rank].item() / length, hypothesis))
        self.scores, kept = torch.topk(totals.masked_fill(ends, -torch.inf), self.size)
        origins = origin.gather(1, kept).view(-1)
        self.pieces = torch.cat([self.pieces[origins], piece.gather(1, kept).view(-1, 1)], 1)
        self.state = (self.state[0][:, origins], self.state[1][:, origins])

    def done(self) -> bool:
        """Return whether every sentence has `size` finished hypotheses."""
        return all(len(hypotheses) >= self.size for hypotheses in self.finished)

    def best(self) -> list[list[int]]:
        """Return the hypothesis with the highest log-probability per piece, of the finished ones if there are any."""
        longest = [(float("-inf"), self.pieces[row * self.size, 1:].tolist()) for row in range(self.rows)]
        return [max([*hypotheses, rest])[1] for hypotheses, rest in zip(self.finished, longest, strict=True)]


@torch.inference_mode()
def translate(model: Translator, data: Data, texts: list[str], size: int = BEAM) -> list[str]:
    """Translate by beam search, sentences of equal length together."""
    groups: dict[int, list[tuple[int, list[int]]]] = defaultdict(list)
    for number, encoding in enumerate(data.source.encode_batch_fast(texts)):
        groups[len(encoding.ids)].append((number, [*encoding.ids, SPECIAL.index(END)]))
    answers = [""] * len(texts)
    with tqdm(total=len(texts), desc="beam search", mininterval=20) as progress:
        for length, group in sorted(groups.items()):
            for start in range(0, len(group), SENTENCES_AT_ONCE):
                part = group[start : start + SENTENCES_AT_ONCE]
                hypotheses = _search(model, torch.tensor([ids for _, ids in part]), size, 2 * length + 10)
                for (number, _), ids in zip(part, hypotheses, strict=True):
                    answers[number] = _text(data.target, ids)
                progress.update(len(part))
    return answers


def _search(model: Translator, source: Tensor, size: int, limit: int) -> list[list[int]]:
    beams = BeamSearch(model, source, size)
    while beams.pieces.shape[1] <= limit and not beams.done():
        beams.advance()
    return beams.best()


def _text(tokenizer: Tokenizer, ids: list[int]) -> str:
    return str(tokenizer.decode(ids))


def evaluate_folder(data: Data, out: Path, work: Path, limit: int | None = None) -> dict[str, object]:
    """Compute and print the figures of the exported model and of the network without attention, if `work` has it."""
    test = data.test[:: max(1, len(data.test) // limit)] if limit else data.test
    print(f"test part: {len(test)} sentences")
    metrics: dict[str, object] = {**_evaluate("model", load(out), data, test), "test_sentences": len(test)}
    if (work / "plain-best.pt").exists():
        plain = _evaluate("without attention", load_best(work, attention=False), data, test)
        epochs = torch.load(work / "plain.pt", weights_only=True)["epoch"]
        metrics["baseline"] = {"name": f"the same network without attention, {epochs} epochs", **plain}
    return metrics


def _evaluate(name: str, model: Translator, data: Data, test: list[tuple[str, str]]) -> dict[str, object]:
    from sacrebleu.metrics import BLEU, CHRF  # noqa: PLC0415 - training needs no sacrebleu

    answers = translate(model, data, [english for english, _ in test])
    references = [[french for _, french in test]]
    bleu, chrf = BLEU(), CHRF()
    figures = bleu.corpus_score(answers, references), chrf.corpus_score(answers, references)
    print(f"{name:<20} BLEU {figures[0].score:5.2f}   chrF {figures[1].score:5.2f}")
    print(f"{'':<20} {bleu.get_signature()}   {chrf.get_signature()}")
    for (english, french), answer in list(zip(test, answers, strict=True))[:: max(1, len(test) // 10)]:
        print(f"{'':<20} {english} -> {answer} ({french})", flush=True)
    return {
        "test_bleu": round(figures[0].score, 2),
        "test_chrf": round(figures[1].score, 2),
        "bleu_signature": str(bleu.get_signature()),
        "chrf_signature": str(chrf.get_signature()),
    }


def write_card(metrics: dict[str, object], out: Path) -> None:
    """Write the model card: the figures as front matter, the text from `translate_card.md`."""
    description = "English to French for short everyday sentences: an LSTM encoder-decoder with attention."
    languages = {"source_language": "en", "target_language": "fr"}
    fields = {"license": "cc-by-2.0", "description": description, **languages, "metrics": metrics}
    front = yaml.safe_dump(fields, sort_keys=False)
    rows = [f"| this model | {metrics['test_bleu']} | {metrics['test_chrf']} |"]
    baseline = metrics.get("baseline")
    if isinstance(baseline, dict):
        rows.append(f"| {baseline['name']} | {baseline['test_bleu']} | {baseline['test_chrf']} |")
    text = CARD.read_text().replace("{table}", "\n".join(rows)).replace("{sentences}", str(metrics["test_sentences"]))
    text = text.replace("{bleu}", str(metrics["bleu_signature"])).replace("{chrf}", str(metrics["chrf_signature"]))
    (out / "README.md").write_text(f"---\n{front}---\n{textwrap.dedent(text)}")
