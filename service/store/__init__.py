"""Keeps sessions in a server that speaks the Redis protocol; a session's state is opaque bytes here.

    RedisStore            the port `StateStore`: what the use cases call
      Coalescer           calls of one moment share a round trip, one caller cannot harm another
        Lane              one round trip: lost replies asked again, scripts loaded, durability waited for
          Wire            commands out, replies in, on one connection, before a deadline
      Index               approximate sorted sets behind listing and counting

`record` turns records into bytes, `errors` turns the driver's errors into ours. `EmbeddedServer` is the private
server of `unroll serve`.
"""

from service.store.checks import warnings
from service.store.client import make_client
from service.store.embedded import EmbeddedServer
from service.store.observer import StoreObserver
from service.store.redis_store import RedisStore

__all__ = ["EmbeddedServer", "RedisStore", "StoreObserver", "make_client", "warnings"]
