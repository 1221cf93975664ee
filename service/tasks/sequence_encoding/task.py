"""Tasks of sequence encoders: every one feeds a sequence and answers from the outputs."""

from dataclasses import dataclass

from service.domain.cost import NUMBER_BYTES, Cost
from service.domain.errors import InvalidRequest
from service.domain.operations import OpenSession, Operation, Predict
from service.tasks.base import StateCodec
from service.tasks.limits import TextLimits
from service.tasks.sequence_encoding.answers import OutputTask
from service.tasks.sequence_encoding.feeding import Fed, Feeder
from service.tasks.sequence_encoding.inputs import InputReader
from service.tasks.sequence_encoding.operation import StreamOperation, WholeOperation
from service.tasks.sequence_encoding.session_state import EncoderState, NoSessionCodec
from service.tasks.sequence_encoding.tensors import EncoderTensors

#: The longest sequence of a network that reads it whole, in one pass that other operations wait for.
MAX_WHOLE_TIMESTEPS = 1024


@dataclass(frozen=True, slots=True)
class StreamParts:
    """What runs the timesteps of sessions: feeder, codec of states, and the state before any input.

    A timestep costs as much as `rows` of the network. `note` says how sessions run, for the model's description.
    """

    feeder: Feeder
    state_codec: StateCodec[EncoderState]
    initial_state: EncoderState
    rows: int
    note: str = ""


class StreamTask:
    """Task of a network that is fed timestep by timestep, and continues from the state of a session."""

    def __init__(self, parts: StreamParts, reader: InputReader, outputs: OutputTask, limits: TextLimits) -> None:
        self._feeder, self._rows = parts.feeder, parts.rows
        self._reader = reader
        self._outputs = outputs
        self._limit = limits.input_tokens
        self.state_codec, self.initial_state = parts.state_codec, parts.initial_state
        self.note = parts.note
        self.tensor_interface = EncoderTensors(reader, outputs, has_sequences=True)

    def cost(self, operation: Operation, *, in_session: bool) -> Cost:  # noqa: ARG002 - the same in a session
        """Return what an operation takes at most."""
        cost = encoding_cost(operation, self._reader, self._outputs, self.state_codec.state_bytes, self._limit)
        return cost._replace(timesteps=cost.timesteps * self._rows)

    def start(self, operation: Operation, state: EncoderState) -> StreamOperation:
        """Validate and encode an operation on `state`. Raises InvalidRequest or a subclass; nothing is computed."""
        predict = require_predict(operation)
        sequence = self._reader.read(predict.input, state.last, self._limit)
        if not len(sequence) and not state.count:
            raise InvalidRequest("input is missing: expected at least one timestep before an answer", param="input")
        return StreamOperation(state, sequence, self._outputs.start(predict, sequence), self._rows)

    def forward(self, batch: list[StreamOperation]) -> list[Fed]:
        """Feed the next timesteps of all operations and return one result for each. Operations are not modified."""
        return self._feeder.feed([operation.next_chunk() for operation in batch])


class WholeTask:
    """Task of a network that reads whole sequences only. It has no sessions; the obstacle says why."""

    initial_state = None

    def __init__(
        self, feeder: Feeder, reader: InputReader, outputs: OutputTask, limits: TextLimits, obstacle: str
    ) -> None:
        self._reader = reader
        self._outputs = outputs
        self._limit = min(limits.input_tokens, MAX_WHOLE_TIMESTEPS)
        self._begin = [] if reader.begin_id is None else [reader.begin_id]
        self._feeder = feeder
        self.state_codec = NoSessionCodec(obstacle)
        self.tensor_interface = EncoderTensors(reader, outputs, has_sequences=False)

    def cost(self, operation: Operation, *, in_session: bool) -> Cost:  # noqa: ARG002 - there are no sessions
        """Return what an operation takes at most."""
        return encoding_cost(operation, self._reader, self._outputs, 0, self._limit)

    def start(self, operation: Operation, state: None) -> WholeOperation:  # noqa: ARG002 - likewise
        """Validate and encode an operation. Raises InvalidRequest or a subclass; nothing is computed."""
        predict = require_predict(operation)
        sequence = self._reader.read(predict.input, self._reader.no_row, self._limit)
        if not len(sequence):
            raise InvalidRequest("input is missing: expected a whole sequence", param="input")
        return WholeOperation(sequence, self._begin, self._outputs.start(predict, sequence))

    def forward(self, batch: list[WholeOperation]) -> list[Fed]:
        """Read the sequences of all operations and return one result for each. Operations are not modified."""
        return self._feeder.feed([operation.next_chunk() for operation in batch])


def require_predict(operation: Operation) -> Predict:
    """Return an operation that predicts. Raises InvalidRequest for another one."""
    if isinstance(operation, OpenSession):
        raise InvalidRequest(
            "input is given: expected none, since only a translation's session is created with one", param="input"
        )
    if not isinstance(operation, Predict):
        raise InvalidRequest(
            "the model answers sequences and generates none: expected predict or a step", param="model"
        )
    return operation


def encoding_cost(operation: Operation, reader: InputReader, outputs: OutputTask, state_bytes: int, limit: int) -> Cost:
    """Return the cost of an operation. One that the model rejects may have any cost."""
    timesteps, memory = reader.size(operation.input)
    timesteps = min(timesteps, limit)
    numbers = outputs.numbers(operation, timesteps)
    return Cost(timesteps, numbers, state_bytes + memory + NUMBER_BYTES * numbers)
