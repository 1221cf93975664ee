"""Tests of `unroll verify --data` for labels, tags and numbers of sequences, from text and CSV files."""

from pathlib import Path
from typing import Any

import pytest

from service.domain.errors import InvalidRequest
from service.domain.operations import Predict, SeriesInput, TextInput
from service.engine.runner import run_operation
from service.tasks.architectures import load_task
from service.tasks.limits import TextLimits
from service.tooling.verify.quality import Quality
from service.tooling.verify.verifier import verify
from tests.encoder_folders import FEATURES, LABELS, NAMES, rows_of, write_encoder

TEXTS = ["I like the big dog", "the small cat", "Tom and Mary go home", "a dog"]
ROWS = rows_of(12, missing=0.0)


def quality(folder: Path, content: str) -> tuple[str, float]:
    data = folder.parent / "data"
    data.write_text(content, "utf-8")
    found = verify(folder, data=data).quality
    assert isinstance(found, Quality)
    return found.name, found.own


def refused(folder: Path, content: str) -> str:
    with pytest.raises(InvalidRequest) as error:
        quality(folder, content)
    return str(error.value)


def ask(folder: Path, own: Any) -> Any:
    task = load_task(folder, TextLimits())[1]
    return run_operation(task, Predict(own), task.initial_state).output


def text(words: str) -> TextInput:
    return TextInput(text=words)


def csv(header: list[str], rows: list[list[Any]]) -> str:
    return "\n".join(",".join(map(str, row)) for row in [header, *rows]) + "\n"


def test_labels_of_texts_give_the_accuracy(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path, "mood", "classification")
    best = [ask(folder, text(words))["labels"][0]["label"] for words in TEXTS]
    best[-1] = next(label for label in LABELS if label != best[-1])
    lines = [f"{label}\t{words}" for label, words in zip(best, TEXTS, strict=True)]
    assert quality(folder, "\n".join(lines)) == ("accuracy", 0.75)
    assert "line 1: input.target is 'none'" in refused(folder, "none\ta dog")
    assert "line 1: found 'a dog', expected text in UTF-8, a label" in refused(folder, "a dog")


def test_tags_of_texts_give_the_accuracy_over_all_words(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path, "tags", "tagging")
    lines = []
    for words in TEXTS[:2]:
        tags = [tag["tag"] for tag in ask(folder, text(words))["tags"]]
        tags[0] = next(label for label in LABELS if label != tags[0])
        lines.append(f"{' '.join(tags)}\t{words}")
    assert quality(folder, "\n".join(lines)) == ("accuracy", 6 / 8)
    assert "line 1: input.target has 1 labels: expected 2" in refused(folder, "good\ta dog")


def test_numbers_of_each_row_give_the_mean_absolute_error(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path, "river", "regression", text=False)
    values = ask(folder, SeriesInput(tuple(map(tuple, ROWS))))["values"]
    rows = [[*row, flow + 1, ""] for row, (flow, _) in zip(ROWS, values, strict=True)]
    assert quality(folder, csv([*FEATURES, *NAMES], rows)) == ("mean_absolute_error", pytest.approx(1.0, abs=1e-5))
    rows = [[*row, "", ""] for row in ROWS]
    assert "line 2: found no number to compare with" in refused(folder, csv([*FEATURES, *NAMES], rows))
    assert "columns 'level': expected one each of" in refused(folder, csv([*FEATURES, NAMES[0]], [[1, 2, 3, 4]]))


def test_a_series_of_rows_has_the_label_of_its_last_row(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path, "activity", "classification", text=False)
    rows = []
    for name, series in (("a", ROWS[:5]), ("b", ROWS[5:])):
        best = ask(folder, SeriesInput(tuple(map(tuple, series))))["labels"][0]["label"]
        other = next(label for label in LABELS if label != best)
        rows += [[name, *row, best if name == "a" and row is series[-1] else other] for row in series]
    assert quality(folder, csv(["series", *FEATURES, "label"], rows)) == ("accuracy", 0.5)


def test_each_row_has_its_tag(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path, "phases", "tagging", text=False)
    tags = [tag["tag"] for tag in ask(folder, SeriesInput(tuple(map(tuple, ROWS))))["tags"]]
    rows = [[*row, tag] for row, tag in zip(ROWS, tags, strict=True)]
    assert quality(folder, csv([*FEATURES, "label"], rows)) == ("accuracy", 1.0)


def test_nothing_can_be_compared_with_an_embedding(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path, "vectors", "embedding")
    assert "expected none, since nothing can be compared with an embedding" in refused(folder, "a dog")
