"""Digests of requests."""

from dataclasses import dataclass

from service.application.sessions.request_digest import digest
from service.domain.operations import GenerateOptions, PredictOptions, TextInput


def test_digests_differ_by_value_and_by_kind() -> None:
    text = TextInput(text="a")
    digests = [
        digest("step", text),
        digest("create", text),
        digest("step", TextInput(tokens=("a",))),
        digest("step", TextInput(text="b")),
        digest("step", PredictOptions(top_k=1)),
        digest("step", GenerateOptions(top_k=1)),
    ]
    assert len(set(digests)) == len(digests)
    assert {len(value) for value in digests} == {16}


def test_a_field_that_later_releases_add_does_not_change_a_digest() -> None:
    @dataclass(frozen=True)
    class Old:
        text: str

    @dataclass(frozen=True)
    class New:
        text: str
        added: int = 3

    New.__name__ = "Old"
    assert digest("step", Old("a")) == digest("step", New("a"))
    assert digest("step", Old("a")) != digest("step", New("a", 4))
