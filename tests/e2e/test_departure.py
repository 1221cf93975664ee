"""Clients that go away before they are answered: what they asked for is not done."""

from collections.abc import Iterator

import pytest

from tests.e2e.wire import Wire
from tests.folders import WORDS, write_language_model
from tests.metrics import Metrics
from tests.server import Server, answered, eventually, look_up, new_session, short_folder, step

TOKENS = 1024
#: Takes seconds; without a symbol for the end of a sequence nothing ends it early.
LONG = {"input": {"text": "the"}, "options": {"max_tokens": TOKENS}}


@pytest.fixture(scope="module")
def service() -> Iterator[Server]:
    with short_folder() as folder:
        words = [word for word in WORDS if word != "<s>"]
        write_language_model(folder / "models", "slow", words=words, hidden_size=768)
        with Server(folder, models=folder / "models") as running:
            yield running


@pytest.mark.parametrize("half", [False, True], ids=["closed", "closed for sending only"])
def test_a_generation_stops_when_its_client_goes_and_its_session_stays_where_it_was(
    service: Server, half: bool
) -> None:
    with service.client() as http, Wire(service.url) as leaver:
        session = new_session(http, "slow")
        answered(step(http, session, "a", step=0))
        gone = Metrics(http).value("requests_total", code="499")
        leaver.send("POST", f"/v1/sessions/{session}/generate", LONG | {"step": 1})
        eventually(lambda: Metrics(http).value("queue_depth") == 1)
        if half:
            leaver.finish_sending()
            assert leaver.at_its_end(), "it can be sent no answer either"
        else:
            leaver.close()
        eventually(lambda: Metrics(http).value("requests_total", code="499") == gone + 1)
        eventually(lambda: Metrics(http).value("queue_depth") == 0)
        assert Metrics(http).value("generated_tokens_total") == 0
        assert Metrics(http).value("session_steps_total", outcome="failed") == 0
        assert look_up(http, session)["step"] == 1
        assert answered(step(http, session, "dog", step=1))["step"] == 2


def test_the_log_tells_of_it_without_a_warning(service: Server) -> None:
    with service.client() as http, Wire(service.url) as leaver:
        leaver.send("POST", "/v1/models/slow/generate", LONG, **{"X-Request-Id": "leaver"})
        eventually(lambda: Metrics(http).value("queue_depth") == 1)
        leaver.close()
        line = eventually(lambda: next((line for line in service.log.splitlines() if '"leaver"' in line), None))
        assert '"status": 499' in line
        warnings = [line for line in service.log.splitlines() if '"level": "warning"' in line]
    assert [line for line in warnings if "no API keys" not in line] == []
