"""Requests about a thing of others, and what their answers tell about it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.attack.wire import Response, pack

#: What stands in a template for the id or the name of the thing.
SUBJECT = "SUBJECT"
#: Headers that differ from answer to answer.
_OF_THE_REQUEST = {"x-request-id", "date", "ratelimit"}
_SHOWN = 400
#: Any refusal.
ANY = ("*",)
NO_SESSION = "session_not_found"


@dataclass(frozen=True, slots=True)
class Told:
    """What an answer tells, without the thing that it was asked about: a status, an error code, and everything else."""

    status: str
    code: str
    rest: str
    seconds: float = field(default=0.0, compare=False)

    def __str__(self) -> str:
        return f"{self.label}: {self.rest[:_SHOWN]}"

    @property
    def label(self) -> str:
        return f"{self.status} {self.code}".strip()

    @property
    def refused(self) -> bool:
        """Whether it is a refusal; the result of a request for many can be one in an answer of 200."""
        return bool(self.code) or not self.status.startswith(("1", "2", "3"))


@dataclass(frozen=True, slots=True)
class Template:
    """A request. `codes` are the refusals that are right; without any, it may succeed, and must not tell of others.

    Answers about a thing of others and about one that does not exist are compared: as a whole, or in their labels only
    if they are `varied`, since each is about something new. An `anonymous` request has the key that its headers have.
    """

    kind: str
    method: str
    path: str
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    codes: tuple[str, ...] = (NO_SESSION,)
    varied: bool = False
    anonymous: bool = False

    def refuses(self, told: "Told") -> bool:
        """Whether an answer refuses the request as it should; a request that may succeed needs no refusal."""
        if not self.codes:
            return True
        return told.refused and (self.codes == ANY or told.code in self.codes)

    def same(self, told: "Told", other: "Told") -> bool:
        """Whether two answers tell the same."""
        if self.varied:
            return told.label == other.label or {told.code, other.code} <= {*self.codes}
        return told == other

    def packed(self, subject: str, key: str) -> bytes:
        """Return the request about a thing, by the client with a key."""
        headers = {name: value.replace(SUBJECT, subject) for name, value in self.headers.items()}
        body = self.body
        if body is not None and not isinstance(body, bytes):
            body = json.loads(json.dumps(body).replace(SUBJECT, subject))
        own = "" if self.anonymous else key
        return pack(self.method, self.path.replace(SUBJECT, subject), body, own, headers)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request about `subject`, a thing of another tenant, and about `absent`, one of the same form that is none."""

    template: Template
    subject: str
    absent: str


def told_by(response: Response, subject: str, seconds: float) -> Told:
    """Return what a response tells about anything but the subject."""
    headers = sorted((name, value) for name, value in response.headers.items() if name not in _OF_THE_REQUEST)
    text = f"{headers} {response.body.decode('utf-8', 'replace')}".replace(subject, SUBJECT)
    return Told(str(response.status), _code(response, subject), text, seconds)


def _code(response: Response, subject: str) -> str:
    """Return the code of the error, also of the one result of a request for many; /v2 has messages alone."""
    results = response.json.get("results")
    if isinstance(results, list) and len(results) == 1:
        return str(results[0].get("error", {}).get("code", ""))
    if response.code:
        return response.code
    error: Any = response.json.get("error")
    if isinstance(error, str):
        return _code_of_message(error.replace(subject, SUBJECT))
    return ""


def _code_of_message(message: str) -> str:
    """Return a code for a message of the Open Inference Protocol: its beginning."""
    if "START flag" in message:
        return "no_sequence"
    return re.sub(r"[^a-z]+", "_", message.lower())[:24].strip("_")
