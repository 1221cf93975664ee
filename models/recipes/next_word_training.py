"""The network of the next-word model, its data and its training.

The network is that of W. Zaremba, I. Sutskever and O. Vinyals, "Recurrent neural network regularization" (2014):
dropout between the layers only; input and output embeddings are tied as in O. Press and L. Wolf, "Using the output
embedding to improve language models" (2017).
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from models.recipes import corpus, vocabulary

VOCAB, SIZE, LAYERS = 10_000, 256, 2
MAX_DOCUMENT_TOKENS = 120
SEED = 20_170_929
PATIENCE = 2


@dataclass(frozen=True)
class Phase:
    """A phase of the training, in which the learning rate falls from `rate` to almost zero.

    `joined` is the probability that a sentence follows another one in the same document, because people type texts of
    several sentences. A batch has `rows` sequences and `window` tokens of each.
    """

    epochs: int
    books: bool
    dropout: float
    rate: float
    joined: float
    rows: int
    window: int


#: First all texts, for vocabulary and length; then everyday text alone, which the first phase leaves underfitted.
PHASES = (
    Phase(epochs=10, books=True, dropout=0.25, rate=3e-3, joined=0.25, rows=40, window=40),
    Phase(epochs=9, books=False, dropout=0.12, rate=2.5e-3, joined=0.1, rows=32, window=32),
)


class LanguageModel(nn.Module):
    """Tied embedding, stacked LSTM and output bias: ids (batch, time) -> logits (batch, time, vocabulary)."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCAB, SIZE)
        self.rnn = nn.LSTM(SIZE, SIZE, LAYERS, batch_first=True, dropout=dropout)
        self.output = nn.Linear(SIZE, VOCAB)
        self.output.weight = self.embedding.weight
        self.dropout = nn.Dropout(dropout)
        nn.init.uniform_(self.embedding.weight, -0.05, 0.05)
        nn.init.zeros_(self.output.bias)

    def forward(self, ids: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        hidden, state = self.rnn(self.dropout(self.embedding(ids)), state)
        return self.output(self.dropout(hidden)), state

    def set_dropout(self, dropout: float) -> None:
        """Set the dropout rate between the layers and around them."""
        self.rnn.dropout = self.dropout.p = dropout

    def initial_state(self, rows: int) -> tuple[Tensor, Tensor]:
        device = self.output.bias.device
        return torch.zeros(LAYERS, rows, SIZE, device=device), torch.zeros(LAYERS, rows, SIZE, device=device)


@dataclass(frozen=True)
class Data:
    """Tokenizer and parts of the data, as token ids of documents without boundaries."""

    tokenizer: Tokenizer
    everyday: list[list[int]]
    books: list[list[int]]
    valid: list[list[int]]
    test: list[list[int]]


def read_data(folder: Path) -> Data:
    """Read the four files below `folder`, build the vocabulary from the training part, and encode everything."""
    paths = {name: next(iter(folder.rglob(name)), folder / name) for name in corpus.CHECKSUMS}
    for path in paths.values():
        corpus.warn_if_checksum_differs(path)
    parts = corpus.tatoeba_english(paths["fra-eng.zip"])
    books = corpus.war_and_peace(paths["war-and-peace.txt.gz"])
    books += corpus.speeches(paths["state_union.zip"]) + corpus.speeches(paths["inaugural.zip"])
    tokenizer = vocabulary.build_tokenizer(parts["train"], books, VOCAB)
    table = vocabulary.encoder(tokenizer)

    def encode(texts: list[str]) -> list[list[int]]:
        return [[table.get(word.lower(), 0) for word in corpus.words(text)] for text in texts]

    return Data(
        tokenizer,
        encode(parts["train"]),
        [piece for text in encode(books) for piece in _pieces(text, {table["."], table["?"], table["!"]})],
        encode(parts["valid"]),
        encode(parts["test"]),
    )


def _pieces(document: list[int], ends: set[int]) -> Iterator[list[int]]:
    """Split a long document at the first sentence end after the limit."""
    piece: list[int] = []
    for token in document:
        piece.append(token)
        if len(piece) >= MAX_DOCUMENT_TOKENS and token in ends:
            yield piece
            piece = []
    if piece:
        yield piece


def join_sentences(sentences: list[list[int]], probability: float, generator: random.Random) -> list[list[int]]:
    """Shuffle the sentences, and append a sentence to the previous one with the given probability."""
    order = sentences[:]
    generator.shuffle(order)
    documents: list[list[int]] = []
    for sentence in order:
        if documents and generator.random() < probability:
            documents[-1] = documents[-1] + sentence
        else:
            documents.append(sentence)
    return documents


def epoch_stream(data: Data, phase: Phase, epoch: int, boundary: int) -> Tensor:
    """Return one epoch as (rows, steps) ids: everyday sentences, and a third of the books if the phase uses them."""
    generator = random.Random(SEED + epoch)
    documents = join_sentences(data.everyday, phase.joined, generator)
    if phase.books:
        documents += data.books[epoch % 3 :: 3]
    generator.shuffle(documents)
    ids = np.concatenate([np.array([boundary, *document]) for document in documents])
    steps = len(ids) // phase.rows
    return torch.from_numpy(ids[: steps * phase.rows]).view(phase.rows, steps)


def train(data: Data, work: Path, device: str) -> LanguageModel:
    """Train, or resume from the checkpoint in `work`. Return the model of the best epoch on the validation part."""
    boundary = data.tokenizer.token_to_id(vocabulary.BOUNDARY)
    torch.manual_seed(SEED)
    model = LanguageModel(0.0).to(device)
    for number, phase in enumerate(PHASES, start=1):
        _train_phase(model, data, phase, work / f"next-word-{number}", boundary)
        model.load_state_dict(torch.load(work / f"next-word-{number}-best.pt", weights_only=True, map_location=device))
    return model


def save(value: dict[str, Any], path: Path) -> None:
    """Write a temporary file and rename it, so that a killed run leaves the previous checkpoint intact."""
    torch.save(value, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def _train_phase(model: LanguageModel, data: Data, phase: Phase, base: Path, boundary: int) -> None:
    device = model.output.bias.device
    optimizer = torch.optim.AdamW(model.parameters(), lr=phase.rate, weight_decay=0.02)
    checkpoint, best_path = base.with_suffix(".pt"), base.with_name(f"{base.name}-best.pt")
    first, best, worse = 0, math.inf, 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True, map_location=device)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        first, best, worse = saved["epoch"] + 1, saved["best"], saved["worse"]
    model.set_dropout(phase.dropout)
    for epoch in range(first, phase.epochs):
        if worse >= PATIENCE:
            break
        loss = _train_epoch(model, optimizer, phase, epoch_stream(data, phase, epoch, boundary), epoch)
        valid = evaluate(model, data.valid, boundary)["perplexity"]
        print(f"epoch {epoch + 1}/{phase.epochs}: train loss {loss:.3f}, validation perplexity {valid:.2f}", flush=True)
        best, worse = (valid, 0) if valid < best else (best, worse + 1)
        if worse == 0:
            save(model.state_dict(), best_path)
        progress = {"epoch": epoch, "best": best, "worse": worse}
        save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), **progress}, checkpoint)


