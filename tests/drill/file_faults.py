"""Files that a replica reads again while it runs: its certificate, which nobody renews, and its API keys."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.certificates import Certificates
from tests.drill.load import Load
from tests.drill.process_faults import Again, nothing
from tests.drill.stack import REPLICAS, Stack
from tests.server import eventually

RENEWED_SECONDS = 30.0
NO_KEYS = '{"keys": []}'
EXPIRES_LATER = "min(unroll_certificate_expiry_timestamp_seconds - time()) > 14 * 86400"
ALL_CURRENT = "min(unroll_last_reload_successful) == 1"


@contextmanager
def files_are_neglected(stack: Stack, load: Load) -> Iterator[Again]:
    """Have a replica serve a certificate of one day, and break its files; at the end, renew them as operators do."""
    folder = stack.folder / "files"
    folder.mkdir()
    old, new = (Certificates.make(stack.folder / f"certificate-{days}", days=days) for days in (1, 90))
    install(old, folder)
    (folder / "keys").write_text(NO_KEYS)
    with served_with(stack, folder, authority=old.path("ca.crt")):
        (folder / "crt").write_text("no certificate")
        (folder / "keys").write_text("no keys")
        yield nothing
        install(new, folder)
        (folder / "keys").write_text(NO_KEYS)
        for query in (EXPIRES_LATER, ALL_CURRENT):
            eventually(lambda query=query: stack.prometheus.query(query), RENEWED_SECONDS)


@contextmanager
def served_with(stack: Stack, folder: Path, authority: str) -> Iterator[None]:
    """Restart a replica with the files of a folder, and as it was at the end."""
    replica, name = stack.replicas[1], REPLICAS[1]
    files = {"TLS_CERTIFICATE": "crt", "TLS_KEY": "key", "API_KEYS_FILE": "keys"}
    changed = {f"UNROLL_{setting}": str(folder / file) for setting, file in files.items()}
    before = replica._environment
    replica.terminate()
    os.environ["SSL_CERT_FILE"] = authority  # for httpx, which asks whether it is ready
    replica._environment = before | changed
    try:
        replica.restart()
        stack.scrape_over_tls(name)
        yield
    finally:
        replica.terminate()
        del os.environ["SSL_CERT_FILE"]
        replica._environment = before
        replica.restart()
        stack.scrape_over_tls()


def install(pair: Certificates, folder: Path) -> None:
    for name in ("crt", "key"):
        shutil.copyfile(pair.path(name), folder / name)
