"""Models of the tasks whose sessions read sequences, their inputs, and the numbers of their answers."""

from pathlib import Path

import numpy as np

from tests.encoder_folders import rows_of, write_encoder
from tests.onnx_folders import write_stream, write_stream_task
from tests.server import Body
from tests.vector_folders import VECTORS, write_melodies

TEXT = "I like the big dog and the small cat"
_FRAMES = np.random.default_rng(0).standard_normal((9, 3)).tolist()
_WORDS: list[Body] = [{"text": word} for word in TEXT.split()]
_ROWS: list[Body] = [{"values": [row]} for row in rows_of(9)]
#: Nine steps of a session of each model.
INPUTS: dict[str, list[Body]] = {
    "mood": _WORDS,
    "vectors": _WORDS,
    "activity": _ROWS,
    "river": _ROWS,
    "speech": [{"tensors": {"frame": frame}} for frame in _FRAMES],
    "graph": _ROWS,
    "styles": _WORDS,
}
#: What the sessions of some are created with.
OPENINGS: dict[str, Body] = {"styles": {"input": {"vector": VECTORS[0].tolist()}}}


def write_task_models(models: Path, version: str = "1", seed: int = 0) -> None:
    """Write a version of each model, with weights of its own for each seed."""
    write_encoder(models, "mood", "classification", readout="attention", version=version, seed=seed)
    write_encoder(models, "vectors", "embedding", readout="max", version=version, seed=seed)
    write_encoder(models, "activity", "tagging", text=False, cell="lstm", version=version, seed=seed)
    write_encoder(models, "river", "regression", text=False, readout="mean", version=version, seed=seed)
    write_stream(models, "speech", version, seed)
    write_stream_task(models, "graph", "regression", version, seed)
    write_melodies(models, "styles", version=version, seed=seed)


def numbers(output: Body) -> list[float]:
    """All numbers of an answer, in order."""
    for name in ("labels", "tags", "predictions"):
        if name in output:
            return [entry["probability"] for entry in output[name]]
    if "tensors" in output:
        return [float(number) for tensor in output["tensors"].values() for number in np.ravel(tensor)]
    return [float(number) for number in np.ravel(output.get("values", output.get("embedding")))]
