"""Further models for the panels of numbers: several features, text and rows for each task, no sessions, many labels."""

import importlib.util
import json
from pathlib import Path

from tests.encoder_folders import write_encoder
from tests.forecast_folders import write_forecaster
from tests.onnx_folders import VOICE

PACKAGE = importlib.util.find_spec("silero_vad")


def write_number_models(models: Path) -> None:
    """Write the models into the folder; `voice` only where the package with its graph is installed."""
    write_forecaster(
        models,
        "weather",
        features=["load", "temp", "wind"],
        target=["load", "wind"],
        known=["temp"],
        calendar=["hour_of_day"],
        frequency="1h",
        horizon=8,
        context={"size": 5},
        local={"size": 6, "activation": "tanh"},
    )
    write_encoder(models, "words", "tagging")
    write_encoder(models, "whole", "tagging", cell="lstm", bidirectional=True, golden=False)
    write_encoder(models, "kinds", "classification", text=False, labels=[f"kind {number}" for number in range(1000)])
    if PACKAGE is not None and PACKAGE.origin is not None:
        write_voice(models / "voice" / "1", Path(PACKAGE.origin).parent / "data" / "silero_vad.onnx")


def write_voice(folder: Path, graph: Path) -> None:
    """Write the voice activity model of docs/examples/voice-activity.md, without golden vectors."""
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(graph.read_bytes())
    (folder / "config.json").write_text(json.dumps(VOICE), "utf-8")
