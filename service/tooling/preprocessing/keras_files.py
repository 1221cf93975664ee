"""Files of Keras that hold layers of preprocessing alone, such as a TextVectorization that was saved as a model."""

from service.domain.errors import ModelFolderError
from service.nets.config.bounded_json import parse_json
from service.tooling.formats.keras.layers import read_layers
from service.tooling.formats.keras.lookups import LOOKUPS
from service.tooling.formats.keras.model import CONFIG, MAX_JSON_BYTES, KerasArchive
from service.tooling.formats.keras.model_json import UnsupportedModel
from service.tooling.formats.keras.preprocessing import SCALING
from service.tooling.formats.network import SavedLayer, SavedNetwork
from service.tooling.formats.source import Source
from service.tooling.preprocessing.contents import Found, find_contents
from service.tooling.preprocessing.scaling import Scaler


def keras_preprocessing(source: Source) -> list[Found]:
    """Return the vocabularies and scalings of a `.keras` file; none if it is another file, or holds a network.

    Raises ModelFolderError.
    """
    archive = KerasArchive()
    if not archive.recognizes(source) or not _is_preprocessing(source):
        return []
    saved, origin = archive.read(source), str(source.path)
    scalers = [_scaler(layer, saved, origin) for layer in saved.layers if layer.kind in SCALING]
    return [*find_contents(saved.content, origin), *(Found("", scaler) for scaler in scalers)]


def _is_preprocessing(source: Source) -> bool:
    """Return whether the layers of a model turn text into ids, or scale numbers, and do nothing else."""
    if source.archive is None:
        return False
    try:
        layers = read_layers(parse_json(source.archive.read(CONFIG, MAX_JSON_BYTES)))
    except (UnsupportedModel, ModelFolderError, ValueError):
        return False
    return bool(layers) and all(layer.kind in LOOKUPS | SCALING for layer in layers)


def _scaler(layer: SavedLayer, saved: SavedNetwork, origin: str) -> Scaler:
    """Return the scaling of a layer, which was read as a linear one. Raises ModelFolderError."""
    factors, summands = saved.tensors[f"{layer.name}.weight"].diagonal().tolist(), saved.tensors[f"{layer.name}.bias"]
    if 0.0 in factors:
        raise ModelFolderError(f"{origin}: found a factor of 0 in the layer {layer.name}, expected another number")
    mean = tuple(-summand / factor for factor, summand in zip(factors, summands.tolist(), strict=True))
    return Scaler(mean, tuple(1 / factor for factor in factors), f"a {layer.kind} layer", origin)
