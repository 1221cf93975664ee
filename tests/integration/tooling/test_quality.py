"""Tests of `unroll verify --data`: quality on a data file, in the model's own arithmetic and in another."""

import csv
import json
import math
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from typer.testing import CliRunner

from service.cli import app
from service.domain.errors import InvalidRequest
from service.domain.operations import Operation, Predict, Score, SeriesInput, TextInput
from service.domain.rfc3339 import format_rfc3339
from service.engine.runner import run_operation
from service.model_folder.safetensors_io import read_tensor_file, write_tensor_file
from service.tasks.architectures import load_task
from service.tasks.limits import TextLimits
from service.tooling.offline_runner import BATCH
from service.tooling.verify.verifier import verify
from tests.folders import TEXT, write_language_model
from tests.forecast_folders import START, Row, read_trainer, series, write_forecaster
from tests.forecast_trainer import ForecastTrainer
from tests.rounding import LOGIT
from tests.translation_folders import MARKS, write_encoder_decoder

HALF_HOUR = 1_800_000_000
#: A small translator whose translations differ from sentence to sentence, and again in int8.
ENGLISH = "I you he she is are not a dog cat house big small"
FRENCH = "je tu il elle suis es est pas un chien chat maison"
TRANSLATOR: dict[str, Any] = {"words": ([*MARKS, *ENGLISH.split()], [*MARKS, *FRENCH.split()]), "seed": 2}
SENTENCES = ["she is a big cat", "I are not small", "he is a dog house"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["verify", *map(str, arguments)])


