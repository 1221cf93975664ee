"""Reader of the run folders of NeuralHydrology: config.yml, model_epochNNN.pt, and the scaler in train_data/."""

from collections.abc import Collection
from pathlib import Path

from service.domain.errors import ModelFolderError
from service.tooling.formats.network import SavedNetwork
from service.tooling.training_runs.neuralhydrology.network import adapt_network
from service.tooling.training_runs.neuralhydrology.scaler import read_scaler
from service.tooling.training_runs.neuralhydrology.settings_file import SettingsFile, read_settings
from service.tooling.training_runs.run import RunReader, TrainingRun

CONFIG = "config.yml"
LIBRARY = "NeuralHydrology"
HEAD = "regression"
MODELS = ("cudalstm", "customlstm", "lstm", "gru")
#: Fields that change the network or its inputs; without a value they do nothing.
NOT_SERVED = (
    "statics_embedding",
    "dynamics_embedding",
    "autoregressive_inputs",
    "mass_inputs",
    "nan_handling_method",
    "timestep_counter",
)
_WAY_OUT = "are not served; export the network with `torch.onnx.export`, and give that file"
#: The settings of the output's activation in config.json, which applies to scaled outputs as in the library.
_SOFTPLUS, _RELU = {"activation": "softplus"}, {"activation": "none", "head.0.activation": "relu"}


class NeuralHydrologyReader(RunReader):
    """Runs of an LSTM or a GRU that reads the last `seq_length` days and answers the last one."""

    def recognizes(self, names: Collection[str]) -> bool:
        return CONFIG in names and any(_is_weights(name) for name in names)

    def read(self, folder: Path, names: Collection[str]) -> TrainingRun:
        config = read_settings(folder / CONFIG, f"the settings of a run of {LIBRARY}")
        _require_served(config)
        weights = folder / max(name for name in names if _is_weights(name))
        basins = _basins(folder, config)
        features = [*_features(config), *basins]
        targets = config.names("target_variables", "target_variable")
        activation = config.word("output_activation", "linear")
        scaler = read_scaler(folder)
        of_targets = scaler.of(targets)
        settings = {
            "task": "regression",
            "readout": "last",
            "one_hot": False,
            "window": config.count("seq_length"),
            "cell_options": {},
            "connection": "none",
            "head.input.activation": "none",
            "features": features,
            "names": targets,
            "target_mean": [*of_targets.mean],
            "target_scale": [*of_targets.scale],
            **{"softplus": _SOFTPLUS, "relu": _RELU}.get(activation, {"activation": "none"}),
        }

        def adapt(path: Path, saved: SavedNetwork) -> SavedNetwork:
            return adapt_network(path, saved, len(features), len(targets), activated=activation == "relu")

        return TrainingRun(f"a run of {LIBRARY}", weights, settings, scaler.of(features, basins), adapt, _notes(config))


def _is_weights(name: str) -> bool:
    return name.startswith("model_epoch") and name.endswith(".pt")


def _require_served(config: SettingsFile) -> None:
    """Raise ModelFolderError for a run of a network that is not served."""
    model, head = config.word("model", ""), config.word("head", HEAD)
    if model not in MODELS:
        raise config.error(
            "model", model or "nothing", f"one of {', '.join(MODELS)}: other networks of {LIBRARY} {_WAY_OUT}"
        )
    if head != HEAD:
        raise config.error("head", head, f"{HEAD}: the distributions of {LIBRARY} {_WAY_OUT}")
    for field in NOT_SERVED:
        if config.fields.get(field):
            raise config.error(field, config.fields[field], f"nothing: networks with it {_WAY_OUT}")


def _features(config: SettingsFile) -> list[str]:
    """Return what the network reads in its order, which is alphabetical for the attributes of a basin."""
    static = config.names("static_attributes", "camels_attributes") + config.names("hydroatlas_attributes")
    return [
        *config.names("dynamic_inputs"),
        *sorted(static),
        *config.names("evolving_attributes", "static_inputs"),
    ]


def _basins(folder: Path, config: SettingsFile) -> list[str]:
    """Return the features of the basins, of which one is 1 and the others 0. Raises ModelFolderError."""
    if not config.fields.get("use_basin_id_encoding"):
        return []
    path = folder / "train_data" / "id_to_int.yml"
    numbers = read_settings(path, "the number of each basin").fields
    order = {number: name for name, number in numbers.items()}
    if sorted(map(str, order)) != sorted(map(str, range(len(numbers)))):
        raise ModelFolderError(f"{path}: found {str(dict(numbers))[:200]}, expected the basins with the numbers from 0")
    return [f"basin_{order[number]}" for number in range(len(order))]


def _notes(config: SettingsFile) -> tuple[str, ...]:
    """Return what the library does beside."""
    clipped = config.names("clip_targets_to_zero")
    return (
        "each answer is that of the last timestep of a window; the attributes of a basin are the same in all its rows",
        *(f"{LIBRARY} evaluates {name} with 0 in the place of values below it, which answers keep" for name in clipped),
    )
