"""Operations on a sequence encoder in progress: chunks of the input are fed, then the outputs are answered."""

from collections.abc import Sequence

import numpy as np

from service.domain.operations import Outcome
from service.nets.forecast_inputs.scaling import Numbers
from service.tasks.base import inputs_per_timestep
from service.tasks.sequence_encoding.answers import AnswerMaker
from service.tasks.sequence_encoding.feeding import Chunk, Fed
from service.tasks.sequence_encoding.inputs import EncodedSequence
from service.tasks.sequence_encoding.session_state import EncoderState, Row

#: The most timesteps that one pass feeds to an operation. More would delay the other operations.
CHUNK = 16
NO_ROW: Row = np.zeros(0, np.float32)


class StreamOperation:
    """Feeds a sequence to a state, timestep by timestep, and answers.

    `rows` is the number of rows of the network that a timestep takes, those of a window.
    """

    def __init__(self, state: EncoderState, sequence: EncodedSequence, maker: AnswerMaker, rows: int = 1) -> None:
        self._rows = rows
        self._chunk = inputs_per_timestep(CHUNK, rows)
        self.state: EncoderState = state
        self.finished = False
        self._sequence = sequence
        self._maker = maker
        self._fed = 0
        self._outputs: list[Numbers] = []

    @property
    def next_cost(self) -> int:
        """The number of rows that the next pass feeds."""
        return self._rows * min(max(1, len(self._sequence) - self._fed), self._chunk)

    @property
    def outcome_cost(self) -> int:
        """The cost of the answer."""
        return self._maker.cost

    def next_chunk(self) -> Chunk:
        """Return the timesteps of the next pass."""
        inputs = self._sequence.inputs[self._fed : self._fed + self._chunk]
        last = self._fed + len(inputs) == len(self._sequence)
        return Chunk(inputs, self.state.network, self.state.count, self._maker.every, last)

    def update(self, fed: Fed) -> None:
        """Apply the result of a pass."""
        count = min(len(self._sequence) - self._fed, self._chunk)
        self._fed += count
        self.finished = self._fed == len(self._sequence)
        last = self._sequence.last if self.finished else self.state.last
        self.state = EncoderState(self.state.count + count, fed.row, last)
        self._outputs.append(fed.outputs)

    def outcome(self, state: bytes) -> Outcome:
        """Return the outcome, with `state` as its encoded state."""
        answer = self._maker.answer(_joined(self._outputs))
        return Outcome(answer.output, state, timesteps=len(self._sequence), observation=answer.check)


class WholeOperation:
    """Reads a whole sequence in one pass, and leaves no state.

    `inputs` are those of the network, which may begin with a token that is none of the sequence.
    """

    state = None

    def __init__(self, sequence: EncodedSequence, begin: Sequence[int], maker: AnswerMaker) -> None:
        self.finished = False
        self._timesteps = len(sequence)
        inputs = sequence.inputs
        self._inputs = np.concatenate([np.array(begin, inputs.dtype), inputs]) if begin else inputs
        self._maker = maker
        self._outputs: Numbers = np.zeros((0, 0))

    @property
    def next_cost(self) -> int:
        """The number of timesteps of the sequence."""
        return len(self._inputs)

    @property
    def outcome_cost(self) -> int:
        """The cost of the answer."""
        return self._maker.cost

    def next_chunk(self) -> Chunk:
        """Return all timesteps."""
        return Chunk(self._inputs, NO_ROW, 0, self._maker.every, last=True)

    def update(self, fed: Fed) -> None:
        """Apply the result of the pass."""
        self._outputs, self.finished = fed.outputs, True

    def outcome(self, state: bytes) -> Outcome:
        """Return the outcome; `state` is empty."""
        answer = self._maker.answer(self._outputs)
        return Outcome(answer.output, state, timesteps=self._timesteps, observation=answer.check)


def _joined(outputs: Sequence[Numbers]) -> Numbers:
    """Return the outputs (m, K) of all passes; those of passes without any are left out."""
    parts = [part for part in outputs if len(part)]
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else outputs[-1]
