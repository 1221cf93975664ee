"""All attackers by name, in the order of the table."""

from tests.attack.attackers.base import Attacker
from tests.attack.attackers.calls import calls
from tests.attack.attackers.damaged_folders import DamagedFiles
from tests.attack.attackers.fleets import Fleets, OneSession
from tests.attack.attackers.folders import HostileFolders
from tests.attack.attackers.frames import MalformedFrames
from tests.attack.attackers.http2 import HostileHttp2
from tests.attack.attackers.imports import MutatedImports
from tests.attack.attackers.inspected import HostileFiles
from tests.attack.attackers.keys import WrongKeys
from tests.attack.attackers.load import loads
from tests.attack.attackers.malformed import malformed
from tests.attack.attackers.messages import MalformedMessages
from tests.attack.attackers.outages import KilledStore, RemovedSocket, StoppedWorkers
from tests.attack.attackers.served_folders import ServedFolders
from tests.attack.attackers.sockets import sockets
from tests.attack.attackers.tenants import Creating, Forking, Importing, Keeping
from tests.attack.attackers.websockets import websockets


def _all() -> list[Attacker]:
    return [
        *loads(),
        Fleets(),
        OneSession(),
        WrongKeys(),
        *sockets(),
        *websockets(),
        *calls(),
        Creating(),
        Forking(),
        Importing(),
        Keeping(),
        KilledStore(),
        RemovedSocket(),
        *malformed(),
        MalformedFrames(),
        MalformedMessages(),
        HostileHttp2(),
        MutatedImports(),
        HostileFolders(),
        HostileFiles(),
        DamagedFiles(),
        ServedFolders(),
        StoppedWorkers(),
    ]


ATTACKERS: dict[str, Attacker] = {attacker.name: attacker for attacker in _all()}
#: The attacks of the short run in `make test`: one or two of each family.
QUICK = [
    "predictions",
    "dots",
    "header-lines",
    "half-heads",
    "unfinished-bodies",
    "websocket-no-sessions",
    "grpc-bombs",
    "forks",
]
