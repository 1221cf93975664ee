"""Bounds on the sizes of a parsed body, which are checked before its contents are.

To validate every token of a long list, or every unknown field of an object, takes longer than other clients may wait.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from service.domain.errors import InputTooLong, InvalidRequest

#: The most fields of an object. No object of a request has half as many.
MAX_FIELDS = 64
#: The most inputs or steps that are looked at; a request may have no more.
MAX_ITEMS = 1024
#: What the entries of the lists in an input are called.
LIST_FIELDS = {
    "tokens": "tokens",
    "ids": "tokens",
    "values": "rows",
    "timestamps": "entries",
    "future": "rows",
    "target": "entries",
}
TEXT_FIELDS = ("text", "target")
#: Fields of other protocols that hold a text or several.
PROMPT_FIELDS = ("prompt", "q")


@dataclass(frozen=True, slots=True)
class SizeLimits:
    """The most tokens or rows in a list of one input, characters of its text, and bytes of a body once inflated."""

    items: int = 4096
    characters: int = 65_536
    body_bytes: int = 1_048_576


def check_sizes(body: object, limits: SizeLimits) -> None:
    """Raise InputTooLong or InvalidRequest for the first list, text or object of a body that is too large."""
    if not isinstance(body, dict):
        return
    for field in PROMPT_FIELDS:
        _check_prompts(field, body.get(field), limits)
    for name, fields in _objects(body):
        if len(fields) > MAX_FIELDS:
            subject = f"{name} has" if name else "the body has"
            raise InvalidRequest(f"{subject} {len(fields)} fields: expected at most {MAX_FIELDS}", param=name or None)
        if name.rpartition(".")[2].startswith("input"):
            _check_input(name, fields, limits)


def _objects(body: dict[str, object]) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield the objects of a body that may hold much, with their names."""
    yield "", body
    yield from _children("", body)
    for field in ("inputs", "steps"):
        items = body.get(field)
        for index, item in enumerate(items[:MAX_ITEMS] if isinstance(items, list) else ()):
            if isinstance(item, dict):
                name = f"{field}[{index}]"
                yield name, item
                yield from _children(f"{name}.", item)


def _children(prefix: str, parent: dict[str, object]) -> Iterator[tuple[str, dict[str, object]]]:
    for field in ("input", "options"):
        child = parent.get(field)
        if isinstance(child, dict):
            yield f"{prefix}{field}", child


def _check_input(name: str, fields: dict[str, object], limits: SizeLimits) -> None:
    for field, unit in LIST_FIELDS.items():
        items = fields.get(field)
        if isinstance(items, list) and len(items) > limits.items:
            raise _too_long(f"{name}.{field}", f"{len(items)} {unit}", f"{limits.items}")
    for field in TEXT_FIELDS:
        text = fields.get(field)
        if isinstance(text, str) and len(text) > limits.characters:
            expected = f"{limits.characters} (UNROLL_MAX_INPUT_CHARACTERS)"
            raise _too_long(f"{name}.{field}", f"{len(text)} characters", expected)


def _check_prompts(field: str, prompt: object, limits: SizeLimits) -> None:
    """Check the prompt of a completion or the text of a translation: a text, token ids, or a list of either."""
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], str | list):
        for index, item in enumerate(prompt):
            _check_prompt(f"{field}[{index}]", item, limits)
    else:
        _check_prompt(field, prompt, limits)


def _check_prompt(name: str, prompt: object, limits: SizeLimits) -> None:
    if isinstance(prompt, list) and len(prompt) > limits.items:
        raise _too_long(name, f"{len(prompt)} tokens", f"{limits.items}")
    if isinstance(prompt, str) and len(prompt) > limits.characters:
        raise _too_long(name, f"{len(prompt)} characters", f"{limits.characters} (UNROLL_MAX_INPUT_CHARACTERS)")


def _too_long(field: str, size: str, expected: str) -> InputTooLong:
    return InputTooLong(f"{field} has {size}: expected at most {expected}", param=field)
