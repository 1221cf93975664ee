"""Checks a model folder as a server would before it serves it: weights, golden vectors, tokenizer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.domain.operations import ComputeDtype, Device
from service.tasks.limits import MAX_ROWS, TextLimits
from service.tasks.registry import load_task
from service.tooling.verify.quality import Quality, metric_of

LIMITS = TextLimits(input_tokens=MAX_ROWS)


@dataclass(frozen=True, slots=True)
class Verification:
    """What a model folder holds, once nothing is wrong with it. `difference` is None without golden vectors.

    `dtype` is the arithmetic that it was replayed in, `quality` what given data say of the model in it and in its own.
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
    dtype: ComputeDtype
    quality: Quality | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        names = ("task", "architecture", "cell", "parameters", "state_bytes", "fingerprint", "verified", "difference")
        found = {name: getattr(self, name) for name in (*names, "tolerance", "dtype")}
        quality = {} if self.quality is None else self.quality.to_dict()
        return {"path": str(self.path), **found, **quality}

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
                *([] if self.quality is None else [self.quality.render(self.dtype)]),
            ]
        )


def verify(
    path: Path, dtype: ComputeDtype | None = None, data: Path | None = None, device: Device = "cpu"
) -> Verification:
    """Load a model folder to run in `dtype` or its own arithmetic on `device`, and replay its golden vectors.

    `data` judges it in both arithmetics, see `quality.py`. Raises ModelFolderError for the first thing wrong with the
    folder, InvalidRequest for that with the data, SettingsError for the device.
    """
    checkpoint, task = load_task(path, LIMITS, dtype, device)
    config, golden = checkpoint.config, checkpoint.golden
    quality = None
    if data is not None:
        judge = metric_of(task, data)
        other = judge.figure(task)
        own = other if checkpoint.dtype == config.dtype else judge.figure(load_task(path, LIMITS, None, device)[1])
        quality = Quality(judge.name, own, other, judge.signature)
    return Verification(
        path=path,
        task=config.task,
        architecture=config.architecture,
        cell=config.cell,
        parameters=checkpoint.parameters,
        state_bytes=task.state_codec.state_bytes,
        fingerprint=checkpoint.fingerprint,
        verified=checkpoint.verified,
        difference=None if golden is None else golden.difference,
        tolerance=None if golden is None else golden.tolerance,
        dtype=checkpoint.dtype,
        quality=quality,
    )
