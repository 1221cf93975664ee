"""Principals: whoever sends a request, as its API key says."""

from collections.abc import Callable
from dataclasses import dataclass, field

from service.domain.errors import InvalidApiKey

#: The only tenant of a service without keys.
PUBLIC = "public"
KEY_ENDED = "the API key was revoked, has expired, or allows something else by now"


@dataclass(slots=True, eq=False)
class Principal:
    """Whoever sends a request: its tenant, and what its API key allows.

    `key_id` is empty for keys of UNROLL_API_KEYS, and without keys. `models` are those that it may use, all if that is
    None. When its key is revoked, has expired or allows something else, `has_ended` becomes true.
    """

    tenant: str
    key_id: str = ""
    is_admin: bool = False
    models: frozenset[str] | None = None
    has_ended: bool = False
    _watchers: set[Callable[[], None]] = field(default_factory=set)

    def sees(self, model: str) -> bool:
        """Return whether a model is there for this principal."""
        return self.models is None or model in self.models

    def require_valid(self) -> None:
        """Raise InvalidApiKey if the key is not valid any more, or allows something else by now."""
        if self.has_ended:
            raise InvalidApiKey(KEY_ENDED)

    def watch(self, on_end: Callable[[], None]) -> Callable[[], None]:
        """Call `on_end` when the principal ends, at once if it has; returns the function that stops the watch."""
        self._watchers.add(on_end)
        if self.has_ended:
            on_end()
        return lambda: self._watchers.discard(on_end)

    def end(self) -> None:
        """End whatever goes on with the key beyond a request."""
        self.has_ended = True
        for on_end in list(self._watchers):
            on_end()


#: Every client of a service without keys.
EVERYONE = Principal(PUBLIC)
