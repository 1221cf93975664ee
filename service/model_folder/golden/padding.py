"""Windows of a model at the begin of a replay."""

from typing import Protocol, runtime_checkable

from service.nets.config.architecture_config import PaddingConfig
from service.nets.layers.rnn_stack import State
from service.nets.models.window import fill_window


@runtime_checkable
class Tokens(Protocol):
    """The part of a vocabulary that a replay uses."""

    def token_to_id(self, token: str) -> int | None: ...


def padded_state(state: State, padding: PaddingConfig | None, vocabulary: Tokens) -> State:
    """Return the state of empty windows, which hold the token of `padding` if there is one."""
    return state if padding is None else fill_window(state, vocabulary.token_to_id(padding.token) or 0)
