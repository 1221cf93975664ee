"""An ONNX graph that reads a sequence timestep by timestep, and answers with logits or numbers."""

import numpy as np

from service.nets.onnx_graph.encoder_config import GraphEncoderConfig
from service.nets.onnx_graph.network import OnnxNetwork
from service.nets.onnx_graph.runtime import Array
from service.nets.onnx_graph.state_rows import Rows

#: Probabilities closer to 0 than this have the logit of it, and those closer to 1 accordingly.
LEAST = 1e-30
NEAREST = 1e-16


class GraphEncoder(OnnxNetwork):
    """Graph of a configuration with one input, which reads token ids or rows of numbers."""

    #: The graph has no transitions of tags.
    crf = None

    def __init__(self, config: GraphEncoderConfig) -> None:
        super().__init__(config)
        self.encoder = config
        self._dtype = np.dtype(config.inputs[0].dtype)

    def compute(self, inputs: Array, states: Rows) -> tuple[Array, Rows]:
        """Feed one timestep of token ids (B,) or rows (B, W) to states (B, total).

        Return what the graph answers (B, N), and the next states. Sessions run one after the other if the graph has no
        batch axis. Raises GraphFailure.
        """
        rows = inputs.astype(self._dtype).reshape(len(inputs), *self.encoder.input_row)
        if self.config.batched:
            outputs, after = self.step([rows], states)
            return outputs[0].reshape(len(rows), self.encoder.graph_outputs), after
        runs = [self.step([rows[index : index + 1]], states[index : index + 1]) for index in range(len(rows))]
        answers = [outputs[0].reshape(1, self.encoder.graph_outputs) for outputs, _ in runs]
        return np.concatenate(answers), np.concatenate([after for _, after in runs])

    def outputs_of(self, answers: Array) -> Array:
        """Return logits or numbers (B, K) in float32, given what the graph answers (B, N)."""
        numbers = answers.astype(np.float64)
        if self.encoder.probabilities:
            numbers = _log_odds(numbers) if self._has_sigmoid() else np.log(np.maximum(numbers, LEAST))
        if self.encoder.from_single_logit:
            numbers = np.concatenate([np.zeros_like(numbers), numbers], 1)
        return numbers.astype(np.float32)

    def _has_sigmoid(self) -> bool:
        """Return whether each probability is one of its own, not one of several that sum to 1."""
        return self.encoder.multi_label or self.encoder.from_single_logit


def _log_odds(probabilities: Array) -> Array:
    odds: Array = np.log(np.maximum(probabilities, LEAST)) - np.log(np.maximum(1 - probabilities, NEAREST))
    return odds
