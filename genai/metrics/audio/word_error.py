"""Do samples say their prompts? Whisper writes down what it hears, and the words that differ are counted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from genai.core.cache import cache_dir, cache_key, cached_json
from genai.media.sound import Sound
from genai.metrics.audio.espeak_voice import read_by_espeak
from genai.metrics.audio.recognizer import Recognizer, check_recognizer, load_recognizer, transcribe
from genai.metrics.audio.spoken_texts import (
    SpokenText,
    held_out_texts,
    list_key,
    listed_texts,
    load_recordings,
    read_sentences,
    sample_speech,
)
from genai.metrics.audio.spoken_words import word_readings
from genai.metrics.audio.word_alignment import WordAlignment, closest_alignment, most_common_edits
from genai.metrics.base import EvalContext, Metric, Result
from genai.metrics.intervals import bootstrap_ratio

CACHE_VERSION = 1
"""Changes when the judge would write down something else."""
NUM_EDITS = 10
"""Most frequent mistakes that are printed."""
SAMPLES, RECORDINGS, COPIES, ESPEAK = "samples", "recordings", "copies", "espeak-ng"
"""Kinds of readings of a text."""


@dataclass
class TranscriptList:
    """What the judge heard of a list of texts.

    Attributes:
        name: of the list; "" for held-out clips.
        texts: the texts.
        transcripts: what it heard, by the kind of reading; as many as there are texts, for recordings and copies only
            of the texts that have a recording.
        language: of the texts.
    """

    name: str
    texts: Sequence[SpokenText]
    language: str
    transcripts: dict[str, list[str]] = field(default_factory=dict)

    @cached_property
    def alignments(self) -> dict[str, list[WordAlignment]]:
        """Texts and transcripts word by word, by the kind of reading."""
        with_recording = [each.text for each in self.texts if each.recording]
        texts = {kind: with_recording if kind in (RECORDINGS, COPIES) else self._all for kind in self.transcripts}
        return {
            kind: [compare(*pair, self.language) for pair in zip(texts[kind], heard, strict=True)]
            for kind, heard in self.transcripts.items()
        }

    @property
    def _all(self) -> list[str]:
        return [each.text for each in self.texts]


class WordError(Metric):
    """Word error rate: substitutions, deletions and insertions in samples, relative to the words of the prompts.

    The prompts are the captions of held-out clips, or the lists of ``judge.sentences``. The reference is the same for
    real recordings: also of these the judge misses some words. Each clip is judged alone.
    """

    media = Sound
    uses_judge = True

    def __init__(self) -> None:
        self.lists: list[TranscriptList] = []
        self.recognizer: Recognizer | None = None

    def check(self, context: EvalContext) -> None:
        check_recognizer(context.judge, "word_error")
        word_readings("1", context.judge.language)  # needs a package
        if context.judge.sentences:
            read_sentences(Path(context.judge.sentences).expanduser())

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``word_error``, with the names of lists ``word_error_<list>``, and those of other readings.

        ``..._espeak`` is that of espeak-ng, where it is installed, and ``..._copy`` that of recordings that were
        encoded and decoded by the modality, by its vocoder if it has one: no model can be better.
        """
        recognizer = self.recognizer = load_recognizer(context.judge, "word_error")
        language = context.judge.language
        lists = {"": held_out_texts(context)} if not context.judge.sentences else listed_texts(context, _key(language))
        results: dict[str, Result] = {}
        for name, texts in lists.items():
            part = TranscriptList(name, texts, language)
            for kind, read in _readings(context, texts).items():
                if sounds := read():
                    transcribe_all = _cached_transcripts if kind in (RECORDINGS, ESPEAK) else transcribe
                    part.transcripts[kind] = transcribe_all(recognizer, sounds, f"{kind} {name}".strip())
            self.lists.append(part)
            results |= list_results(part, context.seed, recognizer.description)
        return results

    def lines(self, context: EvalContext) -> list[str]:
        lines = []
        for part in self.lists:
            lines += edit_lines(part)
        weights = [f"judged by model.bin of sha256 {self.recognizer.sha256}"] if self.recognizer else []
        return lines + weights

    def report_entries(self, context: EvalContext) -> dict[str, Any]:
        """Return what the judge heard of each text, for the results file."""
        if self.recognizer is None:
            return {}
        transcripts = {part.name or "held_out": _transcript_table(part) for part in self.lists}
        return {"word_error": {"weights_sha256": self.recognizer.sha256, "transcripts": transcripts}}


