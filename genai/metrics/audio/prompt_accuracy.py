"""Do the samples sound like what their prompts say? A small network, trained on the real clips, judges them."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from genai.core.cache import cache_dir, cache_key, cached_file
from genai.core.data import PackedDataset
from genai.media.sound import Sound
from genai.metrics.audio.classifier import VERSION, Listener, learn, listener
from genai.metrics.audio.mel import Spectra, audio_of
from genai.metrics.audio.prompt_attributes import OFTEN, UNKNOWN, Attribute, attributes
from genai.metrics.base import EvalContext, Metric, Result, share
from genai.metrics.frechet import frechet

LONGEST = 2.0
"""Seconds that are listened to, from the beginning."""
BEYOND = 1.5
"""Of the typical length: more of a clip is not listened to."""
ITEMS = 20_000
"""Of the training split to learn from, at most, evenly spaced; and a tenth of that to be judged beside the samples."""


class Judge(Metric):
    """The share of samples in which a network hears each attribute of the prompt, beside that of held-out clips.

    It fits prompts that are the names of classes, or alike but for a few words. ``frechet_judge`` compares features of
    the same network: it is no distance that others report, and means something only beside that of real clips.
    """

    media = Sound

    def compute(self, study: EvalContext) -> dict[str, Result]:
        """``judge_<attribute>`` of each, such as ``judge_word_1``, and ``frechet_judge``."""
        audio, split = audio_of(study, "judge"), study.source.train
        known = split.prompts if split.prompts is not None else [example.prompt for example in split]
        found = attributes(known)
        if not found:
            return {
                "judge": Result(
                    None, f"nothing to judge: the prompts are not made of a few words, each in {OFTEN} clips"
                )
            }
        length = round(min(LONGEST, BEYOND * audio.typical) * audio.rate)
        spectra = Spectra(audio, length, study.model.method.device)
        net = trained(study, spectra, found)
        prompts = study.source.prompts(study.source.val, study.n, study.seed)
        made = spectra(study.samples(prompts))
        real, said = heard(spectra, study.val, ITEMS // 10, "held-out clips")
        right, real_right = (hits(net, *pair, found) for pair in ((made, prompts), (real, said)))
        figures = {f"judge_{a.name}": share(right[a], _about(a, known), real_right[a]) for a in found}
        with torch.no_grad():
            features = net.features(made), net.features(real)
        return figures | {"frechet_judge": frechet(*features, study.seed, "the judge")}


def trained(study: EvalContext, spectra: Spectra, found: Sequence[Attribute]) -> Listener:
    """The judge of this training split; trained where the cache does not have it yet."""
    audio, sizes = spectra.audio, [len(attribute.values) for attribute in found]
    values = [[attribute.name, *attribute.values] for attribute in found]
    hears = [audio.rate, audio.classes, spectra.length]
    key = cache_key(study.source.train.fingerprint, "judge", VERSION, hears, values)

    def write(path: Path) -> None:
        power, prompts = heard(spectra, study.train, ITEMS, "training clips")
        labels = torch.tensor([[attribute.label(prompt) for attribute in found] for prompt in prompts])
        learn(power, labels.to(power.device), sizes, path)

    return listener(cached_file(cache_dir() / f"{key}.safetensors", write), sizes, spectra.device)


def heard(spectra: Spectra, packed: PackedDataset, limit: int, label: str) -> tuple[Tensor, list[str]]:
    """(items, bands, frames) of at most so many evenly spaced items, and their prompts."""
    parts = list(spectra.real(packed, min(limit, len(packed)), label))
    return torch.cat([power for power, _ in parts]), [prompt for _, prompts in parts for prompt in prompts]


@torch.no_grad()
def hits(
    net: Listener, power: Tensor, prompts: Sequence[str], found: Sequence[Attribute]
) -> dict[Attribute, list[bool]]:
    """Whether each clip sounds like what its prompt says, where that says something of the attribute."""
    guesses = [logits.argmax(1).tolist() for logits in net(power)]
    labels = {attribute: [attribute.label(prompt) for prompt in prompts] for attribute in found}
    return {
        attribute: [guess == label for guess, label in zip(guessed, labels[attribute], strict=True) if label != UNKNOWN]
        for attribute, guessed in zip(found, guesses, strict=True)
    }


def _about(attribute: Attribute, prompts: Sequence[str]) -> str:
    """Chance is how often a model is right that makes what is in the training split, whatever it is asked for."""
    counts = Counter(label for prompt in prompts if (label := attribute.label(prompt)) != UNKNOWN)
    chance = sum(count**2 for count in counts.values()) / counts.total() ** 2
    return f"share of samples in which a judge hears what was asked for, {attribute}; chance is {chance:.2f}"
