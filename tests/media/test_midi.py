import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genai.core.errors import UserError
from genai.media.midi import DRUM_CHANNEL, INSTRUMENTS, midi_to_prompt

mido = pytest.importorskip("mido")
WriteMidi = Callable[..., Path]


@pytest.fixture
def write_midi(tmp_path: Path) -> WriteMidi:
    """Return a function that writes tracks, each a list of (type, ticks, values), at 480 ticks per beat."""

    def write(*tracks: list[tuple[str, int, dict[str, Any]]], name: str = "a.mid", **header: Any) -> Path:
        file = mido.MidiFile(**header)
        for track in tracks:
            messages = [
                (mido.MetaMessage if kind == "set_tempo" else mido.Message)(kind, time=ticks, **values)
                for kind, ticks, values in track
            ]
            file.tracks.append(mido.MidiTrack(messages))
        file.save(tmp_path / name)
        return tmp_path / name

    return write


def on(pitch: int, ticks: int = 0, velocity: int = 80, channel: int = 0) -> tuple[str, int, dict[str, Any]]:
    return "note_on", ticks, {"note": pitch, "velocity": velocity, "channel": channel}


def off(pitch: int, ticks: int, channel: int = 0) -> tuple[str, int, dict[str, Any]]:
    return "note_off", ticks, {"note": pitch, "channel": channel}


def test_tempo_tracks_and_programs(write_midi: WriteMidi) -> None:
    tempo = [("set_tempo", 0, {"tempo": 500_000}), ("set_tempo", 480, {"tempo": 1_000_000})]
    flute = [("program_change", 0, {"program": 73}), on(60), on(60, 480, velocity=0), on(64), off(64, 480)]
    guitar = [
        ("program_change", 0, {"program": 24, "channel": 1}),
        on(43, 480, 120, 1),
        on(47, 0, 120, 1),
        off(43, 240, 1),
    ]
    drums = [on(38, 0, 127, DRUM_CHANNEL), off(38, 960, DRUM_CHANNEL)]
    path = write_midi(tempo, flute, [*guitar, off(47, 0, 1)], drums)
    assert midi_to_prompt(path) == "flute: C4:0.5 E4:1; loud nylon guitar: R:0.5 G2+B2:0.5"


def test_a_key_that_is_struck_again_or_never_let_go(write_midi: WriteMidi) -> None:
    path = write_midi([on(60, velocity=30), on(60, 480, 30), on(62, 480, 30), ("control_change", 480, {"control": 1})])
    assert midi_to_prompt(path) == "soft piano: C4:0.5 C4:1 D4:0.5@1"


def test_names_of_programs() -> None:
    assert len(set(INSTRUMENTS)) == 128 and all(INSTRUMENTS)
    names = {0: "piano", 24: "nylon guitar", 40: "violin", 56: "trumpet", 71: "clarinet", 105: "banjo", 127: "gunshot"}
    assert {number: INSTRUMENTS[number] for number in names} == names


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a MIDI file"),
        (b"RIFF" + bytes(90), "not a MIDI file"),
        (b"\xff" * 5000, "not a MIDI file"),
        (b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk\0\0\0\x09\0\x90\x3c\x40", "damaged"),  # cut short
        (b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk\0\0\0\6\0\xff\x59\2\x40\0", "damaged"),  # a key of 64 sharps
        (b"MThd\0\0\0\6\0\2\0\0\1\xe0", "type 2"),
        (b"MThd\0\0\0\6\0\1\0\0\xe8\x28", "film frames"),
        (b"MThd\0\0\0\6\0\1\0\0\1\xe0", "no notes"),
        (bytes(600_000), "bytes"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.mid"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"a\.mid.*{message}"):
        midi_to_prompt(path)


def test_too_many_notes_and_too_long_ones(write_midi: WriteMidi) -> None:
    with pytest.raises(UserError, match="5,001 notes"):
        midi_to_prompt(write_midi([event for _ in range(5001) for event in (on(60), off(60, 1))]))
    with pytest.raises(UserError, match="in 1,000 s"):
        midi_to_prompt(write_midi([on(60), off(60, 960_000)]))


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mid").write_bytes(b"MThd")
    monkeypatch.setitem(sys.modules, "mido", None)
    with pytest.raises(UserError, match=r"pip install 'genai\[midi\]'"):
        midi_to_prompt(tmp_path / "a.mid")
