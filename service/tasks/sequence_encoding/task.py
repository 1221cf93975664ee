"""Tasks of sequence encoders: every one feeds a sequence and answers from the outputs."""

import torch

from service.domain.cost import NUMBER_BYTES, Cost
from service.domain.errors import InvalidRequest
from service.domain.operations import OpenSession, Operation, Predict
from service.nets.models.sequence_encoder import SequenceEncoder
from service.nets.models.window import fill_window
from service.tasks.limits import TextLimits
from service.tasks.sequence_encoding.answers import OutputTask
from service.tasks.sequence_encoding.feeding import Fed, Feeder, StepFeeder, WholeFeeder
from service.tasks.sequence_encoding.inputs import InputReader
from service.tasks.sequence_encoding.operation import StreamOperation, WholeOperation
from service.tasks.sequence_encoding.session_state import EncoderState, EncoderStateCodec, NoSessionCodec
from service.tasks.sequence_encoding.tensors import EncoderTensors
from service.tasks.state_layout import StateLayout

#: The longest sequence of a network that reads it whole, in one pass that other operations wait for.
MAX_WHOLE_TIMESTEPS = 1024


class StreamTask:
    """Task of a network that is fed timestep by timestep, and continues from the state of a session."""

    def __init__(self, network: SequenceEncoder, reader: InputReader, outputs: OutputTask, limits: TextLimits) -> None:
        self._network = network
        self._reader = reader
        self._outputs = outputs
        self._limit = limits.input_tokens
        layout = StateLayout.of(network.specs)
        stored = StateLayout.of(network.config.session_state())
        self._feeder: Feeder = StepFeeder(network, layout)
        self.state_codec = EncoderStateCodec(stored, stored.size - layout.size)
        self.tensor_interface = EncoderTensors(reader, outputs, has_sequences=True)
        self.initial_state = self._make_initial(layout)

    def _make_initial(self, layout: StateLayout) -> EncoderState:
        """Return the state after the begin token, or before the first timestep if there is none."""
        with torch.inference_mode():
            state, count, begin = self._network.initial_state(1), 0, self._reader.begin_id
            if self._reader.pad_id is not None:
                state = fill_window(state, self._reader.pad_id)
            if begin is not None:
                state, count = self._network.step(torch.tensor([begin]), state, torch.zeros(1, 1)), 1
            row = layout.concat({name: part.flatten(1) for name, part in state.items()})[0]
            return EncoderState(count, row.numpy().copy(), self._reader.no_row)

    def cost(self, operation: Operation, *, in_session: bool) -> Cost:  # noqa: ARG002 - the same in a session
        """Return what an operation takes at most."""
        cost = encoding_cost(operation, self._reader, self._outputs, self.state_codec.state_bytes, self._limit)
        return cost._replace(timesteps=cost.timesteps * self._network.config.rows_per_input)

    def start(self, operation: Operation, state: EncoderState) -> StreamOperation:
        """Validate and encode an operation on `state`. Raises InvalidRequest or a subclass; nothing is computed."""
        predict = require_predict(operation)
        sequence = self._reader.read(predict.input, state.last, self._limit)
        if not len(sequence) and not state.count:
            raise InvalidRequest("input is missing: expected at least one timestep before an answer", param="input")
        maker, rows = self._outputs.start(predict, sequence), self._network.config.rows_per_input
        return StreamOperation(state, sequence, maker, rows)

    def forward(self, batch: list[StreamOperation]) -> list[Fed]:
        """Feed the next timesteps of all operations and return one result for each. Operations are not modified."""
        return self._feeder.feed([operation.next_chunk() for operation in batch])


class WholeTask:
    """Task of a network that reads whole sequences only. It has no sessions; the obstacle says why."""

    initial_state = None

    def __init__(
        self, network: SequenceEncoder, reader: InputReader, outputs: OutputTask, limits: TextLimits, obstacle: str
    ) -> None:
        self._reader = reader
        self._outputs = outputs
        self._limit = min(limits.input_tokens, MAX_WHOLE_TIMESTEPS)
        self._begin = [] if reader.begin_id is None else [reader.begin_id]
        self._feeder: Feeder = WholeFeeder(network, each=network.config.readout == "each", skip=len(self._begin))
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
