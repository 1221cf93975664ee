"""Choice of the topology for a REDIS_URL."""

from service.store.driver.cluster import Cluster
from service.store.driver.nodes import Nodes
from service.store.driver.sentinels import Sentinels
from service.store.driver.topology import Standalone, Topology
from service.store.driver.url import StoreUrl


def connect(url: str, timeout: float = 2.0, connections: int = 32) -> Topology:
    """Return the topology of the servers at `url`; nothing is sent before it is needed. The caller closes it.

    Each wait of a connection ends after `timeout` seconds. A server gets up to `connections` connections; further
    callers wait for a free one. Raises SettingsError, whose message never contains the URL: it may hold a password.
    """
    address = StoreUrl.parse(url)
    if address.kind == "sentinel":
        return Sentinels(address, timeout, connections)
    if address.kind == "cluster":
        return Cluster(address, timeout, connections)
    nodes = Nodes(address.options, timeout, connections)
    return Standalone(nodes, nodes.from_url(address))
