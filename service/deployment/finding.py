"""Findings of the checks of a deployment, and their report."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

#: `ok`; `warning`: the service works, but a promise is weaker or an operator should know; `error`: it does not work.
Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of a check of one `part` of the deployment: a sentence with what was found and, if not ok, expected."""

    level: Level
    part: str
    text: str

    @classmethod
    def ok(cls, part: str, text: str) -> Self:
        """Return a finding that needs no action."""
        return cls("ok", part, text)

    @classmethod
    def warning(cls, part: str, text: str) -> Self:
        """Return a finding that an operator should know."""
        return cls("warning", part, text)

    @classmethod
    def error(cls, part: str, text: str) -> Self:
        """Return a finding that keeps the service from working."""
        return cls("error", part, text)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Findings about a deployment, in the order of the checks."""

    findings: Sequence[Finding]

    @property
    def healthy(self) -> bool:
        """Whether there is no error among the findings."""
        return all(finding.level != "error" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {"healthy": self.healthy, "findings": [asdict(finding) for finding in self.findings]}

    def render(self) -> str:
        """Return the report for people: a line for each finding, and a summary."""
        lines = [f"{finding.level:<8} {finding.part:<9} {finding.text}" for finding in self.findings]
        counts = {level: sum(finding.level == level for finding in self.findings) for level in ("error", "warning")}
        return "\n".join([*lines, f"{counts['error']} errors, {counts['warning']} warnings"])
