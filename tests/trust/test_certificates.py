"""Certificates of this machine, and of others."""

import stat
from pathlib import Path

import pytest

from genai.core.errors import UserError
from genai.trust import certificates
from genai.trust.certificates import KEY_FILE, ensure_certificates, known_authorities, make_certificates, read_signer


def test_the_key_is_private_and_made_once(tmp_path: Path) -> None:
    assert ensure_certificates(tmp_path / "own") and not ensure_certificates(tmp_path / "own")
    key = tmp_path / "own" / KEY_FILE
    assert stat.S_IMODE(key.stat().st_mode) == 0o600 and b"PRIVATE KEY" in key.read_bytes()
    with pytest.raises(UserError, match="has certificates already"):
        make_certificates(tmp_path / "own")


def test_the_certificate_is_one_for_signing(tmp_path: Path) -> None:
    from cryptography import x509

    ensure_certificates(tmp_path, "my firm")
    ca, certificate = (
        x509.load_pem_x509_certificate((tmp_path / name).read_bytes()) for name in ("ca.pem", "certificate.pem")
    )
    certificate.verify_directly_issued_by(ca)
    assert "my firm" in certificate.subject.rfc4514_string()
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_files_of_ones_own(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    paths = [str(tmp_path / name) for name in ("certificate.pem", "key.pem")]
    assert read_signer(*paths).key == (tmp_path / "key.pem").read_bytes()
    with pytest.raises(UserError, match="label_cert= and label_key= belong together"):
        read_signer(paths[0], None)
    with pytest.raises(UserError, match="cannot read"):
        read_signer(paths[0], str(tmp_path / "nothing.pem"))


def test_trusted_authorities_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "certificate_folder", lambda: tmp_path / "own")
    assert known_authorities() == ""
    make_certificates(tmp_path / "own")
    make_certificates(tmp_path / "other")
    (tmp_path / "own" / "trusted").mkdir()
    other = (tmp_path / "other" / "ca.pem").read_text()
    (tmp_path / "own" / "trusted" / "other.pem").write_text(other)
    assert known_authorities() == (tmp_path / "own" / "ca.pem").read_text() + other


def test_an_expired_certificate_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "CERTIFICATE_DAYS", 1)
    make_certificates(tmp_path)
    old = (tmp_path / "ca.pem").read_text()
    monkeypatch.undo()
    assert ensure_certificates(tmp_path) and not ensure_certificates(tmp_path)
    (kept,) = (tmp_path / "trusted").glob("*.pem")  # what it signed stays known
    assert kept.read_text() == old != (tmp_path / "ca.pem").read_text()
