"""`unroll predict`: one question to one model, without a server."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from service.cli import app
from tests.folders import write_language_model
from tests.forecast_folders import write_forecaster
from tests.vector_folders import VECTORS, write_melodies

Ask = Callable[..., Result]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_language_model(folder, "words")
    write_melodies(folder, "styles")
    write_forecaster(folder, "sensor", "1", seed=5)
    write_forecaster(folder, "sensor", "2")
    write_forecaster(
        folder,
        "shop",
        features=["sales", "open"],
        known=["open"],
        calendar=["day_of_week"],
        frequency="1d",
        context={"size": 4, "activation": "tanh"},
        local={"size": 4, "activation": "tanh"},
    )
    return folder


@pytest.fixture
def ask(models: Path, tmp_path: Path) -> Ask:
    """Runs the command; `series` and `future` are the text of files."""

    def run(*arguments: str, **files: str) -> Result:
        given = [*arguments, "--models", str(models)]
        for name, text in files.items():
            path = tmp_path / f"{name}.csv"
            path.write_text(text, "utf-8")
            given += [f"--{'csv' if name == 'series' else name}", str(path)]
        return CliRunner().invoke(app, ["predict", *given])

    return run


def lines(result: Result) -> list[list[str]]:
    assert result.exit_code == 0, result.output
    return [line.split() for line in result.output.splitlines()]


READINGS = "timestamp,load\n2024-05-01 12:00:00,101\n2024-05-01 12:30:00,\n2024-05-01 13:00:00,99\n"


def test_a_series_in_a_file_is_forecast_step_by_step(ask: Ask) -> None:
    header, *steps = lines(ask("sensor", series=READINGS))
    assert header == ["time", "mean", "0.1", "0.5", "0.9"]
    assert [step[0] for step in steps] == [
        f"2024-05-01T{time}:00Z" for time in ("13:30", "14:00", "14:30", "15:00")
    ]  # fmt: skip
    assert all(float(step[2]) < float(step[3]) < float(step[4]) for step in steps)
    assert len(lines(ask("sensor", "--horizon", "2", series=READINGS))) == 3


def test_steps_of_a_series_without_times_are_numbered(ask: Ask) -> None:
    header, *steps = lines(ask("sensor", series="load\n101\n99\n"))
    assert header[0] == "step"
    assert [step[0] for step in steps] == ["1", "2", "3", "4"]


def test_json_is_the_output_of_the_api(ask: Ask) -> None:
    result = ask("sensor", "--json", "--horizon", "1", series=READINGS)
    output = json.loads(result.output)
    assert output.keys() == {"horizon", "features", "mean", "quantiles", "timestamps", "observed"}
    assert output["observed"]["anomaly_scores"][:2] == [None, None]
    assert isinstance(output["mean"][0], float)


def test_a_file_may_be_longer_than_a_request(ask: Ask) -> None:
    assert len(lines(ask("sensor", series="load\n" + "100\n" * 5000))) == 5


def test_what_is_known_in_advance_comes_from_a_file_of_its_own(ask: Ask) -> None:
    series = "timestamp,open,sales\n2024-05-01 00:00:00,120,101\n2024-05-02 00:00:00,120,99\n"
    first, other = (ask("shop", series=series, future=f"open\n{rows}") for rows in ("120\n" * 4, "90\n" * 4))
    assert lines(first)[1][0] == "2024-05-03T00:00:00Z"
    assert lines(first) != lines(other)


def test_text_models_are_asked_as_before(ask: Ask) -> None:
    assert len(lines(ask("words", "the dog"))) == 5
    assert len(lines(ask("words", "the dog", "--top-k", "2"))) == 2


@pytest.mark.parametrize("words", [[], ["the dog"]], ids=str)
def test_a_vector_is_a_list_or_a_file_alone_or_beside_a_text(ask: Ask, tmp_path: Path, words: list[str]) -> None:
    vector = json.dumps(VECTORS[0].tolist())
    (tmp_path / "features.json").write_text(vector, "utf-8")
    given = lines(ask("styles", *words, "--vector", vector))
    assert lines(ask("styles", *words, "--vector", f"@{tmp_path / 'features.json'}")) == given
    assert lines(ask("styles", *words, "--vector", json.dumps(VECTORS[1].tolist()))) != given


@pytest.mark.parametrize(
    ("arguments", "files", "mentions"),
    [
        (["sensor", "the dog"], {}, ["TEXT is 'the dog': expected --csv FILE, since sensor reads observations (load)"]),
        (["sensor"], {}, ["--csv is missing: expected a file of observations, with a column for each of load"]),
        (["sensor"], {"series": "value\n1\n"}, ["series.csv has 0 columns 'load': expected one each of load"]),
        (["sensor"], {"series": "load\n1\n", "future": "open\n1\n"}, ["--future is", "expected none, since sensor"]),
        (["sensor", "--horizon", "9"], {"series": "load\n1\n"}, ["options.horizon is 9: expected at most 4"]),
        (["sensor", "--top-k", "9"], {"series": "load\n1\n"}, ["options.top_k is 9: expected it to be left out"]),
        (["shop"], {"series": "sales,open\n1,1\n"}, ["input.timestamps is missing"]),
        (["shop"], {"series": "timestamp,sales,open\n2024-05-01 00:00:00,1,1\n"}, ["input.future is missing"]),
        (["words"], {}, ["TEXT is missing: expected what words should read"]),
        (["words", "the"], {"series": "load\n1\n"}, ["--csv is", "expected TEXT alone, since words reads words"]),
        (["words", "the", "--horizon", "2"], {}, ["options.horizon is 2: expected it to be left out"]),
        (["words", "the", "--vector", "[1]"], {}, ["--vector is given: expected none, since words begins with no vec"]),
        (["sensor", "--vector", "[1]"], {"series": "load\n1\n"}, ["--vector is given: expected none, since sensor"]),
        (["styles"], {}, ["--vector is missing: expected 6 numbers, which a sequence of styles begins with"]),
        (["styles", "--vector", "[1, 2]"], {}, ["--vector has 2 numbers: expected 6, as styles reads"]),
        (["styles", "--vector", "[1,"], {}, ["--vector is no JSON", "expected a JSON list of numbers, or @FILE"]),
        (["styles", "--vector", "3"], {}, ["--vector is '3': expected a JSON list of numbers"]),
        (["styles", "--vector", "[1, true]"], {}, ["--vector[1] is 'True': expected a number between -1e+12"]),
        (["styles", "--vector", "[NaN]"], {}, ["--vector[0] is 'nan': expected a number between"]),
        (["styles", "--vector", "@gone.json"], {}, ["--vector: gone.json: cannot be read", "a JSON list of numbers"]),
        (["styles", "--vector", "[1]"], {"series": "load\n1\n"}, ["--csv is", "expected TEXT alone"]),
        (["gone", "the"], {}, ["found no model 'gone'"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_model_is_told(
    ask: Ask, arguments: list[str], files: dict[str, str], mentions: list[str]
) -> None:
    result = ask(*arguments, **files)
    assert result.exit_code == 1
    for mention in ("unroll: ", *mentions):
        assert mention in result.stderr
