"""Files and folders that are no network: each is told for what it is, with a way out."""

import tarfile
import zipfile
from pathlib import Path

import pytest

from service.domain.errors import ModelFolderError
from service.tooling.formats.registry import read_network

CONTENTS = {
    b"": "an empty file",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n": r"a Git LFS pointer, .* `git lfs pull`",
    b"\n<!DOCTYPE html><html></html>": "a web page, expected the file that it shows: download it",
    b"PK\x03\x04broken": "a damaged zip file",
    b"\x1f\x8b\x08\x00": "a gzip file, expected what it contains: unpack it",
    b"GGUF\x03": "a GGUF file",
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


def test_archives_are_told_for_what_they_contain(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(b"x")
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(tmp_path / "weights.pt", "weights.pt")
    for name, member in (("x.zip", "model/weights.bin"), ("tf.zip", "model/saved_model.pb")):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.write(tmp_path / "weights.pt", member)
    for name, message in (
        ("x.tar", "a tar archive, .* `tar -xf FILE`"),
        ("x.zip", "an archive, .* `unzip FILE`"),
        ("tf.zip", r"a TensorFlow SavedModel, expected a .keras file"),
    ):
        with pytest.raises(ModelFolderError, match=message):
            read_network(tmp_path / name)


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
