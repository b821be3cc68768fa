"""``python -m genai align``: find when each word of recordings is said, and name wrong texts. See ``--help``."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from genai.cli.compose import CommandConfig, launch
from genai.cli.exit_codes import exit_on_error
from genai.core.errors import RunError, UserError, short_text
from genai.core.files import make_folder, new_folder, write_file
from genai.core.terminal import one_line

if TYPE_CHECKING:
    from genai.cli.settings import AlignSettings
    from genai.data.audio_folder import AudioFolder
    from genai.speech.phones import Alignment, Word
    from genai.speech.voice_frames import VoiceFrames

SAMPLE_RATE = 16_000
"""Sample rate at which recordings are analyzed: what distinguishes sounds is below 8 kHz."""
MAX_LISTED = 20
"""Recordings of a kind that are named."""
SCORES = "scores.csv"


@dataclass(frozen=True)
class Recording:
    """A recording with its text.

    Attributes:
        name: path of the file below the folder of the data.
        text: what is said, as it is written.
        frames: the analyzed sound.
        seconds: its length.
    """

    name: Path
    text: str
    frames: "VoiceFrames"
    seconds: float


def main() -> None:
    """Run the command."""
    launch(align, "align", sys.argv[1:])


def align(config: CommandConfig) -> Path:
    """Align the recordings, write their times, and return the folder. Raises ``UserError``, ``RunError``."""
    from genai.cli.settings import AlignSettings, parse_settings
    from genai.core.instantiate import instantiate
    from genai.data.audio_folder import AudioFolder
    from genai.speech.text_to_phones import TextToPhones
    from genai.speech.voice_frames import load_world

    settings = parse_settings(AlignSettings, replace(config, values=config.settings))
    folder = Path(settings.out).expanduser()
    source = instantiate(config.values["data"], AudioFolder, "data", None, settings.plugins)
    to_phones = TextToPhones(settings.language, settings.phones, settings.lexicon)
    load_world()
    print(one_line(f"data       {source.description}"), one_line(f"phones     {to_phones.note}"), sep="\n", flush=True)
    try:
        with new_folder(folder) as temporary:
            recordings = _read(source)
            words = to_phones.convert([recording.text for recording in recordings])
            alignments = _align(recordings, words)
            _write(temporary, settings, recordings, words, alignments)
    except OSError as error:
        raise RunError(f"cannot write {folder}: {error.strerror}.") from error
    print(*map(one_line, _report(source, recordings, words, alignments)), sep="\n")
    print(one_line(f"written    {', '.join(settings.formats)} and {SCORES} in {folder}/"), flush=True)
    return folder


def _read(source: "AudioFolder") -> list[Recording]:
    """Read and analyze the recordings of both splits. Raises ``UserError``."""
    from genai.core.cache import cache_dir
    from genai.core.progress import ProgressBar
    from genai.speech.frame_cache import cached_frames

    recordings, cache = list[Recording](), cache_dir()
    with ProgressBar("analyzing recordings", len(source.train) + len(source.val)) as bar:
        for split in (source.train, source.val):
            for item, example in zip(source.items_of(split), split, strict=True):
                if item.part is not None:
                    raise UserError(f"{item.file} is the only recording: sounds are learned from several. Cut it.")
                frames = cached_frames(example.media.resample(SAMPLE_RATE), cache)
                name = item.file.relative_to(source.root)
                recordings.append(Recording(name, example.prompt, frames, example.media.seconds))
                bar.step()
    return sorted(recordings, key=lambda recording: recording.name.as_posix())


def _align(recordings: Sequence[Recording], words: "Sequence[list[Word]]") -> "list[Alignment | None]":
    from genai.core.progress import ProgressBar
    from genai.speech.aligner import Aligner

    aligner = Aligner()
    with ProgressBar("aligning, rounds", aligner.rounds) as bar:
        return aligner.fit([recording.frames for recording in recordings], words, bar.step)


def _write(
    folder: Path,
    settings: "AlignSettings",
    recordings: Sequence[Recording],
    words: "Sequence[list[Word]]",
    alignments: "Sequence[Alignment | None]",
) -> None:
    """Write the times of each recording, and the scores of all."""
    from genai.speech.times import SUFFIXES, WRITERS, word_times

    stems = [recording.name.with_suffix("") for recording in recordings]
    for recording, stem, text, alignment in zip(recordings, stems, words, alignments, strict=True):
        if alignment is None:
            continue
        times = word_times(alignment, text, recording.seconds)
        base = folder / (stem if stems.count(stem) == 1 else recording.name)
        make_folder(base.parent)
        for name in settings.formats:
            write_file(base.with_name(base.name + SUFFIXES[name]), WRITERS[name](times, recording.seconds))
    write_file(folder / SCORES, _scores_table(recordings, alignments))


def _scores_table(recordings: Sequence[Recording], alignments: "Sequence[Alignment | None]") -> str:
    """Return a CSV of all recordings, the worst first; those without a score are at the end."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("score", "file_name", "text"))
    pairs = list(zip(recordings, alignments, strict=True))
    for recording, alignment in sorted(pairs, key=lambda pair: pair[1].score if pair[1] else float("inf")):
        score = f"{alignment.score:.4f}" if alignment else ""
        writer.writerow((score, recording.name.as_posix(), recording.text))
    return text.getvalue()


def _report(
    source: "AudioFolder",
    recordings: Sequence[Recording],
    words: "Sequence[list[Word]]",
    alignments: "Sequence[Alignment | None]",
) -> list[str]:
    """Return what was aligned, what was not, and which texts seem to be wrong."""
    from genai.speech.outlier_scores import low_outliers

    aligned = [index for index, alignment in enumerate(alignments) if alignment]
    symbols = {phone.symbol for text in words for word in text for phone in word.phones}
    minutes = sum(recordings[index].seconds for index in aligned) / 60
    lines = [f"aligned    {len(aligned):,} recordings, {minutes:.1f} minutes, {len(symbols)} different phones"]
    notes = list(source.skipped)
    for recording, text, alignment in zip(recordings, words, alignments, strict=True):
        if alignment is None:
            reason = "too short or too long for its text" if any(word.phones for word in text) else "nothing is said"
            notes.append(f"{recording.name}: {reason}: {short_text(recording.text)}")
    lines += _limited("not used", notes)
    scores = [alignments[index].score for index in aligned]  # type: ignore[union-attr]
    places, rule = low_outliers(scores)
    lines.append(f"suspects   {len(places):,} of {len(aligned):,}: {rule}")
    found = (recordings[aligned[place]] for place in places)
    named = [f"{scores[place]:.2f}  {r.name}  {short_text(r.text)}" for place, r in zip(places, found, strict=True)]
    return lines + _limited("listen to", named)


def _limited(label: str, texts: Sequence[str]) -> list[str]:
    lines = [f"{label:<11}{text}" for text in texts[:MAX_LISTED]]
    return lines + ([f"{label:<11}{len(texts) - MAX_LISTED:,} more"] if len(texts) > MAX_LISTED else [])


if __name__ == "__main__":
    exit_on_error(main)
