"""Soundtracks for generated clips, by a second model."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from genai.core.errors import UserError
from genai.core.progress import ProgressBar
from genai.inference.model import Model, load
from genai.media.clip import Clip
from genai.modalities.optional import check_soundtrack, required_option


def load_soundtrack_model(values: Mapping[str, Any], model: Model, options: Mapping[str, Any]) -> Model | None:
    """Load the soundtrack model that the key ``soundtrack`` names; ``None`` if it is not set.

    Args:
        values: the config of a command.
        model: the model that generates the samples.
        options: of the samples.

    Raises:
        UserError: the samples cannot hold sound; there is no such run; it is not a soundtrack model.
    """
    source = values["soundtrack"]
    if source is None:
        return None
    check_soundtrack(model.modality, model.build_options(options)[0])
    try:
        soundtrack_model = load(source, device=values["device"], runs_folder=values["runs"], plugins=values["plugins"])
    except UserError as error:
        raise type(error)(f"soundtrack=: {error}") from error
    if required_option(soundtrack_model.modality) != "clip":
        raise UserError(
            f"soundtrack={source} is not a soundtrack model. Train one: python -m genai.train modality=audio "
            "data=world_soundtrack"
        )
    return soundtrack_model


def add_soundtracks(soundtrack_model: Model, clips: Sequence[Clip], seeds: Sequence[int]) -> Iterator[Clip]:
    """Yield each clip with a generated sound, which depends only on the clip and its seed."""
    with ProgressBar("s of sound", sum(clip.seconds for clip in clips), delay=0) as bar:
        bar.step(0)  # a loop may have to be compiled before the first sound
        for clip, seed in zip(clips, seeds, strict=True):
            stream, previous_length = soundtrack_model.stream("", seed=seed, clip=clip), 0.0
            for _ in stream:
                bar.step(stream.length - previous_length)
                previous_length = stream.length
            yield clip.with_sound(stream.results()[0])
