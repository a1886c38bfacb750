"""The files for TLS: one that can't be used is told by its setting, and none asks on a terminal."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from calldrop_migrate.cluster import tls
from calldrop_migrate.errors import ConfigurationError
from tests.support import certificates
from tests.support.certificates import Pki


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return certificates.make(tmp_path_factory.mktemp("pki") / "ours")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return certificates.make(tmp_path_factory.mktemp("pki") / "another")


@pytest.fixture(scope="module")
def encrypted(pki: Pki) -> Path:
    key = serialization.load_pem_private_key(pki.key.read_bytes(), None)
    path = pki.folder / "encrypted.key"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"of the key"),
        )
    )
    return path


def test_servers_are_always_checked(pki: Pki) -> None:
    files = {"tls_ca": pki.ca, "tls_cert": pki.cert, "tls_key": pki.key}
    for hostname in (True, False):
        for given in (files, {}, {"tls_ca": pki.ca}):
            made = tls.context(given, hostname=hostname)
            assert made.verify_mode is ssl.CERT_REQUIRED
            assert made.check_hostname is hostname
            assert made.minimum_version >= ssl.TLSVersion.TLSv1_2
    only = tls.context({"tls_ca": pki.ca}, hostname=True)
    assert len(only.get_ca_certs()) == 1  # the system's don't count besides


def wrong(files: dict[str, Path]) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        tls.context(files, hostname=True)
    assert caught.value.exit_code == 2
    assert caught.value.hint
    assert caught.value.state == "Nothing was changed."
    return caught.value


CASES: dict[str, tuple[Callable[[Pki], dict[str, Path]], str]] = {
    "no file": (lambda p: {"tls_ca": p.folder / "none"}, "--tls-ca .*none: No such file"),
    "a folder": (lambda p: {"tls_ca": p.folder}, "--tls-ca .*: Is a directory"),
    "no CA": (lambda p: {"tls_ca": p.key}, "--tls-ca .*: there is no certificate in PEM"),
    "no certificate": (
        lambda p: {"tls_cert": p.key, "tls_key": p.key},
        "--tls-cert .*: there is no certificate in PEM",
    ),
    "no key": (
        lambda p: {"tls_cert": p.cert, "tls_key": p.ca},
        "--tls-key .*: there is no private key in PEM",
    ),
    "no key beside": (
        lambda p: {"tls_cert": p.cert},
        "--tls-cert .*: there is no private key in PEM",
    ),
    "a key alone": (lambda p: {"tls_key": p.key}, "--tls-key .*: a key without a certificate"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_file_that_is_not_what_it_should_be(pki: Pki, case: str) -> None:
    files, words = CASES[case]
    with pytest.raises(ConfigurationError, match=words):
        tls.context(files(pki), hostname=True)
    wrong(files(pki))


def test_what_only_looks_like_pem(pki: Pki) -> None:
    broken = pki.folder / "broken.pem"
    broken.write_text(
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
    )
    assert wrong({"tls_ca": broken}).message.startswith(f"--tls-ca {broken}: no certificate")
    assert f"--tls-cert {broken}: " in wrong({"tls_cert": broken}).message


def test_a_key_that_is_encrypted(pki: Pki, encrypted: Path) -> None:
    found = wrong({"tls_cert": pki.cert, "tls_key": encrypted})
    assert found.message == f"--tls-key {encrypted}: the key is encrypted"
    assert "openssl pkey" in found.hint


def test_the_key_of_another_certificate(pki: Pki, other: Pki) -> None:
    found = wrong({"tls_cert": pki.cert, "tls_key": other.key})
    assert found.message.startswith(f"--tls-key {other.key}: not the key")
