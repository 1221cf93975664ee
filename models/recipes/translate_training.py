"""The network of the English-French translation model, its data, its tokenizers and its training.

An LSTM encoder-decoder with attention in the manner of M.-T. Luong, H. Pham and C. D. Manning, "Effective approaches to
attention-based neural machine translation" (2015), without input feeding: attention comes after the recurrent layers,
so that a whole target sentence runs in one call. Input and output embedding of the decoder are tied (O. Press and L.
Wolf, 2017), labels are smoothed, and the evaluated and exported weights are an exponential moving average.

Parameters, with E = 320, H = 512, VS and VT the sizes of the vocabularies, LSTM gates in order i, f, g, o:

| name | shape | |
|---|---|---|
| `encoder.embedding.weight` | VS, E | |
| `encoder.rnn.{weight_ih,weight_hh,bias_ih,bias_hh}_l{0,1}[_reverse]` | 4H/2 rows | bidirectional, H/2 per direction |
| `decoder.embedding.weight` | VT, E | |
| `decoder.rnn.{weight_ih,weight_hh,bias_ih,bias_hh}_l{k}` | 4H rows | |
| `attention.weight` | H, H | none in the network without attention |
| `combine.weight`, `combine.bias` | E, 2H (H without attention); E | |
| `output.weight`, `output.bias` | VT, E; VT | the weight is the decoder's embedding |

For source pieces x_1 .. x_n, x_n the end token, and target pieces y_0 .. y_m, y_0 the begin token:

    m_1 .. m_n, (h, c) = encoder LSTM over the embeddings of x     m_s = [forward; backward] of the last layer
    bridge "concat": the decoder's layer k starts from h = [h forward; h backward] and c = [c forward; c backward] of
        the encoder's layer k, counted from the top where the decoder has fewer layers; there are no weights. Forward
        ends at x_n, backward at x_1
    d_t = decoder LSTM over the embeddings of y                    d_t of the last layer
    attention "general": a_ts = softmax over s of d_t . (attention.weight m_s)
    z_t = tanh(combine [sum over s of a_ts m_s; d_t])              tanh(combine d_t) without attention
    logits_t = output z_t
"""

import random
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from models.recipes import corpus

UNKNOWN, BEGIN, END = "<unk>", "<s>", "</s>"
SPECIAL = [UNKNOWN, BEGIN, END]
SOURCE_FILE, TARGET_FILE = "source_tokenizer.json", "target_tokenizer.json"
SOURCE_VOCAB, TARGET_VOCAB = 8_000, 6_000
EMBEDDING, HIDDEN, ENCODER_LAYERS, DECODER_LAYERS = 320, 512, 2, 1
SMOOTHING, AVERAGE, MAX_PIECES = 0.1, 0.998, 60
CHECKPOINT_SECONDS = 90
SEED = 20_170_929

State = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Plan:
    """Hyperparameters: linear warm-up, then linear decay to zero over `epochs`; batch sizes in target pieces."""

    epochs: int = 10
    rate: float = 2e-3
    warm_up: int = 400
    batch_tokens: int = 1_000
    dropout: float = 0.2


class EmbeddedLstm(nn.Module):
    """An embedding and the LSTM that reads it."""

    def __init__(self, vocab: int, hidden: int, layers: int, dropout: float, bidirectional: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, EMBEDDING)
        between = dropout if layers > 1 else 0.0
        self.rnn = nn.LSTM(EMBEDDING, hidden, layers, dropout=between, bidirectional=bidirectional)
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.embedding.weight, std=EMBEDDING**-0.5)

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        output, state = self.rnn(self.dropout(self.embedding(ids.T)), state)  # time first is faster on processors
        return output.transpose(0, 1), state


