"""Voices in a model: what its checkpoint says of the consent for them, and whether that still holds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from genai.core.errors import UserError, short_text
from genai.runs.record import VoiceRecord
from genai.trust.consent import PURPOSES, ConsentRecord, check_purpose
from genai.trust.revocations import check_id, check_not_revoked

MAX_VOICES = 10_000


def voice_record(record: ConsentRecord) -> VoiceRecord:
    """Return what a model tells of a consent: no name of a person, but those of speakers."""
    return VoiceRecord(record.id, list(record.to), record.license, list(record.speakers), record.source)


def read_voices(entries: Sequence[Mapping[str, Any]]) -> list[VoiceRecord]:
    """Return the voices in the header of a checkpoint, which may be a stranger's. Raises ``UserError``."""
    if not entries:
        return []
    from genai.core.instantiate import read_dataclass  # imports pydantic

    if len(entries) > MAX_VOICES:
        raise UserError(f"it names {len(entries):,} voices, more than {MAX_VOICES:,}.")
    voices = [read_dataclass(VoiceRecord, entry) for entry in entries]
    return [
        replace(
            voice,
            id=check_id(voice.id),
            to=[purpose for purpose in PURPOSES if purpose in voice.to],
            license=short_text(voice.license),
            speakers=list(map(short_text, voice.speakers)),
            source=short_text(voice.source),
        )
        for voice in voices
    ]


def unique_voices(*groups: Iterable[VoiceRecord]) -> list[VoiceRecord]:
    """Return all voices of several models or data, each id once."""
    return list({voice.id.lower(): voice for group in groups for voice in group}.values())


def join_voices(*groups: Iterable[VoiceRecord]) -> list[dict[str, Any]]:
    """Return all voices of several models or data as a header has them, each id once."""
    return list(map(asdict, unique_voices(*groups)))


def check_voices(voices: Iterable[VoiceRecord], what: Path | str) -> None:
    """Raise ``UserError`` if the consent for a voice in ``what``, a model, was revoked."""
    try:
        check_not_revoked(voice.id for voice in voices)
    except UserError as error:
        raise type(error)(f"{what}: {error}") from error


def check_publish(voices: Iterable[VoiceRecord]) -> None:
    """Raise ``UserError`` if the consent for a voice does not allow to publish the model."""
    for voice in voices:
        check_purpose(voice.id, voice.to, "publish")
