"""REF-LM, the reference network of the benchmarks: 10,000 words, embedding 256, two LSTM layers of 512, random weights.

    python -m benchmarks.ref_lm DIR        writes DIR/ref-lm/1/

The service loads and verifies that folder as it would any other: the golden vectors are what `torch.nn` computes. The
peers run the same weights by `load`.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

NAME, VERSION = "ref-lm", "1"
VOCABULARY, EMBEDDING, HIDDEN, LAYERS = 10_000, 256, 512, 2
SEED = 1


class ReferenceLM(nn.Module):
    """The network as a user would train it; its parameters are named as in a model folder."""

    def __init__(self, vocabulary: int = VOCABULARY, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, EMBEDDING)
        self.rnn = nn.LSTM(EMBEDDING, hidden, LAYERS, batch_first=True)
        self.output = nn.Linear(hidden, vocabulary)

    def forward(self, ids: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Feed ids (B, T): logits (B, T, V) and the state after the last, h and c (L, B, H) each."""
        features, state = self.rnn(self.embedding(ids), state)
        return self.output(features), state


def build(vocabulary: int = VOCABULARY, hidden: int = HIDDEN) -> ReferenceLM:
    """Return the network with its random weights, the same ones every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return ReferenceLM(vocabulary, hidden).eval()


def load(folder: Path) -> ReferenceLM:
    """Return the network with the weights of a written folder."""
    weights = load_file(folder / "model.safetensors")
    vocabulary, hidden = weights["output.weight"].shape
    network = ReferenceLM(vocabulary, hidden).eval()
    network.load_state_dict(weights)
    return network


def config(vocabulary: int, hidden: int) -> dict[str, object]:
    """Return the fields of config.json; `pack` adds the state that follows from them."""
    return {
        "format_version": 1,
        "task": "next-word",
        "architecture": "language-model",
        "cell": "lstm",
        "num_layers": LAYERS,
        "input_size": EMBEDDING,
        "hidden_size": hidden,
        "embedding_size": EMBEDDING,
        "vocab_size": vocabulary,
        "special_tokens": {"unknown": "<unk>"},
    }


@torch.inference_mode()
def write_golden(path: Path, network: ReferenceLM) -> None:
    """Write what the network computes for two sequences of seven words."""
    ids = torch.randint(network.output.out_features, (2, 7), generator=torch.Generator().manual_seed(SEED))
    logits, (hidden, cell) = network(ids)
    save_file({"inputs.ids": ids, "outputs.logits": logits, "state.h": hidden, "state.c": cell}, path)


def write(models: Path, vocabulary: int = VOCABULARY, hidden: int = HIDDEN) -> Path:
    """Write `models`/ref-lm/1 and check it as the service would; return it. Raises ModelFolderError."""
    from service.tooling.pack.packer import pack  # peers run without the service's own libraries

    network = build(vocabulary, hidden)
    words = ["<unk>", *(f"word{number}" for number in range(1, vocabulary))]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_file(network.state_dict(), folder / "weights.safetensors")
        write_golden(folder / "golden.safetensors", network)
        (folder / "config.json").write_text(json.dumps(config(vocabulary, hidden)), "utf-8")
        (folder / "words.txt").write_text("\n".join(words) + "\n", "utf-8")
        packed = pack(
            folder / "weights.safetensors",
            models,
            NAME,
            VERSION,
            config=folder / "config.json",
            vocab=folder / "words.txt",
            golden=folder / "golden.safetensors",
        )
    return packed.path


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, metavar="DIR", help="folder of model folders")
    print(f"wrote {write(parser.parse_args(arguments).models)}")


if __name__ == "__main__":
    main()
