"""Inputs of the steps that a trial server is measured with."""

from service.deployment.trial_load import Client, one_step


def test_a_step_feeds_one_word_or_one_row() -> None:
    assert one_step({"text": "the cat sat"}) == {"text": "the"}
    assert one_step({"ids": [4, 5, 6]}) == {"ids": [4]}
    series = {"values": [[1.0, 2.0]] * 3, "timestamps": {"start": "2026-01-01T00:00:00Z", "step_seconds": 1800}}
    assert one_step(series) == {**series, "values": [[1.0, 2.0]]}
    assert one_step({"tensors": {"frame": [0, 0]}}) == {"tensors": {"frame": [0, 0]}}


def test_observations_with_a_time_are_later_at_every_step() -> None:
    step = {"values": [[1.0]], "timestamps": {"start": "2026-01-01T00:00:00Z", "step_seconds": 1800}}
    client = Client(0, "sensor", {}, step)
    starts = []
    for client.steps in (0, 1, 3):
        starts.append(client._input()["timestamps"]["start"])
    assert starts == ["2026-01-01T00:00:00+00:00", "2026-01-01T00:30:00+00:00", "2026-01-01T01:30:00+00:00"]
