"""Questions about the forward pass: activations, windows, cells and connections leave no trace in the weights."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.tooling.inspect.inventory import Inventory
from service.tooling.inspect.questions.question import Choice, Kind, Question, choices_of
from service.tooling.inspect.recurrent_layers import RecurrentGroup

#: The setting that puts an activation in front of the first layer of a head, where there is no entry for it.
HEAD_INPUT = "head.input.activation"
#: The setting that puts an activation behind the linear layer in front of the recurrent ones.
INPUT_ACTIVATION = "input.activation"
ACTIVATIONS = ("none", "relu", "tanh", "sigmoid", "leaky_relu", "gelu", "elu", "silu", "softplus")
PADDINGS = ("valid", "causal", "same")
CELLS = ("rnn_tanh", "rnn_relu")
GATED = ("lstm", "gru")
PYTORCH_CELL: dict[str, object] = {"pytorch": {}}
RESET_BEFORE = {"reset": "before"}
OTHER_CELLS: tuple[dict[str, str], ...] = (
    {"gate_activation": "hard_sigmoid"},
    {"gate_activation": "hard_sigmoid_legacy"},
    {"activation": "relu"},
)
#: Asked where an answer cannot do without a window.
WINDOW_SIZE = Question(
    "window",
    "on windows of how many inputs it was trained, each from the initial state",
    choices_of(1),
    further="N",
    counts_timesteps=True,
    has_plain=False,
)


def ask_forward_pass(config: Mapping[str, Any], parts: Inventory, output: str) -> list[Question]:
    """Return the questions about a network of one stack whose last layer is called `output` in the checkpoint."""
    (group,) = parts.groups
    return [
        *(_ask_projection() if config.get("input_projection") else []),
        *ask_cells(group, told=parts.told_cells),
        *ask_activations(config.get("head", []), output),
        *([WINDOW_SIZE] if config.get("window") else ask_windows(text="vocab_size" in config)),
    ]


def ask_activations(head: Sequence[Mapping[str, Any]], output: str) -> list[Question]:
    """Return a question for each layer and norm behind the recurrent layers: what stands in front of it."""
    places = [HEAD_INPUT, *(f"head.{index}.activation" for index in range(len(head)))]
    layers = [*(f"head.{index}" for index in range(len(head))), output]
    # With no entry in the head, an entry of an activation alone is the same.
    others = () if head else ("head.0.activation",)
    return [
        Question(
            place,
            f"which activation stands in front of {layer}",
            choices_of(*ACTIVATIONS),
            further="...",
            answered_by=others,
        )
        for place, layer in zip(places, layers, strict=True)
    ]


def _ask_projection() -> list[Question]:
    """Return the question about the linear layer in front of the recurrent ones."""
    reason = "which activation stands behind the linear layer in front of the recurrent layers"
    return [Question(INPUT_ACTIVATION, reason, choices_of(*ACTIVATIONS), answered_by=("input_layers",))]


def ask_windows(*, text: bool) -> list[Question]:
    """Return the questions whether a network was trained on windows, and on padded ones."""
    window = Question(
        "window",
        "whether it was trained on windows of N inputs, each from the initial state, or on whole streams",
        choices_of(words={"none": None}),
        further="N",
        answered_by=("padding",) if text else (),
        counts_timesteps=True,
    )
    padding = Question(
        "padding",
        "whether it was trained on texts that are padded to one length",
        choices_of(words={"none": None}),
        further='\'{"side": "left", "token": "<pad>", "length": N}\'',
    )
    return [window, padding] if text else [window]


def ask_cells(group: RecurrentGroup, place: str = "", *, told: bool = False) -> list[Question]:
    """Return the questions about recurrent layers whose fields lie in the object `place` of config.json.

    `told`: the file itself says which cells they are.
    """
    stacks = [group, *group.further]
    places = [f"{place}cell", *(f"stacks.{index}.cell" for index in range(len(group.further)))]
    questions = [
        Question(field, "an RNN can use tanh or relu", choices_of(*CELLS))
        for field, stack in zip(places, stacks, strict=True)
        if stack.cell == "rnn"
    ]
    if group.cell_options:
        questions.append(_ask_activation(group.cell_options, place))
    elif not told and len(stacks) == 1 and group.cell in GATED:
        questions.append(_ask_options(group, place))
    if len(stacks) == 1 and (group.input_size == group.output_size or len(group.hidden_sizes) > 1):
        reason = "whether the input of a recurrent layer is added to its output"
        questions.append(Question(f"{place}connection", reason, choices_of("none", "residual")))
    return questions


def _ask_activation(options: Mapping[str, Any], place: str) -> Question:
    """Return the question which activation cells have whose other options the weights tell."""
    variants = [{**options, "activation": name} for name in ("tanh", "relu")]
    others = [variant for variant in variants if variant != options]
    return Question(f"{place}cell_options", "which activation the cells have", choices_of(dict(options), *others))


def _ask_options(group: RecurrentGroup, place: str) -> Question:
    """Return the question whether the cells are those of PyTorch."""
    reset = [RESET_BEFORE, {**RESET_BEFORE, **OTHER_CELLS[0]}] if group.cell == "gru" else []
    reason = "whether the cells compute as PyTorch's, or with other activations" + (
        " or with the reset gate in front of the matrix product" if reset else ""
    )
    return Question(
        f"{place}cell_options",
        reason,
        choices_of(*reset, *OTHER_CELLS, words=PYTORCH_CELL),
        answered_by=tuple(f"{place}cell_options.{part}" for part in ("reset", "activation", "gate_activation")),
    )


def ask_convolution(entries: Sequence[Mapping[str, Any]]) -> list[Question]:
    """Return the questions about the convolutions in front: their activation and their padding."""
    questions: list[Question] = []
    for index in range(len(entries)):
        place = f"convolution.{index}"
        questions += [
            Question(f"{place}.activation", "which activation stands behind the convolution", choices_of(*ACTIVATIONS)),
            Question(f"{place}.padding", "what the convolution reads at the ends", choices_of(*PADDINGS)),
        ]
    return questions


def ask_vector(vector: Mapping[str, Any], fields: Sequence[str]) -> list[Question]:
    """Return the questions of `fields`, about layers over the vector that a sequence begins with."""
    questions: list[Question] = []
    if "vector.activation" in fields:
        reason = "which activation stands behind the layers that give the initial state"
        questions.append(Question("vector.activation", reason, choices_of(*ACTIVATIONS)))
    if "vector.states" in fields:
        states = vector["states"]
        first = [state for state in states if state.endswith("_l0")]
        reason = "whether one layer gives the state of every recurrent layer, or of the first one"
        questions.append(Question("vector.states", reason, choices_of(states, first)))
    if "vector.first_input" in fields:
        layer, *norms = vector["first_input"]
        variants = [[{**layer, "activation": name}, *norms] for name in ("none", "relu", "tanh")]
        reason = "which activation stands behind the layer whose output is the first input"
        questions.append(Question("vector.first_input", reason, choices_of(*variants), further="..."))
    return questions


def boolean(field: str, reason: str, *, plain: bool = False, kind: Kind = "forward") -> Question:
    """Return a question of yes or no."""
    choices = (Choice(str(plain).lower(), plain), Choice(str(not plain).lower(), not plain))
    return Question(field, reason, choices, kind)
