"""Certificates of the tests' own, and the server that can use them."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_EXTENSIONS = "subjectAltName=IP:127.0.0.1,DNS:localhost"


@dataclass(frozen=True)
class Certificates:
    """An authority, and one certificate by it for servers and clients alike."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, days: int = 2) -> "Certificates":
        """Make both, which expire after some days."""
        folder.mkdir(parents=True)
        made = cls(folder)
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        authority = ["-x509", "-subj", "/CN=authority", "-days", str(days)]
        _openssl("req", *key, *authority, "-keyout", made.path("ca.key"), "-out", made.path("ca.crt"))
        _openssl("req", *key, "-subj", "/CN=test", "-keyout", made.path("key"), "-out", made.path("request"))
        (folder / "extensions").write_text(_EXTENSIONS)
        by = ["-CA", made.path("ca.crt"), "-CAkey", made.path("ca.key"), "-CAcreateserial", "-days", str(days)]
        extensions = ["-extfile", made.path("extensions")]
        _openssl("x509", "-req", "-in", made.path("request"), *by, *extensions, "-out", made.path("crt"))
        return made

    def path(self, name: str) -> str:
        return str(self.folder / name)

    @property
    def of_server(self) -> dict[str, str]:
        """What a server is configured with."""
        files = {"tls-cert-file": "crt", "tls-key-file": "key", "tls-ca-cert-file": "ca.crt"}
        paths = {name: self.path(file) for name, file in files.items()}
        return paths | {"tls-replication": "yes", "tls-auth-clients": "yes"}

    @property
    def of_client(self) -> dict[str, Any]:
        """What the driver takes, in a URL too."""
        return {
            "ssl_ca_certs": self.path("ca.crt"),
            "ssl_certfile": self.path("crt"),
            "ssl_keyfile": self.path("key"),
        }


def server_with_tls() -> Path | None:
    """Redis on the PATH, if it was built with TLS and there is a tool that makes certificates."""
    program = shutil.which("redis-server")
    if program is None or shutil.which("openssl") is None:
        return None
    command = [program, "--port", "0", "--tls-port", "1", "--save", ""]
    tried = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    # One that was built with TLS ends because it misses its certificate, any other because it cannot do TLS at all.
    return Path(program) if "tls-cert-file" in tried.stdout + tried.stderr else None


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=30)
