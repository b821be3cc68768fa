"""Prompt accuracy of models of toy pictures: the image oracle checks each sample exactly."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from genai.core.errors import UserError
from genai.metrics.base import EvalContext, Metric, Result, attribute_results, proportion_result
from genai.metrics.sample_judge import Judge
from genai.toy.data.image import ToyImages
from genai.toy.world.draw import render_scenes
from genai.toy.world.image_oracle import STRICT_OVERLAP, SceneDetection, detect_scenes, is_scene_match, match_scene
from genai.toy.world.scene import PLACES, Scene, caption_scene, parse_scene


class ScenePromptAccuracy(Metric):
    """Whether samples have the attributes that their prompts name; the reference is real pictures of the same prompts.

    Prompts are new captions that name every attribute, of training combinations and, separately, of held-out ones.
    ``fulfilment`` requires all attributes at once. Guidance raises it and reduces diversity, which ``place_spread``
    measures.
    """

    source = ToyImages

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``fulfilment`` and ``strict``, also ``_held_out``, one result per attribute, and ``place_spread``."""
        results: dict[str, Result] = {}
        for suffix, (prompts, kind) in context.prompt_sets().items():
            scenes = [parse_scene(prompt) for prompt in prompts]
            samples, size = _detect_samples(context.samples(prompts))
            real = detect_scenes(render_scenes(scenes, size, np.random.default_rng(context.seed)))
            matches = [is_scene_match(*pair) for pair in zip(scenes, samples, strict=True)]
            real_matches = [is_scene_match(*pair) for pair in zip(scenes, real, strict=True)]
            description = f"share with every attribute right, of {len(scenes)} prompts of {kind}"
            results[f"fulfilment{suffix}"] = proportion_result(matches, description, real_matches)
            results[f"strict{suffix}"] = _strict_result(matches, samples, real_matches, real)
            if not suffix:
                results |= _attribute_results(scenes, samples, real)
                results |= _place_spread(scenes, samples, real, size)
        return results

    def judge(self, context: EvalContext) -> "SceneJudge":
        return SceneJudge()


class SceneJudge(Judge):
    """The image oracle: all attributes of the prompt have to be right."""

    def matches(self, samples: list[Any], prompts: Sequence[str]) -> list[bool | None]:
        detections, _ = _detect_samples(samples)
        return [is_scene_match(parse_scene(prompt), each) for prompt, each in zip(prompts, detections, strict=True)]

    def caption(self, samples: list[Any]) -> list[str]:
        rng, (detections, _) = np.random.default_rng(0), _detect_samples(samples)
        return [caption_scene(each.scene, rng) if each.scene else "" for each in detections]


def _detect_samples(samples: Sequence[Any]) -> tuple[list[SceneDetection], int]:
    """Return the detections in the samples, and their side in pixels. Raises ``UserError`` for unsuitable pictures."""
    pixels = [sample.pixels for sample in samples]
    height, width, channels = pixels[0].shape
    if channels != 3:
        raise UserError("'toy_image' needs color pictures, but this model generates gray ones. Choose other metrics=.")
    if height != width or height < 16:
        raise UserError(
            f"'toy_image' needs squares of 16 pixels or more, not {width} x {height}. Choose other metrics=."
        )
    return detect_scenes(np.stack(pixels)), height


def _strict_result(
    matches: Sequence[bool],
    samples: Sequence[SceneDetection],
    real_matches: Sequence[bool],
    real: Sequence[SceneDetection],
) -> Result:
    def strict_matches(matches: Sequence[bool], detections: Sequence[SceneDetection]) -> list[bool]:
        pairs = zip(matches, detections, strict=True)
        return [match and detection.overlap >= STRICT_OVERLAP for match, detection in pairs]

    description = f"share that is fulfilled and cleanly drawn (overlap with the ideal outline {STRICT_OVERLAP} or more)"
    return proportion_result(strict_matches(matches, samples), description, strict_matches(real_matches, real))


def _attribute_results(
    scenes: Sequence[Scene], samples: Sequence[SceneDetection], real: Sequence[SceneDetection]
) -> dict[str, Result]:
    """Return one result per attribute of the prompts; for two things also ``binding`` and ``relation``."""
    answers, real_answers = (
        [match_scene(*pair) for pair in zip(scenes, detections, strict=True)] for detections in (samples, real)
    )
    results = attribute_results(answers, real_answers, {"binding": "share with each color on its own shape"})
    return results | _relation_results(scenes, samples, real) if "relation" in results else results


def _relation_results(
    scenes: Sequence[Scene], samples: Sequence[SceneDetection], real: Sequence[SceneDetection]
) -> dict[str, Result]:
    """Return the share with the right relation among samples that show both things, and that for shuffled prompts."""

    def answers(detections: Sequence[SceneDetection], shift: int = 0) -> list[bool]:
        return [
            match_scene(replace(scene, relation=scenes[(number + shift) % len(scenes)].relation), detection)["relation"]
            for number, (scene, detection) in enumerate(zip(scenes, detections, strict=True))
            if match_scene(scene, detection)["binding"]
        ]

    hits = answers(samples)
    description = f"share with the relation right, of the {len(hits)} samples that show both things"
    return {
        "relation": proportion_result(hits, description, answers(real)),
        "relation_shuffled": proportion_result(answers(samples, 1), "the same for the relation of another prompt"),
    }


def _place_spread(
    scenes: Sequence[Scene], samples: Sequence[SceneDetection], real: Sequence[SceneDetection], size: int
) -> dict[str, Result]:
    """Measure how much the center varies around the place of the prompt, if the place is right."""
    if len(scenes[0].things) != 1:
        return {}
    description = "standard deviation of the center around the place in the prompt, in pixels, where the place is right"
    spread, count = _center_std(scenes, samples, size)
    standard_error = None if spread is None else spread / (2 * (2 * count - 1)) ** 0.5  # two axes per picture
    return {"place_spread": Result(spread, description, standard_error, _center_std(scenes, real, size)[0])}


def _center_std(scenes: Sequence[Scene], detections: Sequence[SceneDetection], size: int) -> tuple[float | None, int]:
    """Return the standard deviation of the center in pixels over both axes, and the number of pictures."""
    offsets = [
        np.subtract(detection.centers[0], PLACES[scene.things[0].place or ""]) * size
        for scene, detection in zip(scenes, detections, strict=True)
        if match_scene(scene, detection).get("place")
    ]
    if len(offsets) < 2:
        return None, len(offsets)
    return float(np.sqrt(np.var(offsets, axis=0, ddof=1).mean())), len(offsets)
