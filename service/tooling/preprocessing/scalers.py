"""Scalers among the values of a file: those of scikit-learn, and numbers by the names that trainers give to them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from service.domain.errors import ModelFolderError
from service.tooling.formats.values.state_dicts import entries_of
from service.tooling.pickles.values import Instance
from service.tooling.preprocessing.plain_values import numbers_of, texts_of
from service.tooling.preprocessing.scaling import Labels, Scaler

LIBRARY = ("sklearn.", "cuml.", "daal4py.")
EXPECTED = "a linear scaling: MinMaxScaler, StandardScaler, RobustScaler or MaxAbsScaler"
_MEANS, _SCALES = (
    ("mean", "means", "mean_", "mu", "center", "center_"),
    ("std", "stds", "scale", "scale_", "stdev", "sigma", "sd"),
)
_LOW = ("min", "mins", "data_min_", "data_min", "minimum")
_HIGH = ("max", "maxs", "data_max_", "data_max", "maximum")
_VARIANCES = ("variance", "variances", "var")
#: What Keras takes for a standard deviation of 0.
SMALLEST = 1e-7


def scaler_of(value: object, origin: str) -> Scaler | Labels | None:
    """Interpret a value as a scaler or as labels; None if it is neither. Raises ModelFolderError for other scalers."""
    if isinstance(value, Instance):
        return _of_library(value, origin) if value.name.startswith(LIBRARY) else None
    if isinstance(value, dict):
        return _of_numbers(value, origin)
    return None


def _of_library(value: Instance, origin: str) -> Scaler | Labels | None:
    """Return a scaler of scikit-learn. Raises ModelFolderError for another of its objects."""
    name, state = value.name.rpartition(".")[2], value.attributes
    if name in {"LabelEncoder", "LabelBinarizer"} and (classes := texts_of(state.get("classes_"))) is not None:
        return Labels(tuple(classes), f"a {name} of scikit-learn", origin)
    if name == "Pipeline":
        return _of_pipeline(state, origin)
    read = _KINDS.get(name)
    if read is None:
        raise ModelFolderError(f"{origin}: found a {name} of scikit-learn, expected {EXPECTED}")
    mean, scale = read(state)
    if mean is None or scale is None or len(mean) != len(scale):
        raise ModelFolderError(
            f"{origin}: found a {name} that was not fitted, expected it after fit(), with its numbers"
        )
    names = texts_of(state.get("feature_names_in_")) or []
    notes = (f"{name}(clip=True) also clips values, which is not done here",) if state.get("clip") is True else ()
    return _checked(Scaler(tuple(mean), tuple(scale), f"a {name} of scikit-learn", origin, tuple(names), notes))


_Read = tuple[list[float] | None, list[float] | None]


def _min_max(state: Mapping[Any, Any]) -> _Read:
    """Return mean and scale of a MinMaxScaler, which computes x * scale_ + min_."""
    factor, shift = numbers_of(state.get("scale_")), numbers_of(state.get("min_"))
    if factor is None or shift is None or len(factor) != len(shift) or 0.0 in factor:
        return None, None
    return [-low / by for low, by in zip(shift, factor, strict=True)], [1 / by for by in factor]


def _standard(state: Mapping[Any, Any]) -> _Read:
    mean, scale = numbers_of(state.get("mean_")), numbers_of(state.get("scale_"))
    return _centred(state.get("with_mean") is not False, mean, state.get("with_std") is not False, scale)


def _robust(state: Mapping[Any, Any]) -> _Read:
    centre, scale = numbers_of(state.get("center_")), numbers_of(state.get("scale_"))
    return _centred(state.get("with_centering") is not False, centre, state.get("with_scaling") is not False, scale)


def _centred(centres: bool, mean: list[float] | None, scales: bool, scale: list[float] | None) -> _Read:
    count = len(mean or scale or [])
    return mean if centres else [0.0] * count, scale if scales else [1.0] * count


def _max_abs(state: Mapping[Any, Any]) -> _Read:
    scale = numbers_of(state.get("scale_"))
    return None if scale is None else [0.0] * len(scale), scale


_KINDS = {"MinMaxScaler": _min_max, "StandardScaler": _standard, "RobustScaler": _robust, "MaxAbsScaler": _max_abs}


def _of_pipeline(state: Mapping[Any, Any], origin: str) -> Scaler | None:
    """Return the scaling of a pipeline of scalers, one after the other. Raises ModelFolderError for other steps."""
    total: Scaler | None = None
    steps = state.get("steps")
    for step in steps if isinstance(steps, list) else []:
        found = scaler_of(step[1], origin) if isinstance(step, tuple) and len(step) == 2 else None
        if not isinstance(found, Scaler):
            raise ModelFolderError(f"{origin}: found a Pipeline with other steps, expected {EXPECTED} in each")
        total = found if total is None else _compose(total, found)
    return total


def _compose(first: Scaler, second: Scaler) -> Scaler:
    """Return the scaler that applies `first`, then `second`. Raises ModelFolderError for other numbers of features.

    ((x - m) / s - n) / t is (x - (m + s n)) / (s t).
    """
    if len(first.mean) != len(second.mean):
        raise ModelFolderError(
            f"{first.origin}: found a Pipeline of scalers for {len(first.mean)} and for {len(second.mean)} features, "
            "expected the same number in each step"
        )
    mean = tuple(m + s * n for m, s, n in zip(first.mean, first.scale, second.mean, strict=True))
    scale = tuple(s * t for s, t in zip(first.scale, second.scale, strict=True))
    return replace(
        first, mean=mean, scale=scale, kind="a Pipeline of scikit-learn", notes=(*first.notes, *second.notes)
    )


def _of_numbers(value: Mapping[Any, Any], origin: str) -> Scaler | None:
    """Return the scaler of numbers under usual names: of all features, or in one dictionary for each feature."""
    found = _find_mean_and_scale(value)
    if found is None:
        return _by_feature(value, origin)
    (mean, first), (scale, _) = found
    names = first or texts_of(value.get("features") or value.get("feature_names_in_") or value.get("columns")) or []
    names = names if len(names) == len(mean) else []
    return _checked(Scaler(tuple(mean), tuple(scale), "a scaling", origin, tuple(names)))


_Named = tuple[list[float], list[str]]
#: Names of two numbers of a feature, and the scale that follows from them.
_PAIRS: tuple[tuple[tuple[str, ...], tuple[str, ...], Callable[[float, float], float]], ...] = (
    (_MEANS, _SCALES, lambda _, scale: scale),
    (_LOW, _HIGH, lambda low, high: high - low),
    (_MEANS, _VARIANCES, lambda _, variance: max(math.sqrt(max(variance, 0.0)), SMALLEST)),
)


def _find_mean_and_scale(value: Mapping[Any, Any]) -> tuple[_Named, _Named] | None:
    """Return mean and scale by one of the pairs of names, each with the features that they are stated for."""
    for firsts, seconds, scale_of in _PAIRS:
        first, second = (_named_numbers(value, names) for names in (firsts, seconds))
        if first is not None and second is not None and len(first[0]) == len(second[0]) and first[1] == second[1]:
            return first, ([scale_of(*pair) for pair in zip(first[0], second[0], strict=True)], second[1])
    return None


def _named_numbers(value: Mapping[Any, Any], names: tuple[str, ...]) -> _Named | None:
    entry = next((value[name] for name in names if name in value), None)
    if isinstance(entry, dict) and entry:
        return _numbers_by_name(entry)
    numbers = None if entry is None else numbers_of(entry)
    return None if numbers is None else (numbers, [])


def _numbers_by_name(entry: Mapping[Any, Any]) -> _Named | None:
    """Return the numbers and names of {feature: number}, or None for a dictionary of other values."""
    numbers = [numbers_of(item) for item in entry.values()]
    flat = [item[0] for item in numbers if item is not None and len(item) == 1]
    return (flat, [str(name) for name in entry]) if len(flat) == len(entry) else None


def _by_feature(value: Mapping[Any, Any], origin: str) -> Scaler | None:
    """Return the scaler of {feature: {"mean": number, "std": number}}."""
    pairs = {
        str(name): _find_mean_and_scale(entries_of(item)) for name, item in value.items() if isinstance(item, dict)
    }
    if not pairs or len(pairs) != len(value):
        return None
    found = [pair for pair in pairs.values() if pair is not None and len(pair[0][0]) == 1]
    if len(found) != len(pairs):
        return None
    mean, scale = (tuple(pair[side][0][0] for pair in found) for side in (0, 1))
    return _checked(Scaler(mean, scale, "a scaling", origin, tuple(pairs)))


def _checked(scaler: Scaler) -> Scaler:
    """Return the scaler. Raises ModelFolderError for numbers that are not finite, and scales of 0 or less."""
    for number, (mean, scale) in enumerate(zip(scaler.mean, scaler.scale, strict=True), start=1):
        if not math.isfinite(mean):
            raise ModelFolderError(f"{scaler.origin}: found the mean {mean} of feature {number}, expected a number")
        if not (math.isfinite(scale) and scale > 0):
            raise ModelFolderError(
                f"{scaler.origin}: found the scale {scale} of feature {number}, expected a number above 0"
            )
    return scaler
