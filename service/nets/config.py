"""config.json: what a network is, read strictly. Every mistake is refused with the file, the field, found and expected.

The values are checked one by one, then against each other, and `state` against what follows from the sizes, all before
a weight is read.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, ValidationError

from service.errors import ModelFolderError
from service.nets.layout import Cell, Connection, DType, Layout, StateSpec

Size = Annotated[int, Field(ge=1, le=2**24)]
Activation = Literal["none", "tanh", "relu", "sigmoid", "gelu"]
ROLES = ("unknown", "begin", "end", "pad")
Problem: TypeAlias = tuple[str, object, str]


class _Section(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True, frozen=True)


class HeadLayer(_Section):
    """A linear layer behind the recurrent ones, and what follows it."""

    size: Size
    activation: Activation = "none"


class StateEntry(_Section):
    """One tensor that a session stores; the shape is without the batch."""

    name: str
    shape: list[int]
    dtype: DType


def _hidden_size(value: object) -> int | list[int]:
    sizes = value if isinstance(value, list) else [value]
    if not sizes or not all(type(size) is int and 1 <= size <= 2**24 for size in sizes):
        raise ValueError("a positive integer, or a list of one per layer")
    return value  # type: ignore[return-value]  # just checked


def _known_roles(tokens: dict[str, str]) -> dict[str, str]:
    if unknown := sorted(tokens.keys() - set(ROLES)):
        raise ValueError(f"only the roles {', '.join(ROLES)}, not {', '.join(unknown)}")
    return tokens


class LanguageModelConfig(_Section):
    """The fields of a language model, in the order of the table of the model folder's documentation."""

    format_version: Literal[1]
    task: Literal["next-word"]
    architecture: Literal["language-model"]
    cell: Cell
    num_layers: Annotated[int, Field(ge=1, le=256)]
    input_size: Size
    hidden_size: Annotated[int | list[int], PlainValidator(_hidden_size)]
    embedding_size: Size
    vocab_size: Size
    proj_size: Annotated[int, Field(ge=0, le=2**24)] = 0
    bias: bool = True
    bidirectional: bool = False
    layer_norm: bool = False
    connection: Connection = "none"
    input_projection: bool = False
    head: list[HeadLayer] = []
    output_residual: bool = False
    tie_weights: bool = False
    #: Role -> entry of the vocabulary, only the roles that there are.
    special_tokens: Annotated[dict[str, str], AfterValidator(_known_roles)] = {}
    dtype: DType = "float32"
    #: Stated, not only derived: stored sessions outlive releases, so a changed layout must be noticed at load.
    state: list[StateEntry] | None = None

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """One hidden size per layer."""
        one = self.hidden_size
        return tuple(one) if isinstance(one, list) else (one,) * self.num_layers

    @property
    def features_size(self) -> int:
        """Width of what the output layer multiplies."""
        return self.head[-1].size if self.head else self.layout().output_size()

    @property
    def stores_features(self) -> bool:
        """Whether the features cannot be read off the recurrent state."""
        return bool(self.head) or not self.layout().last_output_is_state()

    def layout(self) -> Layout:
        """Return the sizes of the recurrent layers."""
        return Layout(
            self.cell,
            self.input_size,
            self.hidden_sizes,
            self.proj_size,
            self.bias,
            self.bidirectional,
            self.layer_norm,
            self.connection,
        )

    def session_state(self) -> list[StateSpec]:
        """List what a session stores: recurrent tensors, features where needed, the log of the normaliser."""
        features = [StateSpec("features", (self.features_size,))] if self.stores_features else []
        return [*self.layout().state(), *features, StateSpec("log_normaliser", (1,))]


#: The schema of each served task; translation and forecasting come to stand beside it.
TASKS: dict[str, type[LanguageModelConfig]] = {"next-word": LanguageModelConfig}


def read_config_bytes(folder: Path) -> bytes:
    """Return the bytes of `folder`/config.json. Raises ModelFolderError."""
    path = folder / "config.json"
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelFolderError(f"{path}: cannot be read: {error.strerror}; expected the network's config") from error


def parse_config(content: bytes, place: str) -> LanguageModelConfig:
    """Parse the bytes of a config.json; `place` names it in messages. Raises ModelFolderError."""
    return build_config(read_json(content, place), place)


