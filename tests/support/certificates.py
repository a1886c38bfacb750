"""A CA for tests, and what a server and its clients need of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    load_pem_private_key,
    pkcs12,
)

_STORE = b"of the stores"  # their password


@dataclass(frozen=True, slots=True)
class Pki:
    """A CA with files in a folder: a client's certificate and key, and the CA's certificate."""

    folder: Path
    authority: trustme.CA

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def cert(self) -> Path:
        return self.folder / "client.pem"

    @property
    def key(self) -> Path:
        return self.folder / "client.key"

    def of_cassandra(self, host: str) -> Mapping[str, str]:
        """The setting of cassandra.yaml that asks both sides for a certificate of the CA."""
        issued = self.authority.issue_cert(host)
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        cert = x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes())
        ca = x509.load_pem_x509_certificate(self.authority.cert_pem.bytes())
        encryption = BestAvailableEncryption(_STORE)
        assert isinstance(key, EllipticCurvePrivateKey)
        own = pkcs12.serialize_key_and_certificates(b"node", key, cert, [ca], encryption)
        (self.folder / "node.p12").write_bytes(own)
        trusted = [pkcs12.PKCS12Certificate(ca, b"ca")]
        (self.folder / "trusted.p12").write_bytes(
            pkcs12.serialize_java_truststore(trusted, encryption)
        )
        options = {
            "enabled": True,
            "optional": False,
            "keystore": str(self.folder / "node.p12"),
            "keystore_password": _STORE.decode(),
            "truststore": str(self.folder / "trusted.p12"),
            "truststore_password": _STORE.decode(),
            "require_client_auth": True,
            "store_type": "PKCS12",
        }
        return {"client_encryption_options": json.dumps(options)}

    def of_server(self, *names: str, days: int = 1) -> Path:
        """A file with key and certificate of a server of these names, valid until in `days`."""
        end = datetime.now(UTC) + timedelta(days=days)
        start = end - timedelta(days=2)
        issued = self.authority.issue_cert(*names, not_after=end, not_before=start)
        path = self.folder / f"server {' '.join(names)} {days}.pem"
        issued.private_key_and_cert_chain_pem.write_to_path(path)
        return path


def make(folder: Path) -> Pki:
    """A new CA, with its files."""
    folder.mkdir(parents=True)
    made = Pki(folder, trustme.CA())
    made.authority.cert_pem.write_to_path(made.ca)
    client = made.authority.issue_cert("client@calldrop.example")
    client.cert_chain_pems[0].write_to_path(made.cert)
    client.private_key_pem.write_to_path(made.key)
    return made
