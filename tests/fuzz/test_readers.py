"""Some hundred damaged and hostile files for all readers; `make fuzz` reads a hundred thousand."""

from pathlib import Path

from tests.fuzz.child import make_input
from tests.fuzz.run import run
from tests.fuzz.seeds import made_seeds
from tests.fuzz.targets import TARGETS


def test_no_input_crashes_a_reader_runs_code_or_takes_much_memory_or_time() -> None:
    result = run(seed=1, count=400)
    assert result.findings == []
    assert sum(result.counts.values()) == 400


def test_inputs_follow_from_their_number(tmp_path: Path) -> None:
    seeds = {name: [content[:1] * 100 for content in contents] for name, contents in made_seeds(tmp_path).items()}
    plain = {name: contents for name, contents in seeds.items() if name in {"README.md"}}
    assert make_input(plain, 1, 7, "README.md") == make_input(plain, 1, 7, "README.md")
    assert make_input(plain, 1, 7, "README.md") != make_input(plain, 1, 8, "README.md")
    assert seeds.keys() == TARGETS.keys()
