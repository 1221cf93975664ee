"""`inspect`, `pack` and `import` of a graph that lies beside a config.pbtxt, as Triton's repositories have it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from service.domain.errors import ModelFolderError
from service.domain.operations import Predict, PredictOptions, TensorInput
from service.domain.tensors import make_tensor
from service.engine.runner import run_operation
from service.tasks.architectures import load_task
from service.tasks.limits import TextLimits
from service.tooling.inspect.graph_report import GraphReport, inspect_graph
from service.tooling.pack.importer import import_files
from service.tooling.pack.packer import pack
from service.tooling.triton.text_format import MAX_DEPTH, TextFormatError, parse_message
from tests.onnx_folders import graph, value

INT32, FLOAT = TensorProto.INT32, TensorProto.FLOAT
TENSORS = """
name: "accumulator"  # a comment
backend: "onnxruntime"
max_batch_size: 0
input [
  {
    name: "INPUT"
    data_type: TYPE_INT32
    dims: [ -1 ]
  }
]
output [
  {
    name: "OUTPUT"
    data_type: TYPE_INT32
    dims: [ -1 ]
  }
]
"""
STATE = """
sequence_batching {
  max_sequence_idle_microseconds: 5000000
  direct { }
  %s
  state [
    {
      input_name: "INPUT_STATE"
      output_name: "OUTPUT_STATE"
      data_type: TYPE_INT32
      dims: [ -1 ]
      %s
    }
  ]
}
"""
ZEROS = 'initial_state: { data_type: TYPE_INT32 dims: [ 1 ] zero_data: true name: "initial state" }'
FILE = 'initial_state: { data_type: TYPE_INT32 dims: [ 1 ] data_file: "first" name: "initial state" }'


def control(name: str, kind: str, values: str = "int32_false_true: [ 0, 1 ]") -> str:
    return f'control_input [ {{ name: "{name}" control [ {{ kind: CONTROL_SEQUENCE_{kind} {values} }} ] }} ]'


START, READY = control("START", "START"), control("READY", "READY", "fp32_false_true: [ 0, 1 ]")


def accumulator(*controls: tuple[str, int]) -> Any:
    """Triton's accumulator: OUTPUT = INPUT where START, else INPUT + INPUT_STATE."""
    nodes = [helper.make_node("Add", ["INPUT", "INPUT_STATE"], ["sum"])]
    last = "sum"
    if ("START", INT32) in controls:
        nodes += [
            helper.make_node("Cast", ["START"], ["start"], to=TensorProto.BOOL),
            helper.make_node("Where", ["start", "INPUT", "sum"], ["whole"]),
        ]
        last = "whole"
    nodes += [helper.make_node("Identity", [last], [name]) for name in ("OUTPUT", "OUTPUT_STATE")]
    inputs = [value(name, [None], INT32) for name in ("INPUT", "INPUT_STATE")]
    inputs += [value(name, [1], kind) for name, kind in controls]
    return graph(nodes, inputs, [value(name, [None], INT32) for name in ("OUTPUT", "OUTPUT_STATE")])


def repository(folder: Path, model: Any, configuration: str, name: str = "accumulator") -> Path:
    """Write NAME/1/model.onnx with the configuration in the folder above, and return the path of the graph."""
    path = folder / name / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(model.SerializeToString())
    (folder / name / "config.pbtxt").write_text(configuration, "utf-8")
    return path


def inspected(folder: Path, configuration: str, *controls: tuple[str, int]) -> GraphReport:
    return inspect_graph(repository(folder, accumulator(*controls), configuration))


def refused(folder: Path, configuration: str, *controls: tuple[str, int]) -> str:
    with pytest.raises(ModelFolderError) as error:
        inspected(folder, configuration, *controls)
    return str(error.value)


def sums(folder: Path, *numbers: int) -> list[int]:
    """What the packed accumulator answers to numbers, one step each."""
    _, task = load_task(folder, TextLimits())
    state, answers = task.initial_state, []
    for number in numbers:
        tensor = make_tensor("INPUT", "INT32", (1,), [number])
        outcome = run_operation(task, Predict(TensorInput((tensor,)), PredictOptions()), state)
        state = task.state_codec.from_bytes(outcome.state)
        answers += outcome.output["tensors"]["OUTPUT"]
    return answers


def test_states_are_paired_as_the_configuration_says(tmp_path: Path) -> None:
    report = inspected(tmp_path, TENSORS + STATE % ("", ZEROS))
    assert report.config["state"] == [
        {"input": "INPUT_STATE", "output": "OUTPUT_STATE", "shape": ["batch"], "dtype": "int32", "initial": "zeros"}
    ]
    assert [entry["name"] for entry in report.config["inputs"]] == ["INPUT"]
    assert "state INPUT_STATE is followed by the output OUTPUT_STATE" in report.render()


def test_an_accumulator_that_starts_at_zero_is_imported_and_accumulates(tmp_path: Path) -> None:
    controls = (("START", INT32), ("READY", FLOAT))
    path = repository(tmp_path, accumulator(*controls), TENSORS + STATE % (START + READY, ZEROS))
    imported = import_files([str(path)], tmp_path / "models" / "sum" / "1", settings={})
    assert imported.packed is not None
    notes = imported.report.to_dict()["notes"]
    assert "READY is 1: every row that is fed is a request" in notes
    assert any(note.startswith("START is 0: the initial state is that of config.json") for note in notes)
    assert sums(imported.packed.path, 3, 4, -1) == [3, 7, 6]


