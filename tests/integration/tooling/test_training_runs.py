"""`unroll import` of the folders that libraries leave behind a training."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn
from typer.testing import CliRunner, Result

from service.cli import app

DYNAMIC = ["rain", "heat(C)"]
#: The library sorts the attributes of a basin by name.
STATIC = ["slope", "area"]
FEATURES = [*DYNAMIC, *sorted(STATIC)]
MEAN = {"rain": 4.0, "heat(C)": 11.0, "slope": 0.00001, "area": 300.0, "flow": 2.5}
SCALE = {"rain": 2.0, "heat(C)": 8.0, "slope": 0.00002, "area": 150.0, "flow": 1.5}
SETTINGS = {
    "model": "cudalstm",
    "head": "regression",
    "hidden_size": 6,
    "output_activation": "linear",
    "dynamic_inputs": DYNAMIC,
    "static_attributes": STATIC,
    "target_variables": ["flow"],
    "seq_length": 5,
    "predict_last_n": 1,
}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def series(names: list[str], values: Mapping[str, float]) -> dict[str, Any]:
    """A dataset of xarray as `to_dict` returns it."""
    variables = {name: {"dims": [], "attrs": {}, "data": values[name]} for name in names}
    return {"coords": {}, "attrs": {}, "dims": {}, "data_vars": variables}


def scaler() -> dict[str, Any]:
    return {
        "attribute_means": {name: MEAN[name] for name in STATIC},
        "attribute_stds": {name: SCALE[name] for name in STATIC},
        "xarray_feature_center": series([*DYNAMIC, "flow"], MEAN),
        "xarray_feature_scale": series([*DYNAMIC, "flow"], SCALE),
    }


class CudaLSTM(nn.Module):
    """The network of the library of this name: its layers, and outputs of all timesteps."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, 6)
        self.head = nn.ModuleDict({"net": nn.Sequential(nn.Linear(6, 1))})

    def forward(self, rows: Tensor) -> Tensor:
        outputs: Tensor = self.head["net"](self.lstm(rows)[0])
        return outputs


def write(folder: Path, network: CudaLSTM, **changes: object) -> Path:
    """Write a run of NeuralHydrology, whose earlier weights are other ones."""
    (folder / "train_data").mkdir(parents=True)
    (folder / "config.yml").write_text(yaml.safe_dump(SETTINGS | changes))
    # YAML 1.2, which the library writes, has numbers such as 1e-05.
    (folder / "train_data" / "train_data_scaler.yml").write_text(yaml.safe_dump(scaler()).replace("1.0e-05", "1e-05"))
    torch.save(CudaLSTM(4).state_dict(), folder / "model_epoch009.pt")
    torch.save(network.state_dict(), folder / "model_epoch010.pt")
    torch.save(
        {"state": {0: {"exp_avg": torch.ones(2, 2)}}, "param_groups": []}, folder / "optimizer_state_epoch010.pt"
    )
    return folder


def answer(network: CudaLSTM, rows: Tensor, activation: Callable[[Tensor], Tensor]) -> float:
    """The forward pass of the library over the last five rows, in the units of the target."""
    mean, scale = (torch.tensor([values[name] for name in FEATURES]) for values in (MEAN, SCALE))
    inputs = ((rows[-5:] - mean) / scale)[:, None]
    with torch.no_grad():
        output = network(inputs)[-1, 0]
    return activation(output).item() * SCALE["flow"] + MEAN["flow"]


def write_rows(path: Path, rows: Tensor) -> Path:
    lines = [",".join(FEATURES), *(",".join(f"{value:.8g}" for value in row) for row in rows.tolist())]
    path.write_text("\n".join(lines) + "\n")
    return path


