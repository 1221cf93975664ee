"""Proposal of the config.json of a sequence encoder from the parts of a checkpoint.

Weights determine the sizes, but not what the outputs mean nor when they are read. Task, readout and the names of
outputs are guessed, and have to be stated.
"""

from typing import Any, NamedTuple

from service.nets.config.sequence_encoder_config import SequenceEncoderConfig
from service.nets.config.task_outputs import RULES, rules_of
from service.tooling.inspect.front_layers import find_front
from service.tooling.inspect.head_layers import (
    HeadLayer,
    find_norms,
    head_fields,
    head_names,
    misfit,
    pop_layers,
    unknown_tensors,
)
from service.tooling.inspect.inventory import (
    Inventory,
    Matrix,
    Proposal,
    UnsupportedNetwork,
    complete_config,
    pop_linear,
    stack_fields,
    stack_names,
)
from service.tooling.inspect.proposals.unknown_parts import describe_unknown
from service.tooling.inspect.questions.forward_pass import ask_convolution, ask_forward_pass, boolean
from service.tooling.inspect.questions.meaning import ask_one_hot, ask_proposed, ask_task
from service.tooling.inspect.questions.question import Question, choices_of
from service.tooling.inspect.recurrent_layers import RecurrentGroup

TEXT_OPTIONS = ("--tokenizer", "FILE")
NUMBER_OPTIONS = ("--preprocessor", "identity")
#: Parts of the names of layers that score timesteps.
ATTENTION_WORDS = ("att", "attn", "score")
CRF_TENSORS = ("start_transitions", "end_transitions", "transitions")
CLASSIFICATION, TAGGING, REGRESSION, EMBEDDING = (rules.task for rules in RULES)
OUTPUT_ACTIVATIONS = ("none", "sigmoid", "softplus")
_BEHIND = "what follows the output layer"
_SCALED = "how the targets were scaled in training: an answer is target_mean (0 if not stated) + target_scale x output"
_AT_ONCE = "whether several labels can hold at once (a sigmoid each), or exactly one (a softmax over all)"
_READOUT = "what the output layer reads: the output of each timestep, of the last one, their mean or their maximum"
_NAMES = {
    "labels": "what the labels are called, in order",
    "names": "what the outputs are called, in order",
    "features": "what the columns of the inputs are called, in order",
}
UNKNOWN = (
    "what the outputs are, labels of a sequence, a label of each timestep, or numbers: set `task`, `labels` or `names`",
    "what the output layer reads: each output, the last, or the mean, maximum or attention over all: set `readout`",
)


def looks_like_encoder(parts: Inventory) -> bool:
    """Return whether the parts are those of a sequence encoder rather than of a language model or a forecaster."""
    if len(parts.groups) != 1 or len(parts.embeddings) > 1:
        return False
    (group,) = parts.groups
    if group.kept_outputs:
        return group.kept_outputs != group.input_size
    return _has_parts_of_encoder(parts, group) or _answers_labels(parts, group)


def _has_parts_of_encoder(parts: Inventory, group: RecurrentGroup) -> bool:
    """Return whether there is a part that no other architecture has."""
    return group.bidirectional or bool(_crf_names(parts)) or bool(_attention(parts, group))


def _answers_labels(parts: Inventory, group: RecurrentGroup) -> bool:
    """Return whether the outputs are others than the inputs."""
    if not parts.embeddings and not parts.one_hot:
        return _has_classes(parts, group)
    tokens = parts.embeddings[0].rows if parts.embeddings else group.input_size
    answers = [layer for layer in parts.linears if layer.columns == group.output_size]
    return bool(answers) and not any(layer.rows == tokens for layer in parts.linears)


def _has_classes(parts: Inventory, group: RecurrentGroup) -> bool:
    """Return whether a network over several numbers has several outputs, but not one for each of its inputs.

    A forecaster has as many, or so many steps of a single number.
    """
    answers = [layer.rows for layer in parts.linears if layer.columns == group.output_size]
    return (
        len(parts.linears) == 1
        and bool(answers)
        and 1 not in {group.input_size, *answers}
        and (group.input_size not in answers)
    )


