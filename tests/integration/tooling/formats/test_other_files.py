"""Files and folders that are no network: each is told for what it is, with a way out."""

import pickle
import re
import sys
import tarfile
import types
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from torch import nn
from typer.testing import CliRunner

from service.cli import app
from service.domain.errors import ModelFolderError
from service.tooling.formats.registry import read_network
from tests.served import ROOT

DATA = ROOT / "tests" / "data"

CONTENTS = {
    b"": "an empty file",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n": r"a Git LFS pointer, .* `git lfs pull`",
    b"\n<!DOCTYPE html><html></html>": "a web page, expected the file that it shows: download it",
    b"PK\x03\x04broken": "a damaged zip file",
    b"\x1f\x8b\x08\x00": "a gzip file, expected what it contains: unpack it",
    b"GGUF\x03": r"a GGUF file, .* `llama-server -m \S*/x.pt`",
    b"\x1c\x00\x00\x00TFL3": r"a TensorFlow Lite model, expected the .keras file .* --tflite \S*/x.pt --output",
    b"PK\x05\x06": "an empty zip archive",
    zlib.compress(b"numbers"): r"a file of zlib or joblib, expected arrays by name .*numpy.savez",
    b"\x12\x01\x00\x00\x00\x00\x00\x00\x00": "parameters of MXNet, expected arrays by name: .*numpy.savez",
    b"ftrt\x00": "an engine of TensorRT, .* expected the file that it was built from",
    b"\n\x10\n\x01x\x12\x0bPlaceholder": "a frozen graph of TensorFlow 1 .* `python -m tf2onnx.convert",
    b"\x08\x01\x12\x80": "a TensorFlow SavedModel's saved_model.pb, expected a .keras file",
    b"the\nquick\nbrown\n": "a text file",
    b"\x00\x01\x02\x03": "a file of no known format",
}


@pytest.mark.parametrize("content", CONTENTS)
def test_a_file_is_told_for_what_it_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(ModelFolderError, match=CONTENTS[content]) as caught:
        read_network(tmp_path / "x.pt")
    assert "weights_only" not in str(caught.value)


PACKED = {
    "x.tar": ("w", "a tar archive, .* `tar -xf FILE`"),
    "x.tar.gz": ("w:gz", "a tar archive that gzip compressed, .* `tar -xzf FILE`"),
    "x.tar.bz2": ("w:bz2", "a tar archive that bzip2 compressed, .* `tar -xjf FILE`"),
    "x.tar.xz": ("w:xz", "a tar archive that xz compressed, .* `tar -xJf FILE`"),
}


def refused(path: Path) -> str:
    """Return what `import` says of a file, on one line."""
    result = CliRunner().invoke(app, ["import", str(path), str(path.parent / "m" / "1")])
    assert result.exit_code == 1, result.output
    assert not (path.parent / "m").exists()
    return result.stderr.strip()


@pytest.mark.parametrize("name", PACKED)
def test_a_tar_archive_of_a_folder_is_told_with_the_command_that_unpacks_it(tmp_path: Path, name: str) -> None:
    mode, message = PACKED[name]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "weights.pt").write_bytes(b"x" * 100_000)
    with tarfile.open(tmp_path / name, mode) as archive:  # type: ignore[call-overload]
        archive.add(tmp_path / "run", "run")
    assert re.search(message.replace("FILE", f"{tmp_path}/{name}"), refused(tmp_path / name))


def test_a_zip_archive_is_told_for_what_it_contains(tmp_path: Path) -> None:
    for name, members, message in (
        ("a run.zip", ["run/config.yml", "run/weights.pt"], f"a zip archive, .* `unzip '{tmp_path}/a run.zip'`"),
        ("layers.zip", ["net/model.json", "net/weights.h5"], "a zip archive, "),
        ("old.zip", ["net/model.json", "net/tensors/0"], "an archive of TorchScript before PyTorch 1.4"),
        ("tf.zip", ["model/saved_model.pb"], r"a TensorFlow SavedModel, expected a .keras file"),
    ):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for member in members:
                archive.writestr(member, "x")
        assert re.search(message, refused(tmp_path / name))


@pytest.mark.parametrize("ending", [".pkl", ".joblib", "-compressed.joblib"])
def test_a_model_of_scikit_learn_is_told_for_what_it_is(ending: str) -> None:
    message = r"found a model of scikit-learn \(RandomForestClassifier\), .* expected the file of a recurrent network"
    with pytest.raises(ModelFolderError, match=message):
        read_network(DATA / "other_files" / f"RandomForestClassifier{ending}")


@pytest.mark.parametrize("ending", [".pkl", ".joblib", "-compressed.joblib"])
def test_a_scaler_alone_lacks_its_network(ending: str) -> None:
    message = r"found preprocessing of scikit-learn \(StandardScaler\) .* `unroll import NETWORK FILE models/NAME/1`"
    with pytest.raises(ModelFolderError, match=message):
        read_network(DATA / "preprocessing" / f"StandardScaler{ending}")


def test_a_network_within_an_object_of_scikit_learn_is_read(tmp_path: Path) -> None:
    holder = types.ModuleType("sklearn.pipeline")
    holder.Pipeline = type("Pipeline", (), {"__module__": "sklearn.pipeline"})  # type: ignore[attr-defined]
    pipeline = holder.Pipeline()
    pipeline.net, pipeline.mean = nn.GRU(2, 3).state_dict(), np.ones((2, 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "sklearn", types.ModuleType("sklearn"))
        patch.setitem(sys.modules, "sklearn.pipeline", holder)
        (tmp_path / "x.pkl").write_bytes(pickle.dumps(pipeline))
    assert [*read_network(tmp_path / "x.pkl").tensors] == [*nn.GRU(2, 3).state_dict()]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["saved_model.pb", "variables"], r"a TensorFlow SavedModel, expected a .keras file: .*save\("),
        (["data.pkl", "version", "data"], "the unpacked content of a torch.save file, .* `zip -0 -r"),
        (["config.json", "model.safetensors"], "give its model.safetensors"),
        (["type.txt", "parameters.json", "prediction_net_state"], "a predictor of GluonTS, .* `torch.onnx.export`"),
        (["type.txt", "prediction_net-0000.params"], "a predictor of GluonTS"),
        (["export.pkl", "models"], "a folder of fastai, .* give its export.pkl"),
        (["config.json", "metadata.json", "model.weights.h5"], "the unpacked content of a .keras file"),
        (["config.yml", "model_epoch030.pt"], "a run of NeuralHydrology, .* `unroll import FOLDER"),
        (["other"], "Is a directory"),
    ],
)
def test_folders_are_told_for_what_they_are(tmp_path: Path, names: list[str], message: str) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(ModelFolderError, match=message):
        read_network(tmp_path)
