"""Keeps sessions in servers that speak the Redis protocol; a session's state is opaque bytes here.

    RedisStore            the port `StateStore`: what the use cases call
      Coalescers          calls of one moment share a round trip, one caller cannot harm another, nor one server
        Lane              rounds of a batch, grouped by server; durability waited for
          Errand          one command: redirected, its lost reply asked for again
          Topology        which server serves a key: `Single`, `Sentinels`, `Cluster`
          exchange        commands out, replies in, on one connection, before a deadline
      Index               approximate sorted sets behind listing and counting

`Address` reads REDIS_URL and `connect` makes the topology of it. `record` turns records into bytes, `errors` turns the
driver's errors into ours. `EmbeddedServer` is the private server of `unroll serve`.
"""

from service.store.driver.connect import connect
from service.store.driver.topology import Topology
from service.store.embedded.server import EmbeddedServer
from service.store.observer import StoreObserver
from service.store.redis_store import RedisStore
from service.store.server_checks import warnings

__all__ = ["EmbeddedServer", "RedisStore", "StoreObserver", "Topology", "connect", "warnings"]
