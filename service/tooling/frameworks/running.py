"""Runs the framework of a file in a process of its own."""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from service.domain.errors import ModelFolderError
from service.tooling.frameworks import child
from service.tooling.frameworks.child import MAX_SECONDS, MISSING

Framework = Literal["keras", "torchscript", "onnxruntime"]
#: A process on a busy machine takes longer than its processor time.
TIMEOUT_SECONDS = 4 * MAX_SECONDS
#: Keras computes with PyTorch. Nothing else of the environment is handed on.
ENVIRONMENT = {"KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1"}


def run_framework(framework: Framework, file: Path, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return what the framework computes with the graph of a file. Raises ModelFolderError."""
    with tempfile.TemporaryDirectory(prefix="unroll-") as name:
        folder = Path(name)
        given, target = folder / "inputs.npz", folder / "outputs.npz"
        np.savez(given, allow_pickle=False, **inputs)
        command = [sys.executable, "-I", child.__file__, framework, str(file.absolute()), str(given), str(target)]
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=ENVIRONMENT | {"HOME": name},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TIMEOUT_SECONDS,
                start_new_session=True,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ModelFolderError(f"{file}: {framework} took more than {TIMEOUT_SECONDS} s to run it") from error
        if done.returncode == MISSING:
            raise ModelFolderError(
                f"{file}: golden: found no {framework} here, expected it to be installed: pip install {framework}"
            )
        if done.returncode or not target.is_file():
            reason = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no message"])[-1][:300]
            raise ModelFolderError(f"{file}: golden: {framework} failed on it, status {done.returncode}: {reason}")
        with np.load(target, allow_pickle=False) as outputs:
            return dict(outputs)
