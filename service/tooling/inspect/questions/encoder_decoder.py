"""Questions about an encoder-decoder."""

from collections.abc import Iterable, Mapping
from typing import Any

from service.tooling.inspect.questions.forward_pass import ask_cells, boolean
from service.tooling.inspect.questions.question import Choice, Kind, Question, choices_of, word_of
from service.tooling.inspect.recurrent_layers import RecurrentGroup

REASONS = {
    "attention": "how the attention scores a position: dot has no weights, a square matrix can multiply either side",
    "combine": "which activation follows the layer that combines context and output",
    "special_tokens": "which marks begin and end a translation",
    "readout": "in which order the output layer reads its parts",
}
_BRIDGE = Question(
    "bridge_activation",
    "which activation follows the layers between encoder and decoder",
    choices_of("none", "tanh", "relu"),
    answered_by=("bridge",),
)
_FED = "whether the decoder is fed its last features beside the embedding"
_LAYERS = "what acts on what the decoder's recurrent layers read, such as the relu of PyTorch's tutorial"
_MARKS = (
    boolean("encoder.end", "whether the source is read with the end token behind it", plain=True, kind="outside"),
    boolean("encoder.begin", "whether the source is read with the begin token in front of it", kind="outside"),
)
RELU = [{"activation": "relu"}]


def ask_encoder_decoder(
    config: Mapping[str, Any],
    guessed: Iterable[str],
    encoder: RecurrentGroup,
    decoder: RecurrentGroup,
    told: bool,
) -> tuple[Question, ...]:
    """Return the questions for the `guessed` fields of a proposed config, the cells, and what acts on embeddings."""
    questions: dict[str, Question] = {}
    for side, group in (("encoder.", encoder), ("decoder.", decoder)):
        questions |= {question.field: question for question in ask_cells(group, side, told=told)}
    for field in guessed:
        questions.setdefault(field, _ask(config, field))
    if "decoder.input_layers" not in questions:
        words: dict[str, object] = {"none": [], "relu": RELU}
        questions["decoder.input_layers"] = Question("decoder.input_layers", _LAYERS, choices_of(words=words))
    return (*questions.values(), *_MARKS)


def _ask(config: Mapping[str, Any], field: str) -> Question:
    """Return the question for a field, whose proposed value is the plain choice."""
    if field == _BRIDGE.field:
        return _BRIDGE
    value: Any = config
    for step in field.split("."):
        value = value[step]
    if isinstance(value, bool):
        return boolean(field, _FED, plain=value)
    choices = [Choice(word_of(value), value), *(other for other in _others(field, value) if other.value != value)]
    kind: Kind = "meaning" if field == "special_tokens" else "forward"
    return Question(field, REASONS.get(field, _LAYERS), tuple(choices), kind=kind, further="...")


def _others(field: str, value: Any) -> list[Choice]:  # noqa: ANN401 - a value of config.json
    """Return the choices beside the proposed value of a field: other activations of its layer."""
    if isinstance(value, dict) and "activation" in value:
        return list(choices_of(*({**value, "activation": word} for word in ("tanh", "none", "relu"))))
    if field == "decoder.input_layers":
        return [Choice("none", [{**value[0], "activation": "none"}])]
    return []
