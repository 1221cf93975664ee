"""How answers are judged: what a machine of sessions compares, and what must be right at the end of its story."""

import asyncio
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import ClassVar

import httpx
from hypothesis.stateful import RuleBasedStateMachine

from service.application.sessions.serializers import encode, timestamp
from tests.life.oracle import Oracle, Words
from tests.life.reference import NOT_FOUND, Applied, Reference, Refusal, Request, Session
from tests.life.world import MODELS, SECRET, TENANTS, World
from tests.server import Body, assert_same_predictions, envelope

TOLERANCE = 1e-5
STEP_OUTCOMES = ("applied", "replayed", "conflict", "failed")


@dataclass
class Paging:
    """A listing under way, by its cursor: what is older than `before` is still to come."""

    tenant: str
    model: str | None
    cursor: str
    before: tuple[int, str]


class Judging(RuleBasedStateMachine):
    """Sends, compares and counts; has no rules. `world` is set by whoever runs the machine.

    `seen` counts what happened, over all stories.
    """

    world: ClassVar[World]
    seen: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        self.reference = Reference()
        self.pagings: list[Paging] = []
        self.created: dict[tuple[str, str], str] = {}
        self.forked: dict[tuple[str, str, int | None, str], str] = {}
        self.born = self.deleted = self.expired = 0
        self.outcomes: Counter[str] = Counter()

    def made_before(self, session_id: str | None, origin: object, response: httpx.Response) -> bool:
        """Check the answer to a repeated creation; False where it is to make a session."""
        if session_id is None or self.reference.sessions[session_id].ending == "session_expired":
            return False
        session = self.reference.sessions[session_id]
        if session.ending is not None:
            self.refused(response, session.refusal())
        elif session.origin != origin:
            self.refused(response, Refusal(422, "idempotency_key_reused"))
        else:
            assert response.headers["unroll-replayed"] == "true"
            self.shows(response, session, 201)
            self.saw("creation replayed")
        return True

    def enter(self, session: Session, response: httpx.Response) -> None:
        assert "unroll-replayed" not in response.headers
        assert response.headers["location"] == f"/v1/sessions/{session.id}"
        known = self.reference.sessions.get(session.id)
        assert known is None or known.ending == "session_expired", "an id was given twice"
        self.reference.sessions[session.id] = session
        self.shows(response, session, 201)
        self.renewed(session)
        self.born += 1
        self.saw("created" if known is None else "created again")

    def apply_many(self, worker: int, tenant: str, asked: list[tuple[Session, Request]]) -> None:
        items = []
        for session, request in asked:
            items.append({"session_id": session.id, **sent(session, request)[1]})
            items[-1] |= {} if request.key is None else {"idempotency_key": request.key}
        results = answered(self.send(worker, tenant, "POST", "/steps", {"steps": items}))["results"]
        for (session, request), result in zip(asked, results, strict=True):
            expected = session.expected(request) if session.tenant == tenant else NOT_FOUND
            if session.tenant != tenant:
                expected = replace(NOT_FOUND, applied=frozenset({"no"}))
            self.take(worker, session, request, expected, result, encode(result))

    def apply(self, worker: int, session: Session, request: Request) -> None:
        """Send one step, and judge its answer."""
        path, body = sent(session, request)
        expected = session.expected(request)
        self.judge(
            worker, session, request, expected, self.send(worker, session.tenant, "POST", path, body, request.key)
        )

    def judge(
        self,
        worker: int,
        session: Session,
        request: Request,
        expected: Applied | Refusal | None,
        response: httpx.Response,
    ) -> None:
        replayed = isinstance(expected, Applied)
        assert response.headers.get("unroll-replayed") == ("true" if replayed else None), response.text
        status = expected.status if isinstance(expected, Refusal) else 200
        assert response.status_code == status, (response.text, expected)
        self.take(worker, session, request, expected, response.json(), response.content)

    def take(
        self,
        worker: int,
        session: Session,
        request: Request,
        expected: Applied | Refusal | None,
        result: Body,
        content: bytes,
    ) -> None:
        """Judge the answer to a step, and let the reference take it."""
        if isinstance(expected, Refusal):
            error = envelope(result["error"], expected.status, expected.code)
            assert error["applied"] in expected.applied, (error, expected)
            assert expected.step is None or error["step"] == expected.step, (error, expected)
            conflict = expected.code in {"step_conflict", "idempotency_key_reused"}
            self.outcomes["conflict" if conflict else "failed"] += 1
            self.saw(f"step {expected.code} {error['applied']}")
            return
        if isinstance(expected, Applied):
            assert content == expected.answer
            self.outcomes["replayed"] += 1
            self.saw("step replayed")
            return
        fed = () if request.reset else self.same_result(result, session, request, advanced=True)
        session.advance(request, fed, content, self.now(worker))
        if request.reset:
            assert result == self.view(session)
            self.saw("reset")
        assert result["expires_at"] == timestamp(session.expires_at)
        self.renewed(session)
        self.outcomes["applied"] += 1
        self.saw("step applied")

    async def together(self, session: Session, requests: list[Request]) -> list[httpx.Response]:
        calls = []
        for worker, request in enumerate(requests):
            path, body = sent(session, request)
            headers = {} if request.key is None else {"Idempotency-Key": request.key}
            calls.append(self.world.sending(worker, session.tenant, "POST", path, body, **headers))
        return list(await asyncio.gather(*calls))

    def looked(self, response: httpx.Response, session: Session, request: Request) -> None:
        if (over := session.refusal()) is not None:
            self.refused(response, over)
            return
        self.same_result(answered(response), session, request)
        self.saw("looked")

    def same_result(self, result: Body, session: Session, request: Request, *, advanced: bool = False) -> Words:
        """Compare a StepResult with the network run offline; returns the words that were fed."""
        oracle = self.oracle(session)
        fed = session.words + request.words
        output = result["output"]
        if request.max_tokens:
            expected = oracle.generated(fed, request.max_tokens, request.seed)
            assert {**output, "logprobs": None} == {**expected, "logprobs": None}
            pairs = zip(output["logprobs"], expected["logprobs"], strict=True)
            assert all(abs(found - known) <= 10 * TOLERANCE for found, known in pairs)
            fed += tuple(expected["tokens"])
        else:
            assert_same_predictions(output, oracle.predicted(fed, request.top_k), TOLERANCE)
            assert len(output["predictions"]) == request.top_k
            observed(output["observed"], oracle, fed, request.words)
        told = {name: result[name] for name in ("session_id", "model", "version", "step")}
        assert told == {
            "session_id": session.id,
            "model": session.model,
            "version": session.version,
            "step": session.step + advanced,
        }
        assert result["timesteps"] == session.undone + len(fed if advanced else session.words)
        return fed[len(session.words) :]

    def page(self, worker: int, tenant: str, model: str | None, limit: int, after: Paging | None) -> None:
        before = None if after is None else after.before
        query = {"limit": limit, "model": model, "cursor": after and after.cursor}
        path = "?" + "&".join(f"{name}={value}" for name, value in query.items() if value is not None)
        page = answered(self.send(worker, tenant, "GET", path))
        expected = self.reference.listed(tenant, model, before)
        assert page["data"] == [self.view(one) for one in expected[:limit]]
        assert (page["next_cursor"] is None) == (len(expected) <= limit)
        if page["next_cursor"] is not None:
            self.pagings.append(Paging(tenant, model, page["next_cursor"], expected[limit - 1].place))
        self.saw("listed")

    def teardown(self) -> None:
        if sys.exc_info()[0] is not None:
            return  # the story broke off; what it says at its end would hide why
        for tenant in TENANTS:
            self.page(0, tenant, None, 1000, None)
        self.nothing_was_miscounted()
        self.nothing_is_left()

    def nothing_was_miscounted(self) -> None:
        kept = sum(one.ending in {None, "state_corrupted"} for one in self.reference.sessions.values())
        assert self.world.run(self.world.stores[0].active()) == kept
        expected = {
            "created": self.born,
            "deleted": self.deleted,
            "expired": self.expired,
            **{name: self.outcomes[name] for name in STEP_OUTCOMES},
        }
        now = self.counters()
        found = {name: now[name] - self.counted[name] for name in expected}
        assert found == expected, (found, expected)

    def nothing_is_left(self) -> None:
        """Let everything end, the dead's stones too: what is left is what was there in the beginning."""
        for key in self.world.stored():
            if "{ses_" in key:
                assert self.world.redis.pttl(key) > 0, f"{key} would stay for ever"
                self.world.redis.delete(key)
            elif key.endswith(":expiry"):
                for member in self.world.redis.zrange(key, 0, -1):
                    self.world.redis.zadd(key, {member: 1})
        assert self.world.run(self.world.stores[1].active()) == 0
        assert self.world.stored() == {SECRET}

    def counters(self) -> Counter[str]:
        """What the workers have counted of sessions and steps."""
        told = self.world.counters()
        found = Counter({name: told[f'session_steps_total{{outcome="{name}"}}'] for name in STEP_OUTCOMES})
        found.update({name: told[f'sessions_ended_total{{reason="{name}"}}'] for name in ("deleted", "expired")})
        found["created"] = sum(told[f'sessions_created_total{{model="{name}"}}'] for name in MODELS)
        return found

    def send(
        self, worker: int, tenant: str, method: str, path: str, body: object = None, key: str | None = None
    ) -> httpx.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        response: httpx.Response = self.world.send(worker, tenant, method, path, body, **headers)
        return response

    def shows(self, response: httpx.Response, session: Session, status: int) -> None:
        if (over := session.refusal()) is not None:
            self.refused(response, over)
        else:
            assert answered(response, status) == self.view(session)

    def refused(self, response: httpx.Response, expected: Refusal | None) -> None:
        assert expected is not None
        assert response.status_code == expected.status, response.text
        error = envelope(response.json()["error"], expected.status, expected.code)
        assert not expected.applied or error["applied"] in expected.applied
        self.saw(f"{expected.code}")

    def view(self, session: Session) -> Body:
        return {
            "id": session.id,
            "model": session.model,
            "version": session.version,
            "task": "next-word",
            "step": session.step,
            "timesteps": session.timesteps,
            "created_at": timestamp(session.created_at),
            "expires_at": timestamp(session.expires_at),
            "ttl_seconds": session.ttl_seconds,
            "durability": session.durability,
            "state_bytes": self.oracle(session).loaded.version.state_bytes,
        }

    def renewed(self, session: Session) -> None:
        session.left_ms, session.left_at = 1000 * session.ttl_seconds, time.monotonic()

    def oracle(self, session: Session) -> Oracle:
        return self.world.oracles[session.model, session.version]

    def key(self, session: Session) -> str:
        return self.world.session_key(session.tenant, session.id)

    def now(self, worker: int) -> int:
        return self.world.clocks[worker].now()

    def saw(self, what: str) -> None:
        self.seen[what] += 1


