"""Replicas, workers and the proxy that stop, hang, die or differ.

A fault is a context: entering it breaks something, leaving it repairs that. What it yields is done again and again
meanwhile.
"""

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from tests.drill.load import Load
from tests.drill.stack import REPLICAS, Stack
from tests.server import Server

Again = Callable[[], object]


def nothing() -> None:
    """Wait."""


@contextmanager
def stopped(*servers: Server) -> Iterator[Again]:
    for server in servers:
        server.terminate()
    try:
        yield nothing
    finally:
        for server in servers:
            server.restart()


def replica_stops(stack: Stack, load: Load) -> AbstractContextManager[Again]:
    return stopped(stack.replicas[1])


def all_replicas_stop(stack: Stack, load: Load) -> AbstractContextManager[Again]:
    return stopped(*stack.replicas)


@contextmanager
def proxy_stops(stack: Stack, load: Load) -> Iterator[Again]:
    stack.haproxy.stop()
    try:
        yield nothing
    finally:
        stack.haproxy.start()


@contextmanager
def worker_stutters(stack: Stack, load: Load) -> Iterator[Again]:
    """Stop the worker of a replica for a part of each second, as a machine with too few processors does."""
    with stopped_again_and_again(stack.replicas[1].worker_pids, 0.4, 0.6):
        yield nothing


@contextmanager
def stopped_again_and_again(pids: Callable[[], list[int]], stopped: float, running: float) -> Iterator[None]:
    ending = threading.Event()

    def stutter() -> None:
        while not ending.wait(running):
            for number, seconds in ((signal.SIGSTOP, stopped), (signal.SIGCONT, 0)):
                for pid in pids():
                    with suppress(ProcessLookupError):
                        os.kill(pid, number)
                ending.wait(seconds)

    thread = threading.Thread(target=stutter, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


@contextmanager
def workers_die(stack: Stack, load: Load) -> Iterator[Again]:
    """Kill all workers of a replica but one, which tells of them."""

    def kill() -> None:
        for pid in sorted(stack.replicas[0].worker_pids())[1:]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    yield kill


@contextmanager
def memory_is_short(stack: Stack, load: Load) -> Iterator[Again]:
    """Give the workers of a replica a limit that they are above from the start; they are not renewed for that."""
    replica = stack.replicas[1]
    replica.terminate()
    replica._environment["UNROLL_WORKER_MAX_MEMORY_BYTES"] = "1"
    replica.restart()
    try:
        yield nothing
    finally:
        replica.terminate()
        del replica._environment["UNROLL_WORKER_MAX_MEMORY_BYTES"]
        replica.restart()


@contextmanager
def versions_differ(stack: Stack, load: Load) -> Iterator[Again]:
    """Give a model to one replica alone."""
    models = stack.folder / REPLICAS[0].partition(":")[0] / "models"
    shutil.copytree(models / "taxi-forecast", models / "another")
    try:
        yield nothing
    finally:
        shutil.rmtree(models / "another")