def test_a_start_flag_without_an_initial_state_is_asked_for(tmp_path: Path) -> None:
    path = repository(tmp_path, accumulator(("START", INT32)), TENSORS + STATE % (START, ""))
    report = inspect_graph(path)
    assert report.guessed == ("constants.START",)
    with pytest.raises(ModelFolderError, match=r"constants\.START: found null"):
        pack(path, tmp_path / "models", "sum", "1")
    packed = pack(path, tmp_path / "models", "sum", "1", settings={"constants.START": [0]})
    assert sums(packed.path, 3, 4) == [3, 7]


def test_an_initial_state_of_a_file_is_packed(tmp_path: Path) -> None:
    path = repository(tmp_path, accumulator(), TENSORS + STATE % ("", FILE))
    first = tmp_path / "accumulator" / "initial_state" / "first"
    first.parent.mkdir()
    first.write_bytes(np.array([40], np.int32).tobytes())
    packed = pack(path, tmp_path / "models", "sum", "1")
    assert sums(packed.path, 2, 1) == [42, 43]
    first.write_bytes(b"123")
    with pytest.raises(ModelFolderError, match=r"first: found 3 bytes, expected 4: int32 of shape \[\]"):
        pack(path, tmp_path / "models", "sum", "2")


def test_a_batched_model_has_the_batch_in_front_of_the_stated_sizes(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "h"], [name]) for name in ("y", "g")]
    model = graph(nodes, [value("x", [None, None]), value("h", [None, None])], [value("y", None), value("g", None)])
    tensors = [f'name: "{name}" data_type: TYPE_FP32 dims: [ 4 ]' for name in "xy"]
    state = 'state { input_name: "h" output_name: "g" data_type: TYPE_FP32 dims: 4 }'
    text = f"max_batch_size: 8 input {{ {tensors[0]} }} output <{tensors[1]}> sequence_batching {{ {state} }}"
    config = inspect_graph(repository(tmp_path, model, text)).config
    assert config["inputs"] == [{"name": "x", "dtype": "float32", "shape": ["batch", 4]}]
    assert config["outputs"] == [{"name": "y", "dtype": "float32", "shape": ["batch", 4]}]
    assert config["state"][0]["shape"] == ["batch", 4]


REFUSED = [
    (TENSORS + STATE % (control("CORRID", "CORRID", "data_type: TYPE_UINT64"), ""), "no such tensor in the graph"),
    (TENSORS.replace("INT32", "FP32", 1), "input INPUT: found float32, expected int32, as the graph has it"),
    (TENSORS.replace('"OUTPUT"', '"ANSWER"'), "output ANSWER: found no such tensor in the graph: OUTPUT, OUTPUT_STATE"),
    (TENSORS.replace("TYPE_INT32", "TYPE_STRING", 1), "input INPUT: data_type: found TYPE_STRING, expected one of"),
    (TENSORS.replace("[ -1 ]", "[ 0 ]", 1), "input INPUT: dims: found [0], expected sizes, or -1 for any"),
    ("max_batch_size: many", "max_batch_size: found 'many', expected a whole number from 0"),
    ("input [", "line 1: found the end of the file, expected a value"),
    ("input { name: 'a'", "line 1: found the end of the file, expected the name of a field or }"),
    ("\n\x00", "line 2: found '\\x00', expected a field, a value or a comment"),
    (TENSORS + STATE % ("", ZEROS.replace("zero_data: true", 'data_file: "../x"')), "expected a file of the folder"),
]


@pytest.mark.parametrize(("configuration", "message"), REFUSED)
def test_what_does_not_fit_the_graph_is_refused_by_name(tmp_path: Path, configuration: str, message: str) -> None:
    error = refused(tmp_path, configuration)
    assert message in error
    assert str(tmp_path / "accumulator" / "config.pbtxt") in error


def test_a_graph_that_reads_the_number_of_its_sequence_is_refused(tmp_path: Path) -> None:
    text = TENSORS + STATE % (control("CORRID", "CORRID", "data_type: TYPE_UINT64"), ZEROS)
    error = refused(tmp_path, text, ("CORRID", TensorProto.UINT64))
    assert "control_input CORRID: found CONTROL_SEQUENCE_CORRID, expected START, END or READY" in error


def test_messages_are_nested_a_bounded_number_of_times() -> None:
    with pytest.raises(TextFormatError, match="nested at most"):
        parse_message("a {" * (MAX_DEPTH + 2))


def test_texts_numbers_and_lists_are_read_as_protocol_buffers_write_them() -> None:
    assert parse_message("a: 'x' \"y\\n\" b: [1, -2.5, 0x1F]; b: 1e3 c { d: TYPE_A, e: true } c <>") == {
        "a": ["xy\n"],
        "b": [1, -2.5, 31, 1000.0],
        "c": [{"d": ["TYPE_A"], "e": [True]}, {}],
    }
