"""Loaded models that the tests of this folder share."""

import pytest

from service.domain.operations import OpenSession, TextInput
from service.engine.state_export import SafetensorsStateFiles
from service.tasks.limits import TextLimits
from tests.folders import load_registry, write_language_model
from tests.forecast_folders import write_forecaster
from tests.integration.tasks.state_files.exported_models import (
    FORECASTERS,
    LANGUAGE,
    NAMES,
    TRANSLATORS,
    Model,
    make_step,
    run,
)
from tests.translation_folders import write_encoder_decoder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    folder = tmp_path_factory.mktemp("models")
    for name, settings in LANGUAGE.items():
        write_language_model(folder, name, golden=False, **settings)
    for name, settings in FORECASTERS.items():
        write_forecaster(folder, name, golden=False, **settings)
    for name, settings in TRANSLATORS.items():
        write_encoder_decoder(folder, name, golden=False, **settings)
    registry = load_registry(folder, TextLimits(50, 20, 30))
    files, models = SafetensorsStateFiles(registry), {}
    for version in registry.versions():
        loaded = registry.get(version)
        state = None
        if version.task == "translation":
            state = run(loaded, OpenSession(TextInput(text="I am hungry.")), None).state
        state = run(loaded, make_step(loaded, 4), state).state
        models[version.name] = Model(files, loaded, state, files.write(version, state, {"a": "b"}))
    assert sorted(models) == sorted(NAMES)
    return models


@pytest.fixture(params=NAMES)
def model(request: pytest.FixtureRequest, models: dict[str, Model]) -> Model:
    return models[request.param]
