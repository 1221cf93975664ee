"""Choice of the architecture that the parts of a checkpoint fit, and of its proposal."""

from service.tooling.inspect.inventory import Inventory, Matrix, Proposal, UnsupportedNetwork
from service.tooling.inspect.proposal_encoder_decoder import propose_encoder_decoder
from service.tooling.inspect.proposal_forecaster import find_input_projection, propose_forecaster
from service.tooling.inspect.proposal_language_model import propose_language_model

NONE = "so no config.json is proposed; write it by hand if docs/models.md describes the network all the same"


def propose(parts: Inventory) -> tuple[str, Proposal | None]:
    """Return a description of the network, and a proposal if it is served."""
    if not parts.groups:
        return "no recurrent network: no weight_ih and weight_hh that belong together", None
    if len(parts.groups) > 1:
        if not parts.embeddings:
            return f"several networks or a nested one: {len(parts.groups)} recurrent groups, {NONE}", None
        kind, build = "an encoder-decoder, such as translation", propose_encoder_decoder
    elif not parts.embeddings:
        kind, build = _numeric(parts), propose_forecaster
    else:
        kind, build = "", propose_language_model
    try:
        proposal = build(parts)
    except UnsupportedNetwork as error:
        return f"{kind}{': ' if kind else ''}{error}, {NONE}", None
    return kind or "a language model over words or other tokens (task next-word)", proposal


def _numeric(parts: Inventory) -> str:
    """Describe a network without an embedding by the sizes of its inputs and outputs."""
    group, before = parts.groups[0], find_input_projection(parts)
    reads = group.input_size if before is None else before.columns
    behind: list[Matrix] = [layer for layer in parts.linears if layer is not before]
    answers = behind[-1].rows if behind else group.output_size
    return (
        f"forecasting, regression or classification: it reads {reads} number{'s' * (reads != 1)} "
        f"per timestep and answers {answers}"
    )
