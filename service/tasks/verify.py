"""Checks a model folder as a server would before it serves it: weights, golden vectors, tokenizer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.errors import ModelFolderError
from service.tasks.limits import TextLimits
from service.tasks.loading import load_task
from service.tasks.losses import perplexity_of
from service.tasks.next_word import NextWord
from service.types import Arithmetic


@dataclass(frozen=True, slots=True)
class Verification:
    """What a model folder holds, once nothing is wrong with it. `difference` is None without golden vectors.

    `dtype` is the arithmetic that it was replayed in, `perplexity` that of given text, in the model's own arithmetic
    and in this one.
    """

    path: Path
    task: str
    architecture: str
    cell: str
    parameters: int
    state_bytes: int
    fingerprint: str
    verified: bool
    difference: float | None
    tolerance: float | None
    dtype: Arithmetic
    perplexity: tuple[float, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        names = ("task", "architecture", "cell", "parameters", "state_bytes", "fingerprint", "verified", "difference")
        found = {name: getattr(self, name) for name in (*names, "tolerance", "dtype")}
        if self.perplexity is not None:
            found["perplexity"] = dict(zip(("own", "dtype"), self.perplexity, strict=True))
        return {"path": str(self.path), **found}

    def render(self) -> str:
        """Return the report for people."""
        golden = (
            f"verified: in {self.dtype} differs by {self.difference:.3g} at most from the trainer's values "
            f"({self.tolerance:.3g} allowed)"
            if self.verified
            else "not verified: there is no golden.safetensors, so nobody has shown that the forward pass is right"
        )
        return "\n".join(
            [
                f"{self.path}: {self.task}, {self.architecture}, {self.cell}",
                f"{self.parameters:,} parameters, {self.state_bytes:,} bytes of state per session",
                f"fingerprint {self.fingerprint}",
                golden,
                *([] if self.perplexity is None else [self._loss(*self.perplexity)]),
            ]
        )

    def _loss(self, own: float, reduced: float) -> str:
        return f"perplexity {reduced:.4f} in {self.dtype}, {own:.4f} in its own arithmetic ({reduced / own - 1:+.3%})"


def verify(path: Path, dtype: Arithmetic | None = None, data: Path | None = None) -> Verification:
    """Load a model folder to run in `dtype` or its own arithmetic, and replay its golden vectors.

    `data` is text, a sentence a line, for a next-word model's perplexity. Raises ModelFolderError for the first thing
    wrong.
    """
    checkpoint, task = load_task(path, TextLimits(), dtype)
    config, golden = checkpoint.config, checkpoint.golden
    perplexity = None
    if data is not None:
        reduced = _perplexity(path, task, data)
        same = checkpoint.dtype == config.dtype
        perplexity = (reduced if same else _perplexity(path, load_task(path, TextLimits())[1], data), reduced)
    return Verification(
        path=path,
        task=config.task,
        architecture=config.architecture,
        cell=config.cell,
        parameters=checkpoint.parameters,
        state_bytes=task.state_bytes,
        fingerprint=checkpoint.fingerprint,
        verified=checkpoint.verified,
        difference=None if golden is None else golden.difference,
        tolerance=None if golden is None else golden.tolerance,
        dtype=checkpoint.dtype,
        perplexity=perplexity,
    )


def _perplexity(path: Path, task: object, data: Path) -> float:
    if not isinstance(task, NextWord):
        raise ModelFolderError(f"{path}: found another task, expected next-word prediction, since --data is text")
    return perplexity_of(task, data)
