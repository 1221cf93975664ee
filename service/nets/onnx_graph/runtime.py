"""Sessions of ONNX Runtime: one thread, an arena of limited size that all graphs share, and no file but the graph's.

ONNX Runtime is an extra, and is imported when the first graph is loaded.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Arrays: TypeAlias = Mapping[str, Array]
#: Memory of the intermediate results of a run; weights are not in it.
ARENA_BYTES: Final = 2**30
#: Inputs above this size leave the arena large, and it is shrunk after the run.
SHRINK_BYTES: Final = 2**22
PACKAGE: Final = "onnxruntime"
EXTRA: Final = "the extra `onnx` (pip install 'unroll[onnx]'), since ONNX Runtime runs such a network"
_SAME_AS_REQUESTED: Final = 1
_FATAL: Final = 4
_NUMBER: Final = re.compile(r"^[0-9]+ : [A-Z_]+ : ")
#: Characters of a message of ONNX Runtime that are shown.
MAX_REASON: Final = 300


class GraphFailure(Exception):
    """Raised with ONNX Runtime's reason for a graph that it does not load, or does not run."""


class Session(Protocol):
    """The part of ONNX Runtime's session that is used."""

    def run(self, names: Sequence[str], feeds: Arrays, options: Any = None) -> list[Array]: ...  # noqa: ANN401


def is_installed() -> bool:
    """Return whether ONNX Runtime can be imported."""
    return find_spec(PACKAGE) is not None


@cache
def _runtime() -> Any:  # noqa: ANN401 - a module that may be missing
    """Return the module of ONNX Runtime, with an arena for all sessions."""
    import onnxruntime  # noqa: PLC0415 - an extra, and slow to import

    onnxruntime.set_default_logger_severity(_FATAL)
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    arena = onnxruntime.OrtArenaCfg(ARENA_BYTES, _SAME_AS_REQUESTED, -1, -1)
    onnxruntime.create_and_register_allocator(memory, arena)
    return onnxruntime


def open_session(content: bytes) -> Session:
    """Return a session of a graph. Raises GraphFailure."""
    runtime = _runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL
    # Patterns are kept for every combination of shapes, and clients choose some of these.
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        # A second attempt, which only other providers could help, would be told on standard output.
        session: Session = runtime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception as error:
        raise GraphFailure(reason_of(error)) from error
    return session


def run(session: Session, names: Sequence[str], feeds: Arrays) -> list[Array]:
    """Return the outputs `names`. Raises GraphFailure for inputs that the graph cannot compute with."""
    options = None
    if sum(array.nbytes for array in feeds.values()) > SHRINK_BYTES:
        options = _runtime().RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    try:
        return session.run(names, feeds, options)
    except Exception as error:
        raise GraphFailure(reason_of(error)) from error


def reason_of(error: Exception) -> str:
    """Return the message of an error of ONNX Runtime without its number and the places in its sources."""
    text = " ".join(str(error).split())
    return _NUMBER.sub("", text.rpartition("[ONNXRuntimeError] : ")[2])[:MAX_REASON]


def is_finite(array: Array) -> bool:
    """Return whether an array has neither NaN nor infinite numbers."""
    return array.dtype.kind != "f" or bool(np.logical_and.reduce(np.isfinite(array), axis=None))
