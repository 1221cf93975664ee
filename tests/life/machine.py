"""The life of sessions as a state machine: what clients do, what happens to the store, what must hold.

Every answer is compared with the reference: status, code, `applied`, `step`, whether it was replayed, the whole
Session, and the output, by the network run offline; replays byte for byte.
"""

import time
from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from service.domain.sessions import Record
from service.store.record.codec import decode
from service.store.record.owner import RecordOwner
from tests.life.judging import Judging, replays, sent
from tests.life.oracle import Words
from tests.life.reference import NOT_FOUND, Refusal, Request, Session
from tests.life.world import MODELS, TENANTS
from tests.server import Body, eventually

#: How far the store's own time to live may be off from what was asked for: a slow machine's tests, not a mistake.
SLACK_MS = 60_000
MOST_LIVE = 6

workers = st.integers(0, 1)
places = st.integers(0, 63)
words = st.lists(st.sampled_from(["the", "dog", "is", "small", "zyzzyva"]), min_size=1, max_size=3).map(tuple)
keys = st.none() | st.sampled_from(["k1", "k2", "k3", "k4"])
ttls = st.sampled_from([600, 3600, 86_400])


class SessionLife(Judging):
    """All rules. What clients do goes to either worker."""

    @initialize(kept_steps=st.sampled_from([3, 1]), ttl=ttls)
    def begin(self, kept_steps: int, ttl: int) -> None:
        self.world.forget()
        self.counted = self.counters()
        for tenant in TENANTS:
            self.open(0, tenant, {"model": "tiny", "ttl_seconds": ttl, "kept_steps": kept_steps}, None)

    # Sessions come, by creation and by copy.

    @precondition(lambda self: self.has_room())
    @rule(
        worker=workers,
        tenant=st.sampled_from(TENANTS),
        model=st.sampled_from([("tiny", None), ("pair", None), ("pair", "1")]),
        ttl=ttls,
        kept_steps=st.sampled_from([1, 3, 0, 64]),
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
        self.open(worker, tenant, body | ({} if version is None else {"version": version}), key)

    @precondition(lambda self: self.created)
    @rule(worker=workers, place=places)
    def create_again(self, worker: int, place: int) -> None:
        """As its client would, who cannot know whether the session was made, nor whether it has expired since."""
        (tenant, key), session_id = list(self.created.items())[place % len(self.created)]
        self.open(worker, tenant, self.reference.sessions[session_id].origin, key)

    def open(self, worker: int, tenant: str, body: Body, key: str | None) -> None:
        response = self.send(worker, tenant, "POST", "", body, key)
        made = self.made_before(self.created.get((tenant, key or "")) if key else None, body, response)
        if made:
            return
        session = Session(
            id=response.json()["id"],
            tenant=tenant,
            model=body["model"],
            version=body.get("version", MODELS[body["model"]][-1]),
            created_at=self.now(worker),
            expires_at=self.now(worker) + 1000 * body["ttl_seconds"],
            ttl_seconds=body["ttl_seconds"],
            durability=body.get("durability", "memory"),
            kept_steps=body["kept_steps"],
            origin=body,
        )
        if key is not None:
            self.created[tenant, key] = session.id
        self.enter(session, response)

    @precondition(lambda self: self.reference.sessions and self.has_room())
    @rule(
        worker=workers,
        place=places,
        edge=st.sampled_from([None, -1, -1, 0, 1]),
        ttl=st.none() | ttls,
        key=keys,
        echo=st.booleans(),
    )
    def fork(self, worker: int, place: int, edge: int | None, ttl: int | None, key: str | None, echo: bool) -> None:
        """A copy as it stands, or at a step about the oldest that is kept; it was never asked what its parent was."""
        full = [one for one in self.reference.live() if one.kept and one.kept[0][0]]
        parent = self.pick(place) if edge is None or not full else full[place % len(full)]
        oldest = parent.kept[0][0] if parent.kept else parent.step
        step = None if edge is None else max(0, oldest + edge)
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
        if echo and parent.last is not None:
            self.apply(worker, child, parent.last.request)

    # Steps.

    @precondition(lambda self: self.reference.sessions)
    @rule(
        worker=workers,
        place=places,
        given=words,
        form=st.sampled_from(["text", "tokens"]),
        top_k=st.sampled_from([5, 5, 2]),
        stepped=st.booleans(),
        key=keys,
        again=st.booleans(),
    )
    def step(
        self, worker: int, place: int, given: Words, form: Any, top_k: int, stepped: bool, key: str | None, again: bool
    ) -> None:
        """Its client may lose the answer, and ask the other worker again."""
        session = self.pick(place)
        request = Request(given, form, top_k, step=session.step if stepped else None, key=key)
        self.apply(worker, session, request)
        if again:
            self.apply(1 - worker, session, request)

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
        if known.reset and change not in {"key", "no key"}:
            change = "back" if change else ""
        changes: dict[str, dict[str, Any]] = {
            "words": {"words": (*known.words, "she")},
            "options": {"max_tokens": known.max_tokens + 1} if known.max_tokens else {"top_k": known.top_k + 1},
            "form": {"form": "tokens" if known.form == "text" else "text"},
            "step": {"step": session.step if known.step is None else None},
            "key": {"key": "k5"},
            "no key": {"key": None},
            "back": {"back": session.step if known.back is None else None},
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
            self.apply(1 - worker, session, request)
            return
        path, body = sent(session, request)
        self.looked(self.send(worker, session.tenant, "POST", path, body | {"commit": False}, key), session, request)

    @precondition(lambda self: self.reference.sessions)
    @rule(worker=workers, place=places, given=st.just(()) | words, top_k=st.sampled_from([5, 3]))
    def predict(self, worker: int, place: int, given: Words, top_k: int) -> None:
        session, request = self.pick(place), Request(given, top_k=top_k)
        body = sent(session, request)[1] if given else {"options": {"top_k": top_k}}
        self.looked(self.send(worker, session.tenant, "POST", f"/{session.id}/predict", body), session, request)

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
    @rule(worker=workers, place=places, count=st.sampled_from([2, 33]), old=st.integers(31, 33), word=words)
    def hurry(self, worker: int, place: int, count: int, old: int, word: Words) -> None:
        """Many keyed steps in a row, then one of them again: the session knows its last keys."""
        live = list(self.reference.live())
        session = live[place % len(live)]
        asked = [(session, Request(word[:1], key=f"h{session.step + number}")) for number in range(count)]
        self.apply_many(worker, session.tenant, asked)
        self.apply(1 - worker, session, session.history[max(0, len(session.history) - old)].request)

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

    @precondition(lambda self: self.reference.sessions)
    @rule(worker=workers, place=places, edge=st.sampled_from([None, None, -1, 0, 0, 1]), key=keys, again=st.booleans())
    def reset(self, worker: int, place: int, edge: int | None, key: str | None, again: bool) -> None:
        """Back to the beginning, or to a step about the oldest that is kept."""
        session = self.pick(place)
        oldest = session.kept[0][0] if session.kept else session.step
        back = None if edge is None else max(0, oldest + edge)
        request = Request((), key=key, reset=True, back=back)
        self.apply(worker, session, request)
        if again:
            self.apply(1 - worker, session, request)

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
    @rule(worker=workers, place=places, lost=st.booleans(), again=st.booleans())
    def expire(self, worker: int, place: int, lost: bool, again: bool) -> None:
        """It is over, or gone with a part of the store; its client may make it again by its key."""
        live = list(self.reference.live())
        keyed = [one for one in live if one.id in self.created.values()]
        some = keyed if again and keyed else live
        session = some[place % len(some)]
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
        for (tenant, key), session_id in self.created.items():
            if again and session_id == session.id:
                self.open(worker, tenant, self.reference.sessions[session_id].origin, key)

    @precondition(lambda self: any(self.reference.live()))
    @rule(place=places, at=st.integers(0, 10_000))
    def corrupt(self, place: int, at: int) -> None:
        live = list(self.reference.live())
        session = live[place % len(live)]
        stored = self.world.redis.get(self.key(session))
        record = decode(stored, RecordOwner(session.tenant, session.id))
        assert isinstance(record, Record)
        at %= len(stored)
        self.world.redis.setrange(self.key(session), at, bytes([stored[at] ^ 0x40]))
        session.ending = "state_corrupted"
        # A listing reads no further than what it tells, and the state follows.
        session.hidden = at < stored.index(record.state)
        self.saw("corrupted")

    # What holds in between, and what is left in the end.

    @invariant()
    def times_to_live_are_what_was_asked_for(self) -> None:
        for session in self.reference.live():
            left = self.world.redis.pttl(self.key(session))
            passed = 1000 * (time.monotonic() - session.left_at)
            assert session.left_ms - passed - SLACK_MS <= left <= session.left_ms, (left, session)

    # Small helpers.

    def pick(self, place: int) -> Session:
        """Mostly one that lives, else one that is over."""
        everyone = list(self.reference.sessions.values())
        live = [one for one in everyone if one.ending is None]
        chosen = live if live and place < 56 else everyone
        return chosen[place % len(chosen)]

    def has_room(self) -> bool:
        return len(list(self.reference.live())) < MOST_LIVE
