"""Synchrony of soundtracks with held-out toy clips: onsets are compared with the bounces."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from genai.core.errors import UserError
from genai.core.progress import ProgressBar
from genai.metrics.base import EvalContext, Metric, Result, proportion_result
from genai.toy.data.soundtrack import ToySoundtracks
from genai.toy.world.soundtrack import (
    ONSET_TOLERANCE_SECONDS,
    Note,
    classify_notes,
    detect_onsets,
    match_onsets,
    onset_f1,
)
from genai.toy.world.synth import MIN_SAMPLE_RATE

Times = Sequence[Sequence[float]]


class OnsetF1(Metric):
    """F1 score of the onsets in generated soundtracks of held-out clips; the reference is their own soundtracks.

    The score against the bounces of another clip is the level of chance. Silence has 0.
    """

    source = ToySoundtracks

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``onset_f1``, ``onset_f1_shuffled`` and ``onset_note``: whether the note of an onset is right."""
        source: Any = context.source
        count = min(context.n, len(source.val))
        notes = [source.notes(source.val, index) for index in range(count)]
        samples, real = _sample_soundtracks(context, count), [source.val[index].media for index in range(count)]
        return onset_results(
            SoundtrackDetection(samples, notes), SoundtrackDetection(real, notes), f"{count} held-out clips"
        )


def _sample_soundtracks(context: EvalContext, count: int) -> list[Any]:
    """Generate a soundtrack of each of the first ``count`` held-out clips."""
    samples: list[Any] = []
    with ProgressBar("soundtracks", count) as bar:
        for index in range(count):
            example = context.source.val[index]
            options = {**context.options, "clip": example.conditioning}
            samples += context.model.sample(example.prompt, seed=context.seed + index, **options)
            bar.step()
    return samples


class SoundtrackDetection:
    """Onsets detected in soundtracks, and the notes that each should have.

    Raises:
        UserError: the sample rate is too low.
    """

    def __init__(self, sounds: Sequence[Any], notes: Sequence[Sequence[Note]]) -> None:
        if low := next((sound.sample_rate for sound in sounds if sound.sample_rate < MIN_SAMPLE_RATE), None):
            raise UserError(f"onset detection needs a sample rate of {MIN_SAMPLE_RATE} Hz or more, not {low}.")
        self.sounds, self.notes = sounds, notes
        self.onsets = [detect_onsets(sound.samples, sound.sample_rate) for sound in sounds]
        self.target_times = [[note.time for note in sound_notes] for sound_notes in notes]

    @property
    def shuffled_times(self) -> Times:
        """For each sound, the target times of the next one; none if there is only one sound."""
        return [[]] if len(self.target_times) == 1 else [*self.target_times[1:], *self.target_times[:1]]

    def note_matches(self) -> list[bool]:
        """Return, for each onset at a target time, whether its note is the target note."""
        matches = []
        for sound, times, notes in zip(self.sounds, self.onsets, self.notes, strict=True):
            pairs = match_onsets(times, [note.time for note in notes])
            names = classify_notes(sound.samples, sound.sample_rate, [times[index] for index, _ in pairs])
            matches += [name == notes[index].name for name, (_, index) in zip(names, pairs, strict=True)]
        return matches


def onset_results(samples: SoundtrackDetection, real: SoundtrackDetection, clips_label: str) -> dict[str, Result]:
    """Return the results of ``OnsetF1``.

    Args:
        samples: generated soundtracks.
        real: soundtracks for the reference values.
        clips_label: description of the clips, such as "40 held-out clips".
    """
    description = f"F1 of onsets, within {1000 * ONSET_TOLERANCE_SECONDS:.0f} ms of the bounces of {clips_label}"
    reference = onset_f1(real.onsets, real.target_times)
    shuffled_reference = onset_f1(real.onsets, real.shuffled_times)
    shuffled = "the same with the bounces of the next clip"
    note = "share of these onsets with the note of what bounces"
    return {
        "onset_f1": _f1_result(samples.onsets, samples.target_times, description, reference),
        "onset_f1_shuffled": _f1_result(samples.onsets, samples.shuffled_times, shuffled, shuffled_reference),
        "onset_note": proportion_result(samples.note_matches(), note, real.note_matches()),
    }


def _f1_result(onsets: Times, targets: Times, description: str, reference: float) -> Result:
    """Return the F1 score with its standard error over clips, by leaving out one clip at a time (jackknife)."""
    if not onsets:
        return Result(None, description, reference=reference)
    if len(onsets) == 1:
        return Result(onset_f1(onsets, targets), description, reference=reference)
    scores = [onset_f1([*onsets[:i], *onsets[i + 1 :]], [*targets[:i], *targets[i + 1 :]]) for i in range(len(targets))]
    standard_error = float(np.sqrt((len(scores) - 1) * np.var(scores)))
    return Result(onset_f1(onsets, targets), description, standard_error, reference)
