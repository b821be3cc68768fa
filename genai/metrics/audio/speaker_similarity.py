"""Do samples sound like their speaker? Resemblyzer's encoder compares voices with real clips."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from genai.core.errors import UserError
from genai.core.files import file_hash
from genai.data.canaries import original_train
from genai.media.sound import Sound
from genai.metrics.audio.speaker_match import speaker_match
from genai.metrics.audio.spoken_texts import (
    SpokenText,
    held_out_texts,
    list_key,
    load_recordings,
    recorded_texts,
    sample_speech,
)
from genai.metrics.audio.voice_encoder import VoiceEncoder, encoder_weights, load_encoder
from genai.metrics.base import EvalContext, Metric, Result, mean_result, proportion_result
from genai.metrics.intervals import bootstrap_ratio

NUM_CENTER_CLIPS = 16
"""Training clips of a speaker whose mean is the center of the voice."""
MIN_SECONDS = 2.0
"""Shorter clips are used for the center only where there are not enough longer ones."""


@dataclass(frozen=True)
class Voices:
    """Vectors of sounds, and of the centers of all speakers.

    Attributes:
        centers: (speakers, d) unit vectors.
        speakers: index of the speaker of each sound.
        samples, real: (sounds, d) unit vectors of samples and of real held-out clips.
    """

    centers: Tensor
    speakers: Tensor
    samples: Tensor
    real: Tensor

    def of_speaker(self, index: int) -> "Voices":
        """Return the sounds of one speaker."""
        rows = self.speakers == index
        return Voices(self.centers, self.speakers[rows], self.samples[rows], self.real[rows])

    def cosines(self, vectors: Tensor) -> Tensor:
        """Return the cosine of each sound with the center of its speaker."""
        return (vectors * self.centers[self.speakers]).sum(1)

    def is_nearest(self, vectors: Tensor) -> list[bool]:
        """Return whether the nearest center is that of the speaker, for each sound."""
        nearest: list[bool] = ((vectors @ self.centers.T).argmax(1) == self.speakers).tolist()
        return nearest


class SpeakerSimilarity(Metric):
    """How similar samples are to their speaker, relative to how similar real held-out clips are.

    The similarity of a sound is its cosine with the mean of training clips of the speaker, whom the column ``speaker``
    names. The encoder also hears language and recording channel: compare within one data set only.
    """

    media = Sound

    def __init__(self) -> None:
        self.sha256 = ""

    def check(self, context: EvalContext) -> None:
        encoder_weights()

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``speaker_similarity``, ``speaker_cosine`` and ``nearest_speaker``, also those of each speaker.

        Of a model to which a voice was added, ``speaker_match`` says whether it is a clone.

        Raises:
            UserError: a speaker of held-out clips has no training clips.
        """
        self.sha256 = file_hash(encoder_weights())
        encoder = load_encoder()
        texts = held_out_texts(context)
        names, centers = speaker_centers(context, encoder)
        if missing := sorted({each.speaker for each in texts} - set(names)):
            raise UserError(f"'speaker_similarity': there are no training clips of the speaker {missing[0]!r}.")
        voices = Voices(
            centers,
            torch.tensor([names.index(each.speaker) for each in texts]),
            encoder.embed_all(sample_speech(context, texts), "samples"),
            encoder.embed_all(load_recordings(texts), "held-out clips"),
        )
        judge = f"by Resemblyzer (sha256 {self.sha256[:12]})"
        results = voice_results(voices, context.seed, judge)
        if len(names) == 1:
            cosines = voices.cosines(voices.samples), voices.cosines(voices.real)
            if match := speaker_match(context, encoder, texts, centers[0], cosines, judge):
                results["speaker_match"] = match
        else:
            for index in sorted(set(voices.speakers.tolist())):
                found = voice_results(voices.of_speaker(index), context.seed, judge)
                results |= {f"{name}_{list_key(names[index])}": result for name, result in found.items()}
        return results

    def lines(self, context: EvalContext) -> list[str]:
        return [f"voices compared with pretrained.pt of sha256 {self.sha256}"] if self.sha256 else []

    def report_entries(self, context: EvalContext) -> dict[str, Any]:
        return {"speaker_similarity": {"weights_sha256": self.sha256}}


def voice_results(voices: Voices, seed: int, judge: str) -> dict[str, Result]:
    """Return the similarity of samples beside real clips and, if there are several speakers, the nearest one."""
    samples, real = voices.cosines(voices.samples), voices.cosines(voices.real)
    low, high, error = bootstrap_ratio(samples.tolist(), real.tolist(), seed)
    results = {
        "speaker_similarity": Result(
            float(samples.mean() / real.mean()),
            f"cosine of {len(samples)} samples with their speaker, relative to that of held-out clips, 95 % interval "
            f"{low:.3f} to {high:.3f}; {judge}",
            error,
        ),
        "speaker_cosine": mean_result(samples, f"cosine with the mean of training clips of the speaker; {judge}", real),
    }
    if len(voices.centers) > 1:
        results["nearest_speaker"] = proportion_result(
            voices.is_nearest(voices.samples),
            f"share of samples whose nearest of {len(voices.centers)} speakers is theirs; {judge}",
            voices.is_nearest(voices.real),
        )
    return results


def speaker_centers(context: EvalContext, encoder: VoiceEncoder) -> tuple[list[str], Tensor]:
    """Return the speakers of the training data and the means of some of their clips, (speakers, d).

    With an option ``speaker=`` the other speakers are there, too: they could be nearer.
    """
    by_speaker: dict[str, list[SpokenText]] = {}
    for each in recorded_texts(context, original_train(context.source), any_speaker=True):
        by_speaker.setdefault(each.speaker, []).append(each)
    if len(by_speaker) > 1:
        by_speaker.pop("", None)
    centers = [
        normalize(encoder.embed_all(center_clips(clips), f"speaker {name}").mean(0), dim=0)
        for name, clips in by_speaker.items()
    ]
    return list(by_speaker), torch.stack(centers)


def center_clips(clips: Sequence[SpokenText]) -> list[Sound]:
    """Return up to ``NUM_CENTER_CLIPS`` evenly spaced clips, long ones as far as there are any."""
    step = max(1, len(clips) // (2 * NUM_CENTER_CLIPS))
    sounds = load_recordings(clips[::step])
    return sorted(sounds, key=lambda sound: sound.seconds < MIN_SECONDS)[:NUM_CENTER_CLIPS]
