"""What the hostile tenant knows of the others, and what it makes up."""

import base64
import random
from collections.abc import Sequence
from dataclasses import dataclass

from tests.attack.foreign.tenants import Tenant

HOSTILE = "tenant-six"
#: A tenant that does not exist, whose name is as long as those that do.
NO_TENANT = "tenant-ten"
WORDS = {"input": {"text": "the"}}
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_ID_BYTES = 25
#: Headers by which some proxies and frameworks tell who calls, from where, or what for.
FORGED: list[dict[str, str]] = [
    {},
    {},
    {"X-Forwarded-For": "127.0.0.1"},
    {"X-Forwarded-For": "10.0.0.1, 127.0.0.1", "X-Forwarded-Proto": "https", "X-Real-IP": "127.0.0.1"},
    {"Forwarded": "for=127.0.0.1;by=127.0.0.1;host=localhost"},
    {"X-Tenant": "tenant-one", "X-Unroll-Tenant": "tenant-one", "Unroll-Tenant": "tenant-one"},
    {"X-Forwarded-User": "tenant-one", "X-Remote-User": "tenant-two", "X-Role": "admin"},
    {"X-Original-URL": "/v1/usage?tenant=*", "X-Rewrite-URL": "/v1/usage?tenant=*"},
    {"X-HTTP-Method-Override": "DELETE", "X-Method-Override": "DELETE"},
    {"X-Forwarded-Host": "service-1", "X-Forwarded-Prefix": "/v1/sessions"},
    {"Connection": "keep-alive, X-Forwarded-For, Authorization"},
    {"Cookie": "tenant=tenant-one"},
]


@dataclass(frozen=True, slots=True)
class Known:
    """What the hostile tenant knows: everything that the others have but their keys."""

    tenants: Sequence[Tenant]

    def tenant(self, choose: random.Random) -> Tenant:
        return choose.choice(self.tenants)

    def session(self, choose: random.Random) -> str:
        """A session of another tenant: mostly a live one."""
        tenant = self.tenant(choose)
        return choose.choice(tenant.ended if choose.random() < 0.1 else tenant.sessions)


def made_up(choose: random.Random) -> str:
    """An id of the right form that nobody was given."""
    return "ses_" + base64.b32encode(choose.randbytes(_ID_BYTES)).decode().lower()


def near(choose: random.Random, known: str, first: int = 4) -> str:
    """Nearly a known text: one character is another."""
    place = choose.randrange(first, len(known))
    other = choose.choice([letter for letter in _ALPHABET if letter != known[place]])
    return known[:place] + other + known[place + 1 :]


def twin(session: str) -> str:
    """An id that nobody was given, and that is asked for as often as the one of a session."""
    return made_up(random.Random(f"twin of {session}"))
