"""The depth of JSON is found without parsing it."""

import json

import pytest

from service.domain.runtime.nesting import exceeds_depth


@pytest.mark.parametrize(
    ("document", "depth"),
    [
        (b"1", 0),
        (b"[[1], [2]]", 2),
        (b'{"a": {"b": [1]}, "c": [[]]}', 3),
        (b'["[[[[", "{{{"]', 1),
        (rb'["\"[[[[\\", ["\\\""]]', 2),
        (b"[]" * 500, 1),
        (b"[" * 500, 500),
        (b'["[', 1),
        (b"]]]][[", 0),
    ],
)
def test_the_depth_counts_brackets_outside_of_texts(document: bytes, depth: int) -> None:
    assert not exceeds_depth(document, depth)
    if depth:
        assert exceeds_depth(document, depth - 1)


def test_documents_that_the_parser_reads_have_the_depth_of_their_values() -> None:
    value: object = 'a "text" \\ with [brackets] {'
    for depth in range(1, 40):
        value = [value, "x"] if depth % 2 else {'k\\"[': value}
        document = json.dumps(value).encode()
        assert not exceeds_depth(document, depth)
        assert exceeds_depth(document, depth - 1)
