"""A network of integer arithmetic: a finite automaton over Z_61, written as a recurrent network whose every number is
an exact float32 integer, and the same automaton in plain Python, for the replay.

Each word is an affine permutation of the 61 states, and no two of them commute: a step lost, doubled or swapped with
another leaves the session in a wrong state for good. Hidden unit (i, k) is 1 where the automaton was at i and read word
k: relu(is_at_i + reads_k - 1). The most probable word of an answer names the state: `s17`, and to read that is to read
the word that `heard` gives, so that generated text leads on.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from service.model_folder.safetensors_io import write_tensor_file
from tests.folders import write_tokenizer
from tests.registered import with_state

STATES = 61
WORDS = ("a", "b", "c", "d")
#: Multiplier and addend of each word.
AFFINE = {"a": (1, 1), "b": (2, 1), "c": (3, 5), "d": (7, 2)}
VOCABULARY = ["<unk>", "<s>", *WORDS, *(f"s{state}" for state in range(STATES))]
_UNITS = STATES * len(WORDS)
_SURE = 16.0


@dataclass(frozen=True)
class Automaton:
    """The arithmetic of one variant; different variants go different ways from the first word on."""

    variant: int = 0

    @property
    def start(self) -> int:
        """The state that a session begins in: the begin token counts as an `a` read at 0."""
        return self.step(0, "a")

    def step(self, state: int, word: str) -> int:
        """The state after one word."""
        multiplier, addend = AFFINE[word]
        return (multiplier * state + addend + self.variant) % STATES

    def after(self, state: int, words: Iterable[str]) -> int:
        """The state after some words."""
        for word in words:
            state = self.step(state, word)
        return state

    def generate(self, state: int, tokens: int) -> tuple[list[str], int]:
        """The names of the states that are passed by reading so many of them, and the state after that."""
        names = []
        for _ in range(tokens):
            names.append(f"s{state}")
            state = self.step(state, heard(state))
        return names, state


def heard(state: int) -> str:
    """The word that a state's name is read as."""
    return WORDS[state % len(WORDS)]


def write_automaton(root: Path, name: str, version: str = "1", variant: int = 0) -> Path:
    """Write the model folder `root`/`name`/`version`."""
    size = len(WORDS) + 1
    fields: dict[str, Any] = {
        "format_version": 1,
        "task": "next-word",
        "architecture": "language-model",
        "cell": "rnn_relu",
        "num_layers": 1,
        "input_size": size,
        "hidden_size": _UNITS,
        "embedding_size": size,
        "vocab_size": len(VOCABULARY),
        "special_tokens": {"unknown": "<unk>", "begin": "<s>"},
    }
    folder = root / name / version
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(with_state(fields, str(folder)), indent=2), "utf-8")
    write_tensor_file(folder / "model.safetensors", _weights(Automaton(variant), size))
    write_tokenizer(folder / "tokenizer.json", VOCABULARY)
    (folder / "README.md").write_text("---\ndescription: A finite automaton, exact.\n---\n", "utf-8")
    return folder


def _unit(state: int, word: int) -> int:
    return state * len(WORDS) + word


def _weights(automaton: Automaton, size: int) -> dict[str, Tensor]:
    embedding = torch.zeros(len(VOCABULARY), size)
    embedding[1, size - 1] = 1.0
    for word in range(len(WORDS)):
        embedding[2 + word, word] = 1.0
    for state in range(STATES):
        embedding[2 + len(WORDS) + state, WORDS.index(heard(state))] = 1.0
    weight_ih, weight_hh = torch.zeros(_UNITS, size), torch.zeros(_UNITS, _UNITS)
    output = torch.zeros(len(VOCABULARY), _UNITS)
    # The begin token lights the unit of an `a` read at 0.
    weight_ih[_unit(0, 0), size - 1] = 2.0
    for state in range(STATES):
        for word, text in enumerate(WORDS):
            here, after = _unit(state, word), automaton.step(state, text)
            weight_ih[here, word] = 1.0
            output[2 + len(WORDS) + after, here] = _SURE
            for follower in range(len(WORDS)):
                weight_hh[_unit(after, follower), here] = 1.0
    return {
        "embedding.weight": embedding,
        "rnn.weight_ih_l0": weight_ih,
        "rnn.weight_hh_l0": weight_hh,
        "rnn.bias_ih_l0": torch.full((_UNITS,), -1.0),
        "rnn.bias_hh_l0": torch.zeros(_UNITS),
        "output.weight": output,
        "output.bias": torch.zeros(len(VOCABULARY)),
    }
