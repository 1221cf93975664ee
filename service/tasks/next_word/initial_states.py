"""First states of sequences: before any input, or after the vector that a conditioned model begins with."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from service.domain.operations import Input, TextInput
from service.nets.models.window import fill_window
from service.tasks.next_word.feeding import LanguageNetwork, State
from service.tasks.next_word.session_state import Row, missing_vector, vector_refusal
from service.tasks.state_layout import StateLayout


class BeginningNetwork(LanguageNetwork, Protocol):
    """The part of a language model that first states need."""

    def initial_recurrent_state(self, batch: int) -> State: ...
    def begin(self, vector: Tensor) -> tuple[Tensor, State]: ...


class InitialStates:
    """First states of the sequences of a network. The begin token, if there is one, is part of them.

    `vector_size` is None for a network that begins with no vector. `pad_id` is the token that fills windows.
    """

    def __init__(
        self,
        network: BeginningNetwork,
        layout: StateLayout,
        *,
        vector_size: int | None,
        begin_id: int | None,
        pad_id: int | None,
    ) -> None:
        self._network = network
        self._layout = layout
        self._begin_id = begin_id
        self._pad_id = pad_id
        self.vector_size = vector_size
        #: The state without a vector; None if sequences begin with one.
        self.plain = self._make_plain() if vector_size is None else None

    def take(self, model_input: Input | None, state: Row | None, *, again: bool) -> Row | None:
        """Return the vector that an operation begins with, None if it begins with none.

        `again`: a session begins again with its own. Raises InvalidRequest.
        """
        given = model_input.vector if isinstance(model_input, TextInput) else None
        size = self.vector_size
        if size is None:
            if given is not None:
                raise vector_refusal(f"has {len(given)} numbers", "none, since the model begins with no vector")
            return None
        if state is not None:
            if given is not None:
                raise vector_refusal(
                    f"has {len(given)} numbers", "none, since the session has begun with a vector already"
                )
            return self._layout.split(torch.from_numpy(state.copy())[None])["vector"][0].numpy() if again else None
        if given is None:
            raise missing_vector(size)
        if len(given) != size:
            raise vector_refusal(f"has {len(given)} numbers", f"{size}, as the model reads")
        return np.array(given, dtype=np.float32)

    def read(self, vectors: Sequence[Row]) -> Tensor:
        """Return the states (B, total) after each of the vectors, without their normalisers.

        Raises InvalidRequest for a vector that gives numbers which are not finite.
        """
        features, state = self._network.begin(torch.from_numpy(np.stack(vectors)))
        if self._begin_id is not None:
            features, state = self._network.step(torch.full((len(vectors),), self._begin_id), state)
        rows = self._layout.concat({**state, "features": features, "log_normaliser": torch.zeros(len(vectors), 1)})
        if not bool(rows.isfinite().all()):
            raise vector_refusal("gives a state that is not finite", "smaller numbers")
        return rows

    def _make_plain(self) -> Row:
        with torch.inference_mode():
            state = self._network.initial_recurrent_state(1)
            if self._pad_id is not None:
                state = fill_window(state, self._pad_id)
            # A window that is filled with padding does not change when padding is fed.
            fed = self._begin_id if self._begin_id is not None else self._pad_id or 0
            features, after = self._network.step(torch.tensor([fed]), state)
            if self._begin_id is not None:
                state = after
            elif self._pad_id is None:
                features = torch.zeros_like(features)
            state = {**state, "features": features}
            # A learned state can be the features before any token.
            log_normaliser = self._network.logits(self._network.features_of(state)).logsumexp(-1, keepdim=True)
            row = self._layout.concat({**state, "log_normaliser": log_normaliser})[0]
            return row.numpy().copy()
