"""What a URL leads to."""

from service.store.driver.cluster import Cluster
from service.store.driver.nodes import Nodes
from service.store.driver.sentinels import Sentinels
from service.store.driver.topology import Standalone, Topology
from service.store.driver.url import StoreUrl


def connect(url: str, timeout: float = 2.0, connections: int = 32) -> Topology:
    """The servers at `url`, of any form; nothing is sent before it is needed. Close it when it is used no more.

    Each wait of a connection ends after `timeout` seconds; a server has up to `connections`, and further callers wait
    for a free one. Raises SettingsError, which never repeats the URL: it may hold a password.
    """
    address = StoreUrl.parse(url)
    if address.kind == "sentinel":
        return Sentinels(address, timeout, connections)
    if address.kind == "cluster":
        return Cluster(address, timeout, connections)
    nodes = Nodes(address.options, timeout, connections)
    return Standalone(nodes, nodes.only(address))
