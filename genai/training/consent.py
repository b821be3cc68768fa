"""Consent for the voices that a run is trained on: checked before anything is written."""

from collections.abc import Iterable, Sequence

from genai.core.data import Source
from genai.core.errors import UserError
from genai.methods.base import Method
from genai.runs.checkpoint import CheckpointHeader
from genai.runs.record import VoiceRecord
from genai.runs.voices import join_voices, read_voices, voice_record
from genai.training.base import Base
from genai.trust.consent import check_purpose, check_recordings
from genai.trust.notices import CONSENT


def base_voices(base: Base | None, header: CheckpointHeader | None) -> list[VoiceRecord]:
    """Return the voices in the model that training begins or continues with."""
    return read_voices(join_voices(base.voices if base else [], read_voices(header.consent) if header else []))


def needs_consent(method: Method, voices: Sequence[VoiceRecord]) -> bool:
    """Return whether a run is trained on voices: its method is for them, or they are in the model it begins with."""
    return method.needs_consent or bool(voices)


def check_label_setting(label: bool | None, name: str) -> None:
    """Raise ``UserError`` for ``label=false`` of a run that is trained on voices."""
    if label is False:
        raise UserError(f"label=false: each file of {name} says that its voice is synthetic. Leave it out.")


def check_consent(
    source: Source, name: str, voices: Iterable[VoiceRecord] = (), is_clone: bool = False
) -> list[VoiceRecord]:
    """Return the voices of a model that is trained on ``source``, if their consent is recorded.

    Args:
        source: the data.
        name: of what needs the consent, for messages: ``model=tts``.
        voices: those in the model that training begins with.
        is_clone: whether the recordings are of a voice to be imitated, which needs a consent of its own.

    Raises:
        UserError: the consent does not cover all recordings, does not allow training or cloning, or was revoked.
    """
    found = source.media_files()
    if found is None:
        raise UserError(
            f"{name} needs recordings in a folder with a {CONSENT}: data=audio_folder data.path=FOLDER. "
            f"{type(source).__name__} has no such files."
        )
    records = check_recordings(*found, "train", name)
    for record in records if is_clone else ():
        check_purpose(record.id, record.to, "clone")
    return read_voices(join_voices(voices, map(voice_record, records)))
