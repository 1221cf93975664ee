"""Sessions of an innocent client that lie still while others are attacked, with what each must answer afterwards."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.attack.wire import Connection, Response, pack
from tests.chaos.compare import Tolerances, differs

_SESSIONS_OF_EACH = 4
_PATIENCE = 20
#: The order of sums in float32 depends on the other requests of a batch.
_TOLERANCES = Tolerances(probability=1e-4, logprob=1e-3, forecast=1.0)
_SERIES = {"values": [9000, 9100, 8800] * 20, "timestamps": {"start": "2015-01-05T00:00:00Z", "step_seconds": 1800}}
#: For each model the body of a creation, the inputs of the steps, and the options of a prediction.
Creations = list[tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]]
_CREATIONS: Creations = [
    ({"model": "next-word", "kept_steps": 2}, [{"text": word} for word in ("I", "would", "like")], {"top_k": 5}),
    ({"model": "translate-en-fr", "input": {"text": "Would you like a cup of tea?"}}, [{"text": "une"}], {}),
    ({"model": "taxi-forecast"}, [_SERIES], {"horizon": 3}),
]


@dataclass(frozen=True, slots=True)
class Witness:
    """One session: its last step with the answer, and what a prediction returned."""

    session: str
    last_step: dict[str, Any]
    answer: bytes
    look: dict[str, Any]
    output: Any


@dataclass(frozen=True, slots=True)
class Witnesses:
    """The sessions of one client."""

    port: int
    key: str
    sessions: Sequence[Witness]

    @classmethod
    async def create(cls, port: int, key: str, creations: Creations = _CREATIONS) -> "Witnesses":
        """Create sessions of each model, step them, and note what they answer."""
        asking, made = Asking(port, key), list[Witness]()
        for number in range(_SESSIONS_OF_EACH):
            for creation, inputs, options in creations:
                created = await asking.ask("POST", "/v1/sessions", {"ttl_seconds": 86_400, **creation})
                session, look = str(created.json["id"]), {"options": options}
                for step, content in enumerate(inputs[: 1 + number]):
                    last = {"input": content, "step": step}
                    answer = await asking.ask("POST", f"/v1/sessions/{session}/steps", last)
                looked = await asking.ask("POST", f"/v1/sessions/{session}/predict", look)
                made.append(Witness(session, last, answer.body, look, looked.json["output"]))
        asking.close()
        return cls(port, key, made)

    async def complaints(self) -> list[str]:
        """Return what is not as it was: the step count, the prediction, or the stored answer to the last step."""
        asking = Asking(self.port, self.key)
        found = [line for witness in self.sessions for line in await _compare(asking, witness)]
        asking.close()
        return found


async def _compare(asking: "Asking", witness: Witness) -> list[str]:
    path = f"/v1/sessions/{witness.session}"
    read = await asking.ask("GET", path)
    looked = await asking.ask("POST", f"{path}/predict", witness.look)
    replayed = await asking.ask("POST", f"{path}/steps", witness.last_step)
    checks = {
        f"{path} answers {read.label}": read.status != 200,
        f"{path} is at step {read.json.get('step')}": read.json.get("step") != witness.last_step["step"] + 1,
        f"{path} predicts {looked.body[:200]!r}": looked.status != 200
        or differs(witness.output, looked.json["output"], _TOLERANCES) is not None,
        f"{path} replays {replayed.body[:200]!r}": replayed.body != witness.answer
        or replayed.headers.get("unroll-replayed") != "true",
    }
    return [what for what, broken in checks.items() if broken]


class Asking:
    """A client that asks again while the service is busy."""

    def __init__(self, port: int, key: str) -> None:
        self._connection = Connection(port)
        self._key = key

    async def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        for _ in range(_PATIENCE):
            response = await self._connection.send(pack(method, path, body, self._key, headers))
            if response.status not in {429, 503}:
                break
            await asyncio.sleep(0.5)
        return response

    def close(self) -> None:
        self._connection.close()
