"""Loaded models that the tests of this folder share."""

import json
from pathlib import Path

import pytest

from service.domain.operations import OpenSession
from service.engine.state_export import SafetensorsStateFiles
from service.nets.config.loader import build_config
from service.nets.config.rnn_spec import StateSpec
from service.nets.network_spec import find_spec
from service.tasks.architectures import ARCHITECTURES
from service.tasks.limits import TextLimits
from tests.encoder_folders import write_encoder
from tests.folders import load_registry, write_language_model
from tests.forecast_folders import write_forecaster
from tests.integration.tasks.state_files.exported_models import (
    FORECASTERS,
    LANGUAGE,
    NAMES,
    OPENINGS,
    TRANSLATORS,
    Model,
    make_step,
    run,
)
from tests.onnx_folders import write_stream
from tests.translation_folders import write_encoder_decoder
from tests.vector_folders import write_melodies


def session_state(folder: Path) -> list[StateSpec]:
    """The tensors of a session's state as config.json says."""
    raw = json.loads((folder / "config.json").read_bytes())
    return [*build_config(find_spec(raw, "", ARCHITECTURES).config_class, raw, "").session_state()]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    folder = tmp_path_factory.mktemp("models")
    for name, settings in LANGUAGE.items():
        write_language_model(folder, name, golden=False, **settings)
    for name, settings in FORECASTERS.items():
        write_forecaster(folder, name, golden=False, **settings)
    for name, settings in TRANSLATORS.items():
        write_encoder_decoder(folder, name, golden=False, **settings)
    write_encoder(folder, "mood", "classification", readout="attention", golden=False)
    write_stream(folder, "speech")
    write_melodies(folder, "styles")
    registry = load_registry(folder, TextLimits(50, 20, 30))
    files, models = SafetensorsStateFiles(registry), {}
    for version in registry.versions():
        loaded = registry.get(version)
        state = None
        if opening := OPENINGS.get(version.name, OPENINGS.get(version.task)):
            state = run(loaded, OpenSession(opening), None).state
        state = run(loaded, make_step(loaded, 4), state).state
        content = files.write(version, state, {"a": "b"})
        models[version.name] = Model(files, loaded, state, content, session_state(folder / version.name / "1"))
    assert sorted(models) == sorted(NAMES)
    return models


@pytest.fixture(params=NAMES)
def model(request: pytest.FixtureRequest, models: dict[str, Model]) -> Model:
    return models[request.param]
