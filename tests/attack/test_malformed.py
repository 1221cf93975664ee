"""What is malformed follows from the seed."""

import json
import random
import struct

import pytest

from tests.attack.attackers.grammar import Grammar
from tests.attack.attackers.malformed import Case
from tests.attack.attackers.malformed_bodies import body_case
from tests.attack.attackers.malformed_heads import head_case
from tests.attack.attackers.session_files import SessionFile, mutated

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
