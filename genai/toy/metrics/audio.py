"""Prompt accuracy of models of toy sounds: the audio oracle checks each sample exactly."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from genai.core.errors import UserError
from genai.metrics.base import EvalContext, Metric, Result, attribute_results, proportion_result
from genai.metrics.judge import Judge
from genai.toy.data.audio import KIND_DESCRIPTIONS, MelodyKind, ToyAudio
from genai.toy.world.audio_oracle import (
    IN_TUNE_CENTS,
    MIN_SECONDS,
    MelodyDetection,
    detect_melodies,
    is_melody_match,
    match_melody,
    pitch_errors,
)
from genai.toy.world.melody import Melody, caption_melody, parse_melody
from genai.toy.world.synth import MIN_SAMPLE_RATE, render_melodies

_SUFFIXES: dict[MelodyKind, str] = {"train": "", "new_melodies": "_new_melodies", "new_notes": "_held_out"}
_DESCRIPTIONS = {
    "count": "share with the number of notes right",
    "notes": f"share with every note right, within {IN_TUNE_CENTS:g} cents",
}


class MelodyPromptAccuracy(Metric):
    """Whether samples have the notes and attributes of their prompts; the reference is real sounds of the same prompts.

    Prompts are new captions that name every attribute, of training melodies and, separately, of the two kinds of
    held-out ones. ``fulfilment`` requires all attributes at once.
    """

    source = ToyAudio

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``fulfilment``, also ``_new_melodies`` and ``_held_out``, and results for training melodies only.

        These are one result per attribute, ``pitch_cents``, ``in_tune`` and ``tonal``. For other data than the model's
        own it is unknown which melodies were held out, so all kinds are merged.
        """
        source: Any = context.source
        kind_prompts = {kind: source.kind_prompts(kind, context.n, context.seed) for kind in KIND_DESCRIPTIONS}
        prompt_sets = {_SUFFIXES[kind]: (kind_prompts[kind], name) for kind, name in KIND_DESCRIPTIONS.items()}
        if not context.own_data:
            prompt_sets = {"": (list(chain.from_iterable(kind_prompts.values())), "melodies of all kinds")}
        results: dict[str, Result] = {}
        for suffix, (prompts, kind) in prompt_sets.items():
            melodies = [parse_melody(prompt) for prompt in prompts]
            samples, sample_rate = _detect_samples(context.samples(prompts))
            real_sounds = render_melodies(melodies, np.random.default_rng(context.seed), sample_rate)
            real = detect_melodies(real_sounds, sample_rate)
            description = f"share with every attribute right, of {len(melodies)} prompts of {kind}"
            results[f"fulfilment{suffix}"] = proportion_result(
                _matches(melodies, samples), description, _matches(melodies, real)
            )
            if not suffix:
                results |= _attribute_results(melodies, samples, real) | _tuning_results(melodies, samples, real)
        return results

    def judge(self, context: EvalContext) -> "MelodyJudge":
        return MelodyJudge()


class MelodyJudge(Judge):
    """The audio oracle: all notes and attributes of the prompt have to be right."""

    def matches(self, samples: list[Any], prompts: Sequence[str]) -> list[bool | None]:
        return [*_matches([parse_melody(prompt) for prompt in prompts], _detect_samples(samples)[0])]

    def caption(self, samples: list[Any]) -> list[str]:
        rng, melodies = np.random.default_rng(0), [each.melody for each in _detect_samples(samples)[0]]
        return [caption_melody(melody, rng) if melody and melody.is_complete else "" for melody in melodies]


def _detect_samples(samples: Sequence[Any]) -> tuple[list[MelodyDetection], int]:
    """Return the detections in the samples, and their sample rate. Raises ``UserError`` for unsuitable sounds."""
    sample_rate = samples[0].sample_rate
    if sample_rate < MIN_SAMPLE_RATE:
        raise UserError(
            f"'toy_audio' needs a sample rate of {MIN_SAMPLE_RATE} Hz or more, not {sample_rate}. "
            f"Choose other metrics=."
        )
    if (seconds := samples[0].seconds) < MIN_SECONDS:
        raise UserError(
            f"'toy_audio' needs sounds of one second, not {seconds:.2f} seconds. Choose seconds= or other metrics=."
        )
    return detect_melodies([sample.samples for sample in samples], sample_rate), sample_rate


def _matches(melodies: Sequence[Melody], detections: Sequence[MelodyDetection]) -> list[bool]:
    return [is_melody_match(*pair) for pair in zip(melodies, detections, strict=True)]


def _attribute_results(
    melodies: Sequence[Melody], samples: Sequence[MelodyDetection], real: Sequence[MelodyDetection]
) -> dict[str, Result]:
    """Return one result per attribute."""
    answers, real_answers = (
        [match_melody(*pair) for pair in zip(melodies, detections, strict=True)] for detections in (samples, real)
    )
    return attribute_results(answers, real_answers, _DESCRIPTIONS)


def _tuning_results(
    melodies: Sequence[Melody], samples: Sequence[MelodyDetection], real: Sequence[MelodyDetection]
) -> dict[str, Result]:
    """Measure tuning and noise."""

    def distances(detections: Sequence[MelodyDetection]) -> list[float]:
        return [abs(cents) for pair in zip(melodies, detections, strict=True) for cents in pitch_errors(*pair)]

    def tails_in_tune(detections: Sequence[MelodyDetection]) -> list[bool]:
        return [abs(cents) < IN_TUNE_CENTS for detection in detections for cents in detection.tail_cents]

    def partial_energy(detections: Sequence[MelodyDetection]) -> list[float]:
        return [detection.partial_energy for detection in detections]

    pitch = "median distance from the note in the prompt, in cents, where the number of notes is right"
    in_tune = f"share of long notes within {IN_TUNE_CENTS:g} cents to their end"
    tonal = "median share of the energy that is in the partials of notes"
    return {
        "pitch_cents": Result(_median(distances(samples)), pitch, reference=_median(distances(real))),
        "in_tune": proportion_result(tails_in_tune(samples), in_tune, tails_in_tune(real)),
        "tonal": Result(_median(partial_energy(samples)), tonal, reference=_median(partial_energy(real))),
    }


def _median(values: Sequence[float]) -> float | None:
    """Return the median; ``None`` if there are no values."""
    return float(np.median(values)) if values else None
