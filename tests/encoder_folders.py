"""Writes small real sequence encoders. The golden vectors come from torch.nn, not from the nets that are under test."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from service.model_folder.safetensors_io import write_tensor_file
from tests.folders import ACTIVATIONS, LAYERS, WORDS, write_tokenizer
from tests.registered import with_state

LABELS = ["good", "bad", "neither"]
NAMES = ["flow", "level"]
FEATURES = ["rain", "heat", "wind"]
OUTPUTS: dict[str, dict[str, Any]] = {
    "classification": {"labels": LABELS, "readout": "last"},
    "tagging": {"labels": LABELS, "readout": "each"},
    "regression": {"names": NAMES, "readout": "each", "target_mean": [10.0, 2.0], "target_scale": [4.0, 0.5]},
    "embedding": {"readout": "mean"},
}
OUTPUT_NAMES = {"classification": "logits", "tagging": "logits", "regression": "values", "embedding": "embedding"}
END_ACTIVATIONS = {"none": nn.Identity(), "sigmoid": nn.Sigmoid(), "softplus": nn.Softplus()}


class EncoderTrainer(nn.Module):
    """A sequence encoder as a user would train it, with one torch.nn module for all its recurrent layers."""

    def __init__(self, config: dict[str, Any], scaling: dict[str, Any], seed: int = 0) -> None:
        super().__init__()
        self.config, self.scaling = config, scaling
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._make(config)

    def _make(self, config: dict[str, Any]) -> None:
        text = "vocab_size" in config
        self.embedding = nn.Embedding(config["vocab_size"], config["embedding_size"]) if text else None
        kind, extra = LAYERS[config["cell"]]
        both = config.get("bidirectional", False)
        self.rnn = kind(
            config["input_size"],
            config["hidden_size"],
            config["num_layers"],
            batch_first=True,
            bidirectional=both,
            **extra,
        )
        width = config["hidden_size"] * (2 if both else 1)
        hidden = config.get("attention")
        self.hidden = nn.Linear(width, hidden["size"]) if hidden else None
        attends = config["readout"] == "attention"
        self.score = nn.Linear(hidden["size"] if hidden else width, 1) if attends else None
        self.head = nn.ModuleList()
        for layer in config.get("head", []):
            self.head.append(nn.Linear(width, layer["size"]) if "size" in layer else nn.Identity())
            width = layer.get("size", width)
        outputs = len(config.get("labels", config.get("names", [])))
        self.output = nn.Linear(width, outputs) if outputs else None
        self.crf = nn.Parameter(torch.randn(outputs + 2, outputs)) if config.get("crf") else None

    def forward(self, inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Ids (B, T) or values (B, T, F) -> outputs (B, K), or (B, T, K), and the state after the last timestep."""
        x = self._read(inputs)
        if self.config.get("window") or self.config.get("padding"):
            return self._windows(x), {}
        outputs, last = self.rnn(x)
        last = last if isinstance(last, tuple) else (last,)
        state = {
            f"{kind}_l{layer}": one[layer] for kind, one in zip("hc", last, strict=False) for layer in range(len(one))
        }
        return self._answer(self._read_out(outputs)), state

    def _windows(self, x: Tensor) -> Tensor:
        """The answer to the last window of rows (B, T, W), or with a readout `each` to that of each timestep."""
        padding, each, answers = self.config.get("padding"), self.config["readout"] == "each", []
        size = padding["length"] if padding else self.config["window"]
        for end in range(1, x.shape[1] + 1) if each else [x.shape[1]]:
            window = x[:, max(0, end - size) : end]
            if padding and self.embedding is not None:
                ids = torch.full((len(x), size - window.shape[1]), WORDS.index(padding["token"]))
                filling = self.embedding(ids)
                window = torch.cat([filling, window] if padding["side"] == "left" else [window, filling], 1)
            readout = self._read_out(self.rnn(window)[0])
            answers.append(self._answer(readout[:, -1] if each else readout))
        return torch.stack(answers, 1) if each else answers[0]

    def _answer(self, features: Tensor) -> Tensor:
        for linear, entry in zip(self.head, self.config.get("head", []), strict=True):
            features = ACTIVATIONS[entry.get("activation", "none")](linear(features))
        answer = features if self.output is None else self.output(features)
        return END_ACTIVATIONS[self.config.get("activation", "none")](answer)

    def _read(self, inputs: Tensor) -> Tensor:
        if self.embedding is not None:
            return self.embedding(inputs)
        mean, scale = (torch.tensor(self.scaling[name], dtype=torch.float64) for name in ("mean", "scale"))
        scaled = (inputs.double() - mean) / scale
        rows = [scaled.new_zeros(scaled[:, 0].shape)]
        for row in scaled.unbind(1):  # a missing value is that of the row before
            rows.append(torch.where(row.isnan(), rows[-1], row.clamp(-self.scaling["clamp"], self.scaling["clamp"])))
        parts = [torch.stack(rows[1:], 1)]
        if self.config.get("missing_indicator"):
            parts.append(scaled.isnan().double())
        return torch.cat(parts, -1).float()

    def _read_out(self, outputs: Tensor) -> Tensor:
        readout, half = self.config["readout"], outputs.shape[-1] // 2
        if readout == "each":
            return outputs
        if readout == "last" and self.config.get("bidirectional"):
            return torch.cat([outputs[:, -1, :half], outputs[:, 0, half:]], -1)
        if readout in {"last", "last_output"}:
            return outputs[:, -1]
        if readout == "mean":
            return outputs.mean(1)
        if readout == "max":
            return outputs.max(1).values
        hidden = outputs
        if self.hidden is not None:
            hidden = ACTIVATIONS[self.config["attention"].get("activation", "none")](self.hidden(outputs))
        assert self.score is not None
        return (self.score(hidden).softmax(1) * outputs).sum(1)

    def tensors(self) -> dict[str, Tensor]:
        """The weights under the names of a model folder."""
        places = {"hidden": "readout.hidden", "score": "readout.score"}
        found: dict[str, Tensor] = {}
        for name, parameter in self.named_parameters():
            first, _, rest = name.partition(".")
            if first == "crf":
                found |= {"crf.start_transitions": parameter[0], "crf.end_transitions": parameter[1]}
                found["crf.transitions"] = parameter[2:]
            else:
                found[f"{places.get(first, first)}.{rest}"] = parameter
        return {name: parameter.detach().clone() for name, parameter in found.items()}

    @torch.no_grad()
    def answers(self, inputs: Any) -> Tensor:
        """Return the outputs of one sequence of ids or rows, with None for missing values: (K,) or (T, K)."""
        if self.embedding is not None:
            return self(torch.tensor([inputs]))[0][0]
        rows = [[math.nan if value is None else value for value in row] for row in inputs]
        return self(torch.tensor([rows], dtype=torch.float64))[0][0]


