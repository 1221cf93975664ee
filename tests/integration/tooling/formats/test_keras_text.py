"""Keras models with layers of preprocessing: their vocabularies and scaling are those of the model folder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from service.cli import app
from service.domain.errors import ModelFolderError
from service.tooling.formats.registry import read_network
from service.tooling.preprocessing.reader import read_preprocessing
from service.tooling.preprocessing.scaling import Scaler
from tests.integration.tooling.formats.keras_networks import proposed
from tests.keras_files import Layer, compute, make, model_json, named, write_keras

M = make(5)
VECTORIZATION: dict[str, Any] = {
    "standardize": "lower_and_strip_punctuation",
    "split": "whitespace",
    "ngrams": None,
    "output_mode": "int",
    "output_sequence_length": 6,
    "vocabulary": None,
    "encoding": "utf-8",
}
LOOKUP: dict[str, Any] = {
    "invert": False,
    "num_oov_indices": 1,
    "oov_token": "[UNK]",
    "mask_token": None,
    "output_mode": "int",
    "vocabulary": None,
}
WORDS = ["", "[UNK]", "the", "École", "dogs", "sleep"]
TEXT = "The dog's, École sleep! THE"


def network(*, mask: bool) -> list[Layer]:
    return [M.embedding(9, 3, mask_zero=mask), M.recurrent("GRU", 3, 4), M.dense(4, 2, "softmax")]


def run(command: str, *arguments: object) -> Result:
    return CliRunner().invoke(app, [command, *map(str, arguments)])


def imported(path: Path, folder: Path, *options: object) -> str:
    result = run("import", path, *options[1:], folder / "m" / "1", "--yes", *options[:1])
    assert result.exit_code == 0, result.output
    return result.stdout


def probabilities(folder: Path, text: str) -> list[float]:
    """Return the answer of the imported model, by label."""
    result = run("predict", folder / "m" / "1", text, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    labels = {entry["label"]: entry["probability"] for entry in answer.get("output", answer)["labels"]}
    return [labels[name] for name in sorted(labels)]


def vectorizer(**options: Any) -> Layer:
    return Layer("TextVectorization", {**VECTORIZATION, **options})


@pytest.mark.parametrize("mask", [False, True])
def test_the_vocabulary_of_a_text_vectorization_is_that_of_the_folder(tmp_path: Path, *, mask: bool) -> None:
    layers = network(mask=mask)
    files = {"text_vectorization/vocabulary.txt": "\n".join(WORDS)}
    path = write_keras(tmp_path / "x.keras", [vectorizer(), *layers], (1,), assets=files)
    imported(path, tmp_path)
    ids = [2, 4, 3, 5, 2]  # punctuation is left out, and letters beyond ASCII keep their case
    expected = compute(layers, np.array(ids if mask else [*ids, 0]))
    assert np.allclose(probabilities(tmp_path, TEXT), expected, atol=1e-5)


def test_the_padding_of_a_text_vectorization_is_stated_by_the_file(tmp_path: Path) -> None:
    for mask, padding in ((False, {"side": "right", "token": "<pad>", "length": 6}), (True, None)):
        path = write_keras(tmp_path / "x.keras", [vectorizer(vocabulary=WORDS), *network(mask=mask)], (1,))
        config = proposed(path)
        assert (config.get("padding"), config["window"]) == (padding, 6)


def test_an_import_says_what_keras_does_otherwise_with_long_texts(tmp_path: Path) -> None:
    path = write_keras(tmp_path / "x.keras", [vectorizer(vocabulary=WORDS), *network(mask=True)], (1,))
    note = "Keras reads the first 6 words of longer texts (text_vectorization); here the last are read: cut them"
    assert note in run("import", path, tmp_path / "m" / "1", "--dry-run").stdout
    assert imported(path, tmp_path).splitlines().count(note) == 1


def test_characters_are_looked_up_one_by_one(tmp_path: Path) -> None:
    layers = network(mask=True)
    first = vectorizer(standardize=None, split="character", output_sequence_length=None)
    files = {"text_vectorization/vocabulary.txt": "\n[UNK]\na\n\n\n b\nb"}
    path = write_keras(tmp_path / "x.keras", [first, *layers], (1,), assets={**files})
    imported(path, tmp_path)
    assert np.allclose(probabilities(tmp_path, "ab\nxa"), compute(layers, np.array([2, 5, 3, 1, 2])), atol=1e-5)


def test_a_string_lookup_reads_words_as_they_are(tmp_path: Path) -> None:
    layers = network(mask=False)
    files = {"string_lookup/vocabulary.txt": "[UNK]\na\nB,\nc"}
    path = write_keras(tmp_path / "x.keras", [Layer("StringLookup", LOOKUP), *layers], (None,), assets=files)
    imported(path, tmp_path)
    assert np.allclose(probabilities(tmp_path, "c B, x a"), compute(layers, np.array([3, 2, 0, 1])), atol=1e-5)


def test_an_integer_lookup_reads_numbers_as_words(tmp_path: Path) -> None:
    layers = network(mask=True)
    options = {**LOOKUP, "oov_token": -1, "mask_token": 0, "vocabulary": [12, 7, 112], "vocabulary_dtype": "int64"}
    path = write_keras(tmp_path / "x.keras", [Layer("IntegerLookup", options), *layers], (None,))
    imported(path, tmp_path)
    assert np.allclose(probabilities(tmp_path, "112 -13 12 7"), compute(layers, np.array([4, 1, 2, 3])), atol=1e-5)


def test_a_vocabulary_without_unknown_words_has_none(tmp_path: Path) -> None:
    options = {**LOOKUP, "num_oov_indices": 0, "vocabulary": ["a", "b"]}
    path = write_keras(tmp_path / "x.keras", [Layer("StringLookup", options), *network(mask=False)], (None,))
    imported(path, tmp_path)
    result = run("predict", tmp_path / "m" / "1", "a x")
    assert result.exit_code == 1
    assert "'x'" in result.stderr


CUSTOM = {"module": "builtins", "class_name": "function", "config": "Custom>clean", "registered_name": "function"}


@pytest.mark.parametrize(
    ("layer", "found"),
    [
        (vectorizer(standardize=CUSTOM, vocabulary=WORDS), "standardize 'Custom>clean', which is not served"),
        (vectorizer(ngrams=2, vocabulary=WORDS), "ngrams 2, which is not served"),
        (vectorizer(output_mode="tf_idf", vocabulary=WORDS), "output_mode 'tf_idf', which is not served"),
        (Layer("StringLookup", {**LOOKUP, "num_oov_indices": 3}), "num_oov_indices 3, which is not served"),
        (vectorizer(vocabulary=["", "[UNK]", "a", "a"]), "'a' twice in the vocabulary of the Keras layer"),
    ],
)
def test_what_a_layer_does_beyond_looking_up_is_refused_with_a_way_out(
    tmp_path: Path, layer: Layer, found: str
) -> None:
    path = write_keras(tmp_path / "x.keras", [layer, *network(mask=True)], (1,))
    with pytest.raises(ModelFolderError, match=found) as caught:
        read_network(path)
    assert "\n" not in str(caught.value)


def test_a_file_without_the_vocabulary_says_so(tmp_path: Path) -> None:
    path = write_keras(tmp_path / "x.keras", [vectorizer(), *network(mask=True)], (1,))
    result = run("import", path, tmp_path / "m" / "1", "--dry-run")
    assert "the vocabulary of text_vectorization, which the file lacks: give what get_vocabulary()" in result.stdout
    (tmp_path / "words.json").write_text(json.dumps(WORDS))
    imported(path, tmp_path, "--plain", tmp_path / "words.json")


@pytest.mark.parametrize(
    ("layer", "given", "ids"),
    [
        (vectorizer(standardize="lower"), WORDS, [2, 1, 3, 1, 2]),
        (vectorizer(standardize="lower"), WORDS[2:], [2, 1, 3, 1, 2]),
        (vectorizer(standardize="strip_punctuation"), [*WORDS[2:], "THE"], [2, 4, 3, 5, 6]),
        (Layer("StringLookup", LOOKUP), ["[UNK]", "The", "dog's,", "THE"], [1, 2, 0, 0, 3]),
    ],
    ids=["lower", "without its special tokens", "as written", "lookup"],
)
def test_a_vocabulary_beside_the_network_is_cut_as_its_layer_says(
    tmp_path: Path, layer: Layer, given: list[str], ids: list[int]
) -> None:
    vectorizes = layer.kind == "TextVectorization"
    layers = network(mask=vectorizes)
    path = write_keras(tmp_path / "x.keras", [layer, *layers], (1 if vectorizes else None,))
    (tmp_path / "words.json").write_text(json.dumps(given))
    imported(path, tmp_path, "--plain", tmp_path / "words.json")
    assert np.allclose(probabilities(tmp_path, TEXT), compute(layers, np.array(ids)), atol=1e-5)


def test_a_layer_that_was_saved_as_a_model_of_its_own_is_a_vocabulary(tmp_path: Path) -> None:
    layers = network(mask=True)
    files = {"text_vectorization/vocabulary.txt": "\n".join(WORDS)}
    model = write_keras(tmp_path / "model.keras", layers, (6,))
    beside = write_keras(tmp_path / "vectorizer.keras", [vectorizer()], (1,), assets=files)
    imported(model, tmp_path, "--plain", beside)
    assert np.allclose(probabilities(tmp_path, TEXT), compute(layers, np.array([2, 4, 3, 5, 2])), atol=1e-5)
    assert read_preprocessing(model) == []


def test_a_text_vectorization_within_a_functional_model_is_followed(tmp_path: Path) -> None:
    layers = [vectorizer(vocabulary=WORDS), *network(mask=True)]
    inner = model_json(named(layers[1:]), (6,))
    model = model_json(named(layers[:1]), (1,))
    model["config"]["layers"].append(inner)
    nested = Layer("Sequential", layers=tuple(layers[1:]), name="model")
    path = write_keras(tmp_path / "x.keras", [layers[0], nested], (1,), model=model)
    imported(path, tmp_path)
    assert np.allclose(probabilities(tmp_path, TEXT), compute(layers[1:], np.array([2, 4, 3, 5, 2])), atol=1e-5)


def test_a_normalization_beside_the_network_is_its_scaling(tmp_path: Path) -> None:
    mean, variance = np.float32([1, 2]), np.float32([4, 9])
    layer = Layer("Normalization", {"axis": [-1], "invert": False}, (mean, variance, np.array(9)))
    saved = write_keras(tmp_path / "x.keras", [layer], (7, 2))
    stated = {"class_name": "Normalization", "config": {"axis": [-1], "mean": [1, 2], "variance": [4, 9]}}
    (tmp_path / "x.json").write_text(json.dumps(stated))
    for path in (saved, tmp_path / "x.json"):
        (found,) = read_preprocessing(path)
        assert isinstance(found.item, Scaler)
        assert np.allclose((found.item.mean, found.item.scale), ([1, 2], [2, 3]))
