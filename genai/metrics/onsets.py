"""Is the sound of a clip in sync with it? Where notes begin, beside the bounces of held-out clips of the toy world."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from genai.bar import Bar
from genai.data.world_soundtrack import WorldSoundtrack
from genai.errors import Mistake
from genai.metrics.base import Figure, Metric, Study, share
from genai.world.sound import LEAST_RATE
from genai.world.soundtrack import TOLERANCE, Note, f1, matched, named, onsets

Times = Sequence[Sequence[float]]


class InSync(Metric):
    """Onsets of the soundtracks that a model makes of clips that were held out, beside those of their own soundtracks.

    Held against the bounces of another clip, they show what chance gives. Silence has 0.
    """

    source = WorldSoundtrack

    def measure(self, study: Study) -> dict[str, Figure]:
        """``onset_f1``; ``onset_f1_shuffled``; ``onset_note``, whether it is the note of what bounces."""
        val = study.source.val
        count = min(study.n, len(val))
        scores = [study.source.score(val, index) for index in range(count)]  # type: ignore[attr-defined]
        made, real = _soundtracks(study, count), [val[index].media for index in range(count)]
        ours, theirs = (_onsets(sounds) for sounds in (made, real))
        true = [[note.time for note in score] for score in scores]
        another = [*true[1:], *true[:1]]
        about = f"F1 of onsets, within {1000 * TOLERANCE:.0f} ms of the bounces of {count} held-out clips"
        return {
            "onset_f1": Figure(f1(ours, true), about, _error(ours, true), f1(theirs, true)),
            "onset_f1_shuffled": Figure(
                f1(ours, another),
                "the same with the bounces of the next clip",
                _error(ours, another),
                f1(theirs, another),
            ),
            "onset_note": share(
                _right(made, ours, scores),
                "share of these onsets with the note of what bounces",
                _right(real, theirs, scores),
            ),
        }


def _soundtracks(study: Study, count: int) -> list[Any]:
    """One of each of the first held-out clips. Raises ``Mistake`` where the world has no such sounds."""
    made: list[Any] = []
    with Bar("soundtracks", count) as bar:
        for index in range(count):
            example = study.source.val[index]
            options = {**study.options, "clip": example.beside}
            made += study.model.sample(example.prompt, seed=study.seed + index, **options)
            bar.step()
    if made[0].rate < LEAST_RATE:
        raise Mistake(f"'onsets' hears sounds of {LEAST_RATE} samples a second or more, not {made[0].rate}.")
    return made


def _onsets(sounds: Sequence[Any]) -> list[list[float]]:
    return [onsets(sound.samples, sound.rate) for sound in sounds]


def _right(sounds: Sequence[Any], found: Times, scores: Sequence[Sequence[Note]]) -> list[bool]:
    """Of each onset that is one of a score, whether it is that note."""
    right = []
    for sound, times, score in zip(sounds, found, scores, strict=True):
        pairs = matched(times, [note.time for note in score])
        heard = named(sound.samples, sound.rate, [times[number] for number, _ in pairs])
        right += [name == score[number].name for name, (_, number) in zip(heard, pairs, strict=True)]
    return right


def _error(found: Times, true: Times) -> float:
    """The standard error of F1 over the draw of clips, by leaving out one after the other (jackknife)."""
    rest = [f1([*found[:i], *found[i + 1 :]], [*true[:i], *true[i + 1 :]]) for i in range(len(true))]
    return float(np.sqrt((len(rest) - 1) * np.var(rest)))