def rows_of(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    mean, scale = (torch.tensor([values[name] for name in FEATURES]) for values in (MEAN, SCALE))
    rows = torch.randn(count, len(FEATURES), generator=generator) * scale + mean
    rows[:, len(DYNAMIC) :] = rows[0, len(DYNAMIC) :]
    return rows


def predicted(folder: Path, rows: Tensor) -> float:
    result = run("predict", folder, "--csv", write_rows(folder.parent / "rows.csv", rows), "--json")
    assert result.exit_code == 0, result.output
    ((value,),) = json.loads(result.stdout)["values"]
    return float(value)


def no_activation(output: Tensor) -> Tensor:
    return output


@pytest.mark.parametrize(
    ("stated", "activation"), [("linear", no_activation), ("relu", torch.relu), ("softplus", nn.functional.softplus)]
)
def test_a_run_of_neuralhydrology_answers_as_the_library_with_nothing_stated(
    tmp_path: Path, stated: str, activation: Callable[[Tensor], Tensor]
) -> None:
    network = CudaLSTM(4)
    folder, target = write(tmp_path / "run", network, output_activation=stated), tmp_path / "river" / "1"
    result = run("import", folder, target)
    assert result.exit_code == 0, result.output
    assert "a run of NeuralHydrology, with the weights of model_epoch010.pt" in result.stdout
    for count in (5, 9):
        rows = rows_of(count)
        assert predicted(target, rows) == pytest.approx(answer(network, rows, activation), abs=1e-5)
    config = json.loads((target / "config.json").read_text())
    assert (config["features"], config["names"], config["window"]) == (FEATURES, ["flow"], 5)


def test_the_cell_that_the_library_computes_itself_is_an_lstm(tmp_path: Path) -> None:
    network, names = CudaLSTM(4), {"weight": "w", "bias": "b"}
    folder = write(tmp_path / "run", network, model="customlstm")
    cell = {name: tensor for name, tensor in network.state_dict().items() if name.startswith("head")}
    for name, tensor in network.lstm.state_dict().items():
        kind, side, _ = name.split("_")
        cell[f"cell.{names[kind]}_{side}"] = tensor
    torch.save(cell, folder / "model_epoch010.pt")
    assert run("import", folder, tmp_path / "river" / "1").exit_code == 0
    rows = rows_of(5)
    assert predicted(tmp_path / "river" / "1", rows) == pytest.approx(answer(network, rows, no_activation), abs=1e-5)


def test_another_epoch_and_other_settings_can_be_stated(tmp_path: Path) -> None:
    folder, earlier = write(tmp_path / "run", CudaLSTM(4)), CudaLSTM(4)
    torch.save(earlier.state_dict(), folder / "model_epoch009.pt")
    result = run("import", folder, folder / "model_epoch009.pt", tmp_path / "river" / "1", "--set", "window=4")
    assert result.exit_code == 0, result.output
    assert "with the weights of model_epoch009.pt" in result.stdout
    assert json.loads((tmp_path / "river" / "1" / "config.json").read_text())["window"] == 4


def test_basins_as_unit_vectors_are_features(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", CudaLSTM(6), use_basin_id_encoding=True)
    (folder / "train_data" / "id_to_int.yml").write_text("'02': 1\n'01': 0\n")
    assert run("import", folder, tmp_path / "river" / "1").exit_code == 0
    preprocessor = json.loads((tmp_path / "river" / "1" / "preprocessor.json").read_text())
    assert preprocessor["features"] == [*FEATURES, "basin_01", "basin_02"]
    assert (preprocessor["mean"][4:], preprocessor["scale"][4:]) == ([0, 0], [1, 1])


REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "another network": ({"model": "ealstm"}, "model: found ealstm, expected one of cudalstm, .* `torch.onnx.export`"),
    "a distribution": ({"head": "cmal"}, "head: found cmal, expected regression"),
    "an embedding": ({"statics_embedding": {"hiddens": [3]}}, "statics_embedding: found .*, expected nothing"),
    "two frequencies": ({"seq_length": {"1D": 5, "1h": 9}}, "seq_length: found 1D, 1h, expected one value"),
    "another width": ({"dynamic_inputs": ["rain"]}, r"weight_ih_l0: found \[24, 4\], expected 3 features"),
    "no scale": ({"dynamic_inputs": ["rain", "wind"]}, "found no mean and scale of wind"),
    "no window": ({"seq_length": None}, "seq_length: found nothing, expected a number above 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_run_of_another_kind_is_refused_by_the_field_that_says_so(tmp_path: Path, case: str) -> None:
    changes, message = REFUSED[case]
    folder = write(tmp_path / "run", CudaLSTM(4), **changes)
    result = run("import", folder, tmp_path / "river" / "1")
    assert result.exit_code == 1
    assert re.search(message, result.stderr), result.stderr
    assert not (tmp_path / "river").exists()


def test_a_scaler_of_an_old_release_is_told_how_to_become_a_new_one(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", CudaLSTM(4))
    (folder / "train_data" / "train_data_scaler.yml").rename(folder / "train_data" / "train_data_scaler.p")
    result = run("import", folder, tmp_path / "river" / "1")
    assert result.exit_code == 1
    assert "train_data_scaler.p: found a pickle of pandas and xarray, which is not read" in result.stderr


@pytest.mark.parametrize("name", ["train_data/train_data_scaler.nc", "train_data/scaler.nc", "scaler.nc"])
def test_a_scaler_in_netcdf_is_told_how_to_become_one_of_a_release(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path / "run", CudaLSTM(4))
    (folder / "train_data" / "train_data_scaler.yml").rename(folder / name)
    result = run("import", folder, tmp_path / "river" / "1")
    assert result.exit_code == 1
    assert f"{folder}/{name}: found a netCDF file of xarray, which is not read, expected train_data/" in result.stderr
    assert f'xarray.load_dataset("{name}")' in result.stderr


def test_inspect_tells_that_a_run_is_imported_as_a_folder(tmp_path: Path) -> None:
    result = run("inspect", write(tmp_path / "run", CudaLSTM(4)))
    assert "found a run of NeuralHydrology, expected a file: `unroll import" in result.stderr
