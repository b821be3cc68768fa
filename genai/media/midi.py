"""MIDI files as text: tempo changes applied, tracks merged, programs by the names of General MIDI."""

import io
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from genai.core.errors import UserError
from genai.core.files import read_bytes
from genai.media.notes import MAX_NOTES, MAX_PITCH, MAX_SECONDS, MIN_PITCH, InstrumentPart, ScoreNote, format_notes

MIDI_SUFFIXES = (".mid", ".midi")
SOFT_VELOCITY, LOUD_VELOCITY = 48, 96
"""A part is soft if its mean velocity is at most the first, loud if it is at least the second; between, neither."""
DRUM_CHANNEL = 9
"""The channel whose notes are drums, in General MIDI."""
MAX_HIGH_BYTES = 4_096
"""Most bytes above 127 in a row: mido reads them as one number, in time that grows with their square."""
INSTRUMENTS = [
    name.strip()
    for name in """
    piano, bright piano, electric grand piano, honky-tonk piano, electric piano, chorus piano, harpsichord, clavinet,
    celesta, glockenspiel, music box, vibraphone, marimba, xylophone, tubular bells, dulcimer,
    drawbar organ, percussive organ, rock organ, church organ, reed organ, accordion, harmonica, bandoneon,
    nylon guitar, steel guitar, jazz guitar, clean guitar, muted guitar, overdriven guitar, distortion guitar,
    guitar harmonics, acoustic bass, fingered bass, picked bass, fretless bass, slap bass, funk bass, synth bass,
    deep synth bass, violin, viola, cello, contrabass, tremolo strings, pizzicato strings, harp, timpani,
    strings, slow strings, synth strings, deep synth strings, choir, voice, synth voice, orchestra hit,
    trumpet, trombone, tuba, muted trumpet, french horn, brass, synth brass, deep synth brass,
    soprano sax, alto sax, tenor sax, baritone sax, oboe, english horn, bassoon, clarinet,
    piccolo, flute, recorder, pan flute, bottle, shakuhachi, whistle, ocarina,
    square lead, sawtooth lead, calliope lead, chiff lead, charang lead, voice lead, fifths lead, bass lead,
    new age pad, warm pad, polysynth pad, choir pad, bowed pad, metallic pad, halo pad, sweep pad,
    rain, soundtrack, crystal, atmosphere, brightness, goblins, echoes, science fiction,
    sitar, banjo, shamisen, koto, kalimba, bagpipe, fiddle, shanai,
    tinkle bell, agogo, steel drums, woodblock, taiko drum, melodic tom, synth drum, reverse cymbal,
    fret noise, breath, seashore, bird, telephone, helicopter, applause, gunshot
    """.split(",")
]
"""Short names of the 128 programs of General MIDI, in order."""


def midi_to_prompt(path: Path) -> str:
    """Return the notes of a MIDI file as a prompt: ``piano: C4:0.5 E4:0.5; flute: R:1 G5:0.5``.

    Drums are left out. The pedal is ignored: a note ends where its key is released.

    Raises:
        UserError: mido is not installed, the file is not MIDI, too large or too long, or has no notes from C0 to C9.
    """
    content = read_bytes(Path(path), "midi")
    if re.search(rb"[\x80-\xff]{%d}" % (MAX_HIGH_BYTES + 1), content):
        raise UserError(f"cannot read {path}: it is not a MIDI file.")
    try:
        import mido as midi
    except ImportError as error:
        raise UserError(f"{path}: MIDI needs the package mido: pip install 'genai[midi]'.") from error
    try:
        file = midi.MidiFile(file=io.BytesIO(content), clip=True)
        if file.type == 2 or file.ticks_per_beat <= 0:
            raise UserError(f"cannot read {path}: MIDI of type 2, or with times in film frames, is not supported.")
        parts = _read_parts(file)
    except (OSError, EOFError, ArithmeticError, LookupError, TypeError, ValueError, midi.KeySignatureError) as error:
        raise UserError(f"cannot read {path}: it is not a MIDI file, or it is damaged.") from error
    count, end = sum(len(part.notes) for part in parts), max((n.end for part in parts for n in part.notes), default=0.0)
    if not count:
        raise UserError(f"{path} has no notes from C0 to C9, drums aside.")
    if count > MAX_NOTES or end > MAX_SECONDS:
        limits = f"at most {MAX_NOTES:,} notes and {MAX_SECONDS:g} s"
        raise UserError(f"{path} has {count:,} notes in {end:,.0f} s; {limits} can be read.")
    return format_notes(parts)


def _read_parts(file: Any) -> list[InstrumentPart]:
    """Return one part for each program, in the order of their first notes."""
    time, programs = 0.0, defaultdict[int, int](int)
    active: dict[tuple[int, int], tuple[int, float]] = {}  # by channel and pitch: program, start
    notes, velocities = defaultdict[int, list[ScoreNote]](list), defaultdict[int, list[int]](list)

    def release(channel: int, pitch: int) -> None:
        program, start = active.pop((channel, pitch), (0, time))
        if time > start and MIN_PITCH <= pitch <= MAX_PITCH:
            notes[program].append(ScoreNote(pitch, start, time))

    for message in file:
        time += message.time
        if message.type == "program_change":
            programs[message.channel] = message.program
        elif message.type in ("note_on", "note_off") and message.channel != DRUM_CHANNEL:
            release(message.channel, message.note)
            if message.type == "note_on" and message.velocity:
                program = programs[message.channel]
                active[message.channel, message.note] = program, time
                velocities[program].append(message.velocity)
    for channel, pitch in list(active):
        release(channel, pitch)
    by_start = sorted(notes.items(), key=lambda item: min(note.start for note in item[1]))
    return [
        InstrumentPart(tuple(each), INSTRUMENTS[program], _loudness(velocities[program])) for program, each in by_start
    ]


def _loudness(velocities: list[int]) -> float:
    mean = sum(velocities) / len(velocities)
    return -1.0 if mean <= SOFT_VELOCITY else 1.0 if mean >= LOUD_VELOCITY else 0.0