def compare(text: str, transcript: str, language: str) -> WordAlignment:
    """Compare a text with what was heard, in the readings of their numbers that are closest."""
    return closest_alignment(word_readings(text, language), word_readings(transcript, language))


def list_results(part: TranscriptList, seed: int, judge: str) -> dict[str, Result]:
    """Return the word error of samples of a list, beside recordings, and those of copies and of espeak-ng."""
    suffix = f"_{list_key(part.name)}" if part.name else ""
    rates = {kind: _error_rate(rows) for kind, rows in part.alignments.items()}
    names = {SAMPLES: "", COPIES: "_copy", ESPEAK: "_espeak"}
    results = {}
    for kind, name in names.items():
        if kind not in rates:
            continue
        rows = part.alignments[kind]
        low, high, error = bootstrap_ratio(_edit_counts(rows), _word_counts(rows), seed)
        num_real = f"; real: {len(part.alignments[RECORDINGS])} clips" if RECORDINGS in rates else ""
        description = (
            f"share of {sum(_word_counts(rows))} words of {len(rows)} {_what(kind)} misheard, 95 % interval "
            f"{low:.4f} to {high:.4f}{num_real}; {judge}"
        )
        results[f"word_error{suffix}{name}"] = Result(rates[kind], description, error, rates.get(RECORDINGS))
    return results


def _what(kind: str) -> str:
    return {SAMPLES: "samples", COPIES: "encoded and decoded recordings", ESPEAK: "texts read by espeak-ng"}[kind]


def edit_lines(part: TranscriptList) -> list[str]:
    """Return the most frequent mistakes in samples of a list, as lines for people."""
    rows = part.alignments.get(SAMPLES, [])
    edits = [edit for row in rows for edit in row.edits]
    title = f"words of {part.name or 'held-out texts'} that the judge misheard in samples"
    if not edits:
        return [f"{title}: none"]
    deletions, insertions = (sum(not getattr(edit, name) for edit in edits) for name in ("hypothesis", "reference"))
    counts = f"{len(edits) - deletions - insertions} substituted, {deletions} deleted, {insertions} inserted"
    common = [f"  {count:3} x {edit}" for edit, count in most_common_edits(rows, NUM_EDITS)]
    return [f"{title}: {counts}", *common]


def _readings(context: EvalContext, texts: Sequence[SpokenText]) -> dict[str, Callable[[], list[Any] | None]]:
    """Return what loads or makes the sounds of each kind of reading; some are ``None`` or empty."""
    modality = context.model.modality
    return {
        SAMPLES: lambda: sample_speech(context, texts),
        RECORDINGS: lambda: load_recordings(texts),
        COPIES: lambda: [modality.decode(modality.encode(sound)) for sound in load_recordings(texts)],
        ESPEAK: lambda: read_by_espeak([each.text for each in texts], context.judge.language),
    }


def _cached_transcripts(recognizer: Recognizer, sounds: Sequence[Sound], label: str) -> list[str]:
    """Return what is said in sounds that do not depend on the model; it is computed once."""
    hashes = [sha256(sound.samples.tobytes()).hexdigest() for sound in sounds]
    rates = [sound.sample_rate for sound in sounds]
    key = cache_key("transcripts", CACHE_VERSION, recognizer.key, hashes, rates)
    compute = lambda: {"texts": transcribe(recognizer, sounds, label)}  # noqa: E731
    texts: list[str] = cached_json(cache_dir() / f"{key}.json", compute)["texts"]
    return texts


def _key(language: str) -> Callable[[str], tuple[str, ...]]:
    return lambda text: tuple(word_readings(text, language)[0])


def _edit_counts(rows: Sequence[WordAlignment]) -> list[int]:
    return [len(row.edits) for row in rows]


def _word_counts(rows: Sequence[WordAlignment]) -> list[int]:
    return [len(row.reference) for row in rows]


def _error_rate(rows: Sequence[WordAlignment]) -> float | None:
    words = sum(_word_counts(rows))
    return sum(_edit_counts(rows)) / words if words else None


def _transcript_table(part: TranscriptList) -> list[dict[str, str]]:
    """Return each text with what was heard of each kind of reading."""
    table = [{"text": each.text} for each in part.texts]
    with_recording = [row for row, each in zip(table, part.texts, strict=True) if each.recording]
    for kind, heard in part.transcripts.items():
        for row, transcript in zip(with_recording if kind in (RECORDINGS, COPIES) else table, heard, strict=True):
            row[kind] = transcript
    return table
