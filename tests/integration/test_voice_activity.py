"""The programs of docs/examples/voice-activity.md: the numbers of the package, across a restart in the middle."""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from tests.server import ROOT, Server, answered, short_folder

PAGE = ROOT / "docs" / "examples" / "voice-activity.md"
PACKAGE = importlib.util.find_spec("silero_vad")
OVERLAP = 64
FRAMES = 320

pytestmark = pytest.mark.skipif(PACKAGE is None, reason="silero-vad is not installed")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder with the files of the page, and what its first program makes."""
    page = PAGE.read_text("utf-8")
    (config,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    prepare, listen = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    with short_folder() as path:
        for name, text in (("config.json", config), ("prepare.py", prepare), ("listen.py", listen)):
            (path / name).write_text(text, "utf-8")
        subprocess.run([sys.executable, "prepare.py"], cwd=path, check=True)
        yield path


def reference(frames: "np.ndarray[tuple[int, int], np.dtype[np.float32]]") -> list[float]:
    """The probabilities that the package's graph computes with the framing of the package."""
    assert PACKAGE is not None
    assert PACKAGE.origin is not None
    graph = Path(PACKAGE.origin).parent / "data" / "silero_vad.onnx"
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    state, context = np.zeros((2, 1, 128), np.float32), np.zeros((1, OVERLAP), np.float32)
    probabilities = []
    for frame in frames:
        heard = np.concatenate([context, frame[None]], axis=1)
        output, state = session.run(None, {"input": heard, "state": state, "sr": np.array(16000)})
        context = heard[:, -OVERLAP:]
        probabilities.append(float(output[0, 0]))
    return probabilities


def listen(server: Server, folder: Path, *arguments: str) -> tuple[list[float], str]:
    """Run the second program; return the probabilities and the id of its session."""
    program = (folder / "listen.py").read_text("utf-8").replace("localhost:8000", server.url.removeprefix("http://"))
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [float(line.split()[1]) for line in done.stdout.splitlines()], done.stderr.split()[-1]


@pytest.mark.slow
def test_speech_probabilities_are_those_of_the_package_across_a_restart(folder: Path) -> None:
    frames = np.fromfile(folder / "speech.raw", np.float32).reshape(-1, 512)[:FRAMES]
    with Server(folder, models=folder / "models") as server:
        with server.client() as http:
            (model,) = answered(http.get("/v1/models"))["data"]
        assert (model["id"], model["verified"]) == ("voice", True)
        before, session = listen(server, folder, str(FRAMES // 2))
        server.kill9()
        server.start()
        after, _ = listen(server, folder, str(FRAMES), session)
    expected = reference(frames)
    assert before + after == pytest.approx(expected, abs=1e-5)
    assert max(expected) > 0.9
    assert min(expected) < 0.1