def propose_sequence_encoder(parts: Inventory, task: str | None = None) -> Proposal:
    """Fit the parts to a sequence encoder of a task, by default of a likely one. Raises UnsupportedNetwork."""
    (group,) = parts.groups
    crf, front = _crf_names(parts), find_front(parts)
    if unknown := [name for name in unknown_tensors(parts) if name not in crf]:
        raise UnsupportedNetwork(f"it has {describe_unknown(parts, unknown)}")
    layers = _arrange(parts, group, front.reads)
    fields = _input_fields(parts, layers, front.reads)
    config = {
        "format_version": 1,
        **_task_fields(
            task or _likely_task(parts, group, layers), layers, group.kept_outputs, "convolution" in front.fields
        ),
        **({"crf": True} if crf else {}),
        **stack_fields(group),
        **front.fields,
        "bidirectional": group.bidirectional,
        "input_projection": layers.projection is not None,
        **fields,
        "head": head_fields(layers.head),
        "dtype": "float32",
    }
    names = {name: f"crf.{local}" for name, local in crf.items()} | layers.names() | stack_names(group, "rnn")
    names |= front.names
    names |= {matrix.name: "embedding.weight" for matrix in parts.embeddings}
    options = TEXT_OPTIONS if "vocab_size" in config else NUMBER_OPTIONS
    questions = _questions(config, parts, layers)
    return Proposal(complete_config(SequenceEncoderConfig, config), names, questions, UNKNOWN, options)


class _Layers(NamedTuple):
    """The linear layers of a sequence encoder that reads so many numbers."""

    reads: int
    projection: Matrix | None
    attention: list[Matrix]
    head: list[HeadLayer]
    output: Matrix | None

    def names(self) -> dict[str, str]:
        """Map the tensors of the layers to their names in a model folder."""
        names: dict[str, str] = {}
        if self.projection is not None:
            names |= self.projection.renamed("input_projection")
        for layer, place in zip(reversed(self.attention), ("readout.score", "readout.hidden"), strict=False):
            names |= layer.renamed(place)
        names |= head_names(self.head)
        return names if self.output is None else names | self.output.renamed("output")


def _arrange(parts: Inventory, group: RecurrentGroup, reads: int) -> _Layers:
    """Assign the linear layers to their places in a network of `reads` inputs. Raises UnsupportedNetwork."""
    attention, rest = _attention(parts, group), parts.linears
    for layer in attention:
        rest.remove(layer)
    projection = _projection(parts, group, rest, reads)
    norms = find_norms(parts)
    chain = pop_layers(parts, rest, norms, group.output_size)
    if rest or norms:
        raise UnsupportedNetwork(misfit(rest[0] if rest else norms[0], group.output_size, chain))
    output = chain.pop() if chain and isinstance(chain[-1], Matrix) else None
    width = reads if projection is None else projection.columns
    return _Layers(width, projection, attention, chain, output if isinstance(output, Matrix) else None)


def _projection(parts: Inventory, group: RecurrentGroup, rest: list[Matrix], reads: int) -> Matrix | None:
    """Remove and return the layer in front of the recurrent ones, if there is one."""
    if parts.embeddings:
        (embedding,) = parts.embeddings
        return None if embedding.columns == reads else pop_linear(rest, embedding.columns, reads)
    order = list(parts.tensors)
    start = min(order.index(name) for name in group.names)
    front = [layer for layer in rest if order.index(layer.name) < start and layer.rows == group.input_size]
    named = [layer for layer in rest if layer.name == "input_projection.weight"]
    projection = next(iter([*named, *(layer for layer in front if layer.columns != group.output_size)]), None)
    if projection is not None:
        rest.remove(projection)
    return projection


def _attention(parts: Inventory, group: RecurrentGroup) -> list[Matrix]:
    """Return the layers that score timesteps: one output of all numbers of a timestep, or of a hidden layer."""
    named = [layer for layer in parts.linears if _called_attention(layer)]
    if len(named) == 1 and (named[0].columns, named[0].rows) == (group.output_size, 1):
        return named
    if len(named) == 2:
        hidden, score = named
        if hidden.columns == group.output_size and (score.columns, score.rows) == (hidden.rows, 1):
            return named
    return []


def _called_attention(layer: Matrix) -> bool:
    return any(word in layer.name.lower() for word in ATTENTION_WORDS)


def _crf_names(parts: Inventory) -> dict[str, str]:
    """Return the tensors of a CRF and their names in it, if all of them are there."""
    ends = {name.rpartition(".")[2]: name for name in parts.others}
    names = {ends[local]: local for local in CRF_TENSORS if local in ends}
    return names if len(names) == len(CRF_TENSORS) else {}


def _input_fields(parts: Inventory, layers: _Layers, reads: int) -> dict[str, Any]:
    if parts.embeddings:
        (embedding,) = parts.embeddings
        return {"embedding_size": embedding.columns, "vocab_size": embedding.rows}
    width = reads if layers.projection is None else layers.projection.columns
    if parts.one_hot:
        return {"one_hot": True, "embedding_size": width, "vocab_size": width}
    return {"features": [f"feature_{index + 1}" for index in range(width)]}


