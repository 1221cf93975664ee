"""The scaling of a run of NeuralHydrology, in train_data/train_data_scaler.yml."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.domain.errors import ModelFolderError
from service.tooling.preprocessing.scaling import Scaler
from service.tooling.training_runs.neuralhydrology.settings_file import read_settings

EXPECTED = "the scaler that NeuralHydrology writes"
FOLDER, FILE, OLD_FILE = "train_data", "train_data_scaler.yml", "train_data_scaler.p"
#: Where versions that are not released write a dataset of xarray.
NETCDF_FILES = tuple(
    f"{folder}{name}" for folder in (f"{FOLDER}/", "") for name in ("train_data_scaler.nc", "scaler.nc")
)
#: The fields with mean and scale of attributes, then of series, then as earlier releases called them.
_PAIRS = (
    ("attribute_means", "attribute_stds"),
    ("camels_attr_means", "camels_attr_stds"),
    ("xarray_feature_center", "xarray_feature_scale"),
    ("xarray_means", "xarray_stds"),
)
_CONVERT = (
    'python -c \'import json, pickle; s = pickle.load(open("train_data_scaler.p", "rb")); '
    'json.dump({k: v.to_dict() for k, v in s.items()}, open("train_data_scaler.yml", "w"))\''
)
_CONVERT_NETCDF = (
    'python -c \'import json, os, xarray; s = xarray.load_dataset("{file}"); os.makedirs("train_data", exist_ok=True); '
    'json.dump({{"xarray_feature_" + k: s.sel(parameter=k, drop=True).to_dict() for k in ("center", "scale")}}, '
    'open("train_data/train_data_scaler.yml", "w"))\''
)


@dataclass(frozen=True, slots=True)
class RunScaler:
    """Mean and scale of each feature and target of a run."""

    path: Path
    mean: Mapping[str, float]
    scale: Mapping[str, float]

    def of(self, names: Sequence[str], unscaled: Sequence[str] = ()) -> Scaler:
        """Return the scaling of features in this order, of which some are `unscaled`. Raises ModelFolderError."""
        means, scales = {**self.mean, **dict.fromkeys(unscaled, 0.0)}, {**self.scale, **dict.fromkeys(unscaled, 1.0)}
        missing = [name for name in names if name not in means or name not in scales]
        if missing:
            raise ModelFolderError(
                f"{self.path}: found no mean and scale of {', '.join(missing)[:200]}, expected those of all features"
            )
        mean, scale = tuple(means[name] for name in names), tuple(scales[name] for name in names)
        return Scaler(mean, scale, "the scaler of NeuralHydrology", str(self.path), tuple(names))


def read_scaler(folder: Path) -> RunScaler:
    """Return the scaling of a run. Raises ModelFolderError."""
    path = folder / FOLDER / FILE
    if not path.exists():
        raise _no_file(folder, path)
    fields = read_settings(path, EXPECTED).fields
    mean: dict[str, float] = {}
    scale: dict[str, float] = {}
    for first, second in _PAIRS:
        mean |= _numbers(path, first, fields.get(first))
        scale |= _numbers(path, second, fields.get(second))
    if wrong := [name for name, number in scale.items() if number <= 0]:
        raise ModelFolderError(f"{path}: found the scale {scale[wrong[0]]} of {wrong[0]}, expected a number above 0")
    return RunScaler(path, mean, scale)


def _no_file(folder: Path, path: Path) -> ModelFolderError:
    """Return the error of a run whose scaler has another format, or none."""
    if (old := folder / FOLDER / OLD_FILE).exists():
        return ModelFolderError(
            f"{old}: found a pickle of pandas and xarray, which is not read, expected {FILE} as newer releases write "
            f"it: run this in {FOLDER}/, where the libraries of the training are installed: {_CONVERT}"
        )
    netcdf = next((name for name in NETCDF_FILES if (folder / name).exists()), None)
    if netcdf is not None:
        return ModelFolderError(
            f"{folder / netcdf}: found a netCDF file of xarray, which is not read, expected {FOLDER}/{FILE} as "
            "releases write it: run this in the folder of the run, where the libraries of the training are installed: "
            f"{_CONVERT_NETCDF.format(file=netcdf)}"
        )
    return ModelFolderError(f"{path}: found no such file, expected {EXPECTED}")


def _numbers(path: Path, field: str, value: object) -> dict[str, float]:
    """Return the numbers by name: of a series of pandas, or of a dataset of xarray. Raises ModelFolderError."""
    if value is None:
        return {}
    entries = value.get("data_vars", value) if isinstance(value, dict) else None
    if not isinstance(entries, dict):
        raise ModelFolderError(f"{path}: {field}: found no names with numbers, expected {EXPECTED}")
    return {str(name): _number(path, f"{field}: {name}", entry) for name, entry in entries.items()}


def _number(path: Path, place: str, entry: object) -> float:
    number = entry.get("data") if isinstance(entry, dict) else entry
    try:
        # The text 1e-05, which is a number in YAML 1.2, is none in YAML 1.1.
        value = float(number) if isinstance(number, str | int | float) else math.nan
    except (ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise ModelFolderError(f"{path}: {place}: found {str(number)[:100]}, expected a number")
    return value
