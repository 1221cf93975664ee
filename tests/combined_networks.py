"""Networks that have several parts at once, written out in plain torch over the tensors of a model folder.

A window, convolutions, a learned initial state, readouts and a decoder are tested each by itself elsewhere. `Combined`
writes a folder with random weights and golden vectors, and computes what the network answers from its file alone.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from service.model_folder.safetensors_io import write_tensor_file
from service.nets.network_spec import find_spec
from service.tasks.architectures import ARCHITECTURES
from tests.encoder_folders import FEATURES, encoder_fields, scaling_of
from tests.folders import ACTIVATIONS, LAYERS, WORDS, write_tokenizer
from tests.forecast_folders import forecaster_fields
from tests.registered import build_config, with_state

TIMES = 11
IDS = [9, 4, 7, 5, 9, 6, 3, 30, 12, 8, 21]
ROWS = (torch.linspace(0, 9, TIMES)[:, None] * torch.tensor([1.0, 0.7, 0.3])).sin().mul(4).add(6).double()


def language_fields(**config: Any) -> dict[str, Any]:
    return {
        "format_version": 1,
        "task": "next-word",
        "architecture": "language-model",
        "cell": "lstm",
        "num_layers": 1,
        "hidden_size": 10,
        "input_size": 8,
        "embedding_size": 8,
        "vocab_size": len(WORDS),
        "special_tokens": {"unknown": "<unk>"},
        **config,
    }


def fields_of(task: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return a config.json of a task; the recurrent layers read the output of the last convolution."""
    if config.get("convolution"):
        config = {"input_size": config["convolution"][-1]["channels"], **config}
    if task == "next-word":
        return language_fields(**config)
    if task == "forecasting":
        numbers = {"features": FEATURES, "target": FEATURES[:1], "distribution": "point", "frequency": None}
        return forecaster_fields(**numbers, horizon=4, **config)
    return encoder_fields(task, text="padding" in config, **config)


