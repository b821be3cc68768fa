"""Is the sound of a clip in sync with it? Where notes begin, beside the bounces of held-out clips of the toy world."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from genai.core.errors import UserError
from genai.core.progress import ProgressBar
from genai.metrics.base import EvalContext, Metric, Result, share
from genai.toy.data.soundtrack import ToySoundtracks
from genai.toy.world.soundtrack import TOLERANCE, Note, f1, matched, named, onsets
from genai.toy.world.synth import LEAST_RATE

Times = Sequence[Sequence[float]]


class InSync(Metric):
    """Onsets of the soundtracks that a model makes of clips that were held out, beside those of their own soundtracks.

    Held against the bounces of another clip, they show what chance gives. Silence has 0.
    """

    source = ToySoundtracks

    def compute(self, study: EvalContext) -> dict[str, Result]:
        """``onset_f1``; ``onset_f1_shuffled``; ``onset_note``, whether it is the note of what bounces."""
        val = study.source.val
        count = min(study.n, len(val))
        scores = [study.source.score(val, index) for index in range(count)]  # type: ignore[attr-defined]
        made, real = _soundtracks(study, count), [val[index].media for index in range(count)]
        return compared(Heard(made, scores), Heard(real, scores), f"{count} held-out clips")


def _soundtracks(study: EvalContext, count: int) -> list[Any]:
    """One of each of the first held-out clips."""
    made: list[Any] = []
    with ProgressBar("soundtracks", count) as bar:
        for index in range(count):
            example = study.source.val[index]
            options = {**study.options, "clip": example.beside}
            made += study.model.sample(example.prompt, seed=study.seed + index, **options)
            bar.step()
    return made


class Heard:
    """Soundtracks, and the notes that should be in each; ``found``: when something begins to sound.

    Raises:
        UserError: the world has no such sounds.
    """

    def __init__(self, sounds: Sequence[Any], scores: Sequence[Sequence[Note]]) -> None:
        if low := next((sound.rate for sound in sounds if sound.rate < LEAST_RATE), None):
            raise UserError(f"onsets are heard in sounds of {LEAST_RATE} samples a second or more, not {low}.")
        self.sounds, self.scores = sounds, scores
        self.found = [onsets(sound.samples, sound.rate) for sound in sounds]
        self.true = [[note.time for note in score] for score in scores]

    @property
    def others(self) -> Times:
        """For each sound, the notes of the next one; of one alone there are none."""
        return [[]] if len(self.true) == 1 else [*self.true[1:], *self.true[:1]]

    def right(self) -> list[bool]:
        """Of each onset that is one of its score, whether it is that note."""
        answers = []
        for sound, times, score in zip(self.sounds, self.found, self.scores, strict=True):
            pairs = matched(times, [note.time for note in score])
            heard = named(sound.samples, sound.rate, [times[number] for number, _ in pairs])
            answers += [name == score[number].name for name, (_, number) in zip(heard, pairs, strict=True)]
        return answers


def compared(ours: Heard, theirs: Heard, of: str) -> dict[str, Result]:
    """The figures of ``InSync``: of ``ours``, beside ``theirs``; ``of`` says what bounces."""
    about = f"F1 of onsets, within {1000 * TOLERANCE:.0f} ms of the bounces of {of}"
    return {
        "onset_f1": _f1(ours.found, ours.true, about, f1(theirs.found, theirs.true)),
        "onset_f1_shuffled": _f1(
            ours.found, ours.others, "the same with the bounces of the next clip", f1(theirs.found, theirs.others)
        ),
        "onset_note": share(ours.right(), "share of these onsets with the note of what bounces", theirs.right()),
    }


def _f1(found: Times, true: Times, about: str, beside: float) -> Result:
    """With its standard error over the draw of clips, by leaving out one after the other (jackknife)."""
    if not found:
        return Result(None, about, beside=beside)
    if len(found) == 1:
        return Result(f1(found, true), about, beside=beside)
    rest = [f1([*found[:i], *found[i + 1 :]], [*true[:i], *true[i + 1 :]]) for i in range(len(true))]
    return Result(f1(found, true), about, float(np.sqrt((len(rest) - 1) * np.var(rest))), beside)
