"""What is malformed follows from the seed."""

import json
import random
import re
import struct

import pytest

from tests.attack.attackers.contract import read_contract
from tests.attack.attackers.damage import damaged
from tests.attack.attackers.frames import MalformedFrames
from tests.attack.attackers.grammar import Grammar
from tests.attack.attackers.http2 import connection
from tests.attack.attackers.malformed import Case
from tests.attack.attackers.malformed_bodies import body_case
from tests.attack.attackers.malformed_heads import head_case
from tests.attack.attackers.messages import message
from tests.attack.attackers.offline import problem
from tests.attack.attackers.session_files import SessionFile, mutated
from tests.server import ROOT

HEADER = json.dumps(
    {
        "__metadata__": {"model": "next-word", "step": "3"},
        "h_l0": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},
        "seen": {"dtype": "I64", "shape": [1], "data_offsets": [16, 24]},
    }
).encode()
FILE = struct.pack("<Q", len(HEADER)) + HEADER + bytes(24)


def cases(case: Case, seed: int) -> list[bytes]:
    lucks = [random.Random(f"{seed} {number}") for number in range(300)]
    return [case(choose, Grammar(choose, ["ses_known"]), "key") for choose in lucks]


@pytest.mark.parametrize("case", [body_case, head_case])
def test_the_same_seed_makes_the_same_requests(case: Case) -> None:
    assert cases(case, 1) == cases(case, 1)
    assert cases(case, 1) != cases(case, 2)


def test_the_grammar_reaches_every_kind_of_route() -> None:
    requests = [Grammar(random.Random(number), ["ses_known"]).request() for number in range(500)]
    ends = {path.rsplit("/", 1)[-1] for _, path, _ in requests}
    assert {"predict", "score", "generate", "sessions", "steps", "fork", "reset", "state"} <= ends
    assert {"POST", "GET", "PATCH", "PUT", "HEAD"} <= {method for method, _, _ in requests}


def test_some_bodies_are_valid_json_and_some_are_not() -> None:
    valid = 0
    for request in (requests := cases(body_case, 1)):
        try:
            json.loads(request.partition(b"\r\n\r\n")[2])
        except (ValueError, RecursionError):
            continue
        valid += 1
    assert len(requests) * 0.1 < valid < len(requests) * 0.9


def test_a_session_file_survives_being_taken_apart() -> None:
    assert SessionFile.parse(SessionFile.parse(FILE).pack()) == SessionFile.parse(FILE)


def test_session_files_are_mutated_in_all_ways_without_an_error() -> None:
    files = [mutated(random.Random(number), [FILE]) for number in range(500)]
    assert files == [mutated(random.Random(number), [FILE]) for number in range(500)]
    assert len(set(files)) > 200


def test_damaged_json_is_often_none_and_often_json_of_another_value() -> None:
    value = {"model": "next-word", "input": {"text": "tea", "values": [1, 2]}, "step": 3}
    made = [damaged(random.Random(number), value) for number in range(400)]
    assert made == [damaged(random.Random(number), value) for number in range(400)]
    parsed = []
    for content in made:
        try:
            parsed.append(json.loads(content))
        except (ValueError, RecursionError):
            continue
    assert 40 < len(parsed) < 360
    assert sum(one != value for one in parsed) > 20


def test_routes_reach_every_operation_of_the_contract() -> None:
    contract = read_contract((ROOT / "docs" / "openapi.json").read_text("utf-8"))
    requests = [contract.request(random.Random(number), "key", ["ses_known"]) for number in range(6000)]
    reached = {tuple(request.split(b" ", 2)[:2]) for request in requests}
    for operation in contract.operations:
        pattern = re.sub(r"\{\w+\}", r"[^/]*", operation.path)
        assert any(method == operation.method.encode() and re.match(pattern.encode(), path) for method, path in reached)


def test_frames_and_messages_follow_from_the_seed() -> None:
    for make in (
        lambda choose: MalformedFrames().frames(choose, "ses_known"),
        message,
        lambda choose: connection(choose, "key"),
    ):
        made = [make(random.Random(number)) for number in range(200)]
        assert made == [make(random.Random(number)) for number in range(200)]
        assert len({repr(one) for one in made}) > 150


def test_what_a_command_may_end_with() -> None:
    assert problem(0, None, "") == problem(1, SystemExit(1), "unroll: found 3, expected 4\n") == ""
    assert problem(1, ValueError("x"), "") == "traceback of ValueError"
    assert problem(1, SystemExit(1), "unroll: unexpected KeyError: 'a'\n") == "an unexpected error"
    assert problem(1, SystemExit(1), "one\ntwo\n") == "2 lines of error"
    assert problem(3, SystemExit(3), "") == "exit status 3"
