"""What only some modalities can do, as protocols, and the functions through which the rest of genai asks for it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from genai.core.batch import Request
from genai.core.data import Source, Split
from genai.core.errors import UserError
from genai.media.base import StreamWriter
from genai.modalities.base import Decoder, Modality


@runtime_checkable
class HasLength(Protocol):
    """Its samples grow over time.

    Attributes:
        unit: of a sample's length in progress messages.
        elements_per_unit: tensor elements of a sample per ``unit``.
    """

    unit: str
    elements_per_unit: float


@runtime_checkable
class HasStreamWriter(Protocol):
    """Its samples can be played while they are generated."""

    def stream_writer(self, path: Path, initial: Any) -> StreamWriter | None: ...


@runtime_checkable
class HasChatTemplate(Protocol):
    """Its models may chat.

    Attributes:
        chat_template: how messages become a text; ``None``: this model does not chat.
    """

    chat_template: Any


@runtime_checkable
class HasRequiredOption(Protocol):
    """Its models cannot sample without an option.

    Attributes:
        required_option: its name: ``init`` for enhancement, ``clip`` for soundtracks; "": none.
    """

    required_option: str


@runtime_checkable
class HasSoundtracks(Protocol):
    """Its samples can have a soundtrack."""

    def check_soundtrack(self, options: Any) -> None: ...


@runtime_checkable
class HasRequestNotes(Protocol):
    """It has notes about requests."""

    def request_notes(self, init: Any, options: Any) -> list[str]: ...


@runtime_checkable
class ReadsPrompts(Protocol):
    """Its samples say their prompts, without which there is nothing to make."""

    reads_prompts: bool


@runtime_checkable
class HasOptionChoices(Protocol):
    """Some of its options are names that a model has learned.

    Attributes:
        option_choices: the names, by option.
    """

    @property
    def option_choices(self) -> Mapping[str, Sequence[str]]: ...


@runtime_checkable
class HasPromptNotes(Protocol):
    """It has notes about prompts."""

    def prompt_notes(self, prompts: Sequence[str], options: Any) -> list[str]: ...


@runtime_checkable
class HasPromptWords(Protocol):
    """Its networks read some parts of prompts, such as notes, otherwise than as words."""

    def prompt_words(self, prompt: str) -> str: ...


@runtime_checkable
class HasSampleNotes(Protocol):
    """It has notes about finished samples."""

    def sample_notes(self, samples: Sequence[Any]) -> list[str]: ...


@runtime_checkable
class HasVoices(Protocol):
    """A voice can be added to those of a trained model.

    Attributes:
        added_voice: name of the one that was added last; ``None``: none was.
        other_voices: names of those that were there before.
    """

    added_voice: str | None
    other_voices: list[str]

    def add_voice(self, split: Split, cache: Path, name: str, folder: str) -> None: ...

    def rehearsal(self, prompts: Sequence[str]) -> list[Request]: ...


@runtime_checkable
class HasTargets(Protocol):
    """Only parts of some of its media are learned."""

    def target_parts(self, media: Any) -> list[tuple[str, bool]] | None: ...


@runtime_checkable
class HasCompatibleModalities(Protocol):
    """A new training can start from weights and statistics of the modalities with these full class names."""

    compatible_modalities: tuple[str, ...]


@runtime_checkable
class HasSizeOptions(Protocol):
    """Smaller values of these arguments make it need less memory."""

    size_options: tuple[str, ...]


@runtime_checkable
class HasLogProbs(Protocol):
    """A decoder that records log-probabilities (n, classes) of classes ``x`` (n,)."""

    def push_log_probs(self, x: Tensor, log_probs: Tensor) -> None: ...


def push_log_probs(decoder: Decoder, x: Tensor, log_probs: Tensor) -> None:
    """Tell a decoder the log-probabilities (n, classes) of classes ``x`` (n,), if it records them."""
    if isinstance(decoder, HasLogProbs):
        decoder.push_log_probs(x, log_probs)


def size_options(modality: Modality) -> tuple[str, ...]:
    """Return the names of arguments whose smaller values need less memory."""
    return modality.size_options if isinstance(modality, HasSizeOptions) else ()


def length_unit(modality: Modality) -> tuple[str | None, float]:
    """Return the unit of a sample's length, ``None`` if samples have no length to report, and elements per unit."""
    return (modality.unit, modality.elements_per_unit) if isinstance(modality, HasLength) else (None, 1.0)


