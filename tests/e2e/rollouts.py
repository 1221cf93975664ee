"""Helpers for tests of model versions that change while a server runs."""

import json
import shutil
from pathlib import Path

from tests.folders import write_language_model
from tests.server import Body, Server


def events(server: Server, event: str, **fields: str) -> list[Body]:
    """Return the lines of the log with this event and these fields."""
    lines = [json.loads(line) for line in server.log.splitlines() if f'"event": "{event}"' in line]
    return [line for line in lines if fields.items() <= line.items()]


def logged_by_all_workers(server: Server, event: str, **fields: str) -> bool:
    """Return True if every worker has logged the event."""
    return {line["process"] for line in events(server, event, **fields)} >= set(server.worker_pids())


def copy_version(folder: Path, model: str, version: str, seed: int) -> None:
    """Write a version outside the models folder and copy it there file by file, as `cp -r` does."""
    source = write_language_model(folder / "elsewhere", model, version, seed=seed)
    target = folder / "models" / model / version
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(source.iterdir()):
        shutil.copy(file, target)