def _task_fields(task: str, layers: _Layers, kept_outputs: int, warms_up: bool) -> dict[str, Any]:
    """Return the fields of a task, whose outputs are those of the output layer, or `kept_outputs` of the state.

    With convolutions that fill their kernels first, some timesteps have no output.
    """
    rules = rules_of(task)
    readout = "attention" if layers.attention else rules.readouts[0]
    if warms_up and "last" in rules.readouts:
        readout = "last"
    fields: dict[str, Any] = {"task": task, "architecture": "sequence-encoder", "readout": readout, **_hidden(layers)}
    if rules.described_by is not None:
        rows = kept_outputs if layers.output is None else layers.output.rows
        count = max(2, rows) if rules.described_by == "labels" else max(1, rows)
        fields[rules.described_by] = [f"{rules.described_by[:-1]}_{index + 1}" for index in range(count)]
    return fields


def _likely_task(parts: Inventory, group: RecurrentGroup, layers: _Layers) -> str:
    """Return a task that the parts fit."""
    if group.kept_outputs:
        return CLASSIFICATION if group.kept_outputs > 1 else REGRESSION
    if layers.output is None:
        return EMBEDDING
    reads_text = bool(parts.embeddings)
    if _crf_names(parts) or (reads_text and group.bidirectional and not layers.attention):
        return TAGGING
    return CLASSIFICATION if any((reads_text, parts.one_hot, _has_classes(parts, group))) else REGRESSION


def _hidden(layers: _Layers) -> dict[str, Any]:
    if len(layers.attention) < 2:
        return {}
    return {"attention": {"size": layers.attention[0].rows, "activation": "tanh"}}


def _questions(config: dict[str, Any], parts: Inventory, layers: _Layers) -> tuple[Question, ...]:
    """Return what the user has to say of the network."""
    task, text = config["task"], "vocab_size" in config
    outputs = parts.groups[0].kept_outputs if layers.output is None else layers.output.rows
    output = "the output" if layers.output is None else layers.output.name.removesuffix(".weight")
    return (
        ask_task(task, _other_tasks(config, parts), outputs),
        *([] if parts.embeddings else ask_one_hot(layers.reads, plain=text)),
        *ask_convolution(config.get("convolution", [])),
        *_ask_readout(config, layers),
        *(_ask_numbers() if "names" in config else []),
        *_ask_labels(config, outputs),
        *ask_forward_pass(config, parts, output),
        *ask_proposed(config, {field: reason for field, reason in _NAMES.items() if config.get(field)}, "names"),
    )


def _ask_numbers() -> list[Question]:
    """Return the questions about numbers behind the output layer."""
    further = "N, with --set target_mean=N"
    return [
        Question("activation", _BEHIND, choices_of(*OUTPUT_ACTIVATIONS)),
        Question("target_scale", _SCALED, choices_of(1), "outside", further, answered_by=("target_mean",)),
    ]


def _ask_labels(config: dict[str, Any], outputs: int) -> list[Question]:
    """Return the question whether several of the labels of a sequence can hold at once."""
    several = outputs > 1 and "multi_label" in rules_of(config["task"]).fields
    return [boolean("multi_label", _AT_ONCE, kind="outside")] if several else []


def _other_tasks(config: dict[str, Any], parts: Inventory) -> list[str]:
    """Return the tasks that the network can be for, beside its own."""
    if config.get("crf"):
        return []
    numbers = [] if parts.embeddings else ["forecasting"]
    return [rules.task for rules in RULES if (rules.task == EMBEDDING) == (config["task"] == EMBEDDING)] + numbers


def _ask_readout(config: dict[str, Any], layers: _Layers) -> list[Question]:
    """Return the questions for what the output layer reads of all timesteps."""
    if layers.attention:
        hidden = {"activation": "what follows the hidden layer of the attention"} if "attention" in config else {}
        return [
            Question(f"attention.{field}", reason, choices_of("tanh", "none", "relu"))
            for field, reason in hidden.items()
        ]
    # The last output and that of the last timestep are the same for one direction.
    left_out = {"attention"} | (set() if config["bidirectional"] else {"last_output"})
    possible = [readout for readout in rules_of(config["task"]).readouts if readout not in left_out]
    plain = config["readout"]
    if len(possible) == 1:
        return []
    return [Question("readout", _READOUT, choices_of(plain, *(other for other in possible if other != plain)))]
