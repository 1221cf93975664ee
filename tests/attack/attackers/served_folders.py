"""Damaged model folders that appear in the folder of a running service, a few at a time, and disappear again."""

import asyncio
import random
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.attack.attackers.base import Tally, Target
from tests.attack.attackers.damaged_folders import spoil_folder, write_sources
from tests.attack.attackers.offline import import_commands

_AT_A_TIME = 8
#: The service looks at its folders every two seconds, and loads what has not changed since.
_SECONDS = 6.0
HOSTILE_PREFIX = "hostile-"


@dataclass(frozen=True)
class ServedFolders:
    """Folders by the seed. Those whose damage is harmless are served, as any other model of the operator is."""

    name: str = "served-folders"
    family: str = "folders"

    def prepare(self) -> None:
        """Import what writes good folders."""
        import_commands()

    async def run(self, target: Target, tally: Tally) -> None:
        with tempfile.TemporaryDirectory(prefix="unroll-attack-", dir=target.models.parent) as name:
            sources = await asyncio.to_thread(write_sources, Path(name))
            number = 0
            try:
                while number < target.count and tally.running():
                    for _ in range(min(_AT_A_TIME, target.count - number)):
                        await asyncio.to_thread(self._place, target, Path(name), sources, number)
                        tally.labels["folders"] += 1
                        number += 1
                    await asyncio.sleep(_SECONDS)
                    _remove(target.models)
            finally:
                _remove(target.models)

    def _place(self, target: Target, drafts: Path, sources: list[Path], number: int) -> None:
        """Write a folder elsewhere and move it into place, as a deployment does."""
        choose = random.Random(f"{self.name} {target.seed} {number}")
        draft = drafts / f"{HOSTILE_PREFIX}{target.seed}-{number}"
        spoil_folder(choose, choose.choice(sources), draft / "1")
        draft.rename(target.models / draft.name)


def _remove(models: Path) -> None:
    for folder in models.glob(f"{HOSTILE_PREFIX}*"):
        shutil.rmtree(folder, ignore_errors=True)
