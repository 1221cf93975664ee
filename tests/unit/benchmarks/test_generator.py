"""Parsing of the load generator's output."""

import pytest

from benchmarks.generator import GeneratorFailed, Load, parse

OUTPUT = """Running 2s test @ http://127.0.0.1:8000
  4 threads and 4 connections
  Non-2xx or 3xx responses: 5
{"requests": 1005, "microseconds": 2000000, "p50": 1500, "p99": 20250, "status": 5, "connect": 1, "read": 2, \
"write": 3, "timeout": 4}
"""


def test_only_answered_steps_count_and_every_kind_of_error_does() -> None:
    assert parse(OUTPUT) == Load(rate=500.0, p50=1.5, p99=20.25, errors=15)


def test_a_generator_that_tells_nothing_is_refused_with_what_it_complained_of() -> None:
    with pytest.raises(GeneratorFailed, match="unable to connect"):
        parse("Running 2s test\n", "unable to connect to 127.0.0.1:1")
