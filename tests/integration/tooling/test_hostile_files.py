"""Hostile checkpoints and folders given to the offline commands: one line of error, no traceback, no foreign code."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from service.cli import app
from tests.folders import write_language_model
from tests.forecast_folders import write_forecaster
from tests.hostile import CHECKPOINTS, FOLDERS
from tests.server import ROOT


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def assert_refused(result: Result, *mentions: str) -> None:
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("unroll: ")
    assert not line.startswith("unroll: unexpected")
    for mention in mentions:
        assert mention in line


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_language_model(tmp_path_factory.mktemp("good"))


@pytest.mark.parametrize("command", ["inspect", "pack"])
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_hostile_checkpoint_is_refused_in_one_line(tmp_path: Path, command: str, name: str) -> None:
    make, mention = CHECKPOINTS[name]
    path = tmp_path / "weights.pt"
    make(path)
    target = [tmp_path / "models" / "m" / "1"] if command == "pack" else []
    assert_refused(run(command, path, *target), mention, str(path))
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("command", ["verify", "predict"])
@pytest.mark.parametrize("name", FOLDERS)
def test_a_hostile_folder_is_refused_in_one_line(tmp_path: Path, good: Path, command: str, name: str) -> None:
    spoil, mention = FOLDERS[name]
    folder = tmp_path / "m" / "1"
    shutil.copytree(good, folder)
    spoil(folder)
    arguments = ["predict", folder, "the dog", "--models", tmp_path] if command == "predict" else ["verify", folder]
    result = run(*arguments)
    if command == "predict" and not (folder / "config.json").is_file():
        assert_refused(result, "found no model")
    else:
        assert_refused(result, mention)


@pytest.mark.parametrize("option", ["vocab", "tokenizer", "golden", "card", "config"])
def test_a_companion_file_of_another_kind_is_refused(tmp_path: Path, good: Path, option: str) -> None:
    files = {"tokenizer": good / "tokenizer.json"}
    files.pop("tokenizer" if option == "vocab" else "", None)
    link = tmp_path / "link"
    link.symlink_to("/dev/zero")
    files[option] = link
    options = [word for name, path in files.items() for word in (f"--{name}", path)]
    options += ["--plain", "--set", "layer_norm=false"]
    result = run("pack", good / "model.safetensors", tmp_path / "models" / "m" / "1", *options)
    assert_refused(result, "found a device, expected a regular file")


@pytest.mark.parametrize("option", ["csv", "future"])
def test_a_series_of_another_kind_is_refused(tmp_path: Path, option: str) -> None:
    layer = {"size": 4, "activation": "tanh"}
    write_forecaster(tmp_path, "sensor", features=["a", "k"], target=["a"], known=["k"], context=layer, local=layer)
    (tmp_path / "rows.csv").write_text("a,k\n1,2\n")
    files = {"csv": tmp_path / "rows.csv", option: tmp_path / "link"}
    (tmp_path / "link").symlink_to("/dev/zero")
    options = [word for name, path in files.items() for word in (f"--{name}", path)]
    assert_refused(run("predict", "sensor", "--models", tmp_path, *options), "found a device")


#: Runs a command on each file and prints the largest memory, in KB, before and after.
MEASURE = """
import resource, sys
from typer.testing import CliRunner
from service.cli import app
import service.tooling.inspect.report

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

before = peak()
assert {CliRunner().invoke(app, ["inspect", path]).exit_code for path in sys.argv[1:]} == {1}
print(before, peak())
"""


def test_hostile_checkpoints_take_no_memory(tmp_path: Path) -> None:
    paths = [tmp_path / str(number) / "weights.pt" for number in range(len(CHECKPOINTS))]
    for path, (make, _) in zip(paths, CHECKPOINTS.values(), strict=True):
        path.parent.mkdir()
        make(path)
    command = [sys.executable, "-c", MEASURE, *map(str, paths)]
    measured = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    before, after = map(int, measured.stdout.split())
    assert (after - before) << 10 < 700 * 2**20


def test_a_name_with_a_line_end_is_told_in_one_line(tmp_path: Path) -> None:
    folder = write_language_model(tmp_path, "m")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "\n\t": 12}), "utf-8")
    result = CliRunner().invoke(app, ["verify", str(folder)])
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "\\n" in result.stderr
