"""Scalers of scikit-learn and numbers in JSON become mean and scale, exactly, without scikit-learn."""

import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from service.domain.errors import ModelFolderError
from service.tooling.preprocessing.reader import read_preprocessing
from service.tooling.preprocessing.scaling import Labels, Scaler

DATA = Path(__file__).parents[3] / "data" / "preprocessing"
EXPECTED = json.loads((DATA / "expected.json").read_text())
SCALERS = [path.name for path in sorted(DATA.iterdir()) if re.split("[.-]", path.name)[0] in EXPECTED]


def scaler_in(path: Path) -> Scaler:
    (found,) = read_preprocessing(path)
    assert isinstance(found.item, Scaler)
    return found.item


@pytest.mark.parametrize("name", SCALERS)
def test_a_scaler_scales_as_its_own_transform(name: str) -> None:
    scaler = scaler_in(DATA / name)
    actual = (np.array(EXPECTED["inputs"]) - scaler.mean) / scaler.scale
    assert np.allclose(actual, EXPECTED[re.split("[.-]", name)[0]], rtol=0, atol=1e-12)


def test_the_files_are_of_all_kinds() -> None:
    assert len(SCALERS) == 9


@pytest.mark.parametrize("name", ["LabelEncoder.pkl", "LabelEncoder.joblib"])
def test_a_label_encoder_has_the_labels(name: str) -> None:
    (found,) = read_preprocessing(DATA / name)
    assert isinstance(found.item, Labels)
    assert found.item.names == ("calm", "run", "walk")


def test_a_scaler_that_is_not_linear_is_named() -> None:
    with pytest.raises(ModelFolderError, match="found a PowerTransformer of scikit-learn, expected a linear scaling"):
        read_preprocessing(DATA / "PowerTransformer.joblib")


@pytest.mark.parametrize(
    ("content", "mean", "scale", "names"),
    [
        ({"mean": [1, 2.5], "std": [3, 4]}, (1, 2.5), (3, 4), ()),
        ({"mean": {"rain": 1, "heat": 2}, "std": {"rain": 3, "heat": 4}}, (1, 2), (3, 4), ("rain", "heat")),
        ({"rain": {"mean": 1, "std": 3}, "heat": {"mean": 2, "std": 4}}, (1, 2), (3, 4), ("rain", "heat")),
        ({"min": [0, -1], "max": [10, 1], "features": ["a", "b"]}, (0, -1), (10, 2), ("a", "b")),
        ({"data_min_": 5, "data_max_": 7}, (5,), (2,), ()),
        ({"rain": {"min": 1, "max": 3}}, (1,), (2,), ("rain",)),
    ],
)
def test_numbers_by_their_usual_names_are_a_scaler(
    tmp_path: Path, content: object, mean: object, scale: object, names: object
) -> None:
    for name, data in (("s.json", json.dumps(content).encode()), ("s.pkl", pickle.dumps(content))):
        (tmp_path / name).write_bytes(data)
        scaler = scaler_in(tmp_path / name)
        assert (scaler.mean, scaler.scale, scaler.names) == (mean, scale, names)


def test_a_scaler_of_each_side_has_its_place(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"x": {"mean": [1], "std": [2]}, "y": {"mean": [3], "std": [4]}}')
    assert scaler_in_places(tmp_path / "s.json") == {"": ("x", "y")}


def scaler_in_places(path: Path) -> dict[str, tuple[str, ...]]:
    return {found.place: found.item.names for found in read_preprocessing(path) if isinstance(found.item, Scaler)}


@pytest.mark.parametrize("content", ['{"mean": [1], "std": [0]}', '{"min": [1], "max": [1]}'])
def test_a_scale_of_zero_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(ModelFolderError, match=r"found the scale 0\.0 of feature 1, expected a number above 0"):
        read_preprocessing(tmp_path / "s.json")


@pytest.mark.parametrize("mean", [float("nan"), float("inf")])
def test_a_mean_that_is_not_finite_is_refused(tmp_path: Path, mean: float) -> None:
    (tmp_path / "s.pkl").write_bytes(pickle.dumps({"mean": [1.0, mean], "std": [1.0, 1.0]}))
    with pytest.raises(ModelFolderError, match=f"found the mean {mean} of feature 2, expected a number"):
        read_preprocessing(tmp_path / "s.pkl")


def test_features_are_found_by_name_or_by_position() -> None:
    scaler = Scaler((1, 2, 3), (4, 5, 6), "a scaling", "s.json", ("a", "b", "c"))
    assert scaler.of(["c", "a"]) == ([3, 1], [6, 4])
    assert scaler.of(["x", "y", "z"]) == ([1, 2, 3], [4, 5, 6])
    with pytest.raises(ModelFolderError, match=r"of 3 features \(a, b, c\), expected as many as .*features, 2"):
        scaler.of(["x", "y"])
