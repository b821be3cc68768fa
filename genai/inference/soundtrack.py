"""Clips with soundtracks: a model of clips and a second model that generates the sound of each."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from genai.core.errors import UserError
from genai.core.progress import ProgressBar
from genai.inference.model import Model, Stream
from genai.inference.part import load_part
from genai.media.clip import Clip
from genai.modalities.optional import check_soundtrack, required_option


class SoundtrackedModel(Model):
    """A model of clips whose samples have a sound, which depends only on the clip and its seed.

    Args:
        model: generates the clips.
        soundtrack_model: generates the sound of each.
    """

    def __init__(self, model: Model, soundtrack_model: Model) -> None:
        super().__init__(
            model.modality,
            model.method,
            model.record,
            model.file,
            model.digest,
            model.step,
            model.notes,
            model.weights,
            model.header,
            model.adapters,
        )
        self.parts = {"ckpt": model, "soundtrack": soundtrack_model}

    @property
    def metrics(self) -> Sequence[str]:
        return ("soundtrack_onsets",)

    def build_options(self, values: Mapping[str, Any], strict: bool = True) -> tuple[Any, Any]:
        """Build the options as ``Model`` does. Raises ``UserError`` also if the samples cannot hold sound."""
        options = super().build_options(values, strict)
        check_soundtrack(self.modality, options[0])
        return options

    def open_stream(self, *args: Any) -> Stream:
        return SoundtrackedStream(self, *args)


class SoundtrackedStream(Stream):
    """Clips in progress without sound; the results have it."""

    def __init__(self, model: SoundtrackedModel, *args: Any) -> None:
        super().__init__(model, *args)
        self.soundtrack_model = model.parts["soundtrack"]

    def iter_results(self, items: Sequence[int] | None = None) -> Iterator[Clip]:
        items = range(len(self.seeds)) if items is None else items
        clips = list(super().iter_results(items))
        return add_soundtracks(self.soundtrack_model, clips, [self.seeds[item] for item in items])


def with_soundtracks(model: Model, source: str | None, **place: Any) -> Model:
    """Compose a model of clips with one that generates their sound.

    Args:
        model: of clips.
        source: run folder or checkpoint file of the soundtrack model; ``None``: ``model`` stays as it is.
        place: further arguments of ``load_part``.

    Raises:
        UserError: there is no such run; it is not a soundtrack model.
    """
    if source is None:
        return model
    soundtrack_model = load_part("soundtrack", source, **place)
    if required_option(soundtrack_model.modality) != "clip":
        raise UserError(
            f"soundtrack={source} is not a soundtrack model. Train one: python -m genai.train modality=audio "
            "data=world_soundtrack"
        )
    return SoundtrackedModel(model, soundtrack_model)


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
