"""Shares of a capacity among clients, by dynamic thresholds."""

from service.domain.errors import Overloaded, RateLimited, UnrollError

#: How many times the free capacity one client may hold. A client alone gets 8/9 of the capacity, two get 8/17 each.
THRESHOLD_FACTOR = 8


class Shares:
    """A capacity that clients take parts of.

    A client may hold at most THRESHOLD_FACTOR times what is free. One that takes all it can leaves a reserve, from
    which others start; as they take their parts, less is free, and the one that holds most is the first to be refused.
    A. K. Choudhury and E. L. Hahne, "Dynamic queue length thresholds for shared-memory packet switches", IEEE/ACM
    Transactions on Networking 6(2), 1998.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.used = 0
        self._held: dict[str, int] = {}

    def acquire(self, client: str, amount: int = 1) -> bool:
        """Take a part for a client, and return whether it was granted."""
        if not self.grants(client, amount):
            return False
        self._held[client] = self._held.get(client, 0) + amount
        self.used += amount
        return True

    def grants(self, client: str, amount: int = 1) -> bool:
        """Return whether a client may take a part now."""
        free = self.capacity - self.used - amount
        return free >= 0 and self._held.get(client, 0) + amount <= THRESHOLD_FACTOR * (free + 1)

    def release(self, client: str, amount: int = 1) -> None:
        """Give a part back."""
        self.used -= amount
        held = self._held[client] - amount
        if held:
            self._held[client] = held
        else:
            del self._held[client]

    def fits(self, amount: int) -> bool:
        """Return whether a client could be granted `amount` if nothing else were taken."""
        return amount <= THRESHOLD_FACTOR * (self.capacity - amount + 1)

    @property
    def clients(self) -> int:
        """The number of clients that hold a part."""
        return len(self._held)

    def held(self, client: str) -> int:
        """Return what a client holds."""
        return self._held.get(client, 0)

    def is_shared(self, client: str) -> bool:
        """Return whether clients other than this one hold a part."""
        return self.used > self.held(client)

    def refusal(self, client: str, subject: str, setting: str, owner: str) -> UnrollError:
        """Return the error for a client that is granted no part: its own share is taken, or the capacity is.

        `subject` says what is counted, and `owner` whose capacity it is, which `setting` sets.
        """
        if self.is_shared(client) and self.held(client) and self.used < self.capacity:
            return RateLimited(
                f"{self.held(client)} of your {subject}, as many as your share of the {self.capacity} of this worker "
                f"({setting}) beside other clients: wait for their answers",
                applied="no",
                retry_after=1,
            )
        return Overloaded(f"{self.used} {subject}, as many as {owner} admits", applied="no")
