"""Runs the child over all inputs, and starts it again behind an input that ends it."""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.server import ROOT

#: Inputs of one process, and the seconds in which it has to read them.
PART = 5000
MAX_SECONDS = 3600


@dataclass
class Result:
    """Counts of outcomes by target, and the findings."""

    counts: Counter[str] = field(default_factory=Counter)
    findings: list[dict[str, object]] = field(default_factory=list)

    def render(self) -> str:
        """Return a table of the targets, and the findings."""
        targets = sorted({name.rpartition(": ")[0] for name in self.counts})
        rows = [f"| {name} | {self._of(name):,} | {self.counts[f'{name}: read']:,} |" for name in targets]
        lines = ["| reader | inputs | of these read without an error |", "|---|---|---|", *rows]
        lines += [f"finding: {json.dumps(item)}" for item in self.findings]
        return "\n".join([*lines, f"{sum(self.counts.values()):,} inputs, {len(self.findings)} findings"])

    def _of(self, target: str) -> int:
        return sum(count for name, count in self.counts.items() if name.rpartition(": ")[0] == target)


def run(seed: int, count: int, only: str = "", first: int = 0) -> Result:
    """Read `count` inputs, and return what was found."""
    result = Result()
    number, end = first, first + count
    while number < end:
        last = min(number + PART, end)
        with tempfile.TemporaryDirectory() as folder:
            number = _part(result, Path(folder), seed, number, last, only)
    return result


def _part(result: Result, folder: Path, seed: int, first: int, last: int, only: str) -> int:
    """Read a part of the inputs, and return the number of the next one."""
    command = [
        sys.executable,
        "-m",
        "tests.fuzz.child",
        str(folder),
        *map(str, (seed, first, last)),
        *([only] if only else []),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=MAX_SECONDS, check=False)
    for line in done.stdout.splitlines():
        found = json.loads(line)
        if "counts" in found:
            result.counts.update(found["counts"])
        else:
            result.findings.append(found)
    if done.returncode == 0:
        return last
    current = folder / "current"
    number = int(current.read_text()) if current.exists() else last
    result.counts["(ended): crash"] += 1
    result.findings.append(
        {"number": number, "outcome": "crash", "reason": f"{done.returncode}: {done.stderr[-1500:]}"}
    )
    return number + 1
