"""Choice of the architecture that the parts of a checkpoint fit, and of its proposal."""

from collections.abc import Sequence

from service.tasks.architecture_spec import AnyArchitecture
from service.tooling.architecture_tools import tools_of
from service.tooling.inspect.inventory import Inventory, Proposal, UnsupportedNetwork

NONE = "so no config.json is proposed; write it by hand if docs/models.md describes the network all the same"


def propose(
    parts: Inventory, architectures: Sequence[AnyArchitecture], task: str | None = None
) -> tuple[str, Proposal | None]:
    """Return a description of the network, and a proposal if it is served.

    The architecture is one of `task` if that is stated, else the first one that recognizes the parts.
    """
    for spec in architectures:
        tools = tools_of(spec)
        if tools.recognizes(parts) if task is None else task in spec.tasks and tools.accepts(parts):
            try:
                return tools.describe(parts), tools.propose(parts) if task is None else tools.propose_task(parts, task)
            except UnsupportedNetwork as error:
                return f"{tools.describe_unsupported(parts, error)}, {NONE}", None
    if not parts.groups:
        return "no recurrent network: no weight_ih and weight_hh that belong together", None
    if len(parts.groups) > 1:
        return f"several networks or a nested one: {len(parts.groups)} recurrent groups, {NONE}", None
    return f"a network of another architecture, {NONE}", None
