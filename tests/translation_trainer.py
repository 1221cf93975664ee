"""An encoder-decoder as a user would train it, of torch.nn modules: one per layer, attention written out."""

from typing import Any

import torch
from torch import Tensor, nn

from tests.folders import (
    ACTIVATIONS,
    LAYERS,
    feed_forward_tensors,
    make_feed_forward,
    run_feed_forward,
    run_quietly,
)


def layers(side: dict[str, Any], first: int) -> nn.ModuleList:
    kind, extra = LAYERS[side["cell"]]
    extra = {**extra, "bidirectional": side.get("bidirectional", False), "bias": side.get("bias", True)}
    if side.get("proj_size"):
        extra["proj_size"] = side["proj_size"]
    found, width = [], first
    for _ in range(side["num_layers"]):
        found.append(kind(width, side["hidden_size"], batch_first=True, **extra))
        width = (side.get("proj_size") or side["hidden_size"]) * (2 if side.get("bidirectional") else 1)
    return nn.ModuleList(found)


def width_of(side: dict[str, Any]) -> int:
    return (side.get("proj_size") or side["hidden_size"]) * (2 if side.get("bidirectional") else 1)


class TranslationTrainer(nn.Module):
    """Decodes one step at a time, whatever the configuration."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config, encoder, decoder = config, config["encoder"], config["decoder"]
        self.source = nn.Embedding(encoder["vocab_size"], encoder["embedding_size"])
        self.target = nn.Embedding(decoder["vocab_size"], decoder["embedding_size"])
        self.encoder = layers(encoder, encoder["input_size"])
        self.decoder = layers(decoder, decoder["input_size"])
        query, memory = width_of(decoder), width_of(encoder)
        kind = config["attention"]
        self.general = nn.Linear(memory, query, bias=False) if kind == "general" else None
        in_front = config.get("attention_place") == "front"
        if kind == "fixed":
            self.fixed = nn.Linear(decoder["embedding_size"] + query, config["attention_length"])
        if kind == "additive":
            self.on_query, self.on_memory = nn.Linear(query, query), nn.Linear(memory, query, bias=False)
            self.on_score = nn.Linear(query, 1, bias=False)
        self.readout = config.get("readout") or (["context", "output"] if kind and not in_front else ["output"])
        widths = {"context": memory, "output": query, "embedding": decoder["embedding_size"]}
        reads = sum(widths[part] for part in self.readout)
        fed = decoder["embedding_size"] + (memory if in_front else 0)
        self.front, _ = make_feed_forward(fed, decoder.get("input_layers", []))
        combine = config.get("combine")
        self.combine = nn.Linear(reads, combine["size"]) if combine else None
        self.output = nn.Linear(combine["size"] if combine else reads, decoder["vocab_size"])
        if decoder.get("tie_weights"):
            self.output.weight = self.target.weight
        self.bridge = nn.ModuleDict()
        if config["bridge"] == "linear":
            for layer in range(decoder["num_layers"]):
                for state, size in self._decoder_state(decoder):
                    wide = encoder["hidden_size"] if state == "c" and encoder["cell"] == "lstm" else None
                    wide = wide or encoder.get("proj_size") or encoder["hidden_size"]
                    ways = 2 if encoder.get("bidirectional") else 1
                    self.bridge[f"{state}_l{layer}"] = nn.Linear(wide * ways, size)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.5)

    def _decoder_state(self, decoder: dict[str, Any]) -> list[tuple[str, int]]:
        sizes = [("h", decoder.get("proj_size") or decoder["hidden_size"])]
        return [*sizes, ("c", decoder["hidden_size"])] if decoder["cell"] == "lstm" else sizes

    def encode(self, source: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        x, ends = self.source(source), []
        for layer in self.encoder:
            x, last = run_quietly(layer, x)
            last = last if isinstance(last, tuple) else (last,)
            ends.append([torch.cat(list(one), -1) for one in last])
        state, decoder = {}, self.config["decoder"]
        for layer in range(decoder["num_layers"]):
            end = ends[max(0, layer + len(ends) - decoder["num_layers"])]
            for name, one in zip(("h", "c"), (end[0], end[-1]), strict=True):
                key = f"{name}_l{layer}"
                if name == "h" or decoder["cell"] == "lstm":
                    activation = ACTIVATIONS[self.config.get("bridge_activation", "none")]
                    state[key] = activation(self.bridge[key](one)) if self.bridge else one
        return x, state

    def weights(self, query: Tensor, memory: Tensor) -> Tensor:
        """(B, D), (B, S, M) -> (B, S), position after position."""
        scores = []
        for position in memory.unbind(1):
            if self.config["attention"] == "additive":
                scores.append(self.on_score(torch.tanh(self.on_query(query) + self.on_memory(position)))[:, 0])
            else:
                key = position if self.general is None else self.general(position)
                scores.append((query * key).sum(-1))
        return torch.stack(scores, -1).softmax(-1)

    def forward(self, source: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Ids (B, S), (B, T) -> the golden vectors."""
        memory, state = self.encode(source)
        found = {"outputs.memory": memory, **{f"state.initial_{name}": one for name, one in state.items()}}
        logits, attended = [], []
        fed = torch.zeros(len(source), self.output.in_features)
        for column in target.unbind(1):
            x = embedded = self.target(column)
            x = torch.cat([x, fed], -1) if self.config["decoder"].get("input_feed") else x
            parts = {"embedding": embedded}
            if self.config.get("attention_place") == "front":
                parts["context"] = self._context(embedded, self._last(state), memory, attended)
                x = torch.cat([x, parts["context"]], -1)
            x = run_feed_forward(self.front, self.config["decoder"].get("input_layers", []), x)
            query, state = self._recur(x, state)
            parts["output"] = query
            if self.config["attention"] and "context" not in parts:
                parts["context"] = self._context(embedded, query, memory, attended)
            both = torch.cat([parts[part] for part in self.readout], -1)
            combine = self.config.get("combine")
            fed = ACTIVATIONS[combine["activation"]](self.combine(both)) if combine else both
            logits.append(self.output(fed))
        found |= {"outputs.logits": torch.stack(logits, 1), **{f"state.{name}": one for name, one in state.items()}}
        if self.config["decoder"].get("input_feed"):
            found["state.attentional"] = fed
        return found | ({"outputs.attention": torch.stack(attended, 1)} if attended else {})

    def _last(self, state: dict[str, Tensor]) -> Tensor:
        return state[f"h_l{len(self.decoder) - 1}"]

    def _context(self, embedded: Tensor, query: Tensor, memory: Tensor, attended: list[Tensor]) -> Tensor:
        """Attend to the memory, and note the weights."""
        if self.config["attention"] == "fixed":
            weights = self.fixed(torch.cat([embedded, query], -1)).softmax(-1)[:, : memory.shape[1]]
        else:
            weights = self.weights(query, memory)
        attended.append(weights)
        return torch.einsum("bs,bsm->bm", weights, memory)

    def _recur(self, x: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        after = {}
        for index, layer in enumerate(self.decoder):
            before = [state[f"{name}_l{index}"][None] for name in "hc" if f"{name}_l{index}" in state]
            output, last = run_quietly(layer, x[:, None], tuple(before) if len(before) == 2 else before[0])
            last = last if isinstance(last, tuple) else (last,)
            after |= {f"{name}_l{index}": one[0] for name, one in zip("hc", last, strict=False)}
            x = output[:, 0]
        return x, after

    def tensors(self) -> dict[str, Tensor]:
        """The weights under the names of a model folder."""
        found = {
            "encoder.embedding.weight": self.source.weight,
            "decoder.embedding.weight": self.target.weight,
            "output.bias": self.output.bias,
        }
        if not self.config["decoder"].get("tie_weights"):
            found["output.weight"] = self.output.weight
        for side in ("encoder", "decoder"):
            for index, layer in enumerate(getattr(self, side)):
                found |= {f"{side}.rnn.{name.replace('l0', f'l{index}')}": p for name, p in layer.named_parameters()}
        found |= {f"bridge.{name}": one for name, one in self.bridge.named_parameters()}
        if self.general is not None:
            found["attention.weight"] = self.general.weight
        if self.config["attention"] == "additive":
            for place, module in (("query", self.on_query), ("memory", self.on_memory), ("score", self.on_score)):
                found |= {f"attention.{place}.{name}": one for name, one in module.named_parameters()}
        if self.config["attention"] == "fixed":
            found |= {f"attention.score.{name}": one for name, one in self.fixed.named_parameters()}
        found |= feed_forward_tensors("decoder.rnn.before_l0", self.front)
        if self.combine is not None:
            found |= {f"combine.{name}": one for name, one in self.combine.named_parameters()}
        return {name: one.detach().clone() for name, one in found.items()}
