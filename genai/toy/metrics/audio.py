"""Does a model of the toy world play what it is asked for? The listener hears each sample; the answers are exact."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from genai.core.errors import UserError
from genai.metrics.base import EvalContext, Metric, Result, attributes, share
from genai.toy.data.audio import KINDS, Kind, ToyAudio
from genai.toy.world.audio_oracle import IN_TUNE, LEAST_SECONDS, Heard, all_right, fulfilled, hear, off
from genai.toy.world.melody import Melody, parse
from genai.toy.world.synth import LEAST_RATE, play

_SUFFIXES: dict[Kind, str] = {"trained": "", "unheard": "_unheard", "held_out": "_held_out"}
_SAID = {
    "count": "share with as many notes as were asked for",
    "notes": f"share with every note right, within {IN_TUNE:g} cents",
}


class Played(Metric):
    """Whether samples have the notes and attributes that their prompts name, beside real sounds of the same prompts.

    Prompts are fresh captions that name every attribute: of melodies that were trained on and, apart, of the two kinds
    that were not. ``fulfilment`` asks for all attributes at once.
    """

    source = ToyAudio

    def compute(self, study: EvalContext) -> dict[str, Result]:
        """``fulfilment``, also ``_unheard`` and ``_held_out``; of melodies trained on, the attributes one by one,
        ``pitch_cents``, ``in_tune``, ``tonal``.

        For other data than the model's own it is not known which melodies were held out, so all are put together.
        """
        drawn = {kind: study.source.asked(kind, study.n, study.seed) for kind in KINDS}  # type: ignore[attr-defined]
        kinds = {_SUFFIXES[kind]: (drawn[kind], about) for kind, about in KINDS.items()}
        if not study.own:
            kinds = {"": (list(chain.from_iterable(drawn.values())), "melodies of all kinds")}
        figures: dict[str, Result] = {}
        for suffix, (prompts, kind) in kinds.items():
            asked = [parse(prompt) for prompt in prompts]
            heard, rate = _heard(study.samples(prompts))
            real = hear(play(asked, np.random.default_rng(study.seed), rate), rate)
            about = f"share with every attribute right, of {len(asked)} prompts of {kind}"
            figures[f"fulfilment{suffix}"] = share(_right(asked, heard), about, _right(asked, real))
            if not suffix:
                figures |= _attributes(asked, heard, real) | _tuning(asked, heard, real)
        return figures


def _heard(samples: Sequence[Any]) -> tuple[list[Heard], int]:
    """What is heard in the samples, and their rate. Raises ``UserError`` where the world has no such sounds."""
    rate = samples[0].rate
    if rate < LEAST_RATE:
        raise UserError(f"'melody' hears sounds of {LEAST_RATE} samples a second or more, not {rate}. Choose metrics=.")
    if (seconds := samples[0].seconds) < LEAST_SECONDS:
        raise UserError(f"'melody' hears sounds of a second, not {seconds:.2f} seconds. Choose seconds= or metrics=.")
    return hear([sample.samples for sample in samples], rate), rate


def _right(asked: Sequence[Melody], heard: Sequence[Heard]) -> list[bool]:
    return [all_right(*pair) for pair in zip(asked, heard, strict=True)]


def _attributes(asked: Sequence[Melody], heard: Sequence[Heard], real: Sequence[Heard]) -> dict[str, Result]:
    """One figure an attribute."""
    ours, theirs = ([fulfilled(*pair) for pair in zip(asked, sounds, strict=True)] for sounds in (heard, real))
    return attributes(ours, theirs, _SAID)


def _tuning(asked: Sequence[Melody], heard: Sequence[Heard], real: Sequence[Heard]) -> dict[str, Result]:
    """How well in tune, and how free of noise."""

    def distances(sounds: Sequence[Heard]) -> list[float]:
        return [abs(cents) for pair in zip(asked, sounds, strict=True) for cents in off(*pair)]

    def tails(sounds: Sequence[Heard]) -> list[bool]:
        return [abs(cents) < IN_TUNE for each in sounds for cents in each.tail]

    pitch = "median distance from the note asked for, in cents, where the count is right"
    tonal = "median share of the energy that is in the partials of notes"
    return {
        "pitch_cents": Result(_median(distances(heard)), pitch, beside=_median(distances(real))),
        "in_tune": share(tails(heard), f"share of long notes within {IN_TUNE:g} cents to their end", tails(real)),
        "tonal": Result(_median([h.tonal for h in heard]), tonal, beside=_median([r.tonal for r in real])),
    }


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None
