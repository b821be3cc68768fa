"""Soundtracks for generated clips, by a second model."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from genai.core.errors import UserError
from genai.core.progress import ProgressBar
from genai.inference.model import Model, load
from genai.media.clip import Clip


def load_soundtrack_model(
    source: str | None,
    model: Model,
    options: Mapping[str, Any],
    *,
    device: str = "auto",
    runs_folder: str = "runs",
    plugins: Sequence[str] = (),
) -> Model | None:
    """Load the soundtrack model ``source``; ``None`` if it is ``None``.

    Args:
        source: a run folder or a checkpoint file.
        model: the model that generates the samples.
        options: of the samples.
        device, runs_folder, plugins: see ``load``.

    Raises:
        UserError: the samples cannot hold sound; there is no such run; it is not a soundtrack model.
    """
    if source is None:
        return None
    model.modality.check_soundtrack(model.build_options(options)[0])
    try:
        soundtrack_model = load(source, device=device, runs_folder=runs_folder, plugins=plugins)
    except UserError as error:
        raise type(error)(f"soundtrack=: {error}") from error
    if soundtrack_model.modality.required_option != "clip":
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
