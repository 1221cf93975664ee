"""One call of a client: its metadata, its messages, and its end."""

import asyncio
import random
import re
from typing import Any
from urllib.parse import unquote

import grpc

from service.application.access.client_addresses import NO_PROXIES, TrustedProxies, network_of
from service.application.access.principal import EVERYONE
from service.application.deadlines import DEPARTED
from service.application.phase_times import PhaseTimes
from service.application.ports import CallTrace
from service.domain.errors import DeadlineExceeded, UnrollError
from service.grpc.connections import Peer, peer_of
from service.grpc.errors import MAX_MESSAGE, Metadata, metadata_of, status_of

#: Request ids are unique, not secret.
_RANDOM = random.Random()

FORWARDED = "x-forwarded-for"
REQUEST_ID = re.compile(r"[\x20-\x7e]{1,256}")
#: The longest time that a client may set, as over HTTP.
MAX_SECONDS = 600.0
#: The rate at which a client must take a long answer. How far it is with one cannot be seen, so this is no small rate.
MIN_READ_BYTES_PER_SECOND = 65_536
_CODINGS = {"gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}


class Call:
    """A call of a method, `route`. `tenant` is empty until `principal`, who calls, is known.

    `trace` is that of a call that is traced; `progress` and `phases` are for its line in the log. `departed` says that
    the client has cancelled the call, has gone, or has met its deadline, and `unread` that it has not read an answer in
    time.
    """

    def __init__(
        self,
        context: Any,  # noqa: ANN401 - grpc has no types
        route: str,
        proxies: TrustedProxies = NO_PROXIES,
    ) -> None:
        self._context = context
        self.route = route
        self.tenant = ""
        self.principal = EVERYONE
        self.trace: CallTrace | None = None
        self.progress: dict[str, Any] = {}
        self.phases: PhaseTimes | None = None
        self.departed = self.unread = False
        metadata = context.invocation_metadata() or ()
        self.metadata: dict[str, Any] = dict(metadata)
        self.peer = client_peer(context.peer())
        forwarded = ",".join(str(value) for name, value in metadata if name == FORWARDED)
        self.address = network_of(proxies.client_of(self.peer[0], forwarded))
        self.request_id = request_id(self.metadata)
        self.trailers: Metadata = (("x-request-id", self.request_id),)

    @property
    def key(self) -> bytes:
        """The API key of the call, empty if it has none."""
        scheme, _, token = str(self.metadata.get("authorization", "")).partition(" ")
        key = token.strip() if scheme.lower() == "bearer" else str(self.metadata.get("x-api-key", ""))
        return key.encode("latin-1", "replace")

    @property
    def client_seconds(self) -> float | None:
        """The seconds until the client's deadline, or None if it has set none."""
        seconds: float | None = self._context.time_remaining()
        return None if seconds is None or seconds > MAX_SECONDS else max(0.001, seconds)

    def compress(self) -> None:
        """Compress the answers as the client asks by accept-encoding, if it names exactly one coding that is known."""
        coding = _CODINGS.get(str(self.metadata.get("accept-encoding", "")).strip().lower())
        if coding is not None:
            self._context.set_compression(coding)

    async def read(self) -> bytes | None:
        """Return the next message of the client, or None after the last one."""
        content = await self._context.read()
        return None if content is grpc.aio.EOF else bytes(content)

    async def write(self, content: bytes, seconds: float) -> None:
        """Send a message, and wait until the client has taken most of it.

        Raises DeadlineExceeded if that takes longer than `seconds`, and the time for its size, and CancelledError if
        the client has gone.
        """
        seconds += len(content) / MIN_READ_BYTES_PER_SECOND
        try:
            async with asyncio.timeout(seconds):
                await self._context.write(content)
        except TimeoutError:
            self.unread = True
            raise DeadlineExceeded(f"the client did not read the answer within {seconds:g} s") from None
        except grpc.aio.InternalError:
            # The call has ended already. The library cancels it soon, but has told the write first.
            self.departed = True
            raise asyncio.CancelledError(DEPARTED) from None

    def finish(self) -> None:
        """Set the metadata that end a call that succeeded."""
        self._context.set_trailing_metadata(self.trailers)

    async def abort(self, error: UnrollError) -> None:
        """End the call with an error, which raises grpc.aio.AbortError."""
        await self._context.abort(status_of(error), error.message[:MAX_MESSAGE], self.trailers + metadata_of(error))


def client_peer(peer: str) -> Peer:
    """Return the address and the port of a client, as gRPC names it; an empty address if it is not known."""
    kind, _, rest = unquote(peer).partition(":")
    host, _, port = rest.rpartition(":")
    return peer_of(host.strip("[]"), int(port)) if kind in {"ipv4", "ipv6"} and port.isdecimal() else ("", 0)


def request_id(metadata: dict[str, Any]) -> str:
    """Return the client's x-request-id if it is printable and has at most 256 characters, else a new one."""
    client_id = metadata.get("x-request-id")
    if isinstance(client_id, str) and REQUEST_ID.fullmatch(client_id):
        return client_id
    return f"req_{_RANDOM.getrandbits(96):024x}"
