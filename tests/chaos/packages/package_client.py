"""What the clients of packages have in common."""

import random
from dataclasses import dataclass, field
from typing import ClassVar

from tests.chaos.driver import Shared
from tests.chaos.roster import Role


@dataclass(slots=True, eq=False)
class PackageClient:
    """One client of a package; what it does follows from `plan`, the run's seed and its own number."""

    plan: ClassVar[str]

    number: int
    seed: int
    role: Role
    shared: Shared
    port: int
    grpc_port: int = 0
    api_key: str = ""
    choose: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.choose = random.Random(f"{self.plan} {self.seed} {self.number}")
