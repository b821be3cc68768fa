"""``python -m genai certificate``: makes a certificate once, and shows it."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_it_is_made_once(inside: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENAI_CERTIFICATES", str(tmp_path / "own"))
    first = inside("certificate", "name=my firm", cwd=tmp_path)
    assert first.returncode == 0 and "(new)" in first.stdout
    certificate = x509.load_pem_x509_certificate((tmp_path / "own" / "certificate.pem").read_bytes())
    assert "O=my firm" in certificate.subject.rfc4514_string()
    again = inside("certificate", cwd=tmp_path)
    assert again.returncode == 0 and again.stdout == first.stdout.replace(" (new)", "")
    other = inside("certificate", "name=another", cwd=tmp_path)
    assert other.returncode == 2 and "has a certificate already" in other.stderr
    assert inside("certificate", "nme=x", cwd=tmp_path).returncode == 2
