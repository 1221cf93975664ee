"""The suite's HTTP client."""

from tests.chaos.http1 import Reply, pack


def test_the_steps_of_a_request_are_told_apart_byte_for_byte() -> None:
    parts = [b'{"step":1,"output":{"text":"a,b"}}', b'{"error":{"code":"session_expired","step":null}}', b'{"step":2}']
    whole = Reply(200, b'{"results":[' + b",".join(parts) + b"]}")
    assert [one.body for one in whole.items(3)] == parts
    assert [one.status for one in whole.items(3)] == [200, 410, 200]


def test_a_refusal_of_the_whole_request_is_one_of_each_step() -> None:
    refusal = Reply(503, b'{"error":{"code":"overloaded","applied":"no"}}', retry_after=2.0)
    assert refusal.items(2) == [refusal, refusal]


def test_a_request_carries_the_key_of_its_tenant_beside_its_idempotency_key() -> None:
    request = pack("POST", "/v1/sessions", {}, "once", "client-key")
    assert b"\r\nIdempotency-Key: once\r\n" in request
    assert b"\r\nAuthorization: Bearer client-key\r\n" in request
    assert b"Authorization" not in pack("POST", "/v1/sessions", {}, "once")
