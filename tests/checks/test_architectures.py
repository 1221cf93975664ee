"""Architectures meet in one registry: no other module chooses between them."""

import ast
from collections.abc import Iterator
from functools import cache

import pytest

from service.tasks.architectures import ARCHITECTURES
from tests.checks.places import imported_modules, parse, service_modules

MODULES = service_modules()
REGISTRY = "service.tasks.architectures"
NAMES = {name for spec in ARCHITECTURES for name in (*spec.tasks, *spec.architectures)}


def imports_of(module: str) -> set[str]:
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return set(imported_modules(parse(path), package, set(MODULES))) & set(MODULES)


IMPORTS = {module: imports_of(module) for module in MODULES}


def reachable(modules: set[str]) -> set[str]:
    """The modules, and all that they import, directly or through others."""
    found, new = set(modules), set(modules)
    while new := {name for module in new for name in IMPORTS[module]} - found:
        found |= new
    return found


@cache
def own_modules() -> dict[str, set[str]]:
    """The modules that each architecture alone reaches from its specification and from its tools."""
    closures = {}
    for module in sorted(name for name in IMPORTS[REGISTRY] if name.endswith(".architecture")):
        package = module.rpartition(".")[0]
        specs = [spec for spec in ARCHITECTURES if spec.make_task.__module__.startswith(f"{package}.")]
        closures[module] = reachable({module, *(spec.tools.partition(":")[0] for spec in specs)})
    return {
        name: closure - set().union(*(other for key, other in closures.items() if key != name))
        for name, closure in closures.items()
    }


def choosing_strings(tree: ast.AST) -> Iterator[str]:
    """The strings that a file compares with, matches, or has as keys."""
    for node in ast.walk(tree):
        chosen: list[ast.expr | None] = []
        if isinstance(node, ast.Compare):
            chosen = [node.left, *node.comparators]
        elif isinstance(node, ast.Dict):
            chosen = [*node.keys]
        elif isinstance(node, ast.MatchValue):
            chosen = [node.value]
        for part in filter(None, chosen):
            for leaf in ast.walk(part):
                if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str):
                    yield leaf.value


def test_every_architecture_has_modules_of_its_own() -> None:
    own = own_modules()
    assert len(own) == len(ARCHITECTURES)
    for spec in ARCHITECTURES:
        modules = {spec.config_class.__module__, spec.make_network.__module__, spec.tools.partition(":")[0]}
        assert any(modules <= mine for mine in own.values())


def architectures_imported_by(module: str) -> int:
    return sum(bool(IMPORTS[module] & mine) for mine in own_modules().values())


def test_the_registry_imports_all_architectures() -> None:
    assert architectures_imported_by(REGISTRY) == len(ARCHITECTURES)


@pytest.mark.parametrize("module", sorted(set(MODULES) - {REGISTRY}))
def test_another_module_imports_at_most_one_architecture(module: str) -> None:
    assert architectures_imported_by(module) <= 1


def test_no_module_compares_with_the_name_of_a_task_or_an_architecture() -> None:
    users = {module for module, path in MODULES.items() if NAMES & {*choosing_strings(parse(path))}}
    assert users == set()


@pytest.mark.parametrize(
    "source",
    [
        "if task == 'translation': ...",
        "task in ('a', 'translation')",
        "{'translation': 1}",
        "match task:\n case 'translation': ...",
    ],
)
def test_every_choice_by_name_is_noticed(source: str) -> None:
    assert "translation" in choosing_strings(ast.parse(source))