def stream_writer(modality: Modality, path: Path, initial: Any) -> StreamWriter | None:
    """Open a file that can be played during generation, starting with ``initial``; ``None``: unsupported."""
    return modality.stream_writer(path, initial) if isinstance(modality, HasStreamWriter) else None


def required_option(modality: Modality) -> str:
    """Return the name of the option that its models cannot sample without; "": none."""
    return modality.required_option if isinstance(modality, HasRequiredOption) else ""


def has_chat_template(modality: Modality) -> bool:
    """Return whether its model was trained on conversations."""
    return isinstance(modality, HasChatTemplate) and modality.chat_template is not None


def check_soundtrack(modality: Modality, options: Any) -> None:
    """Raise ``UserError`` if samples made with these ``Options`` cannot hold a soundtrack."""
    if not isinstance(modality, HasSoundtracks):
        name = type(modality).__name__.lower()
        raise UserError(f"soundtrack=: only clips can have a soundtrack, not {name}. Leave it out.")
    modality.check_soundtrack(options)


def request_notes(modality: Modality, prompts: Sequence[str], init: Any, options: Any) -> list[str]:
    """Return notes for the user about these prompts, the media ``init`` and ``Options``, a line each."""
    notes = modality.prompt_notes(prompts, options) if isinstance(modality, HasPromptNotes) else []
    return notes + (modality.request_notes(init, options) if isinstance(modality, HasRequestNotes) else [])


def prompt_words(modality: Modality, prompt: str) -> str:
    """Return the part of a prompt that the prompt encoder reads."""
    return modality.prompt_words(prompt) if isinstance(modality, HasPromptWords) else prompt


def sample_notes(modality: Modality, samples: Sequence[Any]) -> list[str]:
    """Return notes for the user about finished samples, a line each."""
    return modality.sample_notes(samples) if isinstance(modality, HasSampleNotes) else []


def compatible_modalities(modality: Modality) -> tuple[str, ...]:
    """Return full class names of other modalities whose weights and statistics a new training can start from."""
    return modality.compatible_modalities if isinstance(modality, HasCompatibleModalities) else ()


def add_voice(modality: Modality, source: Source, cache: Path, name: str) -> None:
    """Add the voice of the training split to a restored modality. Raises ``UserError`` if it cannot be added.

    Args:
        modality: of the base.
        source: recordings of one speaker.
        cache: folder for what is computed.
        name: of the voice; ``auto``: the data or their folder say it.
    """
    if not isinstance(modality, HasVoices):
        raise UserError("adapter.speaker: this model has no voices, as those of model=tts have. Leave it out.")
    files = source.media_files()
    modality.add_voice(source.train, cache, name, files[0].resolve().name if files else "new")


def added_voice(modality: Modality) -> tuple[str | None, list[str]]:
    """Return the name of the voice that was added last, ``None`` if none was, and those that were there before."""
    return (modality.added_voice, modality.other_voices) if isinstance(modality, HasVoices) else (None, [])


def rehearsal(modality: Modality, prompts: Sequence[str]) -> list[Request]:
    """Return requests to say ``prompts`` with the voices that were there before one was added; empty: none was."""
    return modality.rehearsal(prompts) if isinstance(modality, HasVoices) else []


def watermark_tokenizer(modality: Modality) -> Callable[[str], Sequence[int]] | None:
    """Return what splits texts into tokens to search them for a watermark; ``None`` if it makes no texts."""
    return getattr(modality, "watermark_tokens", None)


def target_parts(modality: Modality, media: Any) -> list[tuple[str, bool]] | None:
    """Return the parts of ``media`` as texts, and whether they are learned; ``None``: all of it is learned."""
    return modality.target_parts(media) if isinstance(modality, HasTargets) else None