def report(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def ask(folder: Path, operation: Operation) -> dict[str, Any]:
    """Return the output of a server for one operation, in the model's own arithmetic."""
    task = load_task(folder, TextLimits())[1]
    return run_operation(task, operation, task.initial_state).output


def translate(folder: Path, text: str) -> str:
    return ask(folder, Predict(TextInput(text=text)))["translations"][0]["text"]


def save(folder: Path, content: str) -> Path:
    path = folder / "data.txt"
    path.write_bytes(content.encode())
    return path


LINES = ["the cat know Tom", "I like a big house ."]


def save_lines(folder: Path) -> Path:
    return save(folder, "\n\n".join(LINES) + "\n")


def test_sentences_give_the_perplexity_in_both_arithmetics(tmp_path: Path) -> None:
    folder = write_language_model(tmp_path)
    logprobs = [logprob for line in LINES for logprob in ask(folder, Score(TextInput(text=line)))["logprobs"]]
    perplexity = report(folder, "--dtype", "int8", "--data", save_lines(tmp_path))["perplexity"]
    assert perplexity["own"] == pytest.approx(math.exp(-sum(logprobs) / len(logprobs)), rel=LOGIT)
    assert perplexity["dtype"] != perplexity["own"]
    assert perplexity["dtype"] == pytest.approx(perplexity["own"], rel=0.05)


def test_the_last_line_compares_the_perplexities(tmp_path: Path) -> None:
    folder, data = write_language_model(tmp_path), save_lines(tmp_path)
    perplexity = report(folder, "--dtype", "int8", "--data", data)["perplexity"]
    change = perplexity["dtype"] / perplexity["own"] - 1
    assert run(folder, "--dtype", "int8", "--data", data).output.splitlines()[-1] == (
        f"perplexity {perplexity['dtype']:.6g} in int8, {perplexity['own']:.6g} in its own arithmetic ({change:+.3%})"
    )


def test_more_sentences_than_share_a_pass_are_all_counted(tmp_path: Path) -> None:
    folder = write_language_model(tmp_path)
    many = TEXT.split()[: BATCH // 2] * 2 + ["the"]
    assert len(many) > BATCH
    words = [ask(folder, Score(TextInput(text=word)))["total_logprob"] for word in many]
    perplexity = report(folder, "--data", save(tmp_path, "\n".join(many)))["perplexity"]
    assert perplexity["own"] == perplexity["dtype"] == pytest.approx(math.exp(-sum(words) / len(words)), rel=LOGIT)


@pytest.fixture
def perfect(tmp_path: Path) -> tuple[Path, Path]:
    """A translator, and a data file whose references are its own translations."""
    folder = write_encoder_decoder(tmp_path, **TRANSLATOR)
    pairs = [f"{sentence}\t{translate(folder, sentence)}\tCC BY 2.0" for sentence in SENTENCES]
    return folder, save(tmp_path, "\r\n".join(pairs))


def test_translations_that_are_their_references_have_a_bleu_of_100(perfect: tuple[Path, Path]) -> None:
    folder, data = perfect
    assert report(folder, "--data", data)["bleu"] == {"own": pytest.approx(100), "dtype": pytest.approx(100)}


def test_a_line_compares_the_bleu_scores(perfect: tuple[Path, Path]) -> None:
    folder, data = perfect
    assert "BLEU 100 in float32, 100 in its own arithmetic (+0)" in run(folder, "--data", data).output


def test_bleu_of_another_arithmetic_is_that_of_its_own_translations(perfect: tuple[Path, Path]) -> None:
    folder, data = perfect
    scores = report(folder, "--dtype", "int8", "--data", data)["bleu"]
    assert scores["own"] == pytest.approx(100)
    assert 10 < scores["dtype"] < 99


def test_a_report_of_bleu_names_its_settings(perfect: tuple[Path, Path]) -> None:
    folder, data = perfect
    signature = report(folder, "--data", data)["bleu_signature"]
    assert signature.startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")


def test_bleu_is_that_of_its_definition(tmp_path: Path) -> None:
    folder = write_encoder_decoder(tmp_path, **TRANSLATOR)
    answers = [translate(folder, sentence).split() for sentence in SENTENCES]
    references = [[*answer[:9], "chien", *answer[10:], "tu", "es"] for answer in answers]
    pairs = "\n".join(f"{sentence}\t{' '.join(words)}" for sentence, words in zip(SENTENCES, references, strict=True))
    score = report(folder, "--data", save(tmp_path, pairs))["bleu"]["own"]
    assert score == pytest.approx(bleu(answers, references), rel=1e-6)


def bleu(answers: list[list[str]], references: list[list[str]]) -> float:
    """Return the BLEU score of a corpus.

    K. Papineni et al., "BLEU: a method for automatic evaluation of machine translation" (2002).
    """
    log_precisions = []
    for length in range(1, 5):
        matches = total = 0
        for answer, reference in zip(answers, references, strict=True):
            answer_ngrams, reference_ngrams = ngrams(answer, length), ngrams(reference, length)
            matches, total = matches + (answer_ngrams & reference_ngrams).total(), total + answer_ngrams.total()
        log_precisions.append(math.log(matches / total))
    answer_length, reference_length = sum(map(len, answers)), sum(map(len, references))
    return 100 * math.exp(min(0.0, 1 - reference_length / answer_length) + sum(log_precisions) / 4)


def ngrams(words: list[str], length: int) -> Counter[tuple[str, ...]]:
    """Count the n-grams of `length` words."""
    return Counter(tuple(words[start : start + length]) for start in range(len(words) - length + 1))


def test_a_missing_library_is_named_with_what_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "sacrebleu"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    result = run(write_encoder_decoder(tmp_path), "--data", save(tmp_path, "I am hungry.\tJ'ai faim."))
    assert result.exit_code == 1
    assert "found no library sacrebleu, expected it for BLEU: pip install 'unroll[train]'" in result.stderr


SHOP = {
    "features": ["sales", "open", "size"],
    "known": ["open"],
    "static": ["size"],
    "calendar": ["day_of_week"],
    "frequency": "1d",
    "context": {"size": 4, "activation": "tanh"},
    "local": {"size": 4, "activation": "tanh"},
}
FORECASTERS: dict[str, dict[str, Any]] = {
    "one feature": {},
    "two targets of quantiles, a season longer than the horizon": {
        "features": ["load", "wind", "rain"],
        "target": ["load", "rain"],
        "distribution": "quantiles",
        "quantiles": [0.1, 0.4, 0.8],
        "season": 7,
        "output_residual": True,
    },
    "points, without a frequency": {"distribution": "point", "frequency": None, "horizon": 2},
    "known and static features and a calendar": SHOP,
    "sampled paths": {"decoding": "autoregressive", "distribution": "student_t", "horizon": 3},
}


def save_series(
    path: Path, folder: Path, rows: list[Row], times: list[int] | None, left_out: tuple[int, ...] = ()
) -> Path:
    """Write a CSV file; rows that are left out have no line."""
    names = json.loads((folder / "config.json").read_text("utf-8"))["features"]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*names, *(["timestamp"] if times else [])])
        for index, row in enumerate(rows):
            if index not in left_out:
                writer.writerow([*row, *([format_rfc3339(times[index])] if times else [])])
    return path


