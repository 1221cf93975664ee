"""Errors as immutable values."""

import pytest

from service.domain import errors
from service.domain.errors import Unavailable, UnrollError


def subclasses(of: type[UnrollError]) -> list[type[UnrollError]]:
    return [of, *(name for child in of.__subclasses__() for name in subclasses(child))]


ERRORS = subclasses(UnrollError)


@pytest.mark.parametrize("field", ["message", "param", "applied", "step", "retry_after"])
def test_the_fields_of_an_error_cannot_be_set(field: str) -> None:
    error = UnrollError("message")
    with pytest.raises(AttributeError, match=f"UnrollError.{field} is read-only"):
        setattr(error, field, None)


@pytest.mark.parametrize("kind", ERRORS)
def test_a_copy_differs_in_applied_alone(kind: type[UnrollError]) -> None:
    error = kind("message", param="input", applied=None, step=7, retry_after=9)
    copy = error.with_applied("no")
    assert type(copy) is kind
    assert str(copy) == "message"
    assert vars(copy) == vars(error) | {"applied": "no"}
    assert error.applied is None


@pytest.mark.parametrize("kind", ERRORS)
def test_a_copy_with_another_message_keeps_the_rest(kind: type[UnrollError]) -> None:
    error = kind("input: message", param="input", applied="yes", step=7, retry_after=9)
    copy = error.with_message("inputs[3]: message", "inputs[3]")
    assert type(copy) is kind
    assert str(copy) == "inputs[3]: message"
    assert vars(copy) == vars(error) | {"message": "inputs[3]: message", "param": "inputs[3]"}


def test_a_copy_keeps_that_an_error_names_no_time_to_try_again() -> None:
    assert Unavailable("message").with_applied("no").retry_after == 1
    assert Unavailable("message", retry_after=None).with_applied("no").retry_after is None


def test_a_copy_is_raised_with_the_traceback_and_the_cause_of_its_original() -> None:
    cause = OSError("reset by peer")

    def fail() -> None:
        raise UnrollError("message") from cause

    def fail_unapplied() -> None:
        try:
            fail()
        except UnrollError as error:
            raise error.with_applied("no") from error.__cause__

    with pytest.raises(UnrollError) as raised:
        fail_unapplied()
    assert "fail" in [entry.name for entry in raised.traceback]
    assert raised.value.__cause__ is cause
    assert raised.value.__suppress_context__


def test_the_tree_in_the_documentation_names_every_error_under_its_base() -> None:
    documentation = errors.__doc__ or ""
    entries, _, _ = documentation[documentation.index("UnrollError") :].partition("\n\n")
    listed: dict[str, set[str]] = {}
    for line in entries.splitlines()[1:]:
        names = line.replace(",", " ").split()
        if line.startswith("      ") and not line.startswith("       "):
            base = names.pop(0)
            listed[base] = set()
        if names:
            listed[base].update(names)
    bases = UnrollError.__subclasses__()
    assert listed == {base.__name__: {kind.__name__ for kind in subclasses(base)[1:]} for base in bases}
