"""Attempts at the sessions and sequences of others."""

import random

from tests.attack.foreign.known import FORGED, WORDS, Known, made_up, near, twin
from tests.attack.foreign.template import NO_SESSION, SUBJECT, Attempt, Template
from tests.attack.foreign.tenants import MODEL, infer

_SESSION = f"/v1/sessions/{SUBJECT}"
_UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
#: Calls of a session: kind, method, path behind its id, body.
_CALLS: list[tuple[str, str, str, object]] = [
    ("read", "GET", "", None),
    ("renew", "PATCH", "", {"ttl_seconds": 60}),
    ("end", "DELETE", "", None),
    ("step", "POST", "/steps", WORDS),
    ("step", "POST", "/steps", WORDS | {"step": 3}),
    ("predict", "POST", "/predict", {}),
    ("predict", "POST", "/predict", WORDS),
    ("generate", "POST", "/generate", {"options": {"max_tokens": 2}}),
    ("generate", "POST", "/generate", {"options": {"max_tokens": 2, "stream": True}}),
    ("generate", "POST", "/generate", {"commit": False, "options": {"max_tokens": 2}}),
    ("reset", "POST", "/reset", {}),
    ("reset", "POST", "/reset", {"step": 1}),
    ("fork", "POST", "/fork", {}),
    ("fork", "POST", "/fork", {"step": 1, "ttl_seconds": 3600}),
    ("export", "GET", "/state", None),
    ("websocket handshake", "GET", "/stream", None),
]
#: Paths that mean the same to some servers.
_PATHS = ["{}/", "{}?", "/{}", "{};x=1", "{}%20", "{}%00", "./{}", "x/../{}", "%2e%2e/sessions/{}", "{}#", "{}/../{}"]


def session_call(choose: random.Random, known: Known) -> Attempt:
    """A call of a session."""
    kind, method, path, body = choose.choice(_CALLS)
    headers = _UPGRADE if path == "/stream" else choose.choice(FORGED)
    session = known.session(choose)
    return Attempt(Template(kind, method, f"{_SESSION}{path}", body, headers), session, twin(session))


def guess(choose: random.Random, known: Known) -> Attempt:
    """A call of an id that is nearly one of another tenant's."""
    kind, method, path, body = choose.choice([call for call in _CALLS if call[2] != "/stream"])
    template = Template(f"guess: {kind}", method, f"{_SESSION}{path}", body)
    return Attempt(template, near(choose, known.session(choose)), made_up(choose))


def replay(choose: random.Random, known: Known) -> Attempt:
    """A step of another tenant once more, word for word: its answer is stored."""
    tenant = known.tenant(choose)
    if choose.random() < 0.5:
        witness = choose.choice(tenant.witnesses.sessions)
        template = Template("stored answer", "POST", f"{_SESSION}/steps", witness.last_step)
        return Attempt(template, witness.session, made_up(choose))
    mark, session = choose.choice([*tenant.keyed.items()])
    template = Template("stored answer", "POST", f"{_SESSION}/steps", WORDS, {"Idempotency-Key": mark})
    return Attempt(template, session, made_up(choose))


def many(choose: random.Random, known: Known) -> Attempt:
    """A step of a session among steps of many."""
    body = {"steps": [WORDS | {"session_id": SUBJECT, "idempotency_key": "key 0 of tenant-one"}]}
    return Attempt(Template("step of many", "POST", "/v1/sessions/steps", body), known.session(choose), made_up(choose))


def odd_path(choose: random.Random, known: Known) -> Attempt:
    """A call of a session by a path that is not quite its own."""
    path = "/v1/sessions/" + choose.choice(_PATHS).replace("{}", SUBJECT)
    codes = (NO_SESSION, "not_found", "method_not_allowed", "invalid_request", "")
    template = Template("odd path", choose.choice(["GET", "DELETE"]), path, None, {}, codes)
    return Attempt(template, known.session(choose), made_up(choose))


def as_everyone(choose: random.Random, known: Known) -> Attempt:
    """A call for all tenants about a session, as an administrator may."""
    method = choose.choice(["GET", "DELETE"])
    template = Template("all tenants", method, f"{_SESSION}?tenant=*", None, {}, ("not_allowed",))
    return Attempt(template, known.session(choose), made_up(choose))


def sequence(choose: random.Random, known: Known) -> Attempt:
    """The next step of a sequence of another tenant, by its name or by the id of its session."""
    begun = choose.choice(known.tenant(choose).sequences)
    parameters: dict[str, object] = choose.choice([{}, {"sequence_end": True}, {"step": 1}, {"step": 0}])
    by_name = choose.random() < 0.6
    name, absent = (begun.name, near(choose, begun.name, len("sequence "))) if by_name else (begun.session, "")
    template = Template(
        "sequence", "POST", f"/v2/models/{MODEL}/infer", infer(SUBJECT, **parameters), {}, ("no_sequence",)
    )
    return Attempt(template, name, absent or made_up(choose))
