"""A voice that is added to a fitted speech model, whose phones, aligner and statistics stay as they are."""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from genai.core.errors import UserError, join_names, short_repr, short_text
from genai.core.terminal import one_line
from genai.modalities.speech_fit import speaker_statistics
from genai.modalities.speech_state import MAX_NAME, SpeechState
from genai.speech.phones import Word
from genai.speech.recordings import Recordings
from genai.speech.voice_frames import FRAME_SECONDS


def with_voice(
    state: SpeechState, name: str, recordings: Recordings, utterances: Sequence[Sequence[Word]], default_language: str
) -> SpeechState:
    """Return a state with one more speaker, who is then the main one, and print what is added.

    The speaker has a mean envelope and a pitch of their own; deviations of the envelope are those of the others.

    Args:
        state: of the base.
        name: of the voice.
        recordings: of the training split.
        utterances: the words of each; none for one that is not used.
        default_language: of recordings without a language.

    Raises:
        UserError: the name is taken or cannot be one, or no recording has a text.
    """
    if name in state.speakers:
        raise UserError(
            f"adapter.speaker={short_repr(name)}: the model of init_from= has a voice of this name. Give another one; "
            f"taken are {join_names(map(short_text, state.speakers))}."
        )
    if not name.strip() or len(name) > MAX_NAME or one_line(name) != name:
        raise UserError(
            f"adapter.speaker={short_repr(name)}: give the voice a name of 1 to {MAX_NAME} characters in one line."
        )
    used = [index for index, words in enumerate(utterances) if words]
    if not used:
        raise UserError("data: no recording of the new voice has a text: give a metadata.csv with file_name and text.")
    found = Counter(recordings.languages[index] or default_language for index in used).most_common(1)[0][0]
    means, stds = speaker_statistics(recordings, [used])
    stds[:, :-1] = state.stds[0, :-1]
    _print_notes(state, name, sum(map(recordings.length, used)), [utterances[index] for index in used], found)
    return replace(
        state,
        speakers=(*state.speakers, name),
        speaker_languages=(*state.speaker_languages, state.language_number(found)),
        means=np.concatenate([state.means, means]),
        stds=np.concatenate([state.stds, stds]),
        main_speaker=len(state.speakers),
    ).check()


def choose_name(name: str, speakers: Sequence[str], folder: str) -> str:
    """Return the name of a new voice.

    Args:
        name: that was given; ``auto``: that of the column ``speaker``, else that of the folder.
        speakers: the column, "" where it says nothing.
        folder: name of the folder of the recordings.

    Raises:
        UserError: the recordings are of several speakers, or of another one.
    """
    names = sorted({*speakers} - {""})
    if len(names) > 1:
        raise UserError(
            f"data: {len(names)} speakers are in the recordings, {join_names(map(short_text, names[:8]))}. A clone is "
            "of one voice: give a folder of that one."
        )
    found = (names or [folder])[0]
    if names and name not in ("auto", found):
        raise UserError(
            f"adapter.speaker={short_repr(name)}: the table of the recordings says {short_repr(found)}. Leave it out, "
            "or change the table."
        )
    return found if name == "auto" else name


def _print_notes(
    state: SpeechState, name: str, frames: int, utterances: Sequence[Sequence[Word]], language: str
) -> None:
    """Print how much there is of the new voice, and what of it the base has never heard."""
    minutes = frames * FRAME_SECONDS / 60
    notes = [f"new voice {short_repr(name)}: {len(utterances)} recordings, {minutes:.1f} minutes"]
    if language not in state.languages:
        known = join_names(map(short_text, state.languages))
        notes.append(f"the base has not learned the language {short_repr(language)}, only {known}: expect an accent")
    if unknown := state.table.unknown([word for words in utterances for word in words]):
        notes.append(f"the base never heard {join_names(unknown)}: the nearest phone stands for it")
    for note in notes:
        print(one_line(f"note: {note}"), file=sys.stderr, flush=True)