def write_forecaster_and_series(
    tmp_path: Path, count: int = 25, **settings: Any
) -> tuple[Path, list[Row], list[int] | None]:
    """Return a forecaster, a series for it with missing values, and its times if it has any."""
    folder = write_forecaster(tmp_path, **settings)
    trainer = read_trainer(folder)
    rows = series(trainer, count, seed=3)
    for row in rows:
        for column in trainer.known:
            row[column] = row[column] or 100.0
    step = {"1d": 48 * HALF_HOUR, "30min": HALF_HOUR}.get(trainer.config["frequency"])
    return folder, rows, None if step is None else [START + index * step for index in range(count)]


def trained_medians(trainer: ForecastTrainer, rows: list[Row], times: list[int] | None, ahead: list[Row]) -> np.ndarray:
    """Return what the trainer's own network forecasts after `rows`: medians (H, T) in the units of the targets."""
    future = [[row[column] or 0.0 for column in trainer.known] for row in ahead] if trainer.known else None
    parameters, _ = trainer(rows, times, future)
    medians = parameters[..., 0].double().numpy()
    if trainer.config["distribution"] == "quantiles":
        levels = trainer.config["quantiles"]
        medians = np.apply_along_axis(lambda values: np.interp(0.5, levels, values), -1, parameters.double().numpy())
    mean, scale = (np.array(trainer.pre[name])[trainer.target] for name in ("mean", "scale"))
    return medians * scale + mean


def served_medians(folder: Path, rows: list[Row], times: list[int] | None) -> np.ndarray:
    """Return the medians (H, T) that a server answers after `rows`."""
    values = SeriesInput(tuple(map(tuple, rows)), timestamps=None if times is None else tuple(times))
    return np.array(ask(folder, Predict(values))["quantiles"]["0.5"])


@pytest.mark.parametrize("settings", FORECASTERS.values(), ids=FORECASTERS.keys())
def test_the_error_is_that_of_forecasts_from_all_that_came_before(tmp_path: Path, settings: dict[str, Any]) -> None:
    folder, rows, times = write_forecaster_and_series(tmp_path, **settings)
    trainer = read_trainer(folder)
    horizon, first = trainer.config["horizon"], max(trainer.config["horizon"], trainer.config.get("season", 0))
    errors: list[float] = []
    for origin in range(first, len(rows) - horizon + 1, horizon):
        before, ahead = rows[:origin], rows[origin : origin + horizon]
        known_times = None if times is None else times[:origin]
        # Sampled paths have no closed form: their error is that of the forecasts that a server answers.
        medians = (
            served_medians(folder, before, known_times)
            if trainer.config.get("decoding") == "autoregressive"
            else trained_medians(trainer, before, known_times, ahead)
        )
        for row, forecast in zip(ahead, medians, strict=True):
            pairs = zip((row[column] for column in trainer.target), forecast, strict=True)
            errors += [abs(value - median) for value, median in pairs if value is not None]
    assert len(errors) > 8
    error = report(folder, "--dtype", "int8", "--data", save_series(tmp_path / "x.csv", folder, rows, times))[
        "mean_absolute_error"
    ]
    assert error["own"] == pytest.approx(np.mean(errors), rel=1e-4)
    assert error["dtype"] != error["own"]
    assert error["dtype"] == pytest.approx(error["own"], rel=0.1)


