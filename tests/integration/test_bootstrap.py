"""A worker's parts start and stop in order, and each stops even if another one fails to."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from service.application.model_versions.reconciler import ModelReconciler
from service.bootstrap.worker import NO_OVERRIDES, Overrides, Worker, running_worker
from service.domain.errors import SettingsError
from service.engine.engine import BatchingEngine
from service.process.worker import serve
from service.process.worker_process import READY
from service.settings import Settings
from service.store import EmbeddedServer, store_watcher
from service.store.driver.topology import Standalone
from service.store.redis_store import RedisStore
from tests.server import short_folder, tiny_models

#: The method that stops each part, in the order of their calls.
STOPS: tuple[tuple[type, str], ...] = (
    (ModelReconciler, "stop"),
    (BatchingEngine, "stop"),
    (RedisStore, "aclose"),
    (Standalone, "aclose"),
)
PARTS = [part.__name__ for part, _ in STOPS]


class PartFailure(Exception):
    """The failure of one part."""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with short_folder() as path:
        tiny_models(path / "models")
        yield path


@pytest.fixture(scope="module")
def store_url(folder: Path) -> Iterator[str]:
    server = EmbeddedServer(folder / "state")
    server.start()
    yield server.url
    server.stop()


@pytest.fixture
def settings(folder: Path, store_url: str) -> Settings:
    return Settings(redis_url=store_url, models=folder / "models")


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The parts that have stopped, in order."""
    names: list[str] = []
    for part, method in STOPS:
        monkeypatch.setattr(part, method, recorded(getattr(part, method), part.__name__, names))
    return names


def recorded(
    stop: Callable[..., Coroutine[Any, Any, None]], name: str, names: list[str]
) -> Callable[..., Coroutine[Any, Any, None]]:
    async def wrapper(self: object) -> None:
        await stop(self)
        names.append(name)

    return wrapper


def failing_after(stop: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, None]]:
    async def wrapper(self: object) -> None:
        await stop(self)
        raise PartFailure

    return wrapper


def fail(*_: object, **__: object) -> Any:
    raise PartFailure


async def fail_later(*_: object) -> None:
    raise PartFailure


