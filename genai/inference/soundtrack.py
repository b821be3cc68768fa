"""The sound of clips by a second model, beside the one that makes the clips: which it is, and what it makes of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from genai.core.errors import UserError
from genai.core.progress import ProgressBar
from genai.inference.model import Model, load
from genai.media.clip import Clip


def model_of(values: Mapping[str, Any], model: Model, options: Mapping[str, Any]) -> Model | None:
    """The model that ``sound=`` means; ``None`` where it is not said.

    Args:
        values: the keys of a command.
        model: that makes the samples, with these ``options``.

    Raises:
        UserError: such samples have no place for a sound; there is no such run; it makes no sound of clips.
    """
    if values["sound"] is None:
        return None
    model.modality.check_sound(model.split_options(options)[0])
    try:
        sound = load(values["sound"], device=values["device"], runs_folder=values["runs"], plugins=values["plugins"])
    except UserError as error:
        raise type(error)(f"sound=: {error}") from error
    if sound.modality.needs != "clip":
        raise UserError(
            f"sound={values['sound']} makes no sound of clips. Train what does: python -m genai.train modality=audio "
            "data=world_soundtrack"
        )
    return sound


def with_sounds(sound: Model, clips: Sequence[Clip], seeds: Sequence[int]) -> Iterator[Clip]:
    """One by one each clip with a sound that the model ``sound`` makes of it, whatever the clips beside it are."""
    with ProgressBar("s of sound", sum(clip.seconds for clip in clips), patience=0) as bar:
        bar.step(0)  # before the first sound a loop may have to be compiled
        for clip, seed in zip(clips, seeds, strict=True):
            stream, before = sound.stream("", seed=seed, clip=clip), 0.0
            for _ in stream:
                bar.step(stream.made - before)
                before = stream.made
            yield clip.with_sound(stream.results()[0])
