"""Trial of a graph in a process of its own: its standard input is a `Plan` in JSON, its size in front, and the graph.

ONNX Runtime is machine code. A graph can make it run without end, exhaust the memory, or end the process. The trial
loads the graph under limits of time and memory, and runs it: twice one after the other, and several rows together and
alone. So it finds outputs and states of other shapes than config.json says, and rows that depend on each other. It
exits with 0 after it has written a `Finding` in JSON to standard output, and with REFUSED after it has written the
reason.
"""

import contextlib
import json
import resource
import sys
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np

from service.nets.onnx_graph.runtime import Array, GraphFailure, Session, open_session, run

REFUSED: Final = 3
SIZE_BYTES: Final = 8
#: Processor time.
MAX_SECONDS: Final = 60
#: Address space: some for the interpreter and the runs, and some for each byte of the graph.
MEMORY_BYTES: Final = 3 * 2**30
MEMORY_PER_BYTE: Final = 10
#: Sizes of the axes of any size, of which the first one with which the graph runs is used.
SIZES: Final = (1, 2, 4, 8, 16, 64, 256, 1024, 4096)
ROWS: Final = 3
#: Allowed differences of a row in a batch from the same row alone, beside its size.
TOLERANCE: Final = 1e-4


@dataclass(frozen=True, slots=True)
class TrialTensor:
    """A tensor: `batch` is the axis of the batch, None without one; texts in `shape` are axes of any size."""

    name: str
    dtype: str
    shape: list[int | str]
    batch: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a graph is tried with. `states` are pairs of an input and the output that follows it."""

    inputs: list[TrialTensor]
    outputs: list[TrialTensor]
    states: list[tuple[TrialTensor, str]]
    constants: dict[str, tuple[str, Any]]
    batched: bool


@dataclass(slots=True)
class Finding:
    """The sizes of the axes of any size with which the graph ran, and the numbers of elements of a run's outputs."""

    sizes: dict[str, int] = field(default_factory=dict)
    numbers: int = 0


class Unusable(Exception):
    """Raised with what was found and what was expected."""


