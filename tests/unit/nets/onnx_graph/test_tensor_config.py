"""config.json of an ONNX graph: what it says, and what is refused of it."""

from typing import Any

import pytest

from service.domain.errors import ModelFolderError
from tests.onnx_folders import VOICE
from tests.registered import build_config


def config(**fields: Any) -> Any:
    return build_config({**VOICE, **fields}, "config.json")


def changed(field: str, **values: Any) -> Any:
    return config(**{field: [{**VOICE[field][0], **values}]})


def test_a_session_stores_the_states_and_the_ends_of_inputs_that_overlap() -> None:
    specs = [(spec.name, spec.shape, spec.dtype) for spec in config().session_state()]
    assert specs == [("state", (2, 128), "float32"), ("overlap.input", (64,), "float32")]


def test_a_graph_without_state_is_served() -> None:
    assert config(state=[], inputs=[{"name": "x", "shape": [4]}], outputs=[{"name": "y", "shape": [4]}]).state == []


@pytest.mark.parametrize(
    ("initial", "file", "tensor"),
    [
        ("h0", "initial.safetensors", "h0"),
        ({"tensor": "h0"}, "initial.safetensors", "h0"),
        ({"tensor": "h0", "file": "first.safetensors"}, "first.safetensors", "h0"),
    ],
)
def test_an_initial_state_names_a_tensor_of_a_file(initial: Any, file: str, tensor: str) -> None:
    built = changed("state", initial=initial)
    assert (built.state[0].source.file, built.state[0].source.tensor) == (file, tensor)
    assert built.companion_files == (file,)


@pytest.mark.parametrize(
    ("field", "values", "mentions"),
    [
        ("inputs", {"shape": ["batch", "batch"]}, ["inputs.0.shape", "'batch' once"]),
        ("inputs", {"shape": ["batch", 0]}, ["inputs.0.shape", "sizes from 1"]),
        ("inputs", {"shape": ["batch", True]}, ["inputs.0.shape"]),
        ("inputs", {"shape": ["batch", 2**24, 2]}, ["inputs.0.shape", "at most 16777216 elements"]),
        ("inputs", {"shape": 512}, ["inputs.0.shape", "a list"]),
        ("inputs", {"shape": [512]}, ["outputs.0.shape", "no 'batch', as the first input has none"]),
        ("inputs", {"name": "in\nput"}, ["inputs.0.name", "printable"]),
        ("inputs", {"dtype": "bfloat16"}, ["inputs.0.dtype"]),
        ("inputs", {"dtype": "uint16"}, ["inputs.0.overlap", "one of the dtypes"]),
        ("inputs", {"shape": ["time", "batch", 9]}, ["inputs.0.overlap", "fixed sizes of all axes but the last"]),
        ("inputs", {"name": "sr"}, ["sr twice", "each tensor of the graph once"]),
        ("inputs", {"more": 1}, ["inputs.0.more", "no such field"]),
        ("outputs", {"shape": [1]}, ["outputs.0.shape", "'batch' on one axis, as the first input has it"]),
        ("outputs", {"name": "stateN"}, ["stateN twice"]),
        ("state", {"shape": [2, 128]}, ["state.0.shape", "'batch' on one axis"]),
        ("state", {"shape": ["batch", "time"]}, ["state.0.shape", "a session stores a state of one size"]),
        ("state", {"dtype": "uint64"}, ["state.0.dtype"]),
        ("state", {"shape": ["batch", 2**24, 2]}, ["state", "bytes", "at most 67108864 for a session"]),
        ("state", {"initial": {"tensor": "h0", "file": "../h0.safetensors"}}, ["state.0.initial"]),
        ("state", {"input": "overlap.input"}, ["overlap.input twice", "names that differ from those of overlaps"]),
    ],
)
def test_contradictions_are_refused_by_name(field: str, values: dict[str, Any], mentions: list[str]) -> None:
    with pytest.raises(ModelFolderError) as refused:
        changed(field, **values)
    assert [word for word in mentions if word not in str(refused.value)] == []


@pytest.mark.parametrize("field", ["inputs", "outputs"])
def test_a_graph_has_inputs_and_outputs(field: str) -> None:
    with pytest.raises(ModelFolderError, match=field):
        config(**{field: []})
