"""Writes small real model folders. The golden vectors come from torch.nn, not from the nets that are under test."""

import asyncio
import json
import warnings
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from torch import Tensor, nn

from service.engine.loaded_models import ModelRegistry
from service.engine.model_repository import FolderModelRepository
from service.model_folder.safetensors_io import write_tensor_file
from service.tasks.limits import TextLimits
from tests.registered import with_state

TEXT = (
    "the a I you he she it we they is are was to of and in on at . , ? ! Tom Mary don't like want know "
    "see go home school house dog cat good bad big small very not what who where"
)
WORDS = ["<unk>", "<s>", *TEXT.split()]
LAYERS = {
    "rnn_tanh": (nn.RNN, {"nonlinearity": "tanh"}),
    "rnn_relu": (nn.RNN, {"nonlinearity": "relu"}),
    "lstm": (nn.LSTM, {}),
    "gru": (nn.GRU, {}),
}


class HardSigmoidLegacy(nn.Module):
    """The hard sigmoid of Keras 1 and 2."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.clip(0.2 * x + 0.5, 0, 1)


ACTIVATIONS = {
    "none": nn.Identity(),
    "tanh": nn.Tanh(),
    "relu": nn.ReLU(),
    "sigmoid": nn.Sigmoid(),
    "gelu": nn.GELU(),
    "linear": nn.Identity(),
    "relu6": nn.ReLU6(),
    "hard_sigmoid": nn.Hardsigmoid(),
    "hard_sigmoid_legacy": HardSigmoidLegacy(),
    "hard_tanh": nn.Hardtanh(),
    "hard_swish": nn.Hardswish(),
    "gelu_tanh": nn.GELU(approximate="tanh"),
    "elu": nn.ELU(),
    "selu": nn.SELU(),
    "leaky_relu": nn.LeakyReLU(),
    "softplus": nn.Softplus(),
    "softsign": nn.Softsign(),
    "silu": nn.SiLU(),
    "swish": nn.SiLU(),
    "mish": nn.Mish(),
}


def make_feed_forward(width: int, entries: list[dict[str, Any]]) -> tuple[nn.ModuleList, int]:
    """Return the layers of a list such as `head`, which read `width` numbers, and the width of their output."""
    layers = nn.ModuleList()
    for entry in entries:
        layer: nn.Module = nn.Identity()
        if "size" in entry:
            layer, width = nn.Linear(width, entry["size"]), entry["size"]
        elif entry.get("layer_norm"):
            layer = nn.LayerNorm(width, entry.get("eps", 1e-5))
        elif entry.get("batch_norm"):
            layer = nn.BatchNorm1d(width, entry.get("eps", 1e-5)).eval()
            nn.init.uniform_(layer.running_mean, -1, 1)
            nn.init.uniform_(layer.running_var, 0.5, 2)
        if not isinstance(layer, nn.Linear):
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, 0.5, 1.5)
        layers.append(layer)
    return layers, width


def run_feed_forward(layers: nn.ModuleList, entries: list[dict[str, Any]], x: Tensor) -> Tensor:
    """Run the layers of `make_feed_forward` over (..., I)."""
    for layer, entry in zip(layers, entries, strict=True):
        y = layer(x.flatten(0, -2)).unflatten(0, x.shape[:-1])
        name, alpha = entry.get("activation", "none"), entry.get("alpha")
        if alpha is None:
            x = ACTIVATIONS[name](y)
        else:
            x = nn.functional.elu(y, alpha) if name == "elu" else nn.functional.leaky_relu(y, alpha)
    return x


def feed_forward_tensors(place: str, layers: nn.ModuleList) -> dict[str, Tensor]:
    """Return the weights of `make_feed_forward` under the names of a model folder."""
    return {
        f"{place}.{name}": tensor
        for name, tensor in layers.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


class Trainer(nn.Module):
    """A language model as a user would train it: one torch.nn module per layer."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config["vocab_size"], config["embedding_size"])
        projected = config.get("input_projection", False)
        self.projection = nn.Linear(config["embedding_size"], config["input_size"]) if projected else nn.Identity()
        kind, extra = LAYERS[config["cell"]]
        if config.get("proj_size"):
            extra = {**extra, "proj_size": config["proj_size"]}
        sizes = config["hidden_size"]
        sizes = sizes if isinstance(sizes, list) else [sizes] * config["num_layers"]
        both = config.get("bidirectional", False)
        widths = [config["input_size"], *((config.get("proj_size") or size) * (1 + both) for size in sizes)]
        self.layers = nn.ModuleList(
            kind(width, size, batch_first=True, bias=config.get("bias", True), bidirectional=both, **extra)
            for width, size in zip(widths, sizes, strict=False)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in widths[1:])
        self.gates = nn.ModuleList(nn.Linear(width, width) for width in widths[1:])
        self.head, width = make_feed_forward(widths[-1], config.get("head", []))
        self.output = nn.Linear(width, config["vocab_size"])
        if config.get("tie_weights"):
            self.output.weight = self.embedding.weight
        for norm in self.norms:
            nn.init.uniform_(norm.weight, 0.5, 1.5)

    def forward(self, ids: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Ids (B, T) -> logits (B, T, V), state after the last timestep."""
        if self.config.get("window") or self.config.get("padding"):
            return self._windows(ids)
        features, state = self.features(self.embedding(ids))
        return self.output(features), state

    def _windows(self, ids: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The logits of each position are those at the end of its own window, from the zero state."""
        padding, logits = self.config.get("padding"), []
        size = padding["length"] if padding else self.config["window"]
        for end in range(1, ids.shape[1] + 1):
            window = ids[:, max(0, end - size) : end]
            if padding:
                filling = torch.full((len(ids), size - window.shape[1]), WORDS.index(padding["token"]))
                window = torch.cat([filling, window] if padding["side"] == "left" else [window, filling], 1)
            features, state = self.features(self.embedding(window))
            logits.append(self.output(features[:, -1]))
        return torch.stack(logits, 1), state

    def features(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """(B, T, E) -> what the output layer reads (B, T, D), state after the last timestep."""
        x, state = self.projection(x), {}
        for index, layer in enumerate(self.layers):
            output, last = run_quietly(layer, x)
            last = last if isinstance(last, tuple) else (last,)
            for suffix, direction in zip(("", "_reverse"), range(len(last[0])), strict=False):
                state |= {f"{kind}_l{index}{suffix}": one[direction] for kind, one in zip("hc", last, strict=False)}
            if self.config.get("layer_norm"):
                output = self.norms[index](output)
            x = self._connect(index, x, output)
        if self.config.get("readout") == "last":
            half = x.shape[-1] // 2
            x = torch.cat([x[:, -1:, :half], x[:, :1, half:]], -1)
        return run_feed_forward(self.head, self.config.get("head", []), x), state

    def _connect(self, index: int, x: Tensor, output: Tensor) -> Tensor:
        connection = self.config.get("connection", "none")
        if connection == "none" or x.shape != output.shape:
            return output
        if connection == "residual":
            return x + output
        gate = self.gates[index](x).sigmoid()
        return gate * output + (1 - gate) * x

    def tensors(self) -> dict[str, Tensor]:
        """The weights under the names of a model folder."""
        config, found = self.config, {"embedding.weight": self.embedding.weight, "output.bias": self.output.bias}
        if not config.get("tie_weights"):
            found["output.weight"] = self.output.weight
        found |= {f"input_projection.{name}": one for name, one in self.projection.named_parameters()}
        found |= feed_forward_tensors("head", self.head)
        for index, layer in enumerate(self.layers):
            found |= {f"rnn.{name.replace('_l0', f'_l{index}')}": one for name, one in layer.named_parameters()}
            if config.get("layer_norm"):
                found |= {f"rnn.layer_norm_l{index}.{name}": p for name, p in self.norms[index].named_parameters()}
            width = config["input_size"] if index == 0 else self.gates[index - 1].in_features
            if config.get("connection") == "highway" and width == self.gates[index].in_features:
                found |= {f"rnn.highway_l{index}.{name}": p for name, p in self.gates[index].named_parameters()}
        return {name: one.detach() for name, one in found.items()}


def write_language_model(
    root: Path,
    name: str = "tiny",
    version: str = "1",
    *,
    cell: str = "lstm",
    words: list[str] | None = None,
    hidden_size: int | list[int] = 16,
    num_layers: int = 2,
    seed: int = 0,
    golden: bool = True,
    tolerance: float = 1e-4,
    **config: object,
) -> Path:
    """Write `root`/`name`/`version` with seeded random weights; `config` are further fields of config.json."""
    words = WORDS if words is None else words
    first = hidden_size[0] if isinstance(hidden_size, list) else hidden_size
    embedding_size = config.get("embedding_size", config.get("proj_size") or first)
    roles = {"unknown": "<unk>", "begin": "<s>", "end": "<s>"}
    fields = {
        "format_version": 1,
        "task": "next-word",
        "architecture": "language-model",
        "cell": cell,
        "num_layers": len(hidden_size) if isinstance(hidden_size, list) else num_layers,
        "input_size": embedding_size,
        "hidden_size": hidden_size,
        "embedding_size": embedding_size,
        "vocab_size": len(words),
        "special_tokens": {role: token for role, token in roles.items() if token in words},
        **config,
    }
    trainer = make_trainer(fields, seed)
    folder = root / name / version
    folder.mkdir(parents=True)
    fields = with_state(fields, str(folder))
    (folder / "config.json").write_text(json.dumps(fields, indent=2), "utf-8")
    write_tensor_file(folder / "model.safetensors", trainer.tensors())
    write_tokenizer(folder / "tokenizer.json", words)
    front = "---\ndescription: A small model with random weights.\nmetrics:\n  perplexity: 40.5\n---\n"
    (folder / "README.md").write_text(f"{front}\n# {name}\n", "utf-8")
    if golden:
        write_golden(folder / "golden.safetensors", trainer, tolerance)
    return folder


def load_registry(models: Path, limits: TextLimits | None = None) -> ModelRegistry:
    """Load every version below `models` that is not broken."""
    registry = ModelRegistry()

    async def load() -> None:
        repository = FolderModelRepository(models, registry, limits or TextLimits())
        for folder in await repository.scan():
            await repository.load(folder)

    asyncio.run(load())
    return registry


def run_quietly(module: nn.Module, *inputs: object) -> tuple[Tensor, Tensor | tuple[Tensor, ...]]:
    """Call a torch.nn module; torch warns that oneDNN has no LSTM with projections, whatever its switches say."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="LSTM with projections")
        return module(*inputs)


def make_trainer(fields: dict[str, Any], seed: int = 0) -> Trainer:
    """Return the reference network with seeded weights; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Trainer(fields).eval()


def write_golden(path: Path, trainer: Trainer, tolerance: float = 1e-4) -> None:
    """Write what `trainer` computes for two sequences of seven tokens."""
    ids = torch.randint(trainer.config["vocab_size"], (2, 7), generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        logits, state = trainer(ids)
    vectors = {"inputs.ids": ids, "outputs.logits": logits, **{f"state.{name}": one for name, one in state.items()}}
    write_tensor_file(path, vectors, {"tolerance": str(tolerance)})


def write_tokenizer(path: Path, words: list[str]) -> None:
    """Write a word-level tokenizer that cuts as the bundled model's does."""
    unknown = "<unk>" if "<unk>" in words else None
    vocabulary = {word: index for index, word in enumerate(words)}
    model = models.WordLevel(vocabulary, unk_token=unknown) if unknown else models.WordLevel(vocabulary)
    tokenizer = Tokenizer(model)
    cut = pre_tokenizers.Split(Regex(r"\w+(?:['\-]\w+)*|[^\w\s]"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), cut])
    tokenizer.save(str(path))
