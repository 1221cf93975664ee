"""When the certificates of a PEM file expire, as OpenSSL says."""

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.domain.access.certificate_expiry import expiry_of

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl on the PATH")


def certificate(folder: Path, days: int, *options: str) -> bytes:
    """Make a certificate that signs itself."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", folder / "key"]
    subject = ["-x509", "-subj", f"/CN={'long' * 15}", "-days", str(days), "-out", folder / "crt"]
    subprocess.run(["openssl", "req", *key, *subject, *options], check=True, capture_output=True, timeout=30)
    return (folder / "crt").read_bytes()


def end_by_openssl(folder: Path) -> float:
    command = ["openssl", "x509", "-in", folder / "crt", "-noout", "-enddate"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout
    return datetime.strptime(printed.strip(), "notAfter=%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize("days", [1, 40_000])  # beyond 2049 times are written with four digits of the year
def test_the_time_is_that_of_openssl(tmp_path: Path, days: int) -> None:
    assert expiry_of(certificate(tmp_path, days)) == end_by_openssl(tmp_path)


def test_the_first_of_a_chain_counts(tmp_path: Path) -> None:
    later, first = certificate(tmp_path, 30), certificate(tmp_path, 3)
    assert expiry_of(b"A note.\n" + later + first) == end_by_openssl(tmp_path)


@pytest.mark.parametrize("length", [0, 2, 50, 150])
def test_a_file_without_a_whole_certificate_has_no_time(tmp_path: Path, length: int) -> None:
    lines = certificate(tmp_path, 3).decode().splitlines()
    damaged = "\n".join([lines[0], "".join(lines[1:-1])[:length], lines[-1]])
    assert expiry_of(damaged.encode()) is None
    assert expiry_of(b"") is None
