"""How many requests may be under way, and which of them: permits are taken at the door, before anything is parsed."""

from service.errors import Overloaded, ShuttingDown


class Admission:
    """Counts the requests under way. Open at first; a worker that is told to go drains, then closes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.under_way = 0
        self.draining = False
        self.closed = False

    def enter(self, *, opens_session: bool = False) -> None:
        """Take a permit. Raises Overloaded or ShuttingDown; then there is nothing to give back."""
        if self.closed or (self.draining and opens_session):
            raise ShuttingDown("this worker is being stopped; another one can answer", applied="no")
        if self.under_way >= self.limit:
            raise Overloaded(f"{self.limit} requests are under way, as many as this worker admits", applied="no")
        self.under_way += 1

    def leave(self) -> None:
        """Give the permit back."""
        self.under_way -= 1

    def drain(self) -> None:
        """Open no session from now on; requests of those that are open, and predictions, still enter."""
        self.draining = True

    def close(self) -> None:
        """Admit nobody from now on."""
        self.draining = self.closed = True
