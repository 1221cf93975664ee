"""What runs the image: a container engine, or the built root itself where there is only a builder."""

import json
import os
import shlex
import shutil
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

#: Mounts of the built root as `docker run --read-only --tmpfs /tmp --tmpfs /data` has them, then the image's command.
ENTER = """
set -eu
mount --make-rprivate /
mount --bind "$ROOT" "$ROOT"
mount --rbind /dev "$ROOT/dev"
mount --rbind /proc "$ROOT/proc"
mount -t tmpfs -o mode=1777 tmpfs "$ROOT/tmp"
mount -t tmpfs -o mode=700,uid="${OWNER%%:*}" tmpfs "$ROOT/data"
mount -o remount,bind,ro "$ROOT"
exec chroot --userspec="$OWNER" "$ROOT" "$@"
"""


class Service(Protocol):
    """The service of an image, running."""

    @property
    def log(self) -> str: ...
    def stop(self, seconds: float) -> int:
        """Send SIGTERM, and return the exit status."""


class Engine(Protocol):
    """The image, and what runs it with a root that is read only and the host's network."""

    @property
    def labels(self) -> Mapping[str, str]: ...
    def output(self, command: Sequence[str]) -> str:
        """Run a command in place of the service, and return what it prints."""

    def start(self, environment: Mapping[str, str], log: Path) -> Service:
        """Start the service as the image says."""


def find_engine(image: str, engine: str) -> Engine:
    """Return what has the image: the command `engine`, or without one docker, podman or buildah."""
    commands = [shlex.split(engine)] if engine else [["docker"], ["podman"], ["buildah"]]
    for command in filter(lambda command: shutil.which(command[0]), commands):
        if "buildah" not in command[0] and succeeds(*command, "image", "inspect", image):
            return ContainerEngine(command, image)
        if "buildah" in command[0] and succeeds(*command, "inspect", "--type", "image", image):
            return BuiltRoot(command, image)
    raise SystemExit(f"no image {image}: build it by `make image`, or name what has it by IMAGE_ENGINE")


def succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def printed(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


@dataclass
class RunningProcess:
    """The service as a child process."""

    process: "subprocess.Popen[bytes]"
    path: Path

    @property
    def log(self) -> str:
        return self.path.read_text("utf-8", "replace")

    def stop(self, seconds: float) -> int:
        self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


@dataclass
class RunningContainer(RunningProcess):
    """The service as a container that a client of the engine, a child process, is attached to."""

    engine: Sequence[str]
    name: str

    def stop(self, seconds: float) -> int:
        printed(*self.engine, "kill", "--signal", "TERM", self.name)
        return self.process.wait(seconds)


@dataclass
class ContainerEngine:
    """docker or podman."""

    program: Sequence[str]
    image: str

    @property
    def labels(self) -> Mapping[str, str]:
        (found,) = json.loads(printed(*self.program, "image", "inspect", self.image))
        labels: Mapping[str, str] = found["Config"]["Labels"]
        return labels

    def output(self, command: Sequence[str]) -> str:
        program, *arguments = command
        return printed(*self._run(), "--entrypoint", program, self.image, *arguments)

    def start(self, environment: Mapping[str, str], log: Path) -> Service:
        name = f"unroll-{uuid.uuid4().hex[:8]}"
        variables = [word for item in environment.items() for word in ("--env", "=".join(item))]
        command = [*self._run(), "--name", name, *variables, self.image]
        with log.open("ab") as file:
            return RunningContainer(subprocess.Popen(command, stdout=file, stderr=file), log, self.program, name)

    def _run(self) -> list[str]:
        bounds = ["--read-only", "--tmpfs", "/tmp", "--tmpfs", "/data:uid=10001"]  # noqa: S108 - in the container
        rights = ["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
        return [*self.program, "run", "--rm", "--network", "host", *bounds, *rights]


@dataclass
class BuiltRoot:
    """The root that buildah built, entered with a mount namespace of its own. Needs root."""

    program: Sequence[str]
    image: str
    _config: dict[str, Any] = field(init=False)
    _root: str = field(init=False)

    def __post_init__(self) -> None:
        inspected = json.loads(printed(*self.program, "inspect", "--type", "image", self.image))
        self._config = inspected["OCIv1"]["config"]
        container = printed(*self.program, "from", "--pull-never", self.image).strip()
        self._root = printed(*self.program, "mount", container).strip()

    @property
    def labels(self) -> Mapping[str, str]:
        labels: Mapping[str, str] = self._config["Labels"]
        return labels

    def output(self, command: Sequence[str]) -> str:
        return printed(*self._enter({}, command))

    def start(self, environment: Mapping[str, str], log: Path) -> Service:
        command = self._enter(environment, [*self._config["Entrypoint"], *self._config["Cmd"]])
        with log.open("ab") as file:
            return RunningProcess(subprocess.Popen(command, stdout=file, stderr=file), log)

    def _enter(self, environment: Mapping[str, str], command: Sequence[str]) -> list[str]:
        variables = [*self._config["Env"], *map("=".join, environment.items())]
        outside = [f"ROOT={self._root}", f"OWNER={self._config['User']}", f"PATH={os.environ['PATH']}"]
        inside = ["/usr/bin/env", "-i", "-C", self._config["WorkingDir"], *variables, *command]
        return ["env", "-i", *outside, "unshare", "--mount", "sh", "-c", ENTER, "sh", *inside]


def build(image: str, torch: str, builder: str, options: Sequence[str]) -> None:
    """Build the image by `builder`, or by the first of docker, podman and buildah. Labels name the commit."""
    root = Path(__file__).resolve().parents[2]
    dockerfile = (root / "Dockerfile").read_text("utf-8").splitlines()
    base = next(line.split()[1] for line in dockerfile if line.startswith("FROM "))
    labels = {
        "TORCH": torch,
        "REVISION": printed("git", "-C", str(root), "rev-parse", "HEAD").strip(),
        "CREATED": printed("git", "-C", str(root), "log", "-1", "--format=%cI").strip(),
    }
    arguments = [word for item in labels.items() for word in ("--build-arg", "=".join(item))] + list(options)
    engine = next(filter(shutil.which, ("docker", "podman", "buildah")), None)
    if builder:
        command = [*shlex.split(builder), base, str(root), image, *arguments]
    elif engine is not None:
        command = [engine, "bud" if engine == "buildah" else "build", "--tag", image, *arguments, str(root)]
    else:
        raise SystemExit("nothing builds images here: expected docker, podman or buildah, or IMAGE_BUILDER")
    raise SystemExit(subprocess.run(command, check=False).returncode)
