"""REF-LM as a model of Triton's Python backend; `triton.py` copies this file to Triton's model repository."""

import json
import sys
from pathlib import Path
from typing import Any

import triton_python_backend_utils as triton

SLOTS = 8192


class TritonPythonModel:
    """REF-LM by `nn.LSTM`; the state of each sequence is a row of two tensors."""

    def initialize(self, arguments: dict[str, str]) -> None:
        parameters = json.loads(arguments["model_config"])["parameters"]
        sys.path[:0] = parameters["sys.path"]["string_value"].split(":")
        import torch  # not on the path before

        from benchmarks.peers.states import LAYERS, Network  # likewise

        self._torch = torch
        self._network = Network(Path(parameters["folder"]["string_value"]))
        self._hidden, self._cell = torch.zeros(2, LAYERS, SLOTS, self._network.hidden)
        self._slots: dict[int, int] = {}

    def execute(self, requests: list[Any]) -> list[Any]:
        """Run one step of every request's sequence."""
        torch = self._torch
        slots = torch.tensor([self._slot(request) for request in requests])
        words = torch.tensor([_number(request, "ID") for request in requests])
        state = self._hidden[:, slots], self._cell[:, slots]
        ids, probabilities, hidden, cell = self._network.step(words, *state)
        self._hidden[:, slots], self._cell[:, slots] = hidden, cell
        return [
            triton.InferenceResponse([_tensor("IDS", row), _tensor("PROBABILITIES", values)])
            for row, values in zip(ids.split(1), probabilities.split(1), strict=True)
        ]

    def _slot(self, request: object) -> int:
        """Return the row of a sequence, set to zeros if the sequence starts."""
        sequence = _number(request, "CORRID")
        slot = self._slots.setdefault(sequence, len(self._slots) % SLOTS)
        if _number(request, "START"):
            self._hidden[:, slot] = 0
            self._cell[:, slot] = 0
        return slot


def _number(request: object, name: str) -> int:
    return int(triton.get_input_tensor_by_name(request, name).as_numpy().item())


def _tensor(name: str, row: object) -> object:
    """Return a Triton tensor by DLPack, without a copy through numpy."""
    return triton.Tensor.from_dlpack(name, row)