class Translator(nn.Module):
    """Encoder-decoder; the sentences of a batch have the same number of source pieces, so that no mask is needed."""

    def __init__(self, dropout: float = 0.0, attention: bool = True) -> None:
        super().__init__()
        self.encoder = EmbeddedLstm(SOURCE_VOCAB, HIDDEN // 2, ENCODER_LAYERS, dropout, bidirectional=True)
        self.decoder = EmbeddedLstm(TARGET_VOCAB, HIDDEN, DECODER_LAYERS, dropout, bidirectional=False)
        self.attention = nn.Linear(HIDDEN, HIDDEN, bias=False) if attention else None
        self.combine = nn.Linear(2 * HIDDEN if attention else HIDDEN, EMBEDDING)
        self.output = nn.Linear(EMBEDDING, TARGET_VOCAB)
        self.output.weight = self.decoder.embedding.weight
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.output.bias)

    def encode(self, source: Tensor) -> tuple[Tensor, State]:
        """Encode ids (batch, source) -> memory (batch, source, H) and the decoder's state, each (layers, batch, H)."""
        memory, (hidden, cell) = self.encoder(source)
        return memory, (_bridge(hidden), _bridge(cell))

    def keys(self, memory: Tensor) -> Tensor:
        """Return the keys of the attention, which are computed once per source sentence."""
        return memory if self.attention is None else self.attention(memory)

    def decode(self, target: Tensor, state: State, memory: Tensor, keys: Tensor) -> tuple[Tensor, Tensor, State]:
        """Decode ids (batch, target) -> inputs of the output layer (batch, target, E), attention, next state."""
        hidden, state = self.decoder(target, state)
        hidden = self.dropout(hidden)
        if self.attention is None:
            return torch.tanh(self.combine(hidden)), memory.new_zeros(0), state
        weights = (hidden @ keys.transpose(1, 2)).softmax(-1)
        return torch.tanh(self.combine(torch.cat([weights @ memory, hidden], -1))), weights, state

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Run ids (batch, source) and (batch, target) -> inputs of the output layer, (batch, target, E)."""
        memory, state = self.encode(source)
        memory = self.dropout(memory)
        return self.decode(target, state, memory, self.keys(memory))[0]


def _bridge(state: Tensor) -> Tensor:
    """Join the directions: (layers x 2 directions, batch, H/2) -> (decoder layers, batch, H)."""
    both = state.view(ENCODER_LAYERS, 2, *state.shape[1:])
    return torch.cat([both[:, 0], both[:, 1]], -1)[-DECODER_LAYERS:].contiguous()


@dataclass(frozen=True)
class Pair:
    """One sentence pair as ids: the source ends with the end token, the target begins and ends with its tokens."""

    source: list[int]
    target: list[int]


@dataclass(frozen=True)
class Data:
    """Tokenizers and parts; `test` holds each distinct English sentence once with its first French translation."""

    source: Tokenizer
    target: Tokenizer
    train: list[Pair]
    valid: list[Pair]
    test: list[tuple[str, str]]


def read_data(folder: Path, work: Path) -> Data:
    """Read `fra-eng.zip` below `folder` and encode it. The tokenizers are read from `work`, or built there."""
    path = next(iter(folder.rglob("fra-eng.zip")), folder / "fra-eng.zip")
    corpus.warn_if_checksum_differs(path)
    parts: dict[str, list[tuple[str, str]]] = {"train": [], "valid": [], "test": []}
    for english, french in corpus.tatoeba_pairs(path):
        parts[corpus.part_of(english)].append((english, french))
    source_path, target_path = work / SOURCE_FILE, work / TARGET_FILE
    if not target_path.exists():
        work.mkdir(parents=True, exist_ok=True)
        build_tokenizer((pair[0] for pair in parts["train"]), SOURCE_VOCAB, ENGLISH_WORD).save(str(source_path))
        build_tokenizer((pair[1] for pair in parts["train"]), TARGET_VOCAB, FRENCH_WORD).save(str(target_path))
    source, target = Tokenizer.from_file(str(source_path)), Tokenizer.from_file(str(target_path))
    valid = first_translations(parts["valid"])
    test = first_translations(parts["test"])
    return Data(source, target, encode(parts["train"], source, target), encode(valid, source, target), test)


def first_translations(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Keep each distinct source sentence once, with the translation that comes first."""
    first: dict[str, str] = {}
    for english, french in pairs:
        first.setdefault(english, french)
    return list(first.items())


#: Pieces never cross these bounds. The space before a word belongs to it, as U+2581.
ENGLISH_WORD = r"▁?\w+(?:'\w+)*|▁?[^\w▁]|▁"
#: Elided words keep their apostrophe, and pronouns after the verb their hyphen: J'|ai, avez|-vous, a|-t|-il.
FRENCH_WORD = r"[▁\-]?\w+'?|▁?[^\w▁]|▁"
PLAIN = {"’": "'", "‘": "'", "`": "'", "“": '"', "”": '"', "\u00a0": " ", "\u202f": " ", "\u2009": " "}  # noqa: RUF001
INVISIBLE = ("\u00ad", "\u200b")


