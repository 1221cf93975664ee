"""Sessions continue: in any pieces, on any worker, among any others, after any crash."""

import json
import os
import random
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.folders import WORDS, write_language_model
from tests.rounding import LOGIT
from tests.server import (
    Body,
    Server,
    answered,
    assert_same_predictions,
    eventually,
    is_running,
    living_in,
    look_up,
    new_session,
    post,
    refusal,
    step,
)

ORDINARY = [word for word in WORDS if word.isalpha()]
ALL = {"top_k": 100}


@dataclass(frozen=True)
class Stream:
    """What one client feeds its session, piece by piece."""

    pieces: list[str]

    @classmethod
    def random(cls, seed: int, length: int) -> "Stream":
        choice = random.Random(seed)
        return cls([" ".join(choice.choices(ORDINARY, k=choice.randint(1, 3))) for _ in range(length)])

    def prefixes(self) -> list[str]:
        return [" ".join(self.pieces[: end + 1]) for end in range(len(self.pieces))]


def at_once(http: httpx.Client, texts: list[str]) -> list[Body]:
    """What the model answers to each whole text without a session."""
    body = {"inputs": [{"text": text} for text in texts], "options": ALL}
    outputs: list[Body] = answered(post(http, "/v1/models/tiny/predict", body))["outputs"]
    return outputs


def feed(http: httpx.Client, session: str, piece: str) -> Body:
    """Feed one piece and return the step's result."""
    return answered(step(http, session, piece, options=ALL))


def busy_workers(log: str) -> set[int]:
    """The processes that answered steps."""
    events = [json.loads(line) for line in log.splitlines() if '"event": "request"' in line]
    return {event["process"] for event in events if event.get("route", "").endswith("/steps")}


def test_a_text_fed_word_by_word_through_a_crash_gives_what_it_gives_at_once(
    server: Server, http: httpx.Client
) -> None:
    words = random.Random(1).choices(ORDINARY, k=40)
    expected = at_once(http, [" ".join(words[: end + 1]) for end in range(len(words))])
    session, idle = new_session(http), new_session(http)
    for number, word in enumerate(words):
        if number == 20:
            workers = server.worker_pids()
            server.kill9()
            eventually(lambda pids=workers: not any(map(is_running, pids)))
            server.restart()
        result = feed(http, session, word)
        assert (result["step"], result["timesteps"]) == (number + 1, number + 1)
        assert_same_predictions(result["output"], expected[number])
    assert look_up(http, session)["timesteps"] == len(words)
    assert look_up(http, idle)["step"] == 0


def test_fifty_interleaved_sessions_each_get_what_they_get_alone(server: Server, http: httpx.Client) -> None:
    streams = [Stream.random(seed, 6) for seed in range(50)]
    alone: list[list[Body]] = []
    for stream in streams:
        session = new_session(http)
        alone.append([feed(http, session, piece) for piece in stream.pieces])
    logged = len(server.log)
    sessions = [new_session(http) for _ in streams]
    together: list[list[Body]] = [[] for _ in streams]
    order = list(range(len(streams)))
    with ThreadPoolExecutor(16) as pool:
        for turn in range(6):
            random.Random(turn).shuffle(order)
            results = pool.map(lambda at, turn=turn: feed(http, sessions[at], streams[at].pieces[turn]), order)
            for at, result in zip(order, results, strict=True):
                together[at].append(result)
    for own, other in zip(alone, together, strict=True):
        for mine, theirs in zip(own, other, strict=True):
            assert (mine["step"], mine["timesteps"]) == (theirs["step"], theirs["timesteps"])
            assert_same_predictions(theirs["output"], mine["output"])
            observed, seen = mine["output"]["observed"], theirs["output"]["observed"]
            assert seen["mean_logprob"] == pytest.approx(observed["mean_logprob"], abs=LOGIT)
            assert (seen["tokens"], seen["unknown"]) == (observed["tokens"], observed["unknown"])
    assert busy_workers(server.log[logged:]) == set(server.worker_pids())


