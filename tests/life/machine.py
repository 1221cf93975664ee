"""The life of sessions as a state machine: what clients do, what happens to the store, what must hold.

Every answer is compared with the reference: status, code, `applied`, `step`, whether it was replayed, the whole
Session, and the output, by the network run offline; replays byte for byte.
"""

import asyncio
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import httpx
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from service.application.views import timestamp
from service.store.record import HEAD_BYTES
from tests.life.oracle import Oracle, Words
from tests.life.reference import NOT_FOUND, Applied, Reference, Refusal, Request, Session
from tests.life.world import MODELS, SECRET, TENANTS, World
from tests.server import Body, assert_same_predictions, envelope, eventually

TOLERANCE = 1e-5
#: How far the store's own time to live may be off from what was asked for: a slow machine's tests, not a mistake.
SLACK_MS = 60_000
MOST_LIVE = 6
STEP_OUTCOMES = ("applied", "replayed", "conflict", "failed")

workers = st.integers(0, 1)
places = st.integers(0, 63)
words = st.lists(st.sampled_from(["the", "dog", "is", "small", "zyzzyva"]), min_size=1, max_size=3).map(tuple)
keys = st.none() | st.sampled_from(["k1", "k2", "k3", "k4"])
ttls = st.sampled_from([600, 3600, 86_400])


@dataclass
class Paging:
    """A listing under way, by its cursor: what is older than `before` is still to come."""

    tenant: str
    model: str | None
    cursor: str
    before: tuple[int, str]


