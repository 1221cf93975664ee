"""Properties of a recurrent network that the names and shapes of its tensors do not determine."""

from service.tooling.inspect.inventory import Matrix
from service.tooling.inspect.recurrent_layers import RecurrentGroup

CELL_FACTS = {
    "rnn": "whether the RNN's activation is tanh or relu: set `cell`",
    "gru": "whether the GRU's reset gate acts after the matrix product (PyTorch) or before: set `cell_options.reset`",
    "lstm": "whether the gates stand in PyTorch's order i, f, g, o, if the weights came from elsewhere",
}


def list_ambiguities(groups: tuple[RecurrentGroup, ...], matrices: tuple[Matrix, ...]) -> list[str]:
    """Return the properties of the forward pass that names and shapes do not determine, as sentences for people."""
    if not groups:
        return []
    return [
        "dropout (irrelevant when serving)",
        "batch_first (irrelevant to the weights)",
        *_of_cells(groups),
        *_of_matrices(matrices),
        "the vocabulary or the scaling of the inputs, unless beside the weights",
        "other activations in the cells than PyTorch's, as Keras has: set `cell_options`",
        "whether it was trained on windows of inputs, padded ones or not: set `window`, `padding`",
        "whether a character model reads unit vectors in place of an embedding: set `one_hot`",
    ]


def _of_cells(groups: tuple[RecurrentGroup, ...]) -> list[str]:
    cells = {group.cell for group in groups}
    facts = [fact for cell, fact in CELL_FACTS.items() if cell in cells]
    if any(group.input_size == group.output_size or len(group.hidden_sizes) > 1 for group in groups):
        facts.append("whether layers have a residual connection: set `connection`")
    return facts


def _of_matrices(matrices: tuple[Matrix, ...]) -> list[str]:
    kinds = {matrix.embedding for matrix in matrices}
    facts: list[str] = []
    if False in kinds:
        facts.append(
            "activations before, between and behind the linear layers, and whether the input is added to the output"
        )
    if True not in kinds:
        facts.append("whether an answer comes at every timestep or after the last one only")
    return facts
