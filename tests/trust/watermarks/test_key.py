"""The key of watermarks: made once, private, and named without telling it."""

import os
from pathlib import Path

import numpy as np
import pytest

from genai.core.errors import UserError
from genai.trust.watermarks.key import VARIABLE, WatermarkKey, find_key, key_file, read_key


def test_it_is_made_once_and_private(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GENAI_CERTIFICATES", str(tmp_path / "new"))
    monkeypatch.delenv(VARIABLE, raising=False)
    assert find_key() is None and not (tmp_path / "new").exists()  # looking makes nothing
    key = read_key()
    assert read_key() == find_key() == key and len(key.secret) == 32
    monkeypatch.setenv(VARIABLE, str(tmp_path / "named.key"))
    assert read_key() == find_key() != key  # a new one at the place that is named
    monkeypatch.delenv(VARIABLE)
    if os.name == "posix":
        assert key_file().stat().st_mode & 0o777 == 0o600
    assert key.secret.hex() not in repr(key) + key.name and len(key.name) == 16


@pytest.mark.parametrize("content", [b"", b"ab", b"zz" * 32, b"\xff" * 64, b"a" * 65])
def test_what_is_no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "key"))
    with pytest.raises(UserError, match="there is no such file"):
        find_key()
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(UserError, match="is no key of watermarks: it should have 64 hexadecimal digits"):
        find_key()


def test_random_numbers_depend_on_key_and_purpose(key: WatermarkKey, other_key: WatermarkKey) -> None:
    bits = key.random_bits("a", 1000)
    assert np.array_equal(bits[:10], key.random_bits("a", 10))
    for others in (key.random_bits("b", 1000), other_key.random_bits("a", 1000)):
        assert not np.any(bits == others)
    signs = key.random_signs("a", (100, 100))
    assert set(np.unique(signs)) == {-1, 1} and abs(signs.mean()) < 0.04
    assert list(key.random_bits("a", 2)) == [12560878962273867403, 14898541595142048843]  # of files that exist
