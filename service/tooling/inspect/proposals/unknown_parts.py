"""Tensors of a checkpoint that belong to no layer that is known, and what they look like."""

import re
from collections.abc import Sequence
from math import prod

from service.tooling.inspect.inventory import Inventory

#: Names of the parameters of an attention that are no layers, such as att_weight, context_vector, u_omega, w.
_ATTENTION = re.compile(r"att|align|energy|score|context|query|omega|(?:^|\.)[uvw](?:$|_)", re.IGNORECASE)
_TRANSITIONS = re.compile(r"crf|trans(?!form)", re.IGNORECASE)
_LAYERS = (
    "of which {names} looks like an attention over the timesteps. If it scores them by `outputs @ {first}`, save "
    "linear layers in its place: {code}"
)
_CRF = (
    "of which {name} looks like the transitions of a CRF, expected crf.transitions (from the row to the column), "
    "crf.start_transitions and crf.end_transitions. If its rows are the tags that follow, as in PyTorch's tutorial, "
    "and START and STOP are two of them: t = state.pop({name!r}); state |= {{'crf.transitions': t.T.contiguous(), "
    "'crf.start_transitions': t[:, START], 'crf.end_transitions': t[STOP]}}"
)


def describe_unknown(parts: Inventory, names: Sequence[str]) -> str:
    """Return the names of tensors that are not known, and what those of an attention or a CRF look like."""
    listed = f"parts that are not known here: {', '.join(names)}"
    if attention := _attention(parts, names):
        found, code = [*attention], "; ".join(attention.values())
        return f"{listed}, {_LAYERS.format(names=' with '.join(found), first=found[0], code=code)}"
    transitions = [name for name in names if _TRANSITIONS.search(name) and _is_square(parts.tensors[name].shape)]
    return f"{listed}, {_CRF.format(name=transitions[0])}" if len(transitions) == 1 else listed


def _attention(parts: Inventory, names: Sequence[str]) -> dict[str, str]:
    """Return the parameters of an attention over outputs, with the code that makes weights of linear layers of them."""
    shapes = {name: parts.tensors[name].shape for name in names if _ATTENTION.search(name)}
    sizes = {group.output_size for group in parts.groups}
    hidden = {name: shape for name, shape in shapes.items() if _is_matrix_of(shape, sizes)}
    widths = sizes | {layer.rows for layer in parts.linears} | {shape[1] for shape in hidden.values()}
    scores = [name for name, shape in shapes.items() if _is_vector_of(shape, widths)]
    return {
        **{name: f"state['attention_hidden.weight'] = state.pop({name!r}).T.contiguous()" for name in hidden},
        **{name: f"state['attention_score.weight'] = state.pop({name!r}).reshape(1, -1)" for name in scores},
    }


def _is_matrix_of(shape: Sequence[int], sizes: set[int]) -> bool:
    return len(shape) == 2 and shape[0] in sizes and shape[1] > 1


def _is_vector_of(shape: Sequence[int], sizes: set[int]) -> bool:
    """Return whether a tensor is a vector of one of these sizes, also one with further axes of size 1."""
    return prod(shape) == max(shape, default=0) and prod(shape) in sizes


def _is_square(shape: Sequence[int]) -> bool:
    return len(shape) == 2 and shape[0] == shape[1]
