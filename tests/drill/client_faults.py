"""Clients that ask for too much, too fast, against each other, or for what the models were not trained for."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import httpx

from tests.drill.load import STEP, Load, created
from tests.drill.process_faults import Again, nothing
from tests.drill.stack import KEYS, Stack

#: A second of work for a worker, in more operations than it begins at once.
LONG = {"inputs": [{"text": "dog " * 300}] * 40}
CLIENTS = 6


@contextmanager
def clients_hurry(stack: Stack, load: Load) -> Iterator[Again]:
    """Send requests with less time than they take."""
    with load.client() as http:
        yield lambda: [http.post("/v1/models/next-word/score", json=LONG, headers={"X-Request-Timeout-Ms": "20"})]


@contextmanager
def clients_ask_for_much(stack: Stack, load: Load) -> Iterator[Again]:
    """Send more work than the engine can begin at once, from several clients."""
    ending = threading.Event()

    def ask() -> None:
        with load.client() as http:
            while not ending.is_set():
                with suppress(httpx.TransportError):
                    http.post("/v1/models/next-word/score", json=LONG, timeout=30)

    with ThreadPoolExecutor(CLIENTS) as pool:
        for _ in range(CLIENTS):
            pool.submit(ask)
        try:
            yield nothing
        finally:
            ending.set()


@contextmanager
def client_is_greedy(stack: Stack, load: Load) -> Iterator[Again]:
    """Send more requests than the tenant may."""
    with httpx.Client(base_url=stack.url, headers={"X-Api-Key": KEYS["greedy"]}) as http:
        yield lambda: [http.get("/v1/sessions") for _ in range(10)]


@contextmanager
def clients_disagree(stack: Stack, load: Load) -> Iterator[Again]:
    """Send steps that another client of the session has made before."""
    with load.client() as http:
        path = f"/v1/sessions/{created(http, {'model': 'next-word'})}/steps"
        http.post(path, json=STEP)
        yield lambda: [http.post(path, json={**STEP, "step": 7}) for _ in range(5)]


@contextmanager
def users_change(stack: Stack, load: Load) -> Iterator[Again]:
    """Send text and observations that the models were not trained for."""
    load.strange = True
    try:
        yield nothing
    finally:
        load.strange = False
