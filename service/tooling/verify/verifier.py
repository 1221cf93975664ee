"""Check of a model folder as a server loads it: weights, golden vectors, tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.domain.operations import ComputeDtype, Device
from service.tasks.architecture_spec import AnyArchitecture
from service.tasks.architectures import ARCHITECTURES, load_task
from service.tasks.limits import MAX_ROWS, TextLimits
from service.tooling.architecture_tools import tools_of
from service.tooling.verify.quality import Quality

LIMITS = TextLimits(input_tokens=MAX_ROWS)


@dataclass(frozen=True, slots=True)
class Verification:
    """Summary of a valid model folder. `difference` is None without golden vectors.

    `dtype` is that of the replay; `quality` compares it with the model's own dtype on given data.
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
        fields = {name: getattr(self, name) for name in (*names, "tolerance", "dtype")}
        quality = {} if self.quality is None else self.quality.to_dict()
        return {"path": str(self.path), **fields, **quality}

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
    path: Path,
    dtype: ComputeDtype | None = None,
    data: Path | None = None,
    device: Device = "cpu",
    architectures: Sequence[AnyArchitecture] = ARCHITECTURES,
) -> Verification:
    """Load a model folder to run in `dtype` or its own dtype on `device`, and replay its golden vectors.

    If `data` is a file, both dtypes are compared on it, see `quality.py`. Raises ModelFolderError for the first error
    in the folder, InvalidRequest for one in the data, SettingsError for the device.
    """
    checkpoint, task = load_task(path, LIMITS, dtype, device, architectures)
    config, golden = checkpoint.config, checkpoint.golden
    quality = None
    if data is not None:
        metric = tools_of(checkpoint.spec).metric(data, task, config)
        other = own = metric.compute(task)
        if checkpoint.dtype != config.dtype:
            own = metric.compute(load_task(path, LIMITS, None, device, architectures)[1])
        quality = Quality(metric.name, own, other, metric.signature)
    return Verification(
        path=path,
        task=config.task,
        architecture=config.architecture,
        cell=config.session_layers.cell,
        parameters=checkpoint.parameters,
        state_bytes=task.state_codec.state_bytes,
        fingerprint=checkpoint.fingerprint,
        verified=checkpoint.verified,
        difference=None if golden is None else golden.difference,
        tolerance=None if golden is None else golden.tolerance,
        dtype=checkpoint.dtype,
        quality=quality,
    )
