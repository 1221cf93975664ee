"""Memory that sessions reserve in the index of their tenant, within the limits of the tenant and of the store.

A session reserves what it can grow to: its state, as many earlier ones as it keeps, and a usual answer. Steps need no
check, except those whose stored answer is larger than that.
"""

import math
from collections import OrderedDict
from typing import cast

from service.domain.errors import RateLimited, StoreFull, UnrollError
from service.domain.limits import RETRY_SECONDS, LimitsOfTenants, TenantLimits
from service.domain.sessions import Record
from service.store.driver.commands import Script, script_command
from service.store.driver.group_commit import ShardedGroupCommit
from service.store.keys import Keys

#: Bytes beside the states: the record's other fields, a usual answer, the keys and the entries of the index.
OVERHEAD_BYTES = 2048
#: How many times the free memory of the store one tenant may reserve. One alone gets 4/5 of it, two get 4/9 each. A. K.
#: Choudhury and E. L. Hahne, "Dynamic queue length thresholds for shared-memory packet switches", IEEE/ACM Transactions
#: on Networking 6(2), 1998.
SHARE_FACTOR = 4
#: Number of sessions whose larger reservation is remembered.
_MAX_REMEMBERED = 16_384
_CLASSES_PER_DOUBLING = 64
_MAX_CLASS = 2047
_NO_LIMIT = 2**53


def reserved_bytes(record: Record) -> int:
    """Return the bytes that a session reserves when it is created."""
    return (record.kept_steps + 1) * len(record.state) + OVERHEAD_BYTES


def size_class(size: int) -> int:
    """Return the smallest size class that reserves `size` bytes or more, see scripts/sizes.lua."""
    return min(_MAX_CLASS, math.ceil(math.log2(max(2, size)) * _CLASSES_PER_DOUBLING))


class Reservations:
    """Reservations of sessions. `several_tenants` says whether the service has more tenants than one."""

    def __init__(
        self, group_commit: ShardedGroupCommit, keys: Keys, limits: LimitsOfTenants, *, several_tenants: bool
    ) -> None:
        self._group_commit = group_commit
        self._keys = keys
        self._limits = limits
        self._several_tenants = several_tenants
        self._script = Script.read("reserve", "sizes", "memory")
        self._grown: OrderedDict[bytes, int] = OrderedDict()

    def covers(self, member: bytes, size: int) -> bool:
        """Return whether this worker has reserved `size` bytes for a session that grew."""
        return size <= self._grown.get(member, 0)

    async def reserve(self, tenant: str, member: bytes, *, size: int, lifetime_ms: int, deadline: float) -> None:
        """Reserve `size` bytes for a session, new or not. Raises RateLimited, StoreFull and StoreUnavailable."""
        limits = self._limits.of(tenant)
        sessions = _NO_LIMIT if limits.sessions is None else limits.sessions
        state_bytes = _NO_LIMIT if limits.state_bytes is None else limits.state_bytes
        arguments = (member, lifetime_ms, size_class(size), sessions, state_bytes, SHARE_FACTOR)
        command = script_command(self._script, self._keys.reservations(tenant), *arguments)
        reply = (await self._group_commit.submit(command, deadline)).value()
        name, limit, present = cast("tuple[bytes, int, int]", reply)
        if name != b"reserved":
            raise self._refusal(limits, name.decode(), limit, present, size)

    def remember(self, member: bytes, size: int) -> None:
        """Remember that `size` bytes are reserved for a session that grew."""
        self._grown[member] = size
        if len(self._grown) > _MAX_REMEMBERED:
            self._grown.popitem(last=False)

    def _refusal(self, limits: TenantLimits, name: str, limit: int, present: int, size: int) -> UnrollError:
        if name == "sessions":
            return limits.exceeded("sessions", f"you have {present} live sessions")
        if name == "state_bytes":
            return limits.exceeded("state_bytes", f"your sessions reserve {present} bytes, and this one {size} more")
        if self._several_tenants and 2 * present > limit:
            return RateLimited(
                f"your sessions reserve {present} bytes of the store, and this one {size} more: your share beside "
                f"other clients is {limit} (UNROLL_STORE_MAX_BYTES)",
                applied="no",
                retry_after=RETRY_SECONDS,
            )
        return StoreFull(
            f"the store is nearly full: sessions reserve {present} bytes, and this one {size} more, of {limit}",
            applied="no",
            retry_after=RETRY_SECONDS,
        )
