"""What names and shapes of any recurrent network leave open."""

from service.tooling.inspect.inventory import Matrix
from service.tooling.inspect.recurrent_layers import RecurrentGroup


def unknown_facts(groups: tuple[RecurrentGroup, ...], matrices: tuple[Matrix, ...]) -> list[str]:
    """Say plainly what the forward pass may do that leaves no trace in names and shapes."""
    if not groups:
        return []
    cells = {group.cell for group in groups}
    facts = ["dropout (irrelevant when serving)", "batch_first (irrelevant to the weights)"]
    if "rnn" in cells:
        facts.append("whether the RNN's activation is tanh or relu: set `cell`")
    if "gru" in cells:
        facts.append(
            "whether the GRU's reset gate acts after the matrix product (PyTorch, served) or before (not served)"
        )
    if "lstm" in cells:
        facts.append("whether the gates stand in PyTorch's order i, f, g, o, if the weights came from elsewhere")
    if any(group.input_size == group.output_size or len(group.hidden_sizes) > 1 for group in groups):
        facts.append("whether layers have a residual connection: set `connection`")
    if any(not matrix.embedding for matrix in matrices):
        facts.append(
            "activations before, between and behind the linear layers, and whether the input is added to the output"
        )
    if not any(matrix.embedding for matrix in matrices):
        facts.append("whether an answer comes at every timestep or after the last one only")
    return [*facts, "the vocabulary or the scaling of the inputs, unless beside the weights", "a learned initial state"]
