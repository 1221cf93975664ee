"""Choice of the architecture that the parts of a checkpoint fit, and of its proposal."""

from collections.abc import Sequence
from typing import Any

from service.tasks.architecture_spec import AnyArchitecture
from service.tooling.architecture_tools import ArchitectureTools, tools_of
from service.tooling.inspect.encoder_or_decoder import side_of
from service.tooling.inspect.inventory import Inventory, PartialNetwork, Proposal, UnsupportedNetwork

NONE = "so no config.json is proposed; write it by hand if docs/models.md describes the network all the same"
_TOWERS = (
    "a network of several towers: {names} are encoders of the same shape, each of which is a model of its own. Save "
    "each alone, `torch.save(network.{first}.state_dict(), 'FILE')`, pack it with --set task=embedding, and compare "
    "the embeddings in your own code"
)
_POOLED = (
    "a network that reads the last output, the maximum and the mean of all outputs at once, as text classifiers of "
    "fastai do, which is no readout here: export it with `torch.onnx.export`, and give that file"
)


def propose(
    parts: Inventory, architectures: Sequence[AnyArchitecture], task: str | None = None
) -> tuple[str, Proposal | None]:
    """Return a description of the network, and a proposal if it is served.

    The architecture is one of `task` if that is stated, else the first one that recognizes the parts.
    """
    if task is None and _are_towers(parts):
        names = ", ".join(group.prefix.rstrip(".") for group in parts.groups)
        return _TOWERS.format(names=names, first=parts.groups[0].prefix.rstrip(".")), None
    for spec in architectures:
        tools = tools_of(spec)
        if tools.recognizes(parts) if task is None else task in spec.tasks and tools.accepts(parts):
            return _propose_for(tools, parts, task)
    if not parts.groups:
        return "no recurrent network: no weight_ih and weight_hh that belong together", None
    if len(parts.groups) > 1:
        return f"several networks or a nested one: {len(parts.groups)} recurrent groups, {NONE}", None
    return f"a network of another architecture, {NONE}", None


def _propose_for(tools: ArchitectureTools[Any], parts: Inventory, task: str | None) -> tuple[str, Proposal | None]:
    """Return a description of a recognized network, and a proposal if it is served."""
    try:
        return tools.describe(parts), tools.propose(parts) if task is None else tools.propose_task(parts, task)
    except PartialNetwork as error:
        return str(error), None
    except UnsupportedNetwork as error:
        if _reads_three_readouts(parts):
            return _POOLED, None
        return f"{tools.describe_unsupported(parts, error)}, {NONE}", None


def _reads_three_readouts(parts: Inventory) -> bool:
    """Return whether a layer is three times as wide as the outputs of the only recurrent layers."""
    return len(parts.groups) == 1 and any(
        layer.columns == 3 * parts.groups[0].output_size for layer in parts.linears if "attn" not in layer.name
    )


def _are_towers(parts: Inventory) -> bool:
    """Return whether several groups have the same shape, and neither a name nor an output layer tells a decoder."""
    groups, tokens = parts.groups, {table.rows for table in parts.embeddings}
    if any(layer.rows in tokens for layer in parts.linears):
        return False
    shapes = {
        (group.cell, group.input_size, group.hidden_sizes, group.proj_size, group.bidirectional) for group in groups
    }
    return len(groups) > 1 and len(shapes) == 1 and not any(side_of(group.prefix) == "decoder" for group in groups)
