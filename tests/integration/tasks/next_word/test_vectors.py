"""Operations that begin with a vector: alone and in a batch, by int8 to the last bit, and with too large a vector."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from service.domain.errors import InvalidRequest
from service.domain.operations import Generate, GenerateOptions, OpenSession, Operation, Predict, Score, TextInput
from service.engine.runner import run_operation, run_timestep, run_to_completion
from service.model_folder.safetensors_io import read_tensor_file, write_tensor_file
from service.tasks.architectures import load_task
from service.tasks.limits import TextLimits
from service.tasks.next_word.task import NextWordTask
from tests.vector_folders import SIZE, VECTORS, write_captions, write_melodies

LIMITS = TextLimits(50, 20)
ONE, TWO, THREE = (tuple(row) for row in VECTORS.tolist())
OPERATIONS: list[Operation] = [
    OpenSession(TextInput(vector=ONE)),
    Predict(TextInput(text="the dog is", vector=TWO)),
    Predict(TextInput(vector=THREE)),
    Generate(TextInput(text="Tom", vector=ONE), GenerateOptions(max_tokens=6, seed=1)),
    Generate(TextInput(vector=TWO), GenerateOptions(max_tokens=6, seed=2, stop=("the",))),
    Score(TextInput(ids=(5, 8, 9, 7, 3, 4, 6, 12, 30), vector=THREE)),
]


@pytest.mark.parametrize("write", [write_melodies, write_captions], ids=["initial state", "first input"])
def test_int8_answers_are_the_same_alone_and_among_others(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    task = load_task(write(tmp_path), LIMITS, "int8")[1]
    alone = [run_operation(task, operation, None) for operation in OPERATIONS]
    assert run_to_completion(task, [task.start(operation, None) for operation in OPERATIONS]) == alone


def test_a_session_begins_again_with_its_vector(tmp_path: Path) -> None:
    task = load_task(write_captions(tmp_path), LIMITS)[1]
    first = run_operation(task, OpenSession(TextInput(vector=TWO)), None)
    later = run_operation(task, Predict(TextInput(text="the dog")), task.state_codec.from_bytes(first.state))
    assert run_operation(task, OpenSession(None), task.state_codec.from_bytes(later.state)) == first
    assert (first.timesteps, later.timesteps) == (0, 2)


def test_a_vector_that_leads_out_of_range_fails_alone(tmp_path: Path) -> None:
    folder = write_captions(tmp_path)
    (folder / "golden.safetensors").unlink()
    tensors = {name: stored.tensor() for name, stored in read_tensor_file(folder / "model.safetensors").tensors.items()}
    tensors["vector.first_input.0.weight"] = torch.full_like(tensors["vector.first_input.0.weight"], 1e30)
    write_tensor_file(folder / "model.safetensors", tensors)
    task = load_task(folder, LIMITS)[1]
    assert isinstance(task, NextWordTask)
    huge, zeros = ((number,) * SIZE for number in (1e12, 0.0))
    running = [task.start(Predict(TextInput(vector=vector)), None) for vector in (zeros, huge)]
    fine, refused = run_timestep(task, running)
    assert fine is None
    assert isinstance(refused, InvalidRequest)
    assert refused.param == "input.vector"


def test_a_vector_counts_for_the_cost_of_an_operation(tmp_path: Path) -> None:
    task = load_task(write_captions(tmp_path), LIMITS)[1]
    with_vector, in_session = (
        task.cost(Predict(TextInput(text="a b", vector=vector)), in_session=vector is None) for vector in (ONE, None)
    )
    assert with_vector.timesteps == in_session.timesteps + 2
    assert with_vector.memory > in_session.memory
