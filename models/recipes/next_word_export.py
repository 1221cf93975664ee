"""Export of the trained next-word model to a model folder, and the figures of its model card."""

import json
import textwrap
from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file, save
from tqdm import tqdm

from models.recipes import vocabulary
from models.recipes.kneser_ney import KneserNey
from models.recipes.next_word_training import LAYERS, SIZE, VOCAB, Data, LanguageModel, TokenMetrics, evaluate

CARD = Path(__file__).with_name("next_word_card.md")


def export(model: LanguageModel, data: Data, out: Path) -> None:
    """Write config, float16 weights, tokenizer and golden vectors; the figures come with `evaluate_folder`."""
    out.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}
    del weights["output.weight"]  # tied
    (out / "model.safetensors").write_bytes(save(weights))
    data.tokenizer.save(str(out / "tokenizer.json"))
    (out / "config.json").write_text(json.dumps(_config(), indent=2) + "\n")
    _write_golden(load(out), data, out)


def _config() -> dict[str, object]:
    state = [
        {"name": f"{tensor}_l{layer}", "shape": [SIZE], "dtype": "float32"}
        for layer in range(LAYERS)
        for tensor in "hc"
    ]
    return {
        "format_version": 1,
        "task": "next-word",
        "architecture": "language-model",
        "cell": "lstm",
        "num_layers": LAYERS,
        "input_size": SIZE,
        "hidden_size": SIZE,
        "embedding_size": SIZE,
        "vocab_size": VOCAB,
        "tie_weights": True,
        "special_tokens": {
            "unknown": vocabulary.UNKNOWN,
            "begin": vocabulary.BOUNDARY,
            "end": vocabulary.BOUNDARY,
        },
        "state": [*state, {"name": "log_normaliser", "shape": [1], "dtype": "float32"}],
        "dtype": "float32",
    }


def load(out: Path) -> LanguageModel:
    """Read the exported weights back into the trainer's own network."""
    weights = {name: tensor.float() for name, tensor in load_file(out / "model.safetensors").items()}
    model = LanguageModel(dropout=0.0)
    model.load_state_dict(weights | {"output.weight": weights["embedding.weight"]})
    return model.eval()


@torch.inference_mode()
def _write_golden(model: LanguageModel, data: Data, out: Path) -> None:
    boundary = data.tokenizer.token_to_id(vocabulary.BOUNDARY)
    documents = [document for document in data.valid if len(document) == 7][:2]
    ids = torch.tensor([[boundary, *document] for document in documents])
    logits, (hidden, cell) = model(ids, model.initial_state(len(documents)))
    tensors = {"inputs.ids": ids, "outputs.logits": logits, "state.h": hidden, "state.c": cell}
    golden = save({name: tensor.contiguous() for name, tensor in tensors.items()}, {"tolerance": "1e-4"})
    (out / "golden.safetensors").write_bytes(golden)


def evaluate_folder(data: Data, out: Path) -> dict[str, object]:
    """Compute and print the figures of the exported model and of its baseline on the test part."""
    boundary = data.tokenizer.token_to_id(vocabulary.BOUNDARY)
    tokens = sum(len(document) + 1 for document in data.test)
    print(f"test part: {len(data.test)} sentences, {tokens} tokens, ends included")
    own = evaluate(load(out), data.test, boundary)
    baselines = {
        "everyday sentences": evaluate_kneser_ney(data.everyday, data.test, boundary),
        "everyday sentences and books": evaluate_kneser_ney(data.everyday + data.books, data.test, boundary),
    }
    _print_row("model", own)
    for name, figures in baselines.items():
        _print_row(f"5-gram Kneser-Ney, {name}", figures)
    best = min(baselines.values(), key=lambda figures: figures["perplexity"])
    return {
        **_named(own),
        "test_sentences": len(data.test),
        "test_tokens": tokens,
        "baseline": {"name": "5-gram Kneser-Ney", **_named(best)},
    }


def _print_row(name: str, figures: dict[str, float]) -> None:
    print(
        f"{name:<50} perplexity {figures['perplexity']:7.2f}   top-1 {figures['top1_accuracy']:.4f}   "
        f"top-5 {figures['top5_accuracy']:.4f}",
        flush=True,
    )


def _named(figures: dict[str, float]) -> dict[str, float]:
    return {
        "test_perplexity": round(figures["perplexity"], 2),
        "test_top1_accuracy": round(figures["top1_accuracy"], 4),
        "test_top5_accuracy": round(figures["top5_accuracy"], 4),
    }


def evaluate_kneser_ney(documents: list[list[int]], test: list[list[int]], boundary: int) -> dict[str, float]:
    """Fit the baseline on `documents` and return its figures on `test`."""
    baseline, tally = KneserNey(documents, VOCAB, boundary), TokenMetrics()
    for document in tqdm(test, desc="Kneser-Ney", mininterval=20):
        tokens = [boundary, *document, boundary]
        rows = [torch.as_tensor(baseline.distribution(tokens[:index])) for index in range(1, len(tokens))]
        tally.add(torch.stack(rows).log(), torch.tensor(tokens[1:]))
    return tally.figures()


def write_card(metrics: dict[str, object], out: Path) -> None:
    """Write the model card: the figures as front matter, the text from `next_word_card.md`."""
    description = "Next-word prediction for everyday English: a two-layer LSTM over 10,000 words."
    front = yaml.safe_dump({"license": "cc-by-2.0", "description": description, "metrics": metrics}, sort_keys=False)
    baseline = metrics["baseline"]
    assert isinstance(baseline, dict)
    table = "\n".join(
        f"| {name} | {row['test_perplexity']} | {row['test_top1_accuracy']} | {row['test_top5_accuracy']} |"
        for name, row in (("this model", metrics), ("interpolated 5-gram Kneser-Ney", baseline))
    )
    text = CARD.read_text().replace("{table}", table).replace("{tokens}", str(metrics["test_tokens"]))
    text = text.replace("{sentences}", str(metrics["test_sentences"]))
    (out / "README.md").write_text(f"---\n{front}---\n{textwrap.dedent(text)}")
