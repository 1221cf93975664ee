"""REF-LM, the language model that the benchmarks measure with: its config.json and its random weights, in memory."""

from itertools import pairwise

import torch
from torch import Tensor

from service.nets.config import LanguageModelConfig

VOCABULARY, EMBEDDING, HIDDEN, LAYERS = 10_000, 256, 512, 2


def config() -> LanguageModelConfig:
    """Return its configuration."""
    return LanguageModelConfig(
        format_version=1,
        task="next-word",
        architecture="language-model",
        cell="lstm",
        num_layers=LAYERS,
        input_size=EMBEDDING,
        hidden_size=HIDDEN,
        embedding_size=EMBEDDING,
        vocab_size=VOCABULARY,
    )


def weights(seed: int = 0) -> dict[str, Tensor]:
    """Return its weights by their names in a model folder, uniform as torch.nn begins with."""
    shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (VOCABULARY, EMBEDDING)}
    for layer, (inputs, _) in enumerate(pairwise([EMBEDDING, *[HIDDEN] * LAYERS])):
        shapes |= {
            f"rnn.weight_ih_l{layer}": (4 * HIDDEN, inputs),
            f"rnn.weight_hh_l{layer}": (4 * HIDDEN, HIDDEN),
            f"rnn.bias_ih_l{layer}": (4 * HIDDEN,),
            f"rnn.bias_hh_l{layer}": (4 * HIDDEN,),
        }
    shapes |= {"output.weight": (VOCABULARY, HIDDEN), "output.bias": (VOCABULARY,)}
    generator, bound = torch.Generator().manual_seed(seed), HIDDEN**-0.5
    return {name: torch.empty(shape).uniform_(-bound, bound, generator=generator) for name, shape in shapes.items()}
