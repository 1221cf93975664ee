"""A store that hangs, stutters, fills up, or does not keep what it is given."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.drill.load import STEP, Load, created
from tests.drill.process_faults import Again, nothing, stopped_again_and_again
from tests.drill.stack import Stack


@contextmanager
def store_hangs(stack: Stack, load: Load) -> Iterator[Again]:
    with stack.store.frozen():
        yield nothing


@contextmanager
def store_stutters(stack: Stack, load: Load) -> Iterator[Again]:
    """Stop the store for most of each second: calls of it take longer than steps should, and succeed."""
    stutter = stopped_again_and_again(lambda: [stack.store.pid], 0.8, 0.2)
    with stutter:
        yield nothing


@contextmanager
def record_is_damaged(stack: Stack, load: Load) -> Iterator[Again]:
    """Overwrite the beginning of a record in the store."""
    with load.client() as http:
        session = created(http, {"model": "next-word"})
        key = f"unroll:clients:{{{session}}}"
        stack.store.ask("SETRANGE", key, 0, "damaged")
        yield lambda: http.get(f"/v1/sessions/{session}")
        stack.store.ask("DEL", key)


@contextmanager
def store_setting(stack: Stack, name: str, value: object) -> Iterator[None]:
    before = stack.store.ask("CONFIG", "GET", name)
    pairs = before if isinstance(before, dict) else dict([before])
    stack.store.ask("CONFIG", "SET", name, str(value))
    try:
        yield
    finally:
        stack.store.ask("CONFIG", "SET", name, pairs[name])


def store_is_filled_to(share: float) -> Callable[[Stack, Load], AbstractContextManager[Again]]:
    """Return an act that lowers the store's limit, so that what it holds is this share of it."""

    @contextmanager
    def fill(stack: Stack, load: Load) -> Iterator[Again]:
        used = stack.prometheus.query("max(unroll_store_memory_bytes)")[0]["value"][1]
        with store_setting(stack, "maxmemory", round(float(used) / share)):
            yield nothing

    return fill


@contextmanager
def store_has_no_limit(stack: Stack, load: Load) -> Iterator[Again]:
    with store_setting(stack, "maxmemory", 0):
        yield nothing


@contextmanager
def store_forgets_its_file(stack: Stack, load: Load) -> Iterator[Again]:
    """Turn the append-only file off, on which steps of a session wait."""
    with load.client() as http:
        session = created(http, {"model": "next-word", "durability": "fsynced"})
        with store_setting(stack, "appendonly", "no"):
            yield lambda: http.post(f"/v1/sessions/{session}/steps", json=STEP)
