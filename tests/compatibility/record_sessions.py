"""python -m tests.compatibility.record_sessions: keep the sessions of this commit for the releases to come.

Writes tests/compatibility/<commit>.json: the store of a real service on the bundled models, what the service answered,
and what it answers to the steps after that. Takes the commit as it is checked out: nothing of it may be changed.
"""

import subprocess
import sys
import time
from contextlib import ExitStack

import httpx
from redis import Redis

from tests.compatibility.keys import read_keys
from tests.compatibility.recording import API_KEY, FOLDER, TENANT, Exchange, RecordedSession, Recording, Request
from tests.compatibility.stories import (
    SENSOR,
    TRANSLATOR,
    WORDS,
    Story,
    fork_of_keyed_words,
    import_of_keyed_sensor,
    stories,
)
from tests.deployments import Server as Store
from tests.server import ROOT, Server, answered, look_up, short_folder

Clients = dict[bool, httpx.Client]


def main() -> int:
    """Record, and say where it lies."""
    assert not git("status", "--porcelain", "--untracked-files=no"), "expected the commit as it is: changes are open"
    commit = git("rev-parse", "--short", "HEAD")
    path = FOLDER / f"{commit}.json"
    with ExitStack() as stack:
        folder, beside = stack.enter_context(short_folder()), stack.enter_context(short_folder())
        store = Store(folder / "store").start()
        stack.callback(store.kill)
        given = {"models": ROOT / "models", "redis_url": f"redis://127.0.0.1:{store.port}"}
        servers = [
            stack.enter_context(Server(folder, **given)),
            stack.enter_context(Server(beside, **given, api_keys=f"{TENANT}:{API_KEY}")),
        ]
        clients = {
            False: stack.enter_context(servers[0].client()),
            True: stack.enter_context(servers[1].client(API_KEY)),
        }
        record(commit, servers, clients, store.port).write(path)
    sys.stdout.write(f"{path}: {path.stat().st_size:,} bytes\n")
    return 0


def git(*words: str) -> str:
    """What git says of this checkout."""
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def record(commit: str, servers: list[Server], clients: Clients, port: int) -> Recording:
    """Live all stories up to now, take the store as the services leave it, then live on."""
    begun = [(story, begin(clients[story.guarded], story)) for story in stories()]
    known = {story.name: session for story, session in begun}
    file = known["sensor by key"].file
    assert file is not None
    copies = (fork_of_keyed_words(known["words by key"].id), import_of_keyed_sensor(file))
    begun += [(story, begin(clients[story.guarded], story)) for story in copies]
    models = {model: answered(clients[False].get(f"/v1/models/{model}")) for model in (WORDS, TRANSLATOR, SENSOR)}
    listed = answered(clients[False].get("/v1/sessions", params={"limit": 1000}))["data"]
    for server in servers:
        server.terminate()
    with Redis(port=port) as client:
        recorded_at, store = time.time_ns() // 1_000_000, read_keys(client)
    for server in servers:
        server.restart()
    return Recording(
        commit=commit,
        recorded_at=recorded_at,
        fingerprints={model: told["fingerprint"] for model, told in models.items()},
        store=store,
        listed=[session["id"] for session in listed],
        sessions=[go_on(clients[story.guarded], story, session) for story, session in begun],
    )


def begin(http: httpx.Client, story: Story) -> RecordedSession:
    """Open a session and take its first steps."""
    session = answered(story.opening.send(http), 201)["id"]
    so_far = [exchange(http, session, request) for request in story.so_far]
    described = look_up(http, session)
    file = http.get(f"/v1/sessions/{session}/state").content if story.exported else None
    if story.ended:
        assert http.delete(f"/v1/sessions/{session}").status_code == 204
    return RecordedSession(
        name=story.name,
        id=session,
        guarded=story.guarded,
        ended=story.ended,
        opening=story.opening,
        described=described,
        so_far=so_far,
        next=[],
        file=file,
    )


def go_on(http: httpx.Client, story: Story, session: RecordedSession) -> RecordedSession:
    """Take the steps after the recording."""
    return session.model_copy(update={"next": [exchange(http, session.id, request) for request in story.next]})


def exchange(http: httpx.Client, session: str, request: Request) -> Exchange:
    """A step and its answer."""
    response = request.send(http, session)
    answered(response)
    return Exchange(request=request, answer=response.content.decode())


if __name__ == "__main__":
    sys.exit(main())
