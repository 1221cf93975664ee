"""The certificate of the ports: which pairs of files are taken, and what becomes of those that change."""

import asyncio
import logging
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from service import certificates, settings
from service.certificates import Certificate, CertificateError
from service.domain.access.certificate_expiry import expiry_of
from service.domain.errors import SettingsError
from tests.certificates import Certificates

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl on the PATH")
OPENS = "right-one"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[Certificates]:
    folder = tmp_path_factory.mktemp("pairs")
    return [Certificates.make(folder / str(number)) for number in range(2)]


@pytest.fixture
def files(tmp_path: Path, pairs: list[Certificates]) -> tuple[Path, Path]:
    put(pairs[0], tmp_path)
    return tmp_path / "crt", tmp_path / "key"


def put(pair: Certificates, folder: Path, *names: str) -> None:
    for name in names or ("crt", "key"):
        shutil.copyfile(pair.path(name), folder / name)


def read_twice(certificate: Certificate) -> None:
    """New contents count once two readings have found them."""
    certificate.refresh()
    certificate.refresh()


def test_a_pair_is_loaded_for_modern_versions_alone(files: tuple[Path, Path]) -> None:
    context = Certificate(*files).context
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert {cipher["name"].split("-")[0] for cipher in context.get_ciphers() if cipher["protocol"] == "TLSv1.2"} == {
        "ECDHE"
    }


def test_a_new_pair_replaces_the_one_before(files: tuple[Path, Path], pairs: list[Certificates]) -> None:
    certificate = Certificate(*files)
    before = certificate.context
    put(pairs[1], files[0].parent)
    certificate.refresh()
    assert certificate.context is before, "the files may still be changing"
    certificate.refresh()
    assert certificate.context is not before
    assert certificate.pem.chain == Path(pairs[1].path("crt")).read_bytes()


def test_a_folder_that_is_swapped_as_kubernetes_does_is_followed(tmp_path: Path, pairs: list[Certificates]) -> None:
    (tmp_path / "now").symlink_to(pairs[0].folder)
    certificate = Certificate(tmp_path / "now" / "crt", tmp_path / "now" / "key")
    (tmp_path / "next").symlink_to(pairs[1].folder)
    (tmp_path / "next").replace(tmp_path / "now")
    read_twice(certificate)
    assert certificate.pem.key == Path(pairs[1].path("key")).read_bytes()


@pytest.mark.parametrize("breakage", ["mismatch", "damage", "absence"])
def test_a_pair_that_does_not_fit_is_logged_once_and_changes_nothing(
    files: tuple[Path, Path], pairs: list[Certificates], breakage: str, caplog: pytest.LogCaptureFixture
) -> None:
    certificate = Certificate(*files)
    before = certificate.context, certificate.pem
    if breakage == "mismatch":
        put(pairs[1], files[0].parent, "key")
    elif breakage == "damage":
        files[0].write_bytes(files[0].read_bytes()[:100])
    else:
        files[1].unlink()
    read_twice(certificate)
    read_twice(certificate)
    assert (certificate.context, certificate.pem) == before
    assert not certificate.current
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert str(files[0]) in record.__dict__["reason"]
    assert str(files[1]) in record.__dict__["reason"]
    put(pairs[1], files[0].parent)
    read_twice(certificate)
    assert certificate.context is not before[0], "a good pair is taken after a bad one"
    assert certificate.current


async def test_who_watches_is_told_when_the_certificate_expires_and_whether_its_files_are_in_use(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "POLL_SECONDS", 0.01)
    certificate, told, broken = Certificate(*files), list[tuple[float | None, bool]](), asyncio.Event()

    def report(expires_at: float | None, current: bool) -> None:
        told.append((expires_at, current))
        if not current:
            broken.set()

    watching = asyncio.create_task(certificate.watch(report))
    await asyncio.sleep(0)
    expiry = certificate.expires_at
    assert expiry == expiry_of(files[0].read_bytes())
    files[1].write_text("broken")
    await asyncio.wait_for(broken.wait(), 20)
    watching.cancel()
    assert (told[0], told[-1]) == ((expiry, True), (expiry, False))


def test_a_first_pair_that_does_not_fit_is_refused_with_both_names(files: tuple[Path, Path], pairs: list) -> None:
    put(pairs[1], files[0].parent, "key")
    with pytest.raises(CertificateError, match="the key is not that of the certificate") as refused:
        Certificate(*files)
    for mention in ("UNROLL_TLS_CERTIFICATE", "UNROLL_TLS_KEY", *map(str, files)):
        assert mention in str(refused.value)


@pytest.mark.parametrize(("name", "mention"), [("crt", "not in PEM"), ("key", "not in PEM")])
def test_a_file_without_pem_is_refused(files: tuple[Path, Path], name: str, mention: str) -> None:
    (files[0].parent / name).write_text("nothing")
    with pytest.raises(CertificateError, match=mention):
        Certificate(*files)


def test_a_file_that_is_not_there_is_named(files: tuple[Path, Path]) -> None:
    files[1].unlink()
    with pytest.raises(CertificateError, match=f"{files[1]}: No such file"):
        Certificate(*files)


def test_an_encrypted_key_needs_its_password_and_never_asks_the_terminal(files: tuple[Path, Path]) -> None:
    encrypted = files[1].with_name("encrypted")
    command = ["openssl", "pkey", "-in", files[1], "-aes256", "-passout", f"pass:{OPENS}", "-out", encrypted]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    Certificate(files[0], encrypted, OPENS)
    with pytest.raises(CertificateError, match="UNROLL_TLS_KEY_PASSWORD is not set"):
        Certificate(files[0], encrypted)
    with pytest.raises(CertificateError, match="UNROLL_TLS_KEY_PASSWORD does not open the key") as refused:
        Certificate(files[0], encrypted, "wrong-one")
    assert "wrong-one" not in str(refused.value)


def test_the_settings_name_both_files_or_none(files: tuple[Path, Path]) -> None:
    assert certificates.load(settings.load()) is None
    assert certificates.load(settings.load(tls_certificate=files[0], tls_key=files[1])) is not None
    with pytest.raises(SettingsError, match="UNROLL_TLS_KEY is not set"):
        certificates.load(settings.load(tls_certificate=files[0]))
    with pytest.raises(SettingsError, match="UNROLL_TLS_CERTIFICATE is not set"):
        certificates.load(settings.load(tls_key=files[1]))


def test_grpc_takes_no_key_with_a_password(files: tuple[Path, Path]) -> None:
    both = {"tls_certificate": files[0], "tls_key": files[1], "tls_key_password": OPENS}
    assert certificates.load(settings.load(**both)) is not None
    with pytest.raises(SettingsError, match="gRPC reads no encrypted keys"):
        certificates.load(settings.load(**both, grpc_port=8001))