def test_the_same_text_in_any_pieces_ends_in_the_same_state(http: httpx.Client) -> None:
    words = random.Random(2).choices(ORDINARY, k=24)
    (expected,) = at_once(http, [" ".join(words)])
    for size in (1, 2, 5, 24):
        session = new_session(http)
        for at in range(0, len(words), size):
            result = feed(http, session, " ".join(words[at : at + size]))
        assert result["timesteps"] == len(words)
        assert_same_predictions(result["output"], expected)


def test_a_dead_worker_is_replaced_and_its_sessions_go_on(server: Server, http: httpx.Client) -> None:
    stream = Stream.random(5, 8)
    expected = at_once(http, stream.prefixes())
    session = new_session(http)
    for number, piece in enumerate(stream.pieces):
        if number == 4:
            dead = server.worker_pids()[0]
            os.kill(dead, signal.SIGKILL)
            eventually(lambda pid=dead: not is_running(pid))
            # Meanwhile the other worker answers.
            assert httpx.get(f"{server.url}/health/live", timeout=10).status_code == 200
            eventually(server.is_ready, 120)
            assert dead not in server.worker_pids()
        assert_same_predictions(feed(http, session, piece)["output"], expected[number])


def test_sigterm_ends_every_process_and_a_second_start_finds_the_sessions(
    server: Server, http: httpx.Client, models_folder: Path
) -> None:
    session = new_session(http)
    first = step(http, session, "the dog", key="k1")
    before = look_up(http, session)
    processes = server.processes() | living_in(server.state_dir)
    assert len(processes) >= 4
    removed_or_changed = {name: new_session(http, name) for name in ("removed", "changed")}
    assert server.terminate() == 0
    eventually(lambda: not any(map(is_running, processes)), 5)
    assert living_in(server.state_dir) == set()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/health/live")
    shutil.rmtree(models_folder / "removed")
    shutil.rmtree(models_folder / "changed")
    write_language_model(models_folder, "changed", seed=5)
    server.restart()
    for name, gone in removed_or_changed.items():
        # Workers that were killed in the tests before count as serving it for a while, until each of these has heard.
        eventually(lambda gone=gone: all(step(http, gone, "the").status_code != 503 for _ in range(20)), 60)
        assert refusal(step(http, gone, "the"), 410, "model_version_gone", name)["applied"] == "no"
        for route in ("predict", "generate", "fork"):
            refusal(post(http, f"/v1/sessions/{gone}/{route}"), 410, "model_version_gone", name)
    assert look_up(http, session) == before
    again = step(http, session, "the dog", key="k1")
    assert (again.content, again.headers["unroll-replayed"]) == (first.content, "true")
    (expected,) = at_once(http, ["the dog is"])
    assert_same_predictions(feed(http, session, "is")["output"], expected)


def test_sigterm_lets_a_request_under_way_be_answered(server: Server, http: httpx.Client) -> None:
    body = {"inputs": [{"text": "dog " * 400} for _ in range(64)]}
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(post, http, "/v1/models/tiny/score", body)

        def under_way() -> bool:
            text = httpx.get(f"{server.url}/metrics", timeout=10).text
            return "\nunroll_requests_in_flight 2.0" in text

        eventually(lambda: under_way() or answer.done())
        assert not answer.done(), "the request was too short to be caught under way"
        assert server.terminate() == 0
        assert len(answered(answer.result(30))["outputs"]) == 64


def test_a_worker_dies_with_its_supervisor_and_the_store_lives_on(server: Server, http: httpx.Client) -> None:
    session = new_session(http)
    answered(step(http, session, "the dog"))
    workers, store = server.worker_pids(), living_in(server.state_dir)
    assert (len(workers), len(store)) == (2, 1)
    server.kill9()
    eventually(lambda: not any(map(is_running, workers)), 10)
    assert all(map(is_running, store))
    server.restart()
    assert living_in(server.state_dir) == store
    assert look_up(http, session)["step"] == 1
