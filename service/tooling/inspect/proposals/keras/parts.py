"""The layers of a Keras model by their places: embedding, convolutions, recurrent layers, and what stands behind."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from service.nets.config.architecture_config import MAX_WINDOW
from service.tooling.formats.keras.lookups import LOOKUPS
from service.tooling.formats.network import SavedLayer, SavedNetwork
from service.tooling.inspect.inventory import UnsupportedNetwork
from service.tooling.inspect.proposals.keras.feed_forward import Entries, entries_of, is_feed_forward
from service.tooling.inspect.proposals.keras.front import split_convolutions
from service.tooling.inspect.proposals.keras.lookups import ids_shape
from service.tooling.inspect.proposals.keras.recurrent import Block, cell_of, is_merged, reads_both

INPUT = "InputLayer"
#: Layers that change nothing when a network answers.
_TRAINING = {
    "Dropout",
    "SpatialDropout1D",
    "GaussianNoise",
    "GaussianDropout",
    "AlphaDropout",
    "ActivityRegularization",
}


@dataclass(frozen=True, slots=True)
class Parts:
    """The layers of a model in the order of computation.

    `shape` is that of the input; of a model with a layer that looks words up in its vocabulary, that of the ids.
    """

    shape: tuple[int | None, ...]
    embedding: SavedLayer | None
    masks: tuple[SavedLayer, ...]
    convolutions: tuple[SavedLayer, ...]
    blocks: tuple[Block, ...]
    behind: tuple[SavedLayer, ...]
    lookup: SavedLayer | None = None

    @property
    def last(self) -> SavedLayer:
        """The last recurrent layer."""
        return self.blocks[-1].layer

    @property
    def timesteps(self) -> int | None:
        """The number of timesteps that the model was built for, None for any."""
        return self.shape[0] if self.shape else None

    @property
    def is_stateful(self) -> bool:
        """Whether a layer keeps its state from one batch to the next."""
        return any(bool(block.layer.options.get("stateful")) for block in self.blocks)

    @property
    def reads_backwards(self) -> bool:
        """Whether a layer reads from the end of the sequence."""
        return any(reads_both(block.layer) for block in self.blocks)

    def window(self, readout: str) -> int | None:
        """Return the number of inputs of an answer, None if it is one of a stream or of a whole sequence."""
        whole = readout == "each" and self.reads_backwards
        size = self.timesteps
        return None if whole or self.is_stateful or size is None or size > MAX_WINDOW else size


def split(saved: SavedNetwork) -> Parts:
    """Return the layers by their places. Raises UnsupportedNetwork."""
    layers = [layer for layer in saved.layers if layer.kind not in _TRAINING | {INPUT, "Masking"}]
    lookup, embedding = _take_embedding(layers)
    places = [index for index, layer in enumerate(layers) if cell_of(layer)]
    if not places:
        raise UnsupportedNetwork("it has no recurrent layers")
    convolutions, before = split_convolutions(layers[: places[0]])
    blocks = [Block(_entries(before, saved), layers[places[0]])]
    for earlier, place in pairwise(places):
        entries = merging(layers[earlier], saved)
        entries.extend(_entries(layers[earlier + 1 : place], saved))
        blocks.append(Block(entries, layers[place]))
    masks = tuple(layer for layer in saved.layers if layer.kind == "Masking")
    behind = tuple(layers[places[-1] + 1 :])
    shape = _input_shape(saved) if lookup is None else ids_shape(lookup, _input_shape(saved))
    return Parts(shape, embedding, masks, tuple(convolutions), tuple(blocks), behind, lookup)


def _take_embedding(layers: list[SavedLayer]) -> tuple[SavedLayer | None, SavedLayer | None]:
    """Remove and return the layer that looks words up, and the embedding behind it. Raises UnsupportedNetwork."""
    lookup = layers.pop(0) if layers and layers[0].kind in LOOKUPS else None
    embedding = layers.pop(0) if layers and layers[0].kind == "Embedding" else None
    if lookup is not None and embedding is None:
        raise UnsupportedNetwork(f"behind the layer {lookup.kind} ({lookup.name}) an Embedding is served alone")
    return lookup, embedding


def _input_shape(saved: SavedNetwork) -> tuple[int | None, ...]:
    shapes = [layer.options.get("shape") for layer in saved.layers if layer.kind == INPUT]
    return shapes[0] if shapes and isinstance(shapes[0], tuple) else ()


def merging(layer: SavedLayer, saved: SavedNetwork) -> Entries:
    """Return the linear layer that adds the outputs of both directions; nothing if they are concatenated."""
    entries = Entries()
    if is_merged(layer):
        place = f"{layer.name}.merge"
        size = saved.tensors[f"{place}.weight"].shape[0]
        entries.add({"size": size, "activation": "linear"}, place, saved.tensors)
    return entries


def _entries(layers: Sequence[SavedLayer], saved: SavedNetwork) -> Entries:
    if foreign := [layer for layer in layers if not is_feed_forward(layer)]:
        raise UnsupportedNetwork(f"the layer {foreign[0].kind} ({foreign[0].name}) is not served at its place")
    return entries_of(layers, saved.tensors)