class Trial:
    """Runs of a graph with random numbers."""

    def __init__(self, plan: Plan, session: Session) -> None:
        self._plan, self._session = plan, session
        self._random = np.random.default_rng(0)
        self._constants = {name: np.array(value, dtype) for name, (dtype, value) in plan.constants.items()}
        self._names = [entry.name for entry in plan.outputs] + [output for _, output in plan.states]
        self.sizes: dict[str, int] = {}

    def perform(self) -> Finding:
        """Run the graph. Raises Unusable."""
        outputs = self._first_run()
        self._run(self._inputs(1) | self._next_states(outputs), 1)
        if self._plan.batched:
            self._compare_rows()
        return Finding(self.sizes, sum(outputs[entry.name].size for entry in self._plan.outputs))

    def _first_run(self) -> dict[str, Array]:
        """Find sizes with which the graph runs, and return the outputs."""
        axes = {axis for entry in self._plan.inputs for axis in entry.shape if isinstance(axis, str)} - {"batch"}
        for size in SIZES if axes else SIZES[:1]:
            self.sizes = dict.fromkeys(sorted(axes), size)
            try:
                return self._run(self._inputs(1) | self._states(1), 1)
            except GraphFailure as error:
                reason = str(error)
        raise Unusable(
            f"found a graph that does not run with the inputs that config.json declares ({reason}), expected one"
        )

    def _compare_rows(self) -> None:
        """Compare rows that run together with the same rows alone."""
        feeds = self._inputs(ROWS) | self._states(ROWS)
        axes = {entry.name: entry.batch for entry in self._plan.inputs} | {
            entry.name: entry.batch for entry, _ in self._plan.states
        }
        together = self._run(feeds, ROWS)
        for row in range(ROWS):
            own = {name: array.take([row], axes[name]) for name, array in feeds.items()}
            for name, alone in self._run(own, 1).items():
                batch = self._batch_axis(name)
                shared = together[name].take([row], batch)
                if not np.allclose(shared, alone, TOLERANCE, TOLERANCE, equal_nan=True):
                    raise Unusable(
                        f"found an output {name} whose rows differ in a batch from the same rows alone, expected each "
                        "session to be computed as if it were alone: declare 1 in place of 'batch', and they are"
                    )

    def _batch_axis(self, output: str) -> int:
        for entry in self._plan.outputs:
            if entry.name == output:
                return entry.batch or 0
        return next(entry.batch or 0 for entry, name in self._plan.states if name == output)

    def _run(self, feeds: dict[str, Array], rows: int) -> dict[str, Array]:
        outputs = dict(zip(self._names, run(self._session, self._names, feeds | self._constants), strict=True))
        for entry in self._plan.outputs:
            self._check(entry.name, entry, outputs[entry.name], rows)
        for entry, output in self._plan.states:
            self._check(f"{output} (the next {entry.name})", entry, outputs[output], rows)
        return outputs

    def _check(self, name: str, declared: TrialTensor, array: Array, rows: int) -> None:
        expected = self._shape(declared, rows)
        fits = len(expected) == array.ndim and all(
            size in {actual, None} for size, actual in zip(expected, array.shape, strict=True)
        )
        if array.dtype != declared.dtype or not fits:
            sizes = "".join(f", {axis} = {size}" for axis, size in {"batch": rows, **self.sizes}.items())
            raise Unusable(
                f"found {name} of {array.dtype} {[*array.shape]} in a run, expected {declared.dtype} {declared.shape} "
                f"as config.json declares it{sizes}"
            )

    def _shape(self, tensor: TrialTensor, rows: int) -> list[int | None]:
        """Return the sizes of a tensor; None for an axis that only an output has."""
        known: dict[str, int] = {"batch": rows, **self.sizes}
        return [axis if isinstance(axis, int) else known.get(axis) for axis in tensor.shape]

    def _inputs(self, rows: int) -> dict[str, Array]:
        return {entry.name: self._draw(entry, rows) for entry in self._plan.inputs}

    def _states(self, rows: int) -> dict[str, Array]:
        return {entry.name: self._draw(entry, rows) for entry, _ in self._plan.states}

    def _next_states(self, outputs: dict[str, Array]) -> dict[str, Array]:
        return {entry.name: outputs[output] for entry, output in self._plan.states}

    def _draw(self, tensor: TrialTensor, rows: int) -> Array:
        """Return random numbers, larger ones in later rows; zeros for integers, which may be indices."""
        shape = [size or 0 for size in self._shape(tensor, rows)]
        if np.dtype(tensor.dtype).kind != "f":
            return np.zeros(shape, tensor.dtype)
        numbers = 0.1 * self._random.standard_normal(shape)
        if tensor.batch is not None:
            np.moveaxis(numbers, tensor.batch, -1)[...] *= np.arange(1, rows + 1)
        return numbers.astype(tensor.dtype)


def encode(plan: Plan, content: bytes) -> bytes:
    """Return the standard input of a trial."""
    text = json.dumps(asdict(plan)).encode()
    return len(text).to_bytes(SIZE_BYTES, "little") + text + content


def _decode(raw: bytes) -> tuple[Plan, bytes]:
    end = SIZE_BYTES + int.from_bytes(raw[:SIZE_BYTES], "little")
    fields = json.loads(raw[SIZE_BYTES:end])
    tensors = {name: [TrialTensor(**entry) for entry in fields[name]] for name in ("inputs", "outputs")}
    states = [(TrialTensor(**entry), output) for entry, output in fields["states"]]
    return Plan(tensors["inputs"], tensors["outputs"], states, fields["constants"], fields["batched"]), raw[end:]


def memory_limit(size: int) -> int:
    """Return the address space in bytes for a graph of `size` bytes."""
    return MEMORY_BYTES + MEMORY_PER_BYTE * size


def _limit(kind: int, value: int) -> None:
    """Lower a limit of this process, where the system has it."""
    hard = resource.getrlimit(kind)[1]
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def main() -> int:
    """Try the graph on standard input, and return the exit status."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_CPU, MAX_SECONDS)
    raw = sys.stdin.buffer.read()
    _limit(resource.RLIMIT_AS, memory_limit(len(raw)))
    plan, content = _decode(raw)
    try:
        finding = Trial(plan, open_session(content)).perform()
    except Unusable as error:
        sys.stdout.write(str(error))
        return REFUSED
    except GraphFailure as error:
        sys.stdout.write(f"found a graph that ONNX Runtime refuses ({error}), expected one that it loads and runs")
        return REFUSED
    except Exception as error:  # noqa: BLE001 - as MemoryError
        sys.stdout.write(f"found a graph that cannot be tried ({type(error).__name__}: {str(error)[:200]})")
        return REFUSED
    sys.stdout.write(json.dumps(asdict(finding)))
    return 0
