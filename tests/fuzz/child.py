"""Reads inputs by their number, in a process of its own: python -m tests.fuzz.child FOLDER SEED FIRST LAST [TARGET]

Writes the number of the input that it reads to the file `current`, and a line of JSON for each finding.
"""

import encodings
import importlib
import json
import os
import pkgutil
import resource
import signal
import sys
import traceback
import warnings
from collections import Counter
from pathlib import Path
from random import Random

import service.nets
import service.tooling
from tests.fuzz.guard import Guard
from tests.fuzz.seeds import made_seeds
from tests.fuzz.targets import TARGETS, Target

#: Processor time in seconds, and memory beside that of the start, which an input may take.
MAX_SECONDS = 10
MAX_MEMORY = 2**30


class TooLong(BaseException):
    """Raised when an input takes too much processor time."""


def make_input(seeds: dict[str, list[bytes]], seed: int, number: int, only: str = "") -> tuple[str, bytes]:
    """Return the target and the content of an input; both follow from seed and number."""
    random = Random(f"{seed}/{number}")
    name = only or random.choices([*TARGETS], [target.share for target in TARGETS.values()])[0]
    content = random.choice(seeds[name])
    change = random.choice(TARGETS[name].changes)
    return name, change(random, content)


def read(target: Target, path: Path, guard: Guard) -> tuple[str, str]:
    """Read an input, and return `read`, `refused` or what is wrong, with its description."""
    signal.setitimer(signal.ITIMER_VIRTUAL, MAX_SECONDS)
    guard.start(path)
    try:
        target.read(path)
        outcome, reason = "read", ""
    except target.errors as error:
        outcome, reason = "refused", ""
        if "\n" in str(error) or "weights_only" in str(error):
            outcome, reason = "message", repr(str(error))[:500]
    except TooLong:
        outcome, reason = "time", f"more than {MAX_SECONDS} seconds"
    except BaseException:  # noqa: BLE001 - any other error is a finding
        guard.pause()
        outcome, reason = "error", traceback.format_exc()[-1500:]
    noted = guard.stop()
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return ("code", "; ".join(noted)) if noted else (outcome, reason)


def _tell(found: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


def _too_long(*_: object) -> None:
    raise TooLong


def import_everything() -> None:
    """Import the modules that are else imported when they are first used, so that any later import is a finding."""
    for package in (encodings, service.tooling, service.nets):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name not in {"encodings.mbcs", "encodings.oem", "encodings.cp65001"}:
                importlib.import_module(module.name)


def memory() -> int:
    """Return the largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def main(folder: Path, seed: int, first: int, last: int, only: str = "") -> int:
    """Read the inputs from `first` to before `last`, and print findings and counts."""
    signal.signal(signal.SIGVTALRM, _too_long)
    warnings.simplefilter("ignore")  # of member names that stand twice
    import_everything()
    seeds, guard, counts = made_seeds(folder), Guard(), Counter[str]()
    for name, target in TARGETS.items():
        for content in seeds[name]:  # all modules are imported here
            (folder / target.file).write_bytes(content)
            target.read(folder / target.file)
            (folder / target.file).write_bytes(content[:-3])
            read(target, folder / target.file, guard)
    start = memory()
    current = os.open(folder / "current", os.O_WRONLY | os.O_CREAT)
    for number in range(first, last):
        os.pwrite(current, b"%-20d" % number, 0)
        name, content = make_input(seeds, seed, number, only)
        path = folder / TARGETS[name].file
        path.write_bytes(content)
        outcome, reason = read(TARGETS[name], path, guard)
        if memory() - start > MAX_MEMORY:
            outcome, reason, start = "memory", f"{memory() - start} bytes", memory()
        counts[f"{name}: {outcome}"] += 1
        if outcome not in {"read", "refused"}:
            _tell({"number": number, "target": name, "outcome": outcome, "reason": reason})
    _tell({"counts": counts})
    return 0


if __name__ == "__main__":
    _folder, _seed, _first, _last, *_only = sys.argv[1:]
    sys.exit(main(Path(_folder), int(_seed), int(_first), int(_last), *_only))
