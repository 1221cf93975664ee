"""NVIDIA Triton: the Python backend behind its sequence batcher, from the wheel `nvidia-pytriton`.

    python -m benchmarks.peers.triton PORT MODEL_FOLDER REDIS_URL        the last is not used

The state stays in the server's own memory, as Triton offers it, and is lost with it. Only the programs of the wheel
are used: `tritonserver`, its Python backend, and the stub that embeds the interpreter.
"""

import os
import shutil
import sys
import sysconfig
import tempfile
from importlib.util import find_spec
from pathlib import Path

NAME = "ref_lm"
ROOT = Path(__file__).resolve().parents[2]
MODEL = Path(__file__).with_name("triton_model.py")
CONFIG = """
name: "{name}"
backend: "python"
max_batch_size: 64
input [{{ name: "ID", data_type: TYPE_INT64, dims: [ 1 ] }}]
output [
  {{ name: "IDS", data_type: TYPE_INT64, dims: [ 5 ] }},
  {{ name: "PROBABILITIES", data_type: TYPE_FP32, dims: [ 5 ] }}
]
sequence_batching {{
  max_sequence_idle_microseconds: 60000000
  oldest {{ max_candidate_sequences: 4096 }}
  control_input [
    {{ name: "START", control [{{ kind: CONTROL_SEQUENCE_START, int32_false_true: [ 0, 1 ] }}] }},
    {{ name: "CORRID", control [{{ kind: CONTROL_SEQUENCE_CORRID, data_type: TYPE_UINT64 }}] }}
  ]
}}
instance_group [{{ count: 1, kind: KIND_CPU }}]
parameters [
  {{ key: "folder", value: {{ string_value: "{folder}" }} }},
  {{ key: "sys.path", value: {{ string_value: "{path}" }} }}
]
"""


def installed() -> Path:
    """Return the folder of the wheel's programs. Raises ModuleNotFoundError."""
    spec = find_spec("pytriton")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("nvidia-pytriton is not installed: make bench does, where there is a wheel")
    return Path(spec.origin).parent / "tritonserver"


def write_backends(programs: Path, folder: Path) -> None:
    """Copy the backends, and the stub of this Python to the folder where Triton searches it."""
    shutil.copytree(programs / "backends", folder)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copy(programs / "python_backend_stubs" / version / "triton_python_backend_stub", folder / "python")


def write_models(model: Path, folder: Path) -> None:
    """Write Triton's model repository. Its stub does not read PYTHONPATH, so parameters carry the paths."""
    version = folder / NAME / "1"
    version.mkdir(parents=True)
    shutil.copy(MODEL, version / "model.py")
    path = os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")])
    config = CONFIG.format(name=NAME, folder=model.resolve(), path=path)
    (folder / NAME / "config.pbtxt").write_text(config, "utf-8")


def main() -> None:
    port, model, programs = sys.argv[1], Path(sys.argv[2]), installed()
    folder = Path(tempfile.mkdtemp(prefix="bench-triton-"))
    write_backends(programs, folder / "backends")
    write_models(model, folder / "models")
    libraries = [str(programs.parent.parent / "nvidia_pytriton.libs"), str(sysconfig.get_config_var("LIBDIR"))]
    environment = {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(libraries)}
    program = str(programs / "bin" / "tritonserver")
    options = {
        "model-repository": folder / "models",
        "backend-directory": folder / "backends",
        "http-port": port,
        "http-address": "127.0.0.1",
        "allow-grpc": "false",
        "allow-metrics": "false",
        "exit-timeout-secs": 5,
    }
    os.execve(program, [program, *(f"--{name}={value}" for name, value in options.items())], environment)


if __name__ == "__main__":
    main()
