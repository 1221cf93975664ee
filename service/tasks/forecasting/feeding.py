"""Feeding of rows to the states of many forecasts at once, each with its own number of rows."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from service.nets.forecast_inputs.scaling import Numbers
from service.nets.models.forecaster import Forecaster
from service.nets.models.window import unroll, values_before
from service.tasks.forecasting.direct import ForwardPass
from service.tasks.state_layout import StateLayout


class Fed(NamedTuple):
    """The states (n, R) of a pass after its rows, and the features (n, D) before each of its rows."""

    states: Tensor
    features_before: list[Tensor]


Feed: TypeAlias = Callable[[Forecaster, StateLayout, Sequence[ForwardPass]], list[Fed]]


def feed(network: Forecaster, layout: StateLayout, passes: Sequence[ForwardPass]) -> list[Fed]:
    """Feed the rows of all passes, timestep by timestep."""
    own_states = [forward_pass.states for forward_pass in passes]
    counts, states = [*map(len, own_states)], torch.cat(own_states)
    indices = torch.split(torch.arange(len(states)), counts)
    before: list[list[Tensor]] = [[] for _ in passes]
    inputs = [*map(_inputs_of, passes)]
    for timestep in range(max(rows.shape[1] for rows in inputs)):
        feeding = [index for index, rows in enumerate(inputs) if rows.shape[1] > timestep]
        x = np.concatenate([inputs[index][:, timestep] for index in feeding])
        fed = torch.cat([indices[index] for index in feeding])
        features, states = _advance(network, layout, states, fed, torch.from_numpy(x).float())
        for index, own in zip(feeding, torch.split(features, [counts[index] for index in feeding]), strict=True):
            before[index].append(own)
    return [*map(Fed, torch.split(states, counts), before)]


def _advance(network: Forecaster, layout: StateLayout, states: Tensor, fed: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Feed the inputs (n, W) to the states with the indices `fed` (n,), in ascending order.

    Return the features of these states before their row (n, D), and all states after it.
    """
    every = len(fed) == len(states)  # all of them, in their order: no copies
    state = layout.split(states if every else states[fed])
    after = layout.concat(network.step(x, state))
    return network.features_of(state), after if every else states.index_copy(0, fed, after)


def feed_windows(network: Forecaster, layout: StateLayout, passes: Sequence[ForwardPass]) -> list[Fed]:
    """Feed the rows of all passes at once to a network that reads windows: the window before each row is known."""
    inputs, sizes = [*map(_inputs_of, passes)], [len(forward_pass.states) for forward_pass in passes]
    states = torch.cat([forward_pass.states for forward_pass in passes])
    counts = [rows.shape[1] for rows, size in zip(inputs, sizes, strict=True) for _ in range(size)]
    if not any(counts):
        return [Fed(own, []) for own in torch.split(states, sizes)]
    x = torch.from_numpy(np.concatenate([rows.reshape(-1, rows.shape[2]) for rows in inputs if rows.size])).float()
    states, before = _feed_rows(network, layout, states, x, counts)
    parts = torch.split(before, [rows.shape[0] * rows.shape[1] for rows in inputs])
    return [Fed(own, [*torch.split(part, 1)]) for own, part in zip(torch.split(states, sizes), parts, strict=True)]


def _feed_rows(
    network: Forecaster, layout: StateLayout, states: Tensor, x: Tensor, counts: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Feed each of the states (n, R) its `counts` of the rows (m, W).

    Return the states after them, and the features before each row (m, D).
    """
    state, fed = layout.split(states), [index for index, count in enumerate(counts) if count]
    after = network.step(x, unroll(state, x, counts))
    inner = [part[:-1] for part in torch.split(network.features_of(after), [*counts])]
    before = values_before(network.features_of(state), inner, counts)
    last = torch.tensor(counts).cumsum(0)[fed] - 1
    final = layout.concat({name: tensor[last] for name, tensor in after.items()})
    return states.index_copy(0, torch.tensor(fed), final), before


def _inputs_of(forward_pass: ForwardPass) -> Numbers:
    """Return the inputs (n, k, W) of a pass, without timesteps if it feeds none."""
    return np.zeros((0, 0, 0)) if forward_pass.inputs is None else forward_pass.inputs
