"""What goes wrong in the drill, and which alerts that must cause."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tests.drill.client_faults import (
    client_is_greedy,
    clients_ask_for_much,
    clients_disagree,
    clients_hurry,
    users_change,
)
from tests.drill.file_faults import files_are_neglected
from tests.drill.load import Load
from tests.drill.process_faults import (
    Again,
    all_replicas_stop,
    memory_is_short,
    proxy_stops,
    replica_stops,
    versions_differ,
    worker_stutters,
    workers_die,
)
from tests.drill.stack import Stack
from tests.drill.store_faults import (
    record_is_damaged,
    store_forgets_its_file,
    store_hangs,
    store_has_no_limit,
    store_is_filled_to,
    store_stutters,
)


@dataclass(frozen=True)
class Act:
    """Something that goes wrong, in words and by doing it, and the alerts that it must cause."""

    name: str
    provoke: Callable[[Stack, Load], AbstractContextManager[Again]]
    alerts: tuple[str, ...]


QUALITY = ("UnrollPerplexityAboveCard", "UnrollForecastErrorAboveCard", "UnrollAnomalies", "UnrollQualityFell")
FILES = ("UnrollCertificateExpires", "UnrollCertificateExpiresSoon", "UnrollReloadFailed")
OBJECTIVES_OF_ERRORS = ("UnrollErrorBudgetBurnsFast", "UnrollErrorBudgetBurnsSlowly")
OBJECTIVES_OF_LATENCY = ("UnrollLatencyBudgetBurnsFast", "UnrollLatencyBudgetBurnsSlowly")
ACTS = (
    Act("a replica stops", replica_stops, ("UnrollReplicaDown",)),
    Act("a worker's processor is taken away", worker_stutters, ("UnrollEventLoopLag",)),
    Act("workers are killed", workers_die, ("UnrollWorkerReplaced", "UnrollWorkersKeepDying")),
    Act("a worker is at its limit of memory", memory_is_short, ("UnrollWorkerMemory",)),
    Act("one replica alone has a model", versions_differ, ("UnrollReplicasDiffer",)),
    Act("requests have too little time", clients_hurry, ("UnrollShedding",)),
    Act("requests of much work", clients_ask_for_much, ("UnrollQueueSlow",)),
    Act("a client sends more than it may", client_is_greedy, ("UnrollRateLimited",)),
    # Not at the beginning: what users sent before must fill the week that the alerts compare with.
    Act("users send what the models were not trained for", users_change, QUALITY),
    Act("two clients step one session", clients_disagree, ("UnrollConflicts",)),
    Act("a record is damaged", record_is_damaged, ("UnrollInternalErrors",)),
    Act("the store is filled to 87 %", store_is_filled_to(0.87), ("UnrollStoreFilling",)),
    Act("the store is filled to 98 %", store_is_filled_to(0.98), ("UnrollStoreFull",)),
    Act("the store has no limit", store_has_no_limit, ("UnrollStoreWithoutLimit",)),
    Act("the store writes no file", store_forgets_its_file, ("UnrollStoreNotPersistent", "UnrollDurabilityNotReached")),
    Act("the store stutters", store_stutters, ("UnrollStoreSlow", *OBJECTIVES_OF_LATENCY)),
    Act("the store hangs", store_hangs, ("UnrollStoreDown", "UnrollStoreErrors", *OBJECTIVES_OF_ERRORS)),
    Act("a certificate and API keys are neglected", files_are_neglected, FILES),
    Act("the proxy stops", proxy_stops, ("UnrollProxyDown",)),
    Act("all replicas stop", all_replicas_stop, ("UnrollDown", "UnrollNoReplicaReady")),
)
