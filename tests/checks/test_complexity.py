"""Holds the functions of the service to a complexity that a reader can follow.

Stricter than ruff's C901: conditional expressions, comprehensions and the operands of `and` and `or` count as well.
"""

import ast
from collections.abc import Iterator

import pytest

from tests.checks.places import parse, service_modules

MAX_COMPLEXITY = 10
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
BRANCHES = (
    ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.comprehension, ast.match_case
)  # fmt: skip
#: What the compiler of protocol buffers writes.
GENERATED = ("_pb2", "_pb2_grpc")


def test_no_function_is_more_complex_than_a_reader_can_follow() -> None:
    found = {
        f"{module}:{function.lineno} {function.name}": complexity(function)
        for module, path in service_modules().items()
        if not module.endswith(GENERATED)
        for function in ast.walk(parse(path))
        if isinstance(function, FUNCTIONS)
    }
    assert {name: score for name, score in found.items() if score > MAX_COMPLEXITY} == {}


def complexity(function: ast.AST) -> int:
    """One, and one for each branch of a function, without those of functions and classes inside of it."""
    score = 1
    for node in own_nodes(function):
        score += isinstance(node, BRANCHES)
        score += len(node.values) - 1 if isinstance(node, ast.BoolOp) else 0
    return score


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(function):
        if not isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            yield node
            yield from own_nodes(node)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return 1", 1),
        ("if a and b or c:\n  pass\nelif d:\n  pass", 5),
        ("return [x for x in a if x] if a else b", 3),
        ("for x in a:\n  while x:\n    pass", 3),
        ("try:\n  pass\nexcept OSError:\n  pass\nexcept ValueError:\n  pass", 3),
        ("match a:\n  case 1:\n    pass\n  case _:\n    pass", 3),
        ("def inner():\n  if a:\n    pass", 1),
    ],
)
def test_every_kind_of_branch_counts(body: str, expected: int) -> None:
    source = "async def outer():\n" + "\n".join(f"  {line}" for line in body.splitlines())
    assert complexity(ast.parse(source).body[0]) == expected
