"""Start-time fair queueing of clients.

P. Goyal, H. M. Vin and H. Cheng, "Start-time fair queueing: a scheduling algorithm for integrated services packet
switching networks", SIGCOMM 1996. Each client has a start tag, which grows by the cost that it is served, divided by
its weight, and the client with the smallest tag is served next. Virtual time is the start tag of what is being served.
A client that comes, or comes back, starts at virtual time: it has no claim on the time that it was idle, and waits for
nobody's past.
"""

from collections.abc import Callable

#: Number of clients beyond which tags that no longer matter are removed.
MIN_PRUNED = 256


class FairClock:
    """Start tags of clients by their names, and the virtual time. `weight_of` returns the weight of a client."""

    def __init__(self, weight_of: Callable[[str], float] = lambda _: 1.0) -> None:
        self.weight_of = weight_of
        self._tags: dict[str, float] = {}
        self._now = 0.0
        self._pruned_at = MIN_PRUNED

    def join(self, client: str) -> None:
        """Start a client that had nothing to be served."""
        self._tags[client] = max(self.tag(client), self._now)
        if len(self._tags) > self._pruned_at:
            # A tag that virtual time has passed says no more than none.
            self._tags = {name: tag for name, tag in self._tags.items() if tag > self._now or name == client}
            self._pruned_at = max(MIN_PRUNED, 2 * len(self._tags))

    def tag(self, client: str) -> float:
        """Return the start tag of a client."""
        return self._tags.get(client, self._now)

    def charge(self, client: str, cost: float) -> None:
        """Serve a client."""
        tag = self.tag(client)
        self._now = max(self._now, tag)
        self._tags[client] = tag + cost / self.weight_of(client)

    def reset(self) -> None:
        """Forget everything, since nobody waits."""
        self._tags.clear()
        self._now = 0.0