def build_tokenizer(texts: Iterable[str], size: int, word: str) -> Tokenizer:
    """Return byte-pair encoding of exactly `size` entries whose decoder gives the text back, spaces included."""
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    plain = [normalizers.Replace(mark, plain_mark) for mark, plain_mark in PLAIN.items()]
    removed = [normalizers.Replace(mark, "") for mark in INVISIBLE]
    spaces = [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), *plain, *removed, *spaces])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(split=False), pre_tokenizers.Split(Regex(word), "isolated")]
    )
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=SPECIAL, show_progress=False, min_frequency=2)
    tokenizer.train_from_iterator(texts, trainer)
    assert tokenizer.get_vocab_size() == size
    return tokenizer


def encode(pairs: list[tuple[str, str]], source: Tokenizer, target: Tokenizer) -> list[Pair]:
    """Encode sentence pairs, including begin and end tokens."""
    begin, end = SPECIAL.index(BEGIN), SPECIAL.index(END)
    sources = source.encode_batch_fast([english for english, _ in pairs])
    targets = target.encode_batch_fast([french for _, french in pairs])
    return [Pair([*left.ids, end], [begin, *right.ids, end]) for left, right in zip(sources, targets, strict=True)]


@dataclass(frozen=True)
class Batch:
    """Pairs of one source length; target positions after a sentence's end have the end token, and -100 as label."""

    source: Tensor
    target: Tensor
    labels: Tensor


def batches(pairs: list[Pair], tokens: int, seed: int | None = None) -> list[Batch]:
    """Split `pairs` into batches of about `tokens` target pieces, in random order if there is a seed."""
    generator = random.Random(seed)
    order = pairs[:]
    generator.shuffle(order)
    order.sort(key=lambda pair: (len(pair.source), len(pair.target)))
    groups: list[list[Pair]] = []
    for pair in order:
        last = groups[-1] if groups else []
        full = (len(last) + 1) * (len(pair.target) - 1) > tokens
        if not last or full or len(last[0].source) != len(pair.source):
            groups.append([])
        groups[-1].append(pair)
    if seed is not None:
        generator.shuffle(groups)
    return [_batch(group) for group in groups]


def _batch(group: list[Pair]) -> Batch:
    longest = max(len(pair.target) for pair in group)
    end = SPECIAL.index(END)
    target = torch.tensor([pair.target + [end] * (longest - len(pair.target)) for pair in group])
    labels = torch.tensor([pair.target + [-100] * (longest - len(pair.target)) for pair in group])
    return Batch(torch.tensor([pair.source for pair in group]), target[:, :-1], labels[:, 1:])


def batch_loss(model: Translator, batch: Batch, smoothing: float) -> tuple[Tensor, int]:
    """Return the loss summed over the real target positions, and their number."""
    real = batch.labels >= 0
    logits = model.output(model.dropout(model(batch.source, batch.target)[real]))
    labels = batch.labels[real]
    return F.cross_entropy(logits, labels, reduction="sum", label_smoothing=smoothing), len(labels)


