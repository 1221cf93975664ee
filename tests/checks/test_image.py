"""The packages of the image: pinned and hashed, from nowhere in particular, and those that pyproject.toml asks for."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.checks.places import ROOT

LOCK = ROOT / "lock"
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
FILES = ("service.txt", "tools.txt", "torch-cpu.txt", "torch-cuda.txt")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
#: Extras that the image has.
EXTRAS = re.findall(r"--extra (\w+)", (ROOT / "Makefile").read_text("utf-8"))
PLATFORM = {"sys_platform": "linux", "python_version": "3.11", "platform_machine": "x86_64", "extra": ""}


def locked(name: str) -> dict[str, str]:
    """The versions of a file by package."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", (LOCK / name).read_text("utf-8"), re.MULTILINE)
    return {canonicalize_name(package): version for package, version in found}


@pytest.mark.parametrize("name", FILES)
def test_every_package_has_digests_and_no_file_names_an_index(name: str) -> None:
    lines = [
        line for line in (LOCK / name).read_text("utf-8").splitlines() if line and not line.lstrip().startswith("#")
    ]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    assert joined
    assert [line for line in joined if not re.match(r"[\w.-]+==[\w.]+ .*--hash=sha256:[0-9a-f]{64}", line)] == []
    assert not re.search(r"https?:|file:|--(index|extra|find|trusted)", "\n".join(lines))


def test_the_lock_satisfies_what_the_project_asks_for() -> None:
    found = locked("service.txt") | locked("torch-cpu.txt")
    asked = [
        *PROJECT["dependencies"],
        *(entry for extra in EXTRAS for entry in PROJECT["optional-dependencies"][extra]),
    ]
    wrong = [
        f"{entry}: locked is {found.get(canonicalize_name(entry.name))}"
        for entry in map(Requirement, asked)
        if entry.marker is None or entry.marker.evaluate(PLATFORM)
        if not entry.specifier.contains(found.get(canonicalize_name(entry.name), "0"), prereleases=True)
    ]
    assert not wrong, "run `make lock`:\n" + "\n".join(wrong)


def test_one_build_of_torch_is_pinned_everywhere() -> None:
    pinned = locked("../constraints.txt")["torch"]
    assert locked("torch-cpu.txt") == {"torch": pinned}
    assert locked("torch-cuda.txt")["torch"] == pinned
    assert "torch" not in locked("service.txt")


def test_the_variants_differ_in_torch_and_what_it_brings_alone() -> None:
    service, cuda = locked("service.txt"), locked("torch-cuda.txt")
    assert {name: cuda[name] for name in cuda.keys() & service} == {
        name: service[name] for name in cuda.keys() & service
    }
    assert any(name.startswith("nvidia-") for name in cuda)


def test_the_image_takes_nothing_that_is_not_locked() -> None:
    commands = re.findall(r"pip (?:--python \S+ )?(?:install|wheel) [^&\n]+", DOCKERFILE.replace("\\\n", " "))
    assert len(commands) >= 5
    assert [command for command in commands if not re.search(r"--require-hashes .*-r |--no-index", command)] == []
    assert all("--no-deps" in command for command in commands)
    assert set(re.findall(r"lock/([\w$-]+\.txt)", DOCKERFILE)) == {"service.txt", "tools.txt", "torch-$TORCH.txt"}


def test_the_image_lists_its_parts_and_names_its_commit() -> None:
    assert "cyclonedx-py environment" in DOCKERFILE
    for label, argument in (("revision", "REVISION"), ("created", "CREATED")):
        assert f'org.opencontainers.image.{label}="${argument}"' in DOCKERFILE
        assert f"ARG {argument}=" in DOCKERFILE
