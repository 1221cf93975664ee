"""Models of the tasks beside next words, as large as REF-LM: two recurrent layers of 512, random weights.

Text has 10,000 words and embeddings of 256, numbers have rows of eight. Translation has one layer of 512 on each side
and attention between them.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from benchmarks.ref_lm import EMBEDDING, HIDDEN, LAYERS, SEED, VOCABULARY
from benchmarks.tensor_steps import CONFIG, write_graph
from service.model_folder.safetensors_weights import expected_shapes
from service.nets.config.loader import build_config, with_state
from service.nets.network_spec import find_spec
from service.tasks.architectures import ARCHITECTURES
from service.tooling.preprocessing.vocabularies.word_list import build_word_tokenizer

FEATURES = [f"feature{number}" for number in range(8)]
LABELS = [f"label{number}" for number in range(8)]
#: Weights of trained recurrent layers are about as large.
SPREAD = 0.04
_RNN: dict[str, Any] = {"cell": "lstm", "num_layers": LAYERS, "hidden_size": HIDDEN}
_SIDE: dict[str, Any] = {
    "cell": "lstm", "num_layers": 1, "hidden_size": HIDDEN, "embedding_size": EMBEDDING, "vocab_size": VOCABULARY,
}  # fmt: skip
_TEXT = {
    **_RNN, "input_size": EMBEDDING, "embedding_size": EMBEDDING, "vocab_size": VOCABULARY,
    "special_tokens": {"unknown": "<unk>"},
}  # fmt: skip
_NUMBERS = {**_RNN, "input_size": len(FEATURES), "features": FEATURES}
_ENCODER = {"format_version": 1, "architecture": "sequence-encoder"}
#: The fields of config.json of each task.
CONFIGS: dict[str, dict[str, Any]] = {
    "classification": {**_ENCODER, **_TEXT, "task": "classification", "labels": LABELS, "readout": "last"},
    "tagging": {**_ENCODER, **_TEXT, "task": "tagging", "labels": LABELS, "readout": "each"},
    "regression": {**_ENCODER, **_NUMBERS, "task": "regression", "names": ["flow"], "readout": "each"},
    "embedding": {**_ENCODER, **_TEXT, "task": "embedding", "readout": "mean"},
    "tensor": CONFIG,
    "forecasting": {
        **_NUMBERS, "format_version": 1, "task": "forecasting", "architecture": "forecaster", "target": FEATURES[:1],
        "horizon": 12, "distribution": "gaussian", "decoding": "direct",
    },
    "translation": {
        "format_version": 1, "task": "translation", "architecture": "encoder-decoder",
        "encoder": {**_SIDE, "input_size": EMBEDDING, "tokenizer": "tokenizer.source.json"},
        "decoder": {**_SIDE, "input_size": EMBEDDING, "tokenizer": "tokenizer.target.json"},
        "attention": "dot", "bridge": "concat", "combine": {"size": EMBEDDING, "activation": "tanh"},
        "special_tokens": {"unknown": "<unk>", "begin": "<s>", "end": "</s>"},
    },
}  # fmt: skip


def write_models(models: Path) -> None:
    """Write `models`/TASK/1 for each task."""
    tokenizer = build_word_tokenizer(["<unk>", "<s>", "</s>", *(f"word{number}" for number in range(3, VOCABULARY))])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    for name, fields in CONFIGS.items():
        folder = models / name / "1"
        folder.mkdir(parents=True)
        spec = find_spec(fields, name, ARCHITECTURES)
        if spec.own_arithmetic:
            write_graph(folder / "model.onnx")
            (folder / "config.json").write_text(json.dumps(fields), "utf-8")
            continue
        raw = with_state(spec.config_class, fields, name)
        config = build_config(spec.config_class, raw, name)
        (folder / "config.json").write_text(json.dumps(raw), "utf-8")
        shapes = expected_shapes(spec, config, name)
        save_file(_draw(shapes), folder / "model.safetensors")
        for file in config.companion_files:
            if file.startswith("tokenizer"):
                tokenizer.save(str(folder / file))
            else:
                (folder / file).write_text(json.dumps(_scaling(fields)), "utf-8")


def _draw(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(SEED)
    return {name: SPREAD * torch.randn(shape, generator=random) for name, shape in shapes.items()}


def _scaling(fields: dict[str, Any]) -> dict[str, Any]:
    """Return a preprocessor.json for rows whose numbers are those of words, as the load generator sends them."""
    names = fields["features"]
    scaling = {"format_version": 1, "features": names, "mean": [VOCABULARY / 2] * len(names)}
    return {**scaling, "scale": [VOCABULARY / 4] * len(names), "frequency": None, "clamp": 10.0, "missing": "last"}
