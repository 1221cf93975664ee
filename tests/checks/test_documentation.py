"""What the documents must name, and what must agree with the code. Every test tells all that is missing at once."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from service import __version__
from service.domain import errors
from service.domain.errors import UnrollError
from service.http.app import create_api
from service.http.errors import STATUS
from service.http.openapi import openapi_document
from service.settings import Settings, variable
from service.telemetry.metrics import Metrics
from tests.checks.places import ROOT, documents

#: The error codes that the HTTP contract promises, by status.
PROMISED = {
    400: "invalid_json",
    401: "missing_api_key invalid_api_key",
    403: "not_allowed",
    404: "model_not_found version_not_found session_not_found not_found",
    405: "method_not_allowed",
    409: "step_conflict",
    410: "session_expired session_ended model_version_gone",
    413: "body_too_large input_too_long",
    415: "unsupported_media_type",
    422: "invalid_request idempotency_key_reused out_of_vocabulary",
    429: "rate_limited",
    500: "internal_error state_corrupted",
    503: "overloaded store_unavailable store_full durability_not_reached shutting_down model_not_ready "
    "deadline_exceeded",
}
#: Promised codes whose feature is not there yet.
NOT_YET_SERVED: set[str] = set()

#: Folders with other people's Markdown.
FOREIGN = {"build", "node_modules"}
LINK = re.compile(r"\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\[[^\]]+\]:\s+(\S+)", re.MULTILINE)
PARAMETER = re.compile(r"\{[^}]*\}")


def is_named(name: str, text: str) -> bool:
    """Whether a name stands in a text on its own, not as a part of another."""
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) is not None


def missing_from_documents(names: list[str]) -> str:
    """The names that no document has, one a line: pytest shows a text whole, and the beginning of a list."""
    text = "\n".join(documents().values())
    return "\n".join(name for name in names if not is_named(name, text))


def test_every_setting_is_documented() -> None:
    missing = missing_from_documents([variable(name) for name in Settings.model_fields])
    assert not missing, f"in no document:\n{missing}"


def test_every_metric_is_documented() -> None:
    names = metric_names()
    assert len(names) > 20
    missing = missing_from_documents(names)
    assert not missing, f"in no document:\n{missing}"


def metric_names() -> list[str]:
    """The names under which Prometheus knows the metrics."""
    metrics = Metrics()
    metrics.files.certificate(0, True)
    found = re.findall(r"^# TYPE (\w+)", metrics.exposition().decode(), re.MULTILINE)
    return [name for name in found if not name.endswith("_created")]


def test_every_route_is_documented_with_its_method() -> None:
    lines = [PARAMETER.sub("{}", line) for text in documents().values() for line in text.splitlines()]
    routes = [(method.upper(), path) for path, item in create_api().openapi()["paths"].items() for method in item]
    assert len(routes) > 10
    missing = [f"{method} {path}" for method, path in routes if not any(names_route(method, path, x) for x in lines)]
    assert not missing, "on no line of a document:\n" + "\n".join(missing)


def names_route(method: str, path: str, line: str) -> bool:
    """Whether a line, with `{}` for each parameter, names a path and its method."""
    shown = re.escape(PARAMETER.sub("{}", path))
    return is_named(method, line) and re.search(rf"(?<![\w}}/]){shown}(?![\w/{{-])", line) is not None


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("| `GET`, `DELETE /v1/sessions/{}` | ends it |", True),
        ("`GET /v1/sessions/{}`", False),
        ("`DELETE /v1/sessions/{}/steps`", False),
        ("`DELETE /v1/sessions`", False),
    ],
)
def test_a_route_is_named_by_its_whole_path_and_its_method(line: str, found: bool) -> None:
    assert names_route("DELETE", "/v1/sessions/{session_id}", line) is found


def test_the_committed_contract_is_the_one_that_the_code_makes() -> None:
    committed = (ROOT / "docs" / "openapi.json").read_text("utf-8")
    assert committed == openapi_document(), "run `make openapi`"


def test_the_changelog_tells_of_this_release_or_the_next() -> None:
    headings = re.findall(r"^## \[?([\w.]+)\]?", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert {"Unreleased", __version__} & set(headings)


def test_every_relative_link_leads_to_a_file() -> None:
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in markdown_files()
        for target in links(path.read_text("utf-8"))
        if not (path.parent / target).exists()
    ]
    assert not broken, "\n".join(broken)


def markdown_files() -> Iterator[Path]:
    for path in sorted(ROOT.rglob("*.md")):
        folders = path.relative_to(ROOT).parts[:-1]
        if not any(folder.startswith(".") or folder in FOREIGN for folder in folders):
            yield path


def links(text: str) -> Iterator[str]:
    """The targets of a document's links to files, without their anchors."""
    prose = re.sub(r"^(```+|~~~+).*?^\1|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)
    for inline, reference in LINK.findall(prose):
        target = (inline or reference).partition("#")[0]
        if target and not re.match(r"[a-z][a-z0-9+.-]*:", target):
            yield target


def test_links_are_found_outside_of_code_only() -> None:
    text = "[a](x.md#top) [b](https://x.y/z) [c](#here)\n[d]: y.md\n```\n[e](z.md)\n```\n`[f](z.md)` ![g](p.png 'G')"
    assert list(links(text)) == ["x.md", "y.md", "p.png"]


def all_errors(base: type[UnrollError] = UnrollError) -> Iterator[type[UnrollError]]:
    yield base
    for kind in base.__subclasses__():
        yield from all_errors(kind)


def test_every_domain_error_has_its_row_in_the_status_table() -> None:
    declared = {kind for kind in all_errors() if kind.__module__ == errors.__name__}
    assert {kind.__name__ for kind in declared ^ STATUS.keys()} == set()


def test_every_promised_error_code_is_served_with_its_status_or_listed_as_not_yet_served() -> None:
    promised = {(code, status) for status, codes in PROMISED.items() for code in codes.split()}
    served = {(kind.code, status) for kind, status in STATUS.items()}
    assert served <= promised
    assert {code for code, _ in promised - served} == NOT_YET_SERVED
