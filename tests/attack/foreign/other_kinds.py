"""Attempts by what else the hostile tenant knows: names, models, cursors, idempotency keys and state files."""

import json
import random
from typing import Any

from safetensors.torch import load, save

from tests.attack.foreign.known import FORGED, NO_TENANT, WORDS, Known, near
from tests.attack.foreign.template import ANY, SUBJECT, Attempt, Template
from tests.attack.foreign.tenants import MODEL, NO_MODEL, RESTRICTED, infer, key_of

_OWN = ["/v1/sessions?limit=100", "/v1/usage", "/v1/models", "/v2/models/stats"]
_METRICS = ["/metrics", "/%6detrics", "/metrics?SUBJECT", "//metrics", "/metrics/", "/./metrics", "/METRICS"]
#: Requests about a model.
_MODELS: list[tuple[str, str, object]] = [
    ("GET", "/v1/models/SUBJECT", None),
    ("POST", "/v1/models/SUBJECT/predict", WORDS),
    ("POST", "/v1/models/SUBJECT/predict", {"inputs": [WORDS["input"]], "version": "1"}),
    ("POST", "/v1/models/SUBJECT/score", WORDS),
    ("POST", "/v1/models/SUBJECT/generate", WORDS),
    ("POST", "/v1/models/SUBJECT/generate", WORDS | {"options": {"stream": True}}),
    ("POST", "/v1/sessions", {"model": SUBJECT}),
    ("POST", "/v1/sessions", {"model": SUBJECT, "version": "1", "kept_steps": 1}),
    ("POST", "/v1/completions", {"model": SUBJECT, "prompt": "the"}),
    ("POST", "/v1/completions", {"model": SUBJECT, "prompt": "the", "stream": True, "user": "tenant-one"}),
    ("GET", "/v2/models/SUBJECT", None),
    ("GET", "/v2/models/SUBJECT/versions/1", None),
    ("GET", "/v2/models/SUBJECT/ready", None),
    ("GET", "/v2/models/SUBJECT/config", None),
    ("GET", "/v2/models/SUBJECT/stats", None),
    ("POST", "/v2/models/SUBJECT/infer", infer("mine", sequence_start=True)),
    ("POST", "/v2/models/SUBJECT/generate", {"text_input": "the"}),
    ("POST", "/v2/models/SUBJECT/generate_stream", {"text_input": "the"}),
    ("POST", "/v2/repository/models/SUBJECT/load", None),
    ("POST", "/v2/repository/models/SUBJECT/unload", None),
]


def as_administrator(choose: random.Random, known: Known) -> Attempt:
    """A call for another tenant, as an administrator may."""
    method, path = choose.choice(
        [
            ("GET", "/v1/usage?tenant=SUBJECT"),
            ("GET", "/v1/sessions?tenant=SUBJECT"),
            ("GET", "/v1/sessions?limit=100&tenant=SUBJECT"),
            ("GET", f"/v1/sessions/{known.session(choose)}?tenant=SUBJECT"),
            ("DELETE", f"/v1/sessions/{known.session(choose)}?tenant=SUBJECT"),
        ]
    )
    template = Template("other tenant", method, path, None, choose.choice(FORGED), ("not_allowed",))
    return Attempt(template, known.tenant(choose).name, NO_TENANT)


def model(choose: random.Random, known: Known) -> Attempt:
    """A call of a model that the hostile tenant may not use."""
    method, path, body = choose.choice(_MODELS)
    return Attempt(Template("model", method, path, body, choose.choice(FORGED), ANY), RESTRICTED, NO_MODEL)


def listing(choose: random.Random, known: Known) -> Attempt:
    """A list of one's own that goes on from where a list of another tenant ended."""
    tenant = known.tenant(choose)
    query = choose.choice(["", "&limit=100", f"&model={MODEL}", f"&model={RESTRICTED}"])
    template = Template("cursor", "GET", f"/v1/sessions?cursor={SUBJECT}{query}", codes=(), varied=True)
    return Attempt(template, choose.choice(tenant.cursors), choose.choice(tenant.cursors))


def own(choose: random.Random, known: Known) -> Attempt:
    """A call for what is one's own, which must not have more, whatever the headers say."""
    path = choose.choice([*_OWN, "/v1/models?SUBJECT"])
    template = Template("own things", "GET", path, None, choose.choice(FORGED), codes=(), varied=True)
    return Attempt(template, known.tenant(choose).name, NO_TENANT)


def creation(choose: random.Random, known: Known) -> Attempt:
    """A creation with an idempotency key of another tenant's."""
    mark = choose.choice([*known.tenant(choose).keyed])
    template = Template(
        "idempotency key", "POST", "/v1/sessions", {"model": MODEL}, {"Idempotency-Key": SUBJECT},
        codes=(), varied=True,
    )  # fmt: skip
    return Attempt(template, mark, near(choose, mark))


def imported(choose: random.Random, known: Known) -> Attempt:
    """An import of a file of another tenant's session, whose metadata say that it is still its own."""
    tenant = known.tenant(choose)
    changes: dict[str, str] = {
        "session_id": known.session(choose),
        "id": known.session(choose),
        "tenant": tenant.name,
        "owner": tenant.name,
        "idempotency_key": choose.choice([*tenant.keyed]),
    }
    query = f"?ttl_seconds=60&{choose.choice(['', 'durability=memory', 'kept_steps=1'])}"
    content = changed(choose.choice(tenant.files), changes)
    template = Template(
        "state file", "POST", f"/v1/sessions/import{query.rstrip('&')}", content,
        {"Content-Type": "application/octet-stream"}, codes=(), varied=True,
    )  # fmt: skip
    return Attempt(template, tenant.name, NO_TENANT)


def changed(content: bytes, changes: dict[str, str]) -> bytes:
    """Return a state file with further or other metadata."""
    size = int.from_bytes(content[:8], "little")
    metadata: dict[str, Any] = json.loads(content[8 : 8 + size])["__metadata__"]
    return save(load(content), metadata | changes)


def metrics(choose: random.Random, known: Known) -> Attempt:
    """A call for the metrics, which name all models."""
    template = Template("metrics", "GET", choose.choice(_METRICS), None, choose.choice(FORGED), ANY)
    return Attempt(template, known.tenant(choose).name, NO_TENANT)


def key(choose: random.Random, known: Known) -> Attempt:
    """A call with nearly the key of another tenant or of the administrator, and with a key that is made up."""
    target = key_of(choose.choice([*(tenant.name for tenant in known.tenants), "operators"]))
    name = choose.choice(["Authorization", "X-Api-Key"])
    value = f"Bearer {SUBJECT}" if name == "Authorization" else SUBJECT
    path = choose.choice(["/v1/sessions", "/v1/usage?tenant=*", "/v1/models"])
    headers = choose.choice(FORGED) | {name: value}
    codes = ("invalid_api_key", "rate_limited")
    template = Template("key", "GET", path, None, headers, codes, varied=True, anonymous=True)
    return Attempt(template, near(choose, target, len("unroll_")), near(choose, target, len("unroll_")))