def _train_epoch(
    model: LanguageModel, optimizer: torch.optim.Optimizer, phase: Phase, stream: Tensor, epoch: int
) -> float:
    torch.manual_seed(SEED + epoch)
    model.train()
    state, total = model.initial_state(phase.rows), 0.0
    stream = stream.to(model.output.bias.device)
    starts = range(0, stream.shape[1] - 1, phase.window)
    for number, start in enumerate(tqdm(starts, desc=f"epoch {epoch + 1}", mininterval=20)):
        rising = min(1.0, (epoch * len(starts) + number + 1) / 200)
        left = 1 - (epoch + number / len(starts)) / phase.epochs
        for group in optimizer.param_groups:
            group["lr"] = phase.rate * rising * (0.02 + 0.98 * left**1.5)
        ids = stream[:, start : start + phase.window + 1]
        # Sessions start from zeros, so every row is reset at random times.
        keep = (torch.rand(1, phase.rows, 1, device=ids.device) > 0.05).float()
        logits, state = model(ids[:, :-1], (state[0].detach() * keep, state[1].detach() * keep))
        loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        total += loss.item()
    return total / len(starts)


@torch.inference_mode()
def evaluate(model: LanguageModel, documents: list[list[int]], boundary: int) -> dict[str, float]:
    """Return perplexity over all tokens, including end tokens, and top-1 and top-5 accuracy over known words."""
    model.eval()
    metrics = TokenMetrics()
    ordered = sorted(documents, key=len)
    for start in range(0, len(ordered), 64):
        batch = ordered[start : start + 64]
        ids = torch.full((len(batch), len(batch[-1]) + 2), boundary)
        for row, document in enumerate(batch):
            ids[row, 1 : len(document) + 1] = torch.tensor(document)
        ids = ids.to(model.output.bias.device)
        logits = model(ids[:, :-1], model.initial_state(len(batch)))[0].log_softmax(-1)
        for row, document in enumerate(batch):
            metrics.add(logits[row, : len(document) + 1].float().cpu(), ids[row, 1 : len(document) + 2].cpu())
    return metrics.figures()


class TokenMetrics:
    """Sums for perplexity and accuracy."""

    def __init__(self) -> None:
        self.tokens = self.ranked = self.first = self.fifth = 0
        self.logprob = 0.0

    def add(self, logprobs: Tensor, targets: Tensor) -> None:
        """Add the rows of `logprobs` (time, vocabulary) for `targets` (time,); ids 0 and 1 are special."""
        own = logprobs.gather(1, targets[:, None])
        self.tokens += len(targets)
        self.logprob += own.sum().item()
        known = targets > 1
        ranks = (logprobs[known, 2:] > own[known]).sum(1)
        self.ranked += int(known.sum())
        self.first += int((ranks < 1).sum())
        self.fifth += int((ranks < 5).sum())

    def figures(self) -> dict[str, float]:
        return {
            "perplexity": math.exp(-self.logprob / self.tokens),
            "top1_accuracy": self.first / self.ranked,
            "top5_accuracy": self.fifth / self.ranked,
        }
