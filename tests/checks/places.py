"""Where the checks look: the folders of this checkout, and the modules of the service with what they import."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SERVICE = ROOT / "service"


def service_modules() -> dict[str, Path]:
    """The dotted names of the service's modules, and their files."""
    return {module_name(path): path for path in sorted(SERVICE.rglob("*.py"))}


def module_name(path: Path) -> str:
    """`service.http.app` for service/http/app.py, `service.http` for service/http/__init__.py."""
    parts = path.relative_to(SERVICE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def parse(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text("utf-8"), str(path))


def imported_modules(tree: ast.AST, package: str, known: set[str]) -> Iterator[str]:
    """The dotted names that a file imports anywhere in it; `from package import name` counts as the module `name`.

    `package` resolves relative imports; `known` are the names that are modules and no attributes.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base]) if base else ".".join(above)
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield full if full in known else base


def documents() -> dict[str, str]:
    """README.md and docs/*.md: the documents for those who use and run the service, by their names."""
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in paths if path.is_file()}