@pytest.mark.parametrize(
    ("season", "rows", "error"),
    [
        # The last value of a line with slope 1, repeated for four rows, is off by 1, 2, 3 and 4.
        (None, [[100.0 + index] for index in range(25)], 2.5),
        # The value one season of 7 rows before is always off by 7.
        (7, [[100.0 + index] for index in range(25)], 7.0),
        # A season of 3 rows is repeated for the fourth row, which is off by 6.
        (3, [[100.0 + index] for index in range(24)], 3.75),
        # Missing values are not compared: without each fourth row, 1, 2 and 3 are left.
        (None, [[None if index % 4 == 3 else 100.0 + index] for index in range(4)] * 6, 1.0),
    ],
)
def test_the_error_of_a_naive_forecaster_is_known(
    tmp_path: Path, season: int | None, rows: list[Row], error: float
) -> None:
    folder = write_naive_forecaster(tmp_path, **({} if season is None else {"season": season}))
    errors = report(folder, "--data", save_series(tmp_path / "x.csv", folder, rows, None))["mean_absolute_error"]
    assert errors["own"] == pytest.approx(error, rel=1e-5)


def write_naive_forecaster(root: Path, **settings: Any) -> Path:
    """Write a forecaster that repeats the last value, or the last season if it has one."""
    folder = write_forecaster(root, golden=False, distribution="point", output_residual=True, **settings)
    tensors = read_tensor_file(folder / "model.safetensors").tensors
    weights = {name: tensor.tensor() for name, tensor in tensors.items()}
    zeros = {name: torch.zeros_like(weight) for name, weight in weights.items() if name.startswith("output.")}
    write_tensor_file(folder / "model.safetensors", weights | zeros)
    return folder


def test_rows_that_a_file_leaves_out_count_as_missing(tmp_path: Path) -> None:
    folder, rows, times = write_forecaster_and_series(tmp_path)
    gap = (5, 9, 10)
    for index in gap:
        rows[index] = [None]
    whole, gappy = (
        verify(folder, data=save_series(tmp_path / "x.csv", folder, rows, times, out)).quality for out in ((), gap)
    )
    assert whole is not None
    assert gappy == whole


def test_a_series_may_be_longer_than_a_request(tmp_path: Path) -> None:
    folder = write_naive_forecaster(tmp_path, season=4200, horizon=100)
    rows: list[Row] = [[float(index)] for index in range(4400)]
    errors = report(folder, "--data", save_series(tmp_path / "x.csv", folder, rows, None))["mean_absolute_error"]
    # The value one season of 4,200 rows before is always off by 4,200.
    assert errors["own"] == pytest.approx(4200, rel=1e-5)


TEXT_ERRORS = [
    (None, ": cannot be read: No such file or directory; expected text in UTF-8"),
    (b"", ": found no words, expected text in UTF-8"),
    (b"\n \n\t\r\n", ": found no words, expected text in UTF-8"),
]


