"""Tokenizers are tried in a process of their own before they are loaded."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from service.domain.errors import InvalidRequest, ModelFolderError
from service.domain.operations import TextInput
from service.tasks import tokenizer_file
from service.tasks.tokenizer_file import read_tokenizer
from service.tasks.vocabulary import Vocabulary
from tests.folders import WORDS, write_tokenizer
from tests.server import ROOT

SHIPPED = sorted(ROOT.glob("models/*/*/*tokenizer.json"))


@pytest.fixture(autouse=True)
def nothing_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer_file, "_tried", set())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.parent.name + "-" + path.stem)
def test_the_tokenizers_of_the_shipped_models_are_usable(path: Path) -> None:
    assert read_tokenizer(path, 10_000).get_vocab_size() > 1000


def test_a_byte_level_tokenizer_is_usable(tmp_path: Path) -> None:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: index for index, letter in enumerate(alphabet)}, []))
    tokenizer.normalizer = normalizers.NFKD()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert read_tokenizer(tmp_path / "tokenizer.json", 256).encode("é").ids


def test_a_tokenizer_without_an_unknown_token_is_usable(tmp_path: Path) -> None:
    write_tokenizer(tmp_path / "tokenizer.json", ["a", "b"])
    assert read_tokenizer(tmp_path / "tokenizer.json", 2).get_vocab_size() == 2


def test_a_tokenizer_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tokenizer(tmp_path / "tokenizer.json", WORDS)
    read_tokenizer(tmp_path / "tokenizer.json", len(WORDS))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    read_tokenizer(tmp_path / "tokenizer.json", len(WORDS))
    write_tokenizer(tmp_path / "tokenizer.json", WORDS[:-1])
    with pytest.raises(ModelFolderError, match="it cannot be tried: No such file"):
        read_tokenizer(tmp_path / "tokenizer.json", len(WORDS))


def test_a_trial_imports_nothing_but_the_library() -> None:
    source = Path(tokenizer_file.tokenizer_trial.__file__).read_text()
    assert "from service" not in source
    assert "import service" not in source


def test_a_text_that_the_library_refuses_is_a_wrong_request() -> None:
    tokenizer = Tokenizer(models.BPE({"a": 0}, []))
    settings: dict[str, Any] = json.loads(tokenizer.to_str())
    settings["truncation"] = {"max_length": 1, "strategy": "LongestFirst", "stride": 1, "direction": "Right"}
    vocabulary = Vocabulary(Tokenizer.from_str(json.dumps(settings)))
    with pytest.raises(InvalidRequest, match=r"input\.text cannot be tokenized") as told:
        vocabulary.encode(TextInput(text="aaa"))
    assert told.value.param == "input.text"