class FailingTask:
    """A background task that fails at once."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def run(self, *_: object) -> None:
        self.begun.set()
        raise PartFailure

    async def use_after_failure(self, worker: Worker) -> None:
        async with asyncio.timeout(30):
            await self.begun.wait()
            await open_session(worker)


class StubbornTask:
    """A background task that ends at the second cancellation only."""

    cancellations = 0

    async def run(self, *_: object) -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                self.cancellations += 1
                if self.cancellations == 2:
                    raise


def connections(store_url: str) -> int:
    """The number of connections to the store, without the one that counts them."""
    with Redis.from_url(store_url) as client:
        return len(client.client_list()) - 1


async def open_session(worker: Worker) -> None:
    transport = httpx.ASGITransport(app=worker.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://worker") as client:
        response = await client.post("/v1/sessions", json={"model": "tiny"})
        assert response.status_code == 201, response.text


async def crash(_: Worker) -> None:
    raise ValueError("the server crashed")


def run(
    settings: Settings,
    overrides: Overrides = NO_OVERRIDES,
    *,
    use: Callable[[Worker], Awaitable[None]] = open_session,
) -> None:
    """Run a worker, use it, and stop it; no task may be left, be it well or not."""

    async def start_and_stop() -> None:
        try:
            async with running_worker(settings, overrides) as worker:
                await use(worker)
        finally:
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(start_and_stop())


def test_the_parts_stop_in_the_reverse_order_of_their_start(
    settings: Settings, store_url: str, stopped: list[str]
) -> None:
    run(settings)
    assert stopped == PARTS
    assert connections(store_url) == 0


@pytest.mark.parametrize(("part", "method"), STOPS, ids=PARTS)
def test_all_parts_stop_when_one_fails_to(
    settings: Settings, store_url: str, stopped: list[str], monkeypatch: pytest.MonkeyPatch, part: type, method: str
) -> None:
    monkeypatch.setattr(part, method, failing_after(getattr(part, method)))
    with pytest.raises(PartFailure):
        run(settings)
    assert stopped == PARTS
    assert connections(store_url) == 0


def test_the_failures_of_several_parts_are_all_logged(
    settings: Settings, stopped: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for part, method in STOPS:
        monkeypatch.setattr(part, method, failing_after(getattr(part, method)))
    with caplog.at_level(logging.ERROR), pytest.raises(PartFailure):
        run(settings)
    failures = [record for record in caplog.records if record.getMessage() == "part failed to stop"]
    assert [vars(record)["part"] for record in failures] == ["models", "engine", "store", "connections"]
    assert stopped == PARTS


@pytest.mark.parametrize(
    ("name", "to_stop"),
    [
        ("worker.connect", []),
        ("store.RedisStore", PARTS[3:]),
        ("worker.BatchingEngine", PARTS[2:]),
        ("models.FolderModelRepository", PARTS[1:]),
        ("store.RedisWorkerRegistry", PARTS[1:]),
        ("worker.create_app", PARTS),
    ],
)
def test_the_parts_stop_that_were_made_before_one_that_cannot_be_made(
    settings: Settings,
    store_url: str,
    stopped: list[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    to_stop: list[str],
) -> None:
    monkeypatch.setattr(f"service.bootstrap.{name}", fail)
    with pytest.raises(PartFailure):
        run(settings)
    assert stopped == to_stop
    assert connections(store_url) == 0


@pytest.mark.parametrize("failing", [(ModelReconciler, fail_later), (BatchingEngine, fail)])
def test_all_parts_stop_when_one_fails_to_start(
    settings: Settings,
    store_url: str,
    stopped: list[str],
    monkeypatch: pytest.MonkeyPatch,
    failing: tuple[type, Callable[..., Any]],
) -> None:
    part, start = failing
    monkeypatch.setattr(part, "start", start)
    with pytest.raises(PartFailure):
        run(settings)
    assert stopped == PARTS
    assert connections(store_url) == 0


async def test_all_parts_stop_when_the_start_is_cancelled(
    settings: Settings, store_url: str, stopped: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks, begun = asyncio.all_tasks(), asyncio.Event()

    async def start_forever(self: ModelReconciler) -> None:
        await self.reconcile()
        begun.set()
        await asyncio.sleep(3600)

    monkeypatch.setattr(ModelReconciler, "start", start_forever)
    starting = asyncio.create_task(running_worker(settings).__aenter__())
    await begun.wait()
    starting.cancel()
    await asyncio.wait([starting])
    assert starting.cancelled()
    assert asyncio.all_tasks() == tasks
    assert stopped == PARTS
    assert connections(store_url) == 0


async def test_all_parts_stop_however_often_the_stop_is_cancelled(
    settings: Settings, store_url: str, stopped: list[str]
) -> None:
    tasks, begun = asyncio.all_tasks(), asyncio.Event()

    async def work() -> None:
        async with running_worker(settings) as worker:
            await asyncio.gather(*(open_session(worker) for _ in range(8)))
            begun.set()
            await asyncio.sleep(3600)

    working = asyncio.create_task(work())
    await begun.wait()
    while not working.done():
        working.cancel()
        await asyncio.sleep(0)
    assert working.cancelled()
    assert asyncio.all_tasks() == tasks
    assert stopped == PARTS
    assert connections(store_url) == 0


@pytest.mark.parametrize("port", ["engine", "store"])
def test_the_parts_stop_when_an_override_fails(settings: Settings, stopped: list[str], port: str) -> None:
    with pytest.raises(PartFailure):
        run(settings, Overrides(**{port: fail}))
    assert stopped == PARTS[1:]


def test_a_failure_of_the_server_is_reported_beside_that_of_a_part(
    settings: Settings, stopped: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BatchingEngine, "stop", failing_after(BatchingEngine.stop))

    with pytest.raises(PartFailure) as raised:
        run(settings, use=crash)
    assert isinstance(raised.value.__context__, ValueError)
    assert stopped == PARTS


@pytest.mark.parametrize(("owner", "name"), [(ModelReconciler, "run"), (store_watcher, "warnings")])
def test_a_background_task_that_fails_is_logged_and_the_worker_serves_on(
    settings: Settings,
    stopped: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    owner: object,
    name: str,
) -> None:
    task = FailingTask()
    monkeypatch.setattr(owner, name, task.run)
    with caplog.at_level(logging.ERROR):
        run(settings, use=task.use_after_failure)
    assert [record.getMessage() for record in caplog.records] == ["background task failed"]
    assert stopped == PARTS


def test_a_background_task_ends_although_it_swallows_a_cancellation(
    settings: Settings, stopped: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = StubbornTask()
    monkeypatch.setattr(ModelReconciler, "run", task.run)
    run(settings)
    assert task.cancellations == 2
    assert stopped == PARTS


def test_nothing_starts_without_a_store(folder: Path, stopped: list[str]) -> None:
    with pytest.raises(SettingsError, match="REDIS_URL is not set"):
        run(Settings(redis_url=None, models=folder / "models"))
    assert stopped == []


async def test_a_refresh_in_progress_ends_with_the_worker(
    settings: Settings, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def refresh(*_: object) -> None:
        begun.set()
        await asyncio.sleep(3600)

    monkeypatch.setattr(ModelReconciler, "refresh", refresh)
    tasks = asyncio.all_tasks()
    async with running_worker(settings) as worker:
        transport = httpx.ASGITransport(app=worker.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://worker") as client:
            request = asyncio.create_task(client.get("/v1/models/unknown"))
            await begun.wait()
            request.cancel()
            await asyncio.wait([request])
    assert asyncio.all_tasks() == tasks
    assert connections(store_url) == 0


def test_no_task_is_left_when_a_serving_worker_is_cancelled(settings: Settings, store_url: str) -> None:
    async def cancel_serving() -> None:
        control, workers_end = socket.socketpair()
        control.setblocking(False)
        workers_end.setblocking(False)
        tasks = asyncio.all_tasks()
        with socket.create_server(("127.0.0.1", 0)) as listener, control, workers_end:
            serving = asyncio.create_task(serve(settings, listener, workers_end))
            assert await asyncio.get_running_loop().sock_recv(control, 1) == READY
            serving.cancel()
            await asyncio.wait([serving])
        assert serving.cancelled()
        assert asyncio.all_tasks() == tasks

    asyncio.run(cancel_serving())  # a loop of its own, for the signal handlers
    assert connections(store_url) == 0