@pytest.mark.parametrize(
    ("write", "content", "message"),
    [
        *[(write, *error) for write in (write_language_model, write_encoder_decoder) for error in TEXT_ERRORS],
        (
            write_language_model,
            b"the\nc\xe9\n",
            ", line 2: found bytes that are no UTF-8, expected text in UTF-8, a sent",
        ),
        (
            write_encoder_decoder,
            b"a\tb\n\nhome\n",
            ", line 3: found no TAB in 'home', expected text in UTF-8, a source",
        ),
        (write_encoder_decoder, b"a\tb\n\tb\n", ", line 2: found an empty source, expected"),
        (write_encoder_decoder, b"a\t \tb\n", ", line 1: found an empty translation, expected"),
        (write_encoder_decoder, b"a\tb\n" + b"a " * 700 + b"\tb\n", ", line 2: input.text has a sentence ('a a a"),
    ],
)
def test_bad_text_is_refused_by_its_file_and_line(
    tmp_path: Path, write: Callable[[Path], Path], content: bytes | None, message: str
) -> None:
    data = tmp_path / "data.txt"
    if content is not None:
        data.write_bytes(content)
    result = run(write(tmp_path), "--data", data)
    assert result.exit_code == 1
    assert f"unroll: {data}{message}" in result.stderr


def test_words_that_a_vocabulary_lacks_are_refused_by_their_line(tmp_path: Path) -> None:
    folder = write_language_model(tmp_path, words=["<s>", "yes", "no"])
    with pytest.raises(InvalidRequest, match=r"data.txt, line 2: .*'perhaps'"):
        verify(folder, data=save(tmp_path, "yes no\nno perhaps\n"))


@pytest.mark.parametrize(
    ("settings", "content", "message"),
    [
        ({}, None, ": cannot be read"),
        ({}, "", " has no header: expected one that names load"),
        ({}, "value\n1\n", " has 0 columns 'load'"),
        ({}, "load\n1\nx\n", ", line 3: load is 'x'"),
        ({}, "load\n" + "1\n" * 7, " has 7 rows: expected at least 8, 4 before the first forecast and 4, the model's"),
        ({"season": 9}, "load\n" + "1\n" * 12, " has 12 rows: expected at least 13, 9 before the first forecast and 4"),
        ({}, "load\n" + "1\n" * 4 + '""\n' * 6, ", line 6: load: found nothing but missing values from here on, expec"),
        ({"calendar": ["hour_of_day"]}, "load\n1\n", " has no column 'timestamp': expected one, since the model reads"),
        (
            {},
            "timestamp,load\n2024-05-01 12:00:00,1\n\n2024-05-01 12:10:00,1\n",
            ", line 4: input.timestamps[1] is 2024-05-01T12:10:00Z, on the same step as 2024-05-01T12:00:00Z",
        ),
    ],
)  # fmt: skip
def test_a_bad_series_is_refused_by_its_file_and_line(
    tmp_path: Path, settings: dict[str, Any], content: str | None, message: str
) -> None:
    data = tmp_path / "data.txt"
    if content is not None:
        data.write_text(content, "utf-8")
    result = run(write_forecaster(tmp_path, **settings), "--data", data)
    assert result.exit_code == 1
    assert f"unroll: {data}{message}" in result.stderr


def shop_days(lines: dict[int, str | None]) -> str:
    """Fourteen days of a shop, with some lines of the file changed or left out."""
    days = {line: f"2024-05-{line:02} 00:00:00,{line},1,120" for line in range(2, 16)} | lines
    return "\n".join(["timestamp,sales,open,size", *(day for day in days.values() if day is not None)])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            {7: "2024-05-07 00:00:00,7,,120"},
            ", line 7: open is missing, expected a number, since it is known in advance",
        ),
        ({7: None}, ", without a row at 2024-05-07T00:00:00Z: open is missing, expected a number, since it is known"),
        ({7: "2024-05-07 00:00:00,7,1,130"}, ", line 7: input.values[1][2] is 130: expected 120 as before, or null"),
    ],
)
def test_what_a_forecaster_must_know_of_every_row_is_refused_by_its_line(
    tmp_path: Path, lines: dict[int, str | None], message: str
) -> None:
    folder, data = write_forecaster(tmp_path, **SHOP), save(tmp_path, shop_days({}))
    assert run(folder, "--data", data).exit_code == 0
    result = run(folder, "--data", save(tmp_path, shop_days(lines)))
    assert result.exit_code == 1
    assert f"unroll: {data}{message}" in result.stderr
