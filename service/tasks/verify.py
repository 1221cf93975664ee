"""Checks a model folder as a server would before it serves it: weights, golden vectors, tokenizer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.tasks.limits import TextLimits
from service.tasks.loading import load_task


@dataclass(frozen=True, slots=True)
class Verification:
    """What a model folder holds, once nothing is wrong with it. `difference` is None without golden vectors."""

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

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        names = ("task", "architecture", "cell", "parameters", "state_bytes", "fingerprint", "verified", "difference")
        return {"path": str(self.path), **{name: getattr(self, name) for name in names}, "tolerance": self.tolerance}

    def render(self) -> str:
        """Return the report for people."""
        golden = (
            f"verified: differs by {self.difference:.3g} at most from the trainer's values ({self.tolerance:g} allowed)"
            if self.verified
            else "not verified: there is no golden.safetensors, so nobody has shown that the forward pass is right"
        )
        return "\n".join(
            [
                f"{self.path}: {self.task}, {self.architecture}, {self.cell}",
                f"{self.parameters:,} parameters, {self.state_bytes:,} bytes of state per session",
                f"fingerprint {self.fingerprint}",
                golden,
            ]
        )


def verify(path: Path) -> Verification:
    """Load a model folder and replay its golden vectors. Raises ModelFolderError for the first thing wrong."""
    checkpoint, task = load_task(path, TextLimits())
    config, golden = checkpoint.config, checkpoint.golden
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
    )