def encoder_fields(task: str, *, text: bool = True, **config: Any) -> dict[str, Any]:
    """Return a config.json, without its state; sizes that are left out fit each other."""
    fields: dict[str, Any] = {
        "format_version": 1,
        "task": task,
        "architecture": "sequence-encoder",
        "cell": "gru",
        "num_layers": 1,
        "hidden_size": 12,
        **OUTPUTS[task],
        **config,
    }
    if text:
        unknown = {"special_tokens": {"unknown": "<unk>"}}
        fields = {"embedding_size": 8, "vocab_size": len(WORDS), **unknown, **fields}
        fields.setdefault("input_size", fields["embedding_size"])
    else:
        fields = {"features": FEATURES, **fields}
        fields.setdefault("input_size", len(fields["features"]) * (2 if fields.get("missing_indicator") else 1))
    return fields


def write_encoder(
    root: Path,
    name: str,
    task: str,
    *,
    version: str = "1",
    text: bool = True,
    seed: int = 0,
    golden: bool = True,
    **config: Any,
) -> Path:
    """Write `root`/`name`/`version` with seeded random weights; `config` are further fields of config.json."""
    folder = root / name / version
    folder.mkdir(parents=True)
    fields = encoder_fields(task, text=text, **config)
    (folder / "config.json").write_text(json.dumps(with_state(fields, str(folder)), indent=2), "utf-8")
    scaling = {} if text else scaling_of(fields["features"])
    if text:
        write_tokenizer(folder / "tokenizer.json", WORDS)
    else:
        (folder / "preprocessor.json").write_text(json.dumps(scaling, indent=2), "utf-8")
    trainer = EncoderTrainer(fields, scaling, seed).eval()
    write_tensor_file(folder / "model.safetensors", trainer.tensors())
    (folder / "README.md").write_text("---\ndescription: A small encoder with random weights.\n---\n", "utf-8")
    if golden:
        write_golden(folder / "golden.safetensors", trainer)
    return folder


def scaling_of(features: Sequence[str]) -> dict[str, Any]:
    """Return a preprocessor.json."""
    return {
        "format_version": 1,
        "features": [*features],
        "mean": [5.0 + at for at in range(len(features))],
        "scale": [2.0 + at for at in range(len(features))],
        "clamp": 5.0,
        "missing": "last",
    }


def read_trainer(folder: Path, seed: int = 0) -> EncoderTrainer:
    """Return the trainer that wrote `folder`."""
    config = json.loads((folder / "config.json").read_bytes())
    scaling = folder / "preprocessor.json"
    return EncoderTrainer(config, json.loads(scaling.read_bytes()) if scaling.exists() else {}, seed).eval()


def rows_of(count: int, width: int = 3, seed: int = 0, missing: float = 0.2) -> list[list[float | None]]:
    """Return observations, some of them missing."""
    own = torch.Generator().manual_seed(seed)
    values = 5 + 4 * torch.randn(count, width, generator=own, dtype=torch.float64)
    gone = torch.rand(count, width, generator=own) < missing
    return [[None if gone[t, f] else round(float(values[t, f]), 3) for f in range(width)] for t in range(count)]


def write_golden(path: Path, trainer: EncoderTrainer, tolerance: float = 1e-4) -> None:
    """Write what `trainer` computes for two sequences of nine timesteps."""
    config = trainer.config
    if "vocab_size" in config:
        inputs = torch.randint(config["vocab_size"], (2, 9), generator=torch.Generator().manual_seed(7))
        vectors = {"inputs.ids": inputs}
    else:
        rows = [rows_of(9, len(config["features"]), seed) for seed in (1, 2)]
        numbers = [[[math.nan if value is None else value for value in row] for row in one] for one in rows]
        inputs = torch.tensor(numbers, dtype=torch.float64)
        vectors = {"inputs.values": inputs}
    with torch.no_grad():
        outputs, state = trainer(inputs)
    vectors[f"outputs.{OUTPUT_NAMES[config['task']]}"] = outputs
    if not config.get("bidirectional"):
        vectors |= {f"state.{name}": one for name, one in state.items()}
    write_tensor_file(path, vectors, {"tolerance": str(tolerance)})


def probabilities_of(logits: Tensor) -> list[float]:
    """Return the softmax of logits (L,)."""
    return F.softmax(logits.double(), -1).tolist()