def read_json(content: bytes, place: str) -> dict[str, Any]:
    """Parse a JSON object, unchecked. Raises ModelFolderError."""
    try:
        raw = json.loads(content, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ModelFolderError(f"{place}: found no readable JSON ({error}), expected one object") from error
    if not isinstance(raw, dict):
        raise ModelFolderError(f"{place}: found {_shown(raw)}, expected a JSON object")
    return raw


def build_config(raw: dict[str, Any], place: str) -> LanguageModelConfig:
    """Turn the values of a config.json into a checked configuration. Raises ModelFolderError."""
    config = _checked(raw, place)
    expected = [spec.to_dict() for spec in config.session_state()]
    if config.state is None:
        raise ModelFolderError(_message(place, [("state", "nothing", json.dumps(expected))]))
    found = [entry.model_dump() for entry in config.state]
    if found != expected:
        raise ModelFolderError(_message(place, [("state", json.dumps(found), json.dumps(expected))]))
    return config


def with_state(raw: dict[str, Any], place: str) -> dict[str, Any]:
    """Return `raw` with the `state` that follows from its other fields, for whoever writes a config.json."""
    config = _checked({key: value for key, value in raw.items() if key != "state"}, place)
    return {**raw, "state": [spec.to_dict() for spec in config.session_state()]}


def _checked(raw: dict[str, Any], place: str) -> LanguageModelConfig:
    """Check everything but the state."""
    task = raw.get("task", "nothing")
    schema = TASKS.get(task) if isinstance(task, str) else None
    if schema is None:
        known = ", ".join(map(repr, TASKS))
        raise ModelFolderError(_message(place, [("task", _shown(task), f"one of {known}; others are not served yet")]))
    try:
        config = schema.model_validate(raw)
    except ValidationError as error:
        raise ModelFolderError(_message(place, [_problem(detail, schema) for detail in error.errors()])) from error
    if problems := list(_contradictions(config)):
        raise ModelFolderError(_message(place, problems))
    return config


def _contradictions(config: LanguageModelConfig) -> Iterator[Problem]:
    """Yield the fields that are well-formed and do not go together."""
    if len(config.hidden_sizes) != config.num_layers:
        count = len(config.hidden_sizes)
        yield "hidden_size", f"{count} sizes", f"num_layers ({config.num_layers}) of them, or one number for all layers"
        return
    if config.proj_size and config.cell != "lstm":
        yield "proj_size", config.proj_size, f"0, since cell is {config.cell} and only an lstm is projected"
    if config.proj_size >= min(config.hidden_sizes):
        yield "proj_size", config.proj_size, f"less than hidden_size ({min(config.hidden_sizes)})"
    if config.bidirectional:
        yield "bidirectional", "true", "false: a language model cannot read what comes next"
    if config.output_residual:
        yield "output_residual", "true", "false: a language model's input are ids, which logits cannot be added to"
    yield from _width_problems(config)


def _width_problems(config: LanguageModelConfig) -> Iterator[Problem]:
    layout = config.layout()
    if not config.input_projection and config.input_size != config.embedding_size:
        expected = f"embedding_size ({config.embedding_size}), or input_projection true"
        yield "input_size", config.input_size, expected
    if config.connection != "none" and not any(layout.connected(layer) for layer in range(layout.depth)):
        yield "connection", config.connection, "none: no layer's output is as wide as its input"
    if config.tie_weights and config.features_size != config.embedding_size:
        expected = f"false: the output layer reads {config.features_size} numbers, an embedding has "
        yield "tie_weights", "true", f"{expected}{config.embedding_size}"


def _problem(detail: Any, schema: type[BaseModel]) -> Problem:  # noqa: ANN401 pydantic_core's own type is no public name
    field = ".".join(map(str, detail["loc"]))
    kind, found = detail["type"], _shown(detail["input"])
    if kind == "missing":
        return field, "nothing", "this field"
    if kind == "extra_forbidden":
        known = sorted(schema.model_fields) if len(detail["loc"]) == 1 else []
        return field, found, "no such field" + (f"; the known ones are {', '.join(known)}" if known else " here")
    if kind == "value_error":
        return field, found, str(detail["ctx"]["error"])
    return field, found, detail["msg"].removeprefix("Input should be ").removeprefix("Input should ")


def _message(place: str, problems: list[Problem]) -> str:
    return f"{place}: " + "; ".join(f"{field}: found {found}, expected {wanted}" for field, found, wanted in problems)


def _shown(value: object) -> str:
    text = value if value == "nothing" else json.dumps(value, default=repr)
    return str(text) if len(str(text)) <= 200 else f"{str(text)[:200]}..."


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object, refusing a key that stands twice: which of the two counts would be a guess."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the field {next(name for name in names if names.count(name) > 1)!r} stands twice")
    return found
