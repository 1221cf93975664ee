"""Files of Keras as networks: packed as `inspect` proposes, and what they answer."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from service.tasks.architectures import load_task
from service.tasks.limits import TextLimits
from service.tooling.inspect.report import Report, inspect
from service.tooling.pack.packer import pack
from service.tooling.preprocessing.vocabularies.word_list import build_word_tokenizer
from tests.keras_files import Array


def packed(path: Path, folder: Path, **settings: Any) -> Any:
    """Pack a file as `inspect` proposes, and return its network."""
    report = inspect(path)
    assert isinstance(report, Report)
    proposal = report.proposal
    assert proposal is not None, report.looks_like
    stated: dict[str, Any] = {name: proposal.config[name] for name in proposal.guessed} | settings
    options: dict[str, Any] = {"preprocessor": "identity"}
    if size := proposal.config.get("vocab_size"):
        build_word_tokenizer([*(f"w{index}" for index in range(size - 1)), "<unk>"]).save(str(folder / "words.json"))
        options, stated["special_tokens"] = {"tokenizer": folder / "words.json"}, {"unknown": "<unk>"}
    target = pack(path, folder, "keras", "1", settings=stated, **options)
    return load_task(target.path, TextLimits(input_tokens=100))[0].network


def answer(network: Any, inputs: Array) -> Array:
    """Return the outputs of a sequence encoder for one sequence, as Keras returns them."""
    config = network.config
    x = torch.from_numpy(inputs)
    outputs, _ = network.sequence(x[None].long() if config.reads_text else x[None])
    values = network.answer(network.read_out_sequence(outputs[0]))
    if config.labels:
        values = values.sigmoid() if config.multi_label else values.softmax(-1)
    elif config.activation == "softplus":
        values = torch.nn.functional.softplus(values)
    array: Array = values.numpy()
    return array


def inputs_of(shape: tuple[int | None, ...]) -> Array:
    rng, timesteps = np.random.default_rng(1), shape[0] or 11
    if len(shape) == 1:
        return rng.integers(1, 20, timesteps)
    return rng.normal(0, 1, (timesteps, shape[1] or 0)).astype(np.float32)


def proposed(path: Path, task: str | None = None) -> dict[str, Any]:
    """Return the proposed config.json of a file."""
    report = inspect(path)
    assert isinstance(report, Report)
    assert report.proposal is not None, report.looks_like
    return report.proposal.config
