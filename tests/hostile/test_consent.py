"""A ``consent.yaml``, a list of revocations and the header of a checkpoint that try to be more than records."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from genai.commands.consent import consent
from genai.core.errors import UserError
from genai.media.sound import Sound
from genai.runs.voices import read_voices
from genai.trust.consent import read_consent
from tests.hostile.attempts import NO_FILES, attempt, replace

ALIASES = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
DIGEST = "0" * 64
RECORD = (
    "records:\n- {id: a, who: w, given_by: g, given_on: 2026-01-30, to: [train], license: MIT, withdrawal: w, files: "
)
TEXTS = {
    "aliases": ALIASES + "records: *i\n",
    "deep": "records: " + "[" * 5_000,
    "huge": RECORD + "{" + ", ".join(f"f{number}: {DIGEST}" for number in range(120_000)) + "}}\n",
    "long": RECORD.replace("who: w", f"who: {'w' * 100_000}") + f"{{a.wav: {DIGEST}}}}}\n",
    "code": "records: !!python/object/apply:os.system ['true']\n",
    "merge": "x: &x {a: 1}\nrecords: [{<<: *x}]\n",
    "number": "7",
    "text": "records: everybody agreed\n",
    "keys": "{[1]: 2, records: []}",
    "null key": "{null: 2, records: []}",
    "entries": "records: [[], 3]\n",
    "public": "public: [1]\n",
    "control": RECORD + '{"\\e[2J.wav": x}}\n',
    "digits": RECORD + "{a.wav: " + "9" * 64 + "}}\n",
    "date": RECORD.replace("2026-01-30", "2026-99-99") + f"{{a.wav: {DIGEST}}}}}\n",
    "no text": "\x00\x01",
}


@pytest.fixture
def voice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a recording."""
    import numpy as np

    monkeypatch.setenv("GENAI_CONSENT", str(tmp_path / "revoked.json"))
    (folder := tmp_path / "voice").mkdir()
    (folder / "a.wav").write_bytes(Sound(np.zeros(100, np.float32), 8000).to_bytes())
    return folder


@pytest.mark.parametrize("name", TEXTS)
def test_records_are_plain_and_small(name: str, voice: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (voice / "consent.yaml").write_text(TEXTS[name])
    answer = attempt(lambda: consent([f"data.path={voice}"]), capfd)
    assert answer.code == 2 and len(answer.lines) <= 3


@pytest.mark.parametrize("make", NO_FILES)
def test_no_file_stands_for_records_or_revocations(
    make: Callable[[Path], None], voice: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    replace(voice / "consent.yaml", make)
    assert attempt(lambda: consent([f"data.path={voice}"]), capfd).code == 2
    replace(voice.parent / "revoked.json", make)
    for word in ("list=true", "revoke=anna"):
        assert attempt(lambda word=word: consent([word, f"runs={voice}"]), capfd).code == 2  # type: ignore[misc]


def test_a_link_that_leads_out_is_not_read(voice: Path) -> None:
    (voice.parent / "other.yaml").write_text(RECORD + f"{{a.wav: {DIGEST}}}}}\n")
    (voice / "consent.yaml").symlink_to(voice.parent / "other.yaml")
    with pytest.raises(UserError, match="leads out of"):
        read_consent(voice)


@pytest.mark.parametrize(
    "entry", [{}, {"id": 3}, {"id": "../x"}, {"id": "\x1b[2J"}, {"id": "a", "to": "train"}, {"id": "a", "speakers": 3}]
)
def test_voices_of_a_header_are_checked(entry: dict[str, object]) -> None:
    with pytest.raises(UserError):
        read_voices([entry])
    voice = read_voices([{"id": "a", "to": ["sing", "train"], "license": "\x1b[2J\n# x", "speakers": ["<b>\n"]}])[0]
    assert voice.to == ["train"] and "\x1b" not in str(voice) and "\n" not in str(voice)
    with pytest.raises(UserError, match="names 10,001 voices"):
        read_voices([{"id": "a"}] * 10_001)


def test_revocations_of_a_stranger_are_only_text(voice: Path, capfd: pytest.CaptureFixture[str]) -> None:
    entry = {"id": "a", "revoked_on": "\x1b[2J\n", "reason": "\u202ex", "files": ["0" * 64]}
    (voice.parent / "revoked.json").write_text(json.dumps({"revoked": [entry]}))
    assert attempt(lambda: consent(["list=true", f"runs={voice}"]), capfd).code == 0
