"""config.json of a graph whose outputs are labels or numbers of a sequence.

The graph stands in the place of a sequence encoder: it reads a token or a row of numbers at a timestep, and its first
output is what the task answers from.
"""

import math
from collections.abc import Iterator
from typing import Literal

from service.nets.config.architecture_config import SequenceConfig
from service.nets.config.rnn_spec import StateSpec
from service.nets.config.sections import Violation
from service.nets.onnx_graph.graph_config import GraphConfig, Shape, free_axes

READOUTS = ("each", "last")
TOKEN_DTYPES = ("int64", "int32")
NUMBER_DTYPES = ("float32", "float64", "float16")


class GraphEncoderConfig(GraphConfig, SequenceConfig):
    """The fields of a graph that classifies, tags or computes numbers."""

    task: Literal["classification", "tagging", "regression"]
    #: Whether the graph itself ends with a softmax, or with a sigmoid.
    probabilities: bool = False

    @property
    def companion_files(self) -> tuple[str, ...]:
        """The files that decide how inputs are read and where a session starts."""
        return (self.input_file, *self.initial_files)

    @property
    def input_row(self) -> tuple[int, ...]:
        """The shape of a timestep as the graph reads it, without the batch; axes of any size have a timestep each."""
        return tuple(axis if isinstance(axis, int) else 1 for axis in self.inputs[0].row)

    @property
    def graph_outputs(self) -> int:
        """The number of numbers that the graph answers a timestep with."""
        return _size(self.outputs[0].row)

    @property
    def from_single_logit(self) -> bool:
        """Whether the graph answers with one number for two labels, that of the second one."""
        return len(self.labels) == 2 and not self.multi_label and self.graph_outputs == 1

    def session_state(self) -> list[StateSpec]:
        """Return the tensors of the graph, the last outputs, and the last row of numbers."""
        last = [] if self.reads_text else [StateSpec("sequence.last", (len(self.features),))]
        return [*self.graph_state(), StateSpec("sequence.outputs", (self.output_size,)), *last]

    def violations(self) -> Iterator[Violation]:
        """Yield the fields that are valid on their own but contradict each other."""
        yield from super().violations()
        yield from self.sequence_violations()
        yield from self.output_violations(self.task)
        if self.readout not in READOUTS:
            yield "readout", self.readout, f"one of {', '.join(READOUTS)}: a graph answers each timestep"
        if self.crf:
            yield "crf", "true", "false: the transitions of a CRF are no part of a graph"
        if self.probabilities and not self.labels:
            yield "probabilities", "true", "false: only labels have probabilities; see activation for numbers"
        yield from self._input_violations()
        yield from self._answer_violations()

    def _input_violations(self) -> Iterator[Violation]:
        entry, text = self.inputs[0], self.reads_text
        if self.inputs[1:]:
            expected = "one input, which reads a timestep; others are constants or states"
            yield "inputs", [field.name for field in self.inputs], expected
        dtypes = TOKEN_DTYPES if text else NUMBER_DTYPES
        if entry.dtype not in dtypes:
            kind = "token ids" if text else "numbers"
            yield "inputs.0.dtype", entry.dtype, f"one of {', '.join(dtypes)}, since the graph reads {kind}"
        width = 1 if text else self.row_width
        if width and _size(entry.row) != width:
            of = "a token" if text else "features and indicators"
            yield "inputs.0.shape", [*entry.shape], f"{width} number{'s' * (width != 1)} a timestep ({of})"

    def _answer_violations(self) -> Iterator[Violation]:
        entry = self.outputs[0]
        if entry.dtype not in NUMBER_DTYPES:
            yield "outputs.0.dtype", entry.dtype, f"one of {', '.join(NUMBER_DTYPES)}"
        if unknown := {*free_axes(entry.shape)} - {*self.free_axes}:
            yield "outputs.0.shape", [*entry.shape], f"sizes, and axes of the input, not {sorted(unknown)[0]}"
        count = self.output_size
        if count and self.graph_outputs != count and not self.from_single_logit:
            field = "labels" if self.labels else "names"
            expected = f"{self.graph_outputs}, as many as {entry.name} has numbers in a timestep"
            yield field, f"{count} {field}", expected


def _size(row: Shape) -> int:
    return math.prod(axis for axis in row if isinstance(axis, int))
