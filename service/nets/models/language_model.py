"""Language model: token ids -> embedding -> recurrent layers -> features -> one logit per word.

Parameters: `embedding.weight` (V, E), absent for unit vectors; `input_projection.weight/bias` (I, E); `rnn.*`
(`rnn_stack.py`); `head.{i}.weight/bias`; `output.weight` (V, D), absent when tied to the embedding; `output.bias` (V,);
`vector.*` (`vector_reader.py`).

The features (D) are the input of the output layer. Logits over the whole vocabulary are by far the most expensive part
of a step. They have a method of their own, `logits`; `score` computes the logit of a single token.

A session stores, in this order (`specs`; config.json's `state` lists the same):

- the recurrent tensors of the stack, `h_l0`, for an LSTM `c_l0`, `h_l1`, ...;
- `features` (D), only if the recurrent tensors do not contain them: with a head, layer normalisation, or a connection
  on the last layer;
- `log_normaliser` (1): the log of the sum of exp(logits) at these features, so that the token that is fed next can be
  scored by one dot product;
- `vector` (N), only if sequences begin with a vector: the session can begin again with it.
"""

from torch import Tensor, nn

from service.nets.config.language_model_config import LanguageModelConfig
from service.nets.config.rnn_spec import StateSpec
from service.nets.layers.dense import Linear, ScoringOutput, make_embedding, tied_table
from service.nets.layers.feed_forward import FeedForward
from service.nets.layers.rnn_stack import RnnStack, State
from service.nets.models.vector_reader import VectorReader


class LanguageModel(nn.Module):
    """Network of a configuration, uninitialised until a state dict is loaded."""

    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = make_embedding(config.vocab_size, config.embedding_size, one_hot=config.one_hot)
        self.input_projection = Linear(config.embedding_size, config.input_size) if config.input_projection else None
        self.vector = None if config.vector is None else VectorReader(config.vector, config.vector_states())
        self.rnn = RnnStack(config.rnn_spec())
        self.head = FeedForward(config.rnn_spec().output_size(), config.head)
        self.output = ScoringOutput(
            config.vocab_size, config.features_size, tied_table(self.embedding, tied=config.tie_weights)
        )

    @property
    def specs(self) -> list[StateSpec]:
        """The tensors that a session stores."""
        return self.config.session_state()

    @property
    def stores_features(self) -> bool:
        """Whether a session stores the features beside the recurrent state."""
        return self.config.stores_features

    def initial_recurrent_state(self, batch: int) -> State:
        """Return the recurrent tensors before the first token, (batch, size) each: zeros, or the learned state."""
        return self.rnn.initial_state(batch)

    def begin(self, vector: Tensor) -> tuple[Tensor, State]:
        """Read the vector of each sequence: (B, N) -> features (B, D), recurrent state and vector.

        The features are zeros if the vector is no input. Raises ValueError if sequences begin with no vector.
        """
        if self.vector is None:
            raise ValueError("the network begins with no vector")
        given, first = self.vector(vector)
        state = {**self.rnn.initial_state(len(vector), vector.device), **given, "vector": vector}
        if first is None:
            return vector.new_zeros(len(vector), self.config.features_size), state
        output, after = self.rnn.step(self._project(first), state)
        return self.head(output), self._with_vector(after, state)

    def step(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """Feed one token: ids (B,), state -> features (B, D), new recurrent state. Other tensors are ignored.

        A vector remains as it is.
        """
        output, after = self.rnn.step(self._embed(ids), state)
        return self.head(output), self._with_vector(after, state)

    def sequence(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """Feed T >= 1 tokens at once: ids (B, T), state -> features (B, T, D), recurrent state after the last."""
        output, after = self.rnn.sequence(self._embed(ids), state)
        return self.head(output), self._with_vector(after, state)

    def recurrent_state(self, state: State) -> State:
        """Return the recurrent tensors of a state, (B, size) each."""
        return {spec.name: state[spec.name] for spec in self.rnn.layout.recurrent_state()}

    def features_of(self, state: State) -> Tensor:
        """Return the features (B, D) of a session's state."""
        return state["features"] if self.stores_features else state[f"h_l{self.config.total_layers - 1}"]

    def logits(self, features: Tensor) -> Tensor:
        """Return (..., D) -> (..., V)."""
        logits: Tensor = self.output(features)
        return logits

    def score(self, ids: Tensor, features: Tensor) -> Tensor:
        """Return the logit of one token per row: ids (B,), features (B, D) -> (B,)."""
        return self.output.score(ids, features)

    def _embed(self, ids: Tensor) -> Tensor:
        return self._project(self.embedding.embed(ids))

    def _project(self, x: Tensor) -> Tensor:
        if self.input_projection is None:
            return x
        projected: Tensor = self.input_projection(x)
        return projected

    def _with_vector(self, after: State, before: State) -> State:
        return after if self.vector is None else {**after, "vector": before["vector"]}