class Combined:
    """A folder, and the network in it as plain torch computes it."""

    def __init__(self, root: Path, task: str, config: dict[str, Any], seed: int = 0) -> None:
        self.folder = root / "model" / "1"
        self.folder.mkdir(parents=True)
        fields = with_state(fields_of(task, config), str(self.folder))
        (self.folder / "config.json").write_text(json.dumps(fields), "utf-8")
        self.config, self.text = fields, "vocab_size" in fields
        if self.text:
            write_tokenizer(self.folder / "tokenizer.json", WORDS)
        else:
            self.scaling = scaling_of(FEATURES)
            (self.folder / "preprocessor.json").write_text(json.dumps(self.scaling), "utf-8")
        own = torch.Generator().manual_seed(seed)
        network = find_spec(fields, "", ARCHITECTURES).make_network(build_config(fields, ""))
        shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
        self.tensors = {name: torch.randn(shape, generator=own) * 0.4 for name, shape in shapes.items()}
        write_tensor_file(self.folder / "model.safetensors", self.tensors)
        self._write_golden()

    def _write_golden(self) -> None:
        task, each = self.config["task"], self.config.get("readout") == "each"
        kinds = {"classification": "logits", "tagging": "logits", "regression": "values", "next-word": "logits"}
        name = kinds.get(task, "embedding" if task == "embedding" else "parameters")
        each = each or (task == "next-word" and not (self.config.get("window") or self.config.get("padding")))
        ends = range(1, TIMES + 1) if each else [TIMES]
        answers = torch.stack([self.answer(end) for end in ends])
        outputs = answers if each or task == "forecasting" else answers[0]
        if task == "forecasting":
            outputs = answers[0].view(self.config["horizon"], 1, 1)
        inputs = {"inputs.ids": torch.tensor([IDS])} if self.text else {"inputs.values": ROWS[None]}
        write_tensor_file(self.folder / "golden.safetensors", {**inputs, f"outputs.{name}": outputs[None].contiguous()})

    @torch.no_grad()
    def answer(self, end: int) -> Tensor:
        """Return the outputs of the network after the first `end` inputs; of a forecaster those of all steps ahead."""
        config, padding = self.config, self.config.get("padding")
        size = padding["length"] if padding else config.get("window") or TIMES
        if self.text:
            ids, pad = IDS[max(0, end - size) : end], padding and WORDS.index(padding["token"])
            filling = [pad] * (size - len(ids)) if padding else []
            ids = [*filling, *ids] if padding and padding["side"] == "left" else [*ids, *filling]
            x = self.tensors["embedding.weight"][ids]
        else:
            mean, scale = (torch.tensor(self.scaling[name], dtype=torch.float64) for name in ("mean", "scale"))
            x = ((ROWS[max(0, end - size) : end] - mean) / scale).float()
        outputs, state = self._recurrent(self._convolve(x))
        if config.get("decoder"):
            return self._decode(state, x[-1, :1])
        return self._output(self._read_out(outputs))

    def _convolve(self, x: Tensor) -> Tensor:
        """Return (T', C) of inputs (T, W); with padding `valid`, the first timesteps are missing."""
        x = x.T[None]
        for index, entry in enumerate(self.config.get("convolution", [])):
            weight, bias = (self.tensors[f"rnn.convolution.{index}.{kind}"] for kind in ("weight", "bias"))
            dilation = entry.get("dilation", 1)
            history = (entry["kernel"] - 1) * dilation
            sides = {"causal": (history, 0), "same": (history // 2, history - history // 2), "valid": (0, 0)}
            x = F.pad(x, sides[entry["padding"]])
            if x.shape[-1] <= history:
                return torch.zeros(0, len(weight))
            x = ACTIVATIONS[entry.get("activation", "none")](F.conv1d(x, weight, bias, dilation=dilation))
        return x[0].T

    def _recurrent(self, x: Tensor, section: str = "rnn", state: tuple[Tensor, ...] | None = None) -> tuple[Any, Any]:
        """Return outputs (T, O) and the final state; without a timestep the initial state's output."""
        config = self.config if section == "rnn" else self.config["decoder"]
        own = {name.removeprefix(f"{section}."): one for name, one in self.tensors.items()}
        outputs, after = _run(config, own, x, state)
        for stack in config.get("stacks", []):
            shifted = {name.replace(f"_l{config['num_layers']}", "_l0"): one for name, one in own.items()}
            outputs, _ = _run(stack, shifted, outputs, None)
        return outputs, after

    def _read_out(self, outputs: Tensor) -> Tensor:
        readout, half = self.config.get("readout", "last"), outputs.shape[1] // 2
        if readout == "last" and self.config.get("stacks", [self.config])[-1].get("bidirectional"):
            return torch.cat([outputs[-1, :half], outputs[0, half:]])
        if readout == "attention":
            hidden = (outputs @ self.tensors["readout.hidden.weight"].T + self.tensors["readout.hidden.bias"]).tanh()
            scores = hidden @ self.tensors["readout.score.weight"].T + self.tensors["readout.score.bias"]
            return (scores.softmax(0) * outputs).sum(0)
        return {"mean": outputs.mean(0), "max": outputs.amax(0)}.get(readout, outputs[-1])

    def _output(self, features: Tensor) -> Tensor:
        for index, entry in enumerate(self.config.get("head", [])):
            linear = features @ self.tensors[f"head.{index}.weight"].T + self.tensors[f"head.{index}.bias"]
            features = ACTIVATIONS[entry.get("activation", "none")](linear)
        if "output.weight" not in self.tensors:
            return features
        return self.tensors["output.weight"] @ features + self.tensors["output.bias"]

    def _decode(self, state: tuple[Tensor, ...], fed: Tensor) -> Tensor:
        """Return the forecasts of the decoder, which first reads the last target."""
        found = []
        for _ in range(self.config["horizon"]):
            outputs, state = self._recurrent(fed[None], "decoder", state)
            fed = self._output(outputs[0])
            found.append(fed)
        return torch.cat(found)


def _run(
    config: dict[str, Any], own: dict[str, Tensor], x: Tensor, state: tuple[Tensor, ...] | None
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run the layers of one kind; see `_recurrent`."""
    kind, extra = LAYERS[config["cell"]]
    both = config.get("bidirectional", False)
    layers = kind(config["input_size"], config["hidden_size"], config["num_layers"], bidirectional=both, **extra)
    layers.load_state_dict({name: own[name] for name in layers.state_dict()})
    if state is None:
        places = [f"l{k}{side}" for k in range(config["num_layers"]) for side in ("", "_reverse")[: 1 + both]]
        zeros = torch.zeros(config["hidden_size"])
        kinds = "hc" if config["cell"] == "lstm" else "h"
        state = tuple(torch.stack([own.get(f"{part}0_{place}", zeros) for place in places]) for part in kinds)
    if not len(x):
        return state[0][-(1 + both) :].flatten()[None], state
    outputs, after = layers(x, state if config["cell"] == "lstm" else state[0])
    return outputs, after if isinstance(after, tuple) else (after,)
