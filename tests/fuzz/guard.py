"""What a reader may do while it reads: open its file and ask for the memory. Everything else is counted."""

import sys
from pathlib import Path

#: Events of Python's audit hooks that run code or reach outside.
_FORBIDDEN = (
    "exec",
    "compile",
    "import",
    "open",
    "subprocess.Popen",
    "os.",
    "socket.",
    "ctypes.",
    "shutil.",
    "pickle.",
    "marshal.",
    "code.",
    "webbrowser.",
    "urllib.",
    "tempfile.",
)
#: Files that tell how much memory is left.
_ALLOWED_FILES = ("/proc/", "/sys/fs/cgroup")
#: The programs that readers start: HDF5 and tokenizers are read by processes of their own.
_PROGRAMS = ("hdf5_process.py", "tokenizer_trial.py")


class Guard:
    """Audit hook that notes what happens between `start` and `stop`."""

    def __init__(self) -> None:
        self._path: str | None = None
        self._noted: list[str] = []
        sys.addaudithook(self._hook)

    def start(self, path: Path) -> None:
        self._noted, self._path = [], str(path)

    def pause(self) -> None:
        self._path = None

    def stop(self) -> list[str]:
        self._path = None
        return self._noted

    def _hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if self._path is None or not event.startswith(_FORBIDDEN):
            return
        path, self._path = self._path, None  # what the hook itself does is not noted
        if not _is_allowed(event, arguments, path):
            self._noted.append(f"{event}{arguments!r}"[:300])
        self._path = path


def _is_allowed(event: str, arguments: tuple[object, ...], path: str) -> bool:
    first = arguments[0] if arguments else None
    if event == "open":
        return isinstance(first, int) or str(first) == path or str(first).startswith(_ALLOWED_FILES)
    return event == "subprocess.Popen" and any(program in str(arguments[1]) for program in _PROGRAMS)
