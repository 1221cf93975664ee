"""States are restored from their files exactly."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load

from service.domain.errors import StateCorrupted
from service.model_folder.safetensors_io import tensor_file
from tests.integration.tasks.state_files.exported_models import Model, make_step, run
from tests.state_files import with_tensors


def test_a_state_is_restored_from_its_file_bit_by_bit(model: Model) -> None:
    file = model.files.read(model.content)
    assert file.metadata == {"a": "b"}
    assert file.state(model.loaded.version) == model.state
    step = make_step(model.loaded, 2, 4)
    assert run(model.loaded, step, model.read(model.content)) == run(model.loaded, step, model.state)


def test_tensors_are_named_and_shaped_as_config_json_says(model: Model) -> None:
    shapes = {name: array.shape for name, array in load(model.content).items() if array.dtype == np.float32}
    assert shapes == {spec.name: spec.shape for spec in model.specs}


def test_counters_and_ids_of_a_task_are_int64_tensors(model: Model) -> None:
    names = {name for name, array in load(model.content).items() if array.dtype == np.int64}
    time = {"time"} if model.loaded.version.name == "sensor" else set()
    counters = {
        "translation": {"source", "accepted", "pending"},
        "forecasting": {"rows", *time},
        "classification": {"count"},
    }
    assert names == counters.get(model.loaded.version.task, set())


def test_the_initial_state_is_restored_from_its_file(model: Model) -> None:
    task = model.loaded.task
    if task.initial_state is None:
        return
    state = task.state_codec.to_bytes(task.initial_state)
    assert model.read(model.files.write(model.loaded.version, state, {})) == state


def test_an_edited_state_is_imported_unchanged(model: Model) -> None:
    name = next(name for name in load(model.content) if name.startswith(("h_l0", "features")) or name == "h")
    array = load(model.content)[name]
    state = model.read(with_tensors(model.content, **{name: array + np.float32(0.5)}))
    assert load(model.files.write(model.loaded.version, state, {}))[name] == pytest.approx(array + 0.5)
    assert run(model.loaded, make_step(model.loaded, 1, 4), state).output


def test_a_corrupted_state_is_not_exported(model: Model) -> None:
    with pytest.raises(StateCorrupted):
        model.files.write(model.loaded.version, model.state[:-4] + b"\0\0\xc0\x7f", {})


def test_a_state_computed_by_torch_can_be_imported(models: dict[str, Model]) -> None:
    model = models["gru"]
    tensors = {name: torch.from_numpy(array).clone() for name, array in load(model.content).items()}
    assert model.read(tensor_file(tensors)) == model.state
