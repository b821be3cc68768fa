"""Certificates that sign labels: those of a person, or a local authority that is made at the first use."""

import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from genai.core.errors import UserError
from genai.core.files import make_folder, read_bytes, write_file, write_private_file

CA_FILE, CERTIFICATE_FILE, KEY_FILE = "ca.pem", "certificate.pem", "key.pem"
AUTHORITIES = "trusted"
"""Folder of the authorities of others, and of those of this machine that have expired."""
CA_DAYS, CERTIFICATE_DAYS = 3650, 825


@dataclass(frozen=True)
class Signer:
    """What signs labels, in PEM.

    Attributes:
        certificate: the certificate of the signer, and those above it but for the root.
        key: its private key, ES256.
    """

    certificate: bytes
    key: bytes


def certificate_folder() -> Path:
    """Return the folder of the local certificates: ``GENAI_CERTIFICATES``, else one of the user's configuration."""
    folder = os.environ.get("GENAI_CERTIFICATES")
    if folder:
        return Path(folder)
    try:
        return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "genai"
    except RuntimeError as error:
        raise UserError("there is no home folder for certificates: set GENAI_CERTIFICATES to a folder.") from error


def read_signer(certificate: str | None = None, key: str | None = None) -> Signer:
    """Return the signer in two files, or the local one, which is made if there is none. Raises ``UserError``."""
    if (certificate is None) != (key is None):
        raise UserError("label_cert= and label_key= belong together: give both.")
    if certificate is None or key is None:
        folder = certificate_folder()
        ensure_certificates(folder)
        certificate, key = str(folder / CERTIFICATE_FILE), str(folder / KEY_FILE)
    return Signer(*(read_bytes(Path(name).expanduser(), "config") for name in (certificate, key)))


def ensure_certificates(folder: Path, name: str = "genai local") -> bool:
    """Make certificates as ``make_certificates`` does if there are none, or they have expired; return whether it did.

    Several processes may ask at once.

    Raises:
        UserError: they cannot be made.
    """
    from filelock import FileLock

    if _is_valid(folder):
        return False
    try:
        make_folder(folder)
        with FileLock(folder / ".lock"):
            is_new = not _is_valid(folder)
            if is_new:
                for file in (folder / KEY_FILE, folder / CERTIFICATE_FILE):  # of a certificate that has expired
                    file.unlink(missing_ok=True)
                if (folder / CA_FILE).exists():
                    make_folder(folder / AUTHORITIES)
                    (folder / CA_FILE).replace(folder / AUTHORITIES / f"own-{int(time.time())}.pem")
                make_certificates(folder, name)
            return is_new
    except OSError as error:
        raise UserError(f"cannot write certificates in {folder}: {error.strerror}.") from error


def _is_valid(folder: Path) -> bool:
    """Return whether a folder has a key, and a certificate that has not expired."""
    from cryptography import x509

    if not (folder / KEY_FILE).exists() or not (folder / CERTIFICATE_FILE).exists():
        return False
    try:
        certificate = x509.load_pem_x509_certificate(read_bytes(folder / CERTIFICATE_FILE, "config"))
    except (ValueError, UserError):
        return False
    return certificate.not_valid_after_utc > datetime.now(UTC) + timedelta(days=1)


def known_authorities() -> str:
    """Return the certificates of known authorities in PEM: that of this machine, and files ``trusted/*.pem`` beside."""
    folder = certificate_folder()
    files = [folder / CA_FILE, *sorted((folder / AUTHORITIES).glob("*.pem"))]
    return "".join(read_bytes(file, "config").decode("ascii", "replace") for file in files if file.is_file())


def make_certificates(folder: Path, name: str = "genai local") -> None:
    """Write an authority of this machine, and a certificate for signing, whose key only its owner can read.

    The key of the authority is not kept, so no second certificate can be made in its name.

    Args:
        folder: for ``ca.pem``, ``certificate.pem`` and ``key.pem``.
        name: of the organization, as readers show it.

    Raises:
        UserError: there are certificates already, the package cryptography is missing, or the folder cannot be written.
    """
    if (folder / KEY_FILE).exists():
        raise UserError(
            f"{folder} has certificates already. Files that they signed would become unknown: remove them first."
        )
    try:
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    except ImportError:
        raise UserError("certificates need the package cryptography: pip install 'genai[label]'.") from None
    ca_key, key = _new_key(), _new_key()
    ca = _certificate(name, "authority", ca_key, None, None)
    certificate = _certificate(name, "signer", key, ca, ca_key)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        make_folder(folder)
        write_file(folder / CA_FILE, ca.public_bytes(Encoding.PEM))
        write_file(folder / CERTIFICATE_FILE, certificate.public_bytes(Encoding.PEM))
        write_private_file(folder / KEY_FILE, private)
    except OSError as error:
        raise UserError(f"cannot write certificates in {folder}: {error.strerror}.") from error


def _new_key() -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _certificate(name: str, role: str, key: Any, issuer: Any, issuer_key: Any) -> Any:
    """Return a certificate for ``key``: that of an authority if it has no issuer."""
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    attributes = ((NameOID.ORGANIZATION_NAME, name), (NameOID.COMMON_NAME, f"{name} {role}"))
    subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])
    is_ca, now = issuer is None, datetime.now(UTC)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign", "encipher_only",
         "decipher_only"), False,
    )  # fmt: skip
    above = key if is_ca else issuer_key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if is_ca else issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # clocks differ
        .not_valid_after(now + timedelta(days=CA_DAYS if is_ca else CERTIFICATE_DAYS))
        .add_extension(x509.BasicConstraints(is_ca, None), True)
        .add_extension(x509.KeyUsage(digital_signature=not is_ca, key_cert_sign=is_ca, **usage), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above.public_key()), False)
    )
    if not is_ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
    return builder.sign(above, SHA256())


@cache
def has_c2pa() -> bool:
    """Return whether labels can be signed: the package c2pa-python is installed."""
    from importlib.util import find_spec

    return find_spec("c2pa") is not None