class SessionLife(RuleBasedStateMachine):
    """`world` is set by whoever runs the machine; `seen` counts what happened over all examples."""

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

    @initialize()
    def begin(self) -> None:
        self.world.forget()
        self.counted = self.counters()

    # Sessions come, by creation and by copy.

    @precondition(lambda self: self.has_room())
    @rule(
        worker=workers,
        tenant=st.sampled_from(TENANTS),
        model=st.sampled_from([("tiny", None), ("pair", None), ("pair", "1")]),
        ttl=ttls,
        kept_steps=st.sampled_from([0, 0, 1, 3, 64]),
        durability=st.sampled_from(["memory", "memory", "fsynced"]),
        key=keys,
    )
    def create(
        self,
        worker: int,
        tenant: str,
        model: tuple[str, str | None],
        ttl: int,
        kept_steps: int,
        durability: str,
        key: str | None,
    ) -> None:
        name, version = model
        body = {"model": name, "ttl_seconds": ttl, "kept_steps": kept_steps, "durability": durability}
        body |= {} if version is None else {"version": version}
        response = self.send(worker, tenant, "POST", "", body, key)
        made = self.made_before(self.created.get((tenant, key or "")) if key else None, body, response)
        if made:
            return
        session = Session(
            id=response.json()["id"],
            tenant=tenant,
            model=name,
            version=version or MODELS[name][-1],
            created_at=self.now(worker),
            expires_at=self.now(worker) + 1000 * ttl,
            ttl_seconds=ttl,
            durability=durability,
            kept_steps=kept_steps,
            origin=body,
        )
        if key is not None:
            self.created[tenant, key] = session.id
        self.enter(session, response)

    @precondition(lambda self: self.reference.sessions and self.has_room())
    @rule(worker=workers, place=places, step=st.none() | st.integers(0, 6), ttl=st.none() | ttls, key=keys)
    def fork(self, worker: int, place: int, step: int | None, ttl: int | None, key: str | None) -> None:
        parent = self.pick(place)
        body = {name: value for name, value in (("step", step), ("ttl_seconds", ttl)) if value is not None}
        response = self.send(worker, parent.tenant, "POST", f"/{parent.id}/fork", body, key)
        known = (parent.tenant, parent.id, step, key or "")
        if self.made_before(self.forked.get(known) if key else None, ttl, response):
            return
        if (over := parent.refusal()) is not None:
            self.refused(response, over)
            return
        child = parent.fork(response.json().get("id", ""), step, ttl, self.now(worker), ttl)
        if child is None:
            self.refused(response, Refusal(422, "invalid_request"))
            return
        if key is not None:
            self.forked[known] = child.id
        self.enter(child, response)

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
        self.saw("created")

    # Steps.

    @precondition(lambda self: self.reference.sessions)
    @rule(
        worker=workers,
        place=places,
        given=words,
        form=st.sampled_from(["text", "tokens"]),
        top_k=st.sampled_from([5, 5, 2]),
        marked=st.sampled_from(["", "step", "key", "both"]),
        key=keys,
    )
    def step(self, worker: int, place: int, given: Words, form: Any, top_k: int, marked: str, key: str | None) -> None:
        session = self.pick(place)
        step = session.step if marked in {"step", "both"} else None
        self.apply(
            worker,
            session,
            Request(given, form, top_k, step=step, key=key if "key" in marked or marked == "both" else None),
        )

    @precondition(lambda self: self.reference.sessions)
    @rule(worker=workers, place=places, given=words, off=st.sampled_from([-40, -3, -2, -1, 1, 2]), key=keys)
    def step_elsewhere(self, worker: int, place: int, given: Words, off: int, key: str | None) -> None:
        """A step that is not the session's."""
        session = self.pick(place)
        self.apply(worker, session, Request(given, step=max(0, session.step + off), key=key))

    @precondition(lambda self: any(one.history for one in self.reference.sessions.values()))
    @rule(
        worker=workers,
        place=places,
        back=st.sampled_from([1, 1, 1, 1, 2, 3, 31, 32, 33, 34]),
        change=st.sampled_from(["", "", "", "words", "options", "form", "step", "key", "no key"]),
    )
    def repeat(self, worker: int, place: int, back: int, change: str) -> None:
        """A request that was applied before, as it was or a little different."""
        told = [one for one in self.reference.sessions.values() if one.history]
        session = told[place % len(told)]
        known = session.history[max(0, len(session.history) - back)].request
        changes: dict[str, dict[str, Any]] = {
            "words": {"words": (*known.words, "she")},
            "options": {"max_tokens": known.max_tokens + 1} if known.max_tokens else {"top_k": known.top_k + 1},
            "form": {"form": "tokens" if known.form == "text" else "text"},
            "step": {"step": session.step if known.step is None else None},
            "key": {"key": "k5"},
            "no key": {"key": None},
        }
        self.apply(worker, session, replace(known, **changes.get(change, {})))

    @precondition(lambda self: self.reference.sessions)
    @rule(
        worker=workers,
        place=places,
        given=st.just(()) | words,
        form=st.sampled_from(["text", "tokens"]),
        count=st.integers(1, 4),
        seed=st.integers(0, 2),
        stepped=st.booleans(),
        key=keys,
        commit=st.sampled_from([True, True, False]),
    )
    def generate(
        self,
        worker: int,
        place: int,
        given: Words,
        form: Any,
        count: int,
        seed: int,
        stepped: bool,
        key: str | None,
        commit: bool,
    ) -> None:
        session = self.pick(place)
        request = Request(given, form, 5, count, seed, session.step if stepped else None, key)
        if commit:
            self.apply(worker, session, request)
            return
        path, body = sent(session, request)
        self.looked(self.send(worker, session.tenant, "POST", path, body | {"commit": False}, key), session, request)

    @precondition(lambda self: self.reference.sessions)
    @rule(worker=workers, place=places, given=st.just(()) | words, top_k=st.sampled_from([5, 3]))
    def predict(self, worker: int, place: int, given: Words, top_k: int) -> None:
        session, request = self.pick(place), Request(given, top_k=top_k)
        body = sent(session, request)[1] if given else {"options": {"top_k": top_k}}
        self.looked(self.send(worker, session.tenant, "POST", f"/{session.id}/predict", body), session, request)

    def looked(self, response: httpx.Response, session: Session, request: Request) -> None:
        if (over := session.refusal()) is not None:
            self.refused(response, over)
            return
        self.same_result(answered(response), session, request)
        self.saw("looked")

    @precondition(lambda self: self.reference.sessions)
    @rule(
        worker=workers,
        tenant=st.sampled_from(TENANTS),
        wanted=st.lists(
            st.tuples(places, words, st.sampled_from([None, None, 0, 0, -1, 1]), keys), min_size=1, max_size=6
        ),
    )
    def step_many(self, worker: int, tenant: str, wanted: list[tuple[int, Words, int | None, str | None]]) -> None:
        """Sessions of both clients, some twice: each answered for itself, those of one session in their order."""
        asked = []
        ahead: Counter[str] = Counter()
        for place, given, off, key in wanted:
            session = self.pick(place)
            step = None if off is None else max(0, session.step + ahead[session.id] + off)
            ahead[session.id] += off in {None, 0}
            asked.append((session, Request(given, step=step, key=key)))
        self.apply_many(worker, tenant, asked)

    @precondition(lambda self: any(self.reference.live()))
    @rule(worker=workers, place=places, count=st.sampled_from([2, 31, 32, 33]), first=st.integers(0, 2), word=words)
    def hurry(self, worker: int, place: int, count: int, first: int, word: Words) -> None:
        """Many keyed steps in a row, more than a session remembers, for old keys to come back after them."""
        live = list(self.reference.live())
        session = live[place % len(live)]
        asked = [(session, Request(word[:1], key=f"h{first + number}")) for number in range(count)]
        self.apply_many(worker, session.tenant, asked)

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
            self.take(worker, session, request, expected, result)

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
        if replayed and expected.answer:
            assert response.content == expected.answer
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
        content: bytes = b"",
    ) -> None:
        """Judge the answer to a step, and let the reference take it. Of many at once, the bytes are not known."""
        if isinstance(expected, Refusal):
            error = envelope(result["error"], expected.status, expected.code)
            assert error["applied"] in expected.applied, (error, expected)
            assert expected.step is None or error["step"] == expected.step, (error, expected)
            self.outcomes["conflict" if expected.status in {409, 422} else "failed"] += 1
            self.saw(f"step {expected.code} {error['applied']}")
            return
        if isinstance(expected, Applied):
            assert result["step"] == expected.step + 1
            self.outcomes["replayed"] += 1
            self.saw("step replayed")
            return
        fed = self.same_result(result, session, request, advanced=True)
        session.advance(request, fed, content, self.now(worker))
        assert result["expires_at"] == timestamp(session.expires_at)
        self.renewed(session)
        self.outcomes["applied"] += 1
        self.saw("step applied")

    @precondition(lambda self: any(self.reference.live()))
    @rule(
        place=places, given=words, other=words, marked=st.sampled_from(["twin key", "twin step", "two steps", "none"])
    )
    def overlap(self, place: int, given: Words, other: Words, marked: str) -> None:
        """Two requests to both workers at the same moment: the same one twice, or two that are both to be applied."""
        live = list(self.reference.live())
        session = live[place % len(live)]
        key = f"o{session.step}" if marked == "twin key" else None
        step = session.step if marked in {"twin step", "two steps"} else None
        twins = marked.startswith("twin")
        if marked == "two steps" and other == given:
            return
        requests = [Request(given, step=step, key=key), Request(given if twins else other, step=step, key=key)]
        responses = self.world.run(self.together(session, requests))
        order = sorted(
            (0, 1),
            key=lambda at: (responses[at].status_code, replays(responses[at]), responses[at].json().get("step", 0)),
        )
        for at in order:
            self.judge(at, session, requests[at], session.expected(requests[at]), responses[at])
        self.saw(f"overlapped: {marked}")

    async def together(self, session: Session, requests: list[Request]) -> list[httpx.Response]:
        calls = []
        for worker, request in enumerate(requests):
            path, body = sent(session, request)
            headers = {} if request.key is None else {"Idempotency-Key": request.key}
            calls.append(self.world.sending(worker, session.tenant, "POST", path, body, **headers))
        return list(await asyncio.gather(*calls))

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
        assert result["timesteps"] == len(fed if advanced else session.words)
        return fed[len(session.words) :]

    # Everything else that clients do.

    @precondition(lambda self: self.reference.sessions)
    @rule(worker=workers, place=places)
    def get(self, worker: int, place: int) -> None:
        session = self.pick(place)
        response = self.send(worker, session.tenant, "GET", f"/{session.id}")
        self.shows(response, session, 200)

    @precondition(lambda self: self.reference.sessions)
    @rule(worker=workers, place=places, ttl=ttls)
    def patch(self, worker: int, place: int, ttl: int) -> None:
        session = self.pick(place)
        response = self.send(worker, session.tenant, "PATCH", f"/{session.id}", {"ttl_seconds": ttl})
        if session.ending is None:
            session.ttl_seconds = ttl
            session.renew(self.now(worker))
            self.renewed(session)
            self.saw("patched")
        self.shows(response, session, 200)

    @precondition(lambda self: self.reference.sessions)
    @rule(worker=workers, place=places)
    def delete(self, worker: int, place: int) -> None:
        session = self.pick(place)
        response = self.send(worker, session.tenant, "DELETE", f"/{session.id}")
        if (over := session.refusal()) is not None:
            self.refused(response, over)
            return
        assert (response.status_code, response.content) == (204, b"")
        session.ending = "session_ended"
        self.deleted += 1
        self.saw("deleted")

    @precondition(lambda self: self.reference.sessions)
    @rule(
        worker=workers,
        place=places,
        forged=st.none() | st.integers(4, 43),
        call=st.sampled_from(
            ["GET ", "DELETE ", "PATCH ", "POST /steps", "POST /predict", "POST /generate", "POST /fork"]
        ),
    )
    def intrude(self, worker: int, place: int, forged: int | None, call: str) -> None:
        """Another client's id, or one with a letter changed: never existed."""
        session = self.pick(place)
        session_id, tenant = session.id, session.tenant
        if forged is None:
            tenant = TENANTS[1 - TENANTS.index(tenant)]
        else:
            letter = "a" if session_id[forged] != "a" else "b"
            session_id = session_id[:forged] + letter + session_id[forged + 1 :]
        method, suffix = call.split(" ")
        bodies = {"PATCH": {"ttl_seconds": 60}, "POST /steps": {"input": {"text": "the"}}, "POST /fork": {}}
        body = bodies.get(call) or bodies.get(method)
        response = self.send(worker, tenant, method, f"/{session_id}{suffix}", body)
        stepping = suffix in {"/steps", "/generate"}
        self.refused(response, replace(NOT_FOUND, applied=frozenset({"no"} if stepping else ())))
        self.outcomes["failed"] += stepping

    @rule(
        worker=workers,
        tenant=st.sampled_from(TENANTS),
        model=st.sampled_from([None, None, "tiny", "pair"]),
        limit=st.integers(1, 5),
    )
    def list_first(self, worker: int, tenant: str, model: str | None, limit: int) -> None:
        self.page(worker, tenant, model, limit, None)

    @precondition(lambda self: self.pagings)
    @rule(worker=workers, place=places, limit=st.integers(1, 5))
    def list_on(self, worker: int, place: int, limit: int) -> None:
        """A cursor from some time ago, whatever has come and gone since."""
        paging = self.pagings.pop(place % len(self.pagings))
        self.page(worker, paging.tenant, paging.model, limit, paging)
        self.saw("listed on")

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

    # What happens to the store.

    @rule(milliseconds=st.sampled_from([1, 1000, 400_000]))
    def tick(self, milliseconds: int) -> None:
        self.world.tick(milliseconds)

    @precondition(lambda self: any(self.reference.live()))
    @rule(place=places)
    def age(self, place: int) -> None:
        """A session has not been used for long: little is left of its time in the store."""
        live = list(self.reference.live())
        session = live[place % len(live)]
        session.left_ms, session.left_at = 300_000, time.monotonic()
        assert self.world.redis.pexpire(self.key(session), session.left_ms)

    @precondition(lambda self: any(self.reference.live()))
    @rule(place=places, lost=st.booleans())
    def expire(self, place: int, lost: bool) -> None:
        live = list(self.reference.live())
        session = live[place % len(live)]
        if lost:
            self.world.redis.delete(self.key(session))
        else:
            self.world.redis.pexpire(self.key(session), 1)
            eventually(lambda: not self.world.redis.exists(self.key(session)))
        session.ending = "session_expired"
        # No session ends in the millisecond that it was created in, to be created again in the same one.
        self.world.tick(977)
        self.expired += 1
        self.saw("expired")

    @precondition(lambda self: any(self.reference.live()))
    @rule(place=places, at=st.integers(0, 10_000))
    def corrupt(self, place: int, at: int) -> None:
        live = list(self.reference.live())
        session = live[place % len(live)]
        stored = self.world.redis.get(self.key(session))
        at %= len(stored)
        self.world.redis.setrange(self.key(session), at, bytes([stored[at] ^ 0x40]))
        session.ending = "state_corrupted"
        # A listing reads no further than what it tells.
        session.hidden = at < HEAD_BYTES - 2 * 255 + len(session.model + session.version)
        self.saw("corrupted")

    # What holds in between, and what is left in the end.

    @invariant()
    def times_to_live_are_what_was_asked_for(self) -> None:
        for session in self.reference.live():
            left = self.world.redis.pttl(self.key(session))
            passed = 1000 * (time.monotonic() - session.left_at)
            assert session.left_ms - passed - SLACK_MS <= left <= session.left_ms, (left, session)

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

    # Small helpers.

    def send(
        self, worker: int, tenant: str, method: str, path: str, body: object = None, key: str | None = None
    ) -> httpx.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        response: httpx.Response = self.world.send(worker, tenant, method, path, body, **headers)
        return response

    def pick(self, place: int) -> Session:
        """Mostly one that lives, else one that is over."""
        everyone = list(self.reference.sessions.values())
        live = [one for one in everyone if one.ending is None]
        chosen = live if live and place < 56 else everyone
        return chosen[place % len(chosen)]

    def has_room(self) -> bool:
        return len(list(self.reference.live())) < MOST_LIVE

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
            "timesteps": len(session.words),
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