def sent(session: Session, request: Request) -> tuple[str, Body]:
    """The path and the body of a request."""
    if request.reset:
        return f"/{session.id}/reset", {} if request.back is None else {"step": request.back}
    given = " ".join(request.words) if request.form == "text" else list(request.words)
    body: Body = {"input": {request.form: given}} if request.words else {}
    if request.max_tokens:
        drawn = {"temperature": 1.0, "seed": request.seed} if request.seed else {"temperature": 0}
        body["options"] = {"max_tokens": request.max_tokens, **drawn}
    elif request.top_k != 5:
        body["options"] = {"top_k": request.top_k}
    if request.step is not None:
        body["step"] = request.step
    return f"/{session.id}/{'generate' if request.max_tokens else 'steps'}", body


def answered(response: httpx.Response, status: int = 200) -> Body:
    assert response.status_code == status, response.text
    body: Body = response.json()
    return body


def replays(response: httpx.Response) -> bool:
    return "unroll-replayed" in response.headers


def observed(found: Body | None, oracle: Oracle, fed: Words, new: Words) -> None:
    """How the model had foreseen the new words."""
    if not new:
        assert found is None
        return
    assert found is not None
    assert found["tokens"] == len(new)
    scored = oracle.scored(fed, len(new))
    assert found["unknown"] == [word for one in scored for word in one["unknown"]]
    mean = sum(one["total_logprob"] for one in scored) / len(new)
    assert abs(found["mean_logprob"] - mean) <= TOLERANCE
