"""Session store on servers that speak the Redis protocol. The state of a session is opaque bytes here.

    RedisStore                   the port `StateStore`, called by the application
      SessionRecords             reads and writes records by compare-and-set scripts
        RecordCache              records that this worker used last
      SessionIndex               approximate sorted sets behind listings and counts
      SharedSecret               the secret that all workers share
      Operations                 metrics; completion after a caller was cancelled
    RedisWorkerRegistry          the port `WorkerRegistry`
    -- driver --
    ShardedGroupCommit           commands submitted at the same time share a round trip, per server
      CommandExecutor            rounds of pipelines: redirection, retries, durability levels
        Topology                 which server serves a key: `Standalone`, `Sentinels` or `Cluster`
        execute_pipeline         one pipeline on one connection, bounded by a deadline

`connect` returns the topology for a REDIS_URL, which `StoreUrl` parses. `record.codec` is the binary format of records,
and `driver.errors` translates the driver's errors. `EmbeddedServer` is the private server of `unroll serve`, and
`warnings` checks the configuration of any server.
"""

from service.store.driver.connect import connect
from service.store.driver.topology import Topology
from service.store.embedded.server import EmbeddedServer
from service.store.observer import StoreObserver
from service.store.redis_store import RedisStore
from service.store.server_checks import warnings

__all__ = ["EmbeddedServer", "RedisStore", "StoreObserver", "Topology", "connect", "warnings"]