class Training:
    """State of a training run, saved as a checkpoint: model, optimizer and averaged weights."""

    def __init__(self, work: Path, attention: bool, device: str, plan: Plan, *, restart: bool = False) -> None:
        torch.manual_seed(SEED)
        self.name = "attention" if attention else "plain"
        self.path, self.best_path = work / f"{self.name}.pt", work / f"{self.name}-best.pt"
        self.device, self.plan = device, plan
        self.model = Translator(plan.dropout, attention).to(device)
        self.average = Translator(0.0, attention).to(device)
        self.average.load_state_dict(self.model.state_dict())
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=plan.rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
        )
        self.epoch, self.step, self.worse, self.best = 0, 0, 0, float("inf")
        saved = torch.load(self.path, weights_only=True) if self.path.exists() else None
        if saved is not None and (not restart or saved.get("plan") == self._plan_key()):
            self._resume(saved)
        elif restart:
            self._begin_from_best()

    def save(self) -> None:
        """Write the checkpoint so that a run killed while writing leaves the previous one."""
        saved = {key: getattr(self, key) for key in ("epoch", "step", "worse", "best")}
        saved |= {key: getattr(self, key).state_dict() for key in ("model", "average", "optimizer")}
        partial = self.path.with_suffix(".partial")
        torch.save(saved | {"random": torch.get_rng_state(), "plan": self._plan_key()}, partial)
        partial.replace(self.path)

    def _plan_key(self) -> list[float]:
        """Return the values that identify a plan. More epochs continue the same plan."""
        return [self.plan.rate, self.plan.batch_tokens, self.plan.dropout]

    def _resume(self, saved: dict[str, Any]) -> None:
        for key in ("epoch", "step", "worse", "best"):
            setattr(self, key, saved[key])
        for key in ("model", "average", "optimizer"):
            getattr(self, key).load_state_dict(saved[key])
        torch.set_rng_state(saved["random"])
        print(f"goes on from epoch {self.epoch + 1}, step {self.step}", flush=True)

    def _begin_from_best(self) -> None:
        best = torch.load(self.best_path, weights_only=True)
        self.model.load_state_dict(best)
        self.average.load_state_dict(best)

    def run_epoch(self, pairs: list[Pair]) -> float:
        """Train to the end of the current epoch. Return the mean training loss of the steps made in this call."""
        order = batches(pairs, self.plan.batch_tokens, SEED + self.epoch)
        self.model.train()
        total, tokens, saved_at = 0.0, 0, time.monotonic()
        remaining = order[self.step :]
        for batch in tqdm(remaining, desc=f"epoch {self.epoch + 1}", mininterval=30, total=len(remaining)):
            self._set_rate(self.epoch * len(order) + self.step, self.plan.epochs * len(order))
            loss, count = self._step(batch)
            total, tokens, self.step = total + loss, tokens + count, self.step + 1
            if time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                self.save()
                saved_at = time.monotonic()
        self.epoch, self.step = self.epoch + 1, 0
        return total / max(tokens, 1)

    def _set_rate(self, step: int, steps: int) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.rate * min(1.0, (step + 1) / self.plan.warm_up) * (1 - step / steps)

    def _step(self, batch: Batch) -> tuple[float, int]:
        on_device = Batch(batch.source.to(self.device), batch.target.to(self.device), batch.labels.to(self.device))
        loss, count = batch_loss(self.model, on_device, SMOOTHING)
        self.optimizer.zero_grad(set_to_none=True)
        # Divided by a constant, so that a batch weighs in proportion to its pieces.
        (loss / self.plan.batch_tokens).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        updates = self.epoch * 1000 + self.step
        keep = min(AVERAGE, (updates + 1) / (updates + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - keep)
        return loss.item(), count


def train(data: Data, work: Path, plan: Plan, device: str, attention: bool, *, restart: bool = False) -> Translator:
    """Train, or resume from the checkpoint in `work`. Return the averaged weights that were best on validation.

    With `restart` the plan begins from the best weights of an earlier plan, or resumes if it was interrupted itself.
    """
    run = Training(work, attention, device, plan, restart=restart)
    pairs = [pair for pair in data.train if max(len(pair.source), len(pair.target)) <= MAX_PIECES]
    print(f"{sum(tensor.numel() for tensor in run.model.parameters())} parameters, {len(pairs)} pairs", flush=True)
    while run.epoch < plan.epochs and run.worse < 2:
        started = time.monotonic()
        loss = run.run_epoch(pairs)
        valid = evaluate(run.average, data.valid, device)
        print(
            f"{run.name} epoch {run.epoch}/{plan.epochs}: train loss {loss:.3f}, validation loss {valid:.4f}, "
            f"{time.monotonic() - started:.0f} s",
            flush=True,
        )
        run.best, run.worse = (valid, 0) if valid < run.best else (run.best, run.worse + 1)
        if run.worse == 0:
            torch.save(run.average.state_dict(), run.best_path)
        run.save()
    return load_best(work, attention)


def load_best(work: Path, attention: bool) -> Translator:
    """Return the averaged weights that were best on the validation part so far."""
    model = Translator(0.0, attention)
    name = "attention" if attention else "plain"
    model.load_state_dict(torch.load(work / f"{name}-best.pt", weights_only=True, map_location="cpu"))
    return model.eval()


@torch.inference_mode()
def evaluate(model: Translator, pairs: list[Pair], device: str = "cpu") -> float:
    """Return the mean loss per target piece, including end tokens, without smoothing."""
    model.eval()
    total, tokens = 0.0, 0
    for batch in batches(pairs, 2_000):
        on_device = Batch(batch.source.to(device), batch.target.to(device), batch.labels.to(device))
        loss, count = batch_loss(model, on_device, 0.0)
        total, tokens = total + loss.item(), tokens + count
    return total / tokens
