"""Feeding many states at once, each with its own number of tokens, equals feeding each alone and token by token."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from service.tasks.architectures import load_task
from service.tasks.limits import TextLimits
from service.tasks.next_word import feeding
from service.tasks.next_word.feeding import feed
from service.tasks.next_word.session_state import stack
from service.tasks.next_word.task import NextWordTask
from tests.folders import write_language_model
from tests.rounding import LOGIT, assert_rounded

#: The longest sum of products: the input of a layer, its hidden state and two biases.
TERMS = 16 + 16 + 2
TOKENS = [[5, 6, 7], [], [8], [9, 5, 6, 7, 8, 9, 5], [], [6, 6], [7], [5, 6, 7]]
#: Two layers for each token of a state, and the output layer that computes the normaliser.
PASSES = 2 * 8 + 1


def feed_token_by_token(task: NextWordTask, state: Tensor, tokens: list[int]) -> tuple[Tensor, list[float]]:
    """Feed tokens one by one and score each with the logits of the state before it."""
    network, layout, logprobs = task._network, task._layout, []
    for token in tokens:
        features = network.features_of(layout.split(state[None]))
        logprobs.append(float(network.logits(features).log_softmax(-1)[0, token]))
        features, after = network.step(torch.tensor([token]), layout.split(state[None]))
        state = layout.concat({**after, "features": features, "log_normaliser": torch.zeros(1, 1)})[0]
    return state, logprobs


@pytest.mark.parametrize("fields", [{"cell": "lstm"}, {"cell": "gru", "num_layers": 2}, {"layer_norm": True}])
@pytest.mark.parametrize("logit_rows", [2, 64])
def test_states_that_are_fed_together_equal_those_fed_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, object], logit_rows: int
) -> None:
    monkeypatch.setattr(feeding, "LOGIT_ROWS", logit_rows)
    _, task = load_task(write_language_model(tmp_path, "m", "1", **fields), TextLimits(64, 64))
    assert isinstance(task, NextWordTask)
    with torch.inference_mode():
        initial = stack([task.initial_state])[0]
        starts = [feed_token_by_token(task, initial, [5 + index % 4])[0] for index in range(len(TOKENS))]
        for start in starts:
            features = task._network.features_of(task._layout.split(start[None]))
            start[-1] = task._network.logits(features).logsumexp(-1)[0]
        states, logprobs = feed(task._network, task._layout, TOKENS, torch.stack(starts))
        for index, tokens in enumerate(TOKENS):
            state, expected = feed_token_by_token(task, starts[index], tokens)
            assert_rounded(states[index], state, TERMS, PASSES)
            assert logprobs[index] == pytest.approx(expected, abs=LOGIT)
