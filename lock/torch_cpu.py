"""Write lock/torch-cpu.txt: the digests of PyTorch's CPU build for both processors, which `make lock` runs.

    python lock/torch_cpu.py INDEX_URL

The build is not on PyPI, and pip-compile would take that of PyPI beside it. A processor whose wheel the index, or pip's
find-links, does not have keeps the digest that it had in the file.
"""

import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

LOCK = Path(__file__).resolve().parent
PROCESSORS = ("x86_64", "aarch64")
HEADER = "# PyTorch's CPU build, which `make lock` writes: one digest for each processor.\n"
ENTRY = re.compile(r"^# (\w+): ([0-9a-f]{64})$", re.MULTILINE)


def pinned() -> str:
    """Return the requirement of constraints.txt."""
    (line,) = re.findall(r"^torch==\S+$", (LOCK.parent / "constraints.txt").read_text("utf-8"), re.MULTILINE)
    return str(line)


def digest(requirement: str, processor: str, index: str) -> str | None:
    """Return the digest of the wheel for a processor, or None if there is none to be had."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        command += ["--python-version", "3.11", "--platform", f"manylinux_2_28_{processor}", "--dest", folder]
        command += ["--index-url", index] if index else ["--no-index"]
        if subprocess.run([*command, requirement], check=False).returncode:
            return None
        (wheel,) = Path(folder).iterdir()
        with wheel.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> None:
    """Write the file."""
    path = LOCK / "torch-cpu.txt"
    known: dict[str, str] = dict(ENTRY.findall(path.read_text("utf-8"))) if path.exists() else {}
    index = sys.argv[1] if len(sys.argv) > 1 else ""
    for processor in PROCESSORS:
        found = digest(pinned(), processor, index)
        if found is None:
            print(f"no wheel for {processor} was found; its digest stays as it was", file=sys.stderr)
        else:
            known[processor] = found
    hashes = [f"    --hash=sha256:{known[name]}" for name in PROCESSORS if name in known]
    comments = "".join(f"# {name}: {known[name]}\n" for name in PROCESSORS if name in known)
    path.write_text(HEADER + comments + " \\\n".join([pinned(), *hashes]) + "\n", "utf-8")


if __name__ == "__main__":
    main()
