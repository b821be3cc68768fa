"""What a speech model knows of its recordings: phones, speakers, languages, their statistics, and how to align."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, cast

import numpy as np
import torch
from annotated_types import Ge, Le, Len
from numpy.typing import NDArray
from torch import Tensor

from genai.core.cache import cache_key
from genai.core.errors import UserError, short_repr, short_text
from genai.core.instantiate import validate_value
from genai.core.terminal import one_line
from genai.modalities.speech_decoder import Voice
from genai.speech.aligner import MIN_SCALE, NUM_CEPSTRA
from genai.speech.lexicon import MAX_SYMBOL
from genai.speech.phone_table import PhoneTable
from genai.speech.phones import PAUSE, Phone
from genai.speech.voice_frames import NUM_BANDS

MAX_SYMBOLS, MAX_SPEAKERS, MAX_LANGUAGES, MAX_WORDS = 2_000, 10_000, 500, 150_000
MAX_NAME = 200
"""Longest name of a speaker, in characters."""
Name = Annotated[str, Len(0, MAX_NAME)]
Symbols = Annotated[list[Annotated[str, Len(1, MAX_SYMBOL)]], Len(1, MAX_SYMBOLS)]
MAX_WRITTEN_PHONES = 4_000
"""Longest pronunciation of a word, in characters."""
MIN_STD = 1e-3
"""Lowest deviation of a column."""
STATES_PER_PHONE = 3
"""Parts of a phone for the aligner."""
LARGEST = 1e4
"""Largest number in statistics: logarithms, decibels."""


@dataclass(frozen=True, eq=False)
class SpeechState:
    """What ``Speech.fit`` determines.

    Attributes:
        symbols: phones; the first is a pause.
        speakers, languages: names; the speaker with most recordings is the first.
        speaker_languages: the language of each speaker, as its number.
        source: where phones come from.
        lexicon: phones of words that are pronounced in another way; empty: none.
        means, stds: (speakers, ``NUM_BANDS`` + 2), see ``Voice``.
        mean_log_durations: (symbols,), mean logarithm of the frames of each phone.
        aligner: numbers of the aligner, by name.
        main_speaker: number of the speaker of texts and recordings that name none or another: the new voice of a clone.
    """

    symbols: tuple[str, ...]
    speakers: tuple[str, ...]
    languages: tuple[str, ...]
    speaker_languages: tuple[int, ...]
    source: Literal["espeak", "letters"]
    lexicon: Mapping[str, tuple[Phone, ...]]
    means: NDArray[np.float32]
    stds: NDArray[np.float32]
    mean_log_durations: NDArray[np.float32]
    aligner: Mapping[str, Any]
    main_speaker: int = 0

    @cached_property
    def table(self) -> PhoneTable:
        """Numbers of the phones."""
        return PhoneTable(self.symbols)

    @cached_property
    def digest(self) -> str:
        """Hash of all of it."""
        plain = self.to_plain()
        arrays = {name: value.tolist() for name, value in _tensors(plain).items()}
        return cache_key({**{name: value for name, value in plain.items() if name not in arrays}, **arrays})

    def voice(self, speaker: int) -> Voice:
        """Return the sound of a speaker, by its number."""
        return Voice(self.means[speaker], self.stds[speaker])

    def speaker_number(self, name: str) -> int:
        """Return the number of a speaker; that of the main one for one that training never heard."""
        return self.speakers.index(name) if name in self.speakers else self.main_speaker

    def language_number(self, name: str) -> int:
        """Return the number of a language; 0 for one that training never heard."""
        return self.languages.index(name) if name in self.languages else 0

    def check(self) -> "SpeechState":
        """Return it if ``from_plain`` can read it, so that what is trained can be loaded. Raises ``UserError``."""
        try:
            self.from_plain(self.to_plain())
        except (UserError, ValueError) as error:
            raise UserError(f"data: no voice can be learned from it: {short_text(str(error)).rstrip('.')}.") from error
        return self

    def to_plain(self) -> dict[str, Any]:
        """Return it as plain types and tensors."""
        return {
            "symbols": list(self.symbols),
            "speakers": list(self.speakers),
            "languages": list(self.languages),
            "speaker_languages": list(self.speaker_languages),
            "main_speaker": self.main_speaker,
            "source": self.source,
            "lexicon": {word: _write_phones(phones) for word, phones in self.lexicon.items()},
            "means": torch.from_numpy(self.means.copy()),
            "stds": torch.from_numpy(self.stds.copy()),
            "mean_log_durations": torch.from_numpy(self.mean_log_durations.copy()),
            **{f"aligner_{name}": torch.from_numpy(np.array(value)) for name, value in self.aligner.items()},
        }

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> "SpeechState":
        """Check and read what ``to_plain`` returned, perhaps a stranger's. Raises ``UserError``, ``ValueError``."""
        symbols = validate_value(values["symbols"], Symbols, "symbols")
        speakers = validate_value(values["speakers"], Annotated[list[Name], Len(1, MAX_SPEAKERS)], "speakers")
        languages = validate_value(values["languages"], Annotated[list[Name], Len(1, MAX_LANGUAGES)], "languages")
        number = Annotated[int, Ge(0), Le(len(languages) - 1)]
        places = validate_value(
            values["speaker_languages"],
            Annotated[list[number], Len(len(speakers), len(speakers))],
            "speaker_languages",
        )
        main = validate_value(
            values.get("main_speaker", 0), Annotated[int, Ge(0), Le(len(speakers) - 1)], "main_speaker"
        )
        source = validate_value(values["source"], Literal["espeak", "letters"], "source")
        lexicon = validate_value(
            values["lexicon"],
            Annotated[dict[Annotated[str, Len(1, 200)], Annotated[str, Len(2, MAX_WRITTEN_PHONES)]], Len(0, MAX_WORDS)],
            "lexicon",
        )
        for names in (symbols, speakers, languages):
            if len(set(names)) < len(names):
                raise ValueError("a name is there twice")
            _check_characters(names)
        if symbols[0] != PAUSE:
            raise ValueError("the first phone is no pause")
        shape = (len(speakers), NUM_BANDS + 2)
        stds = _array(values, "stds", shape)
        if stds.min() < MIN_STD:
            raise ValueError(f"stds should be {MIN_STD} or more")
        aligner = {
            name.removeprefix("aligner_"): _any_array(value, name)
            for name, value in values.items()
            if name.startswith("aligner_")
        }
        _check_aligner(aligner, len(symbols))
        return cls(
            tuple(symbols),
            tuple(speakers),
            tuple(languages),
            tuple(places),
            cast(Literal["espeak", "letters"], source),
            {word: _read_phones(text) for word, text in lexicon.items()},
            _array(values, "means", shape),
            stds,
            _array(values, "mean_log_durations", (len(symbols),)),
            aligner,
            main,
        )


def _check_aligner(arrays: Mapping[str, NDArray[Any]], num_symbols: int) -> None:
    """Raise ``ValueError`` if the numbers of an aligner do not fit each other."""
    features, states = 2 * NUM_CEPSTRA + 1, 1 + STATES_PER_PHONE * num_symbols
    shapes = {"mean": (features,), "scale": (features,), "means": (states, features)}
    shapes |= {"precisions": (states, features), "offsets": (states,)}
    if {name: array.shape for name, array in arrays.items()} != shapes or arrays["scale"].min() < MIN_SCALE:
        raise ValueError("the numbers of the aligner do not fit each other")


def _write_phones(phones: tuple[Phone, ...]) -> str:
    """Return phones as a text: ``"h0 oʊ1"``."""
    return " ".join(f"{phone.symbol}{phone.stress}" for phone in phones)


def _read_phones(text: str) -> tuple[Phone, ...]:
    """Read what ``_write_phones`` returned. Raises ``ValueError``."""
    phones = []
    for part in text.split():
        if len(part) < 2 or part[-1] not in "012":
            raise ValueError(f"{short_repr(part)} is no phone with its stress")
        if len(part) > MAX_SYMBOL + 1:
            raise ValueError(f"{short_repr(part)} is too long for a phone")
        phones.append(Phone(part[:-1], cast(Literal[0, 1, 2], int(part[-1]))))
    _check_characters([phone.symbol for phone in phones])
    if not phones:
        raise ValueError("a word of the lexicon has no phones")
    return tuple(phones)


def _check_characters(names: Sequence[str]) -> None:
    """Raise ``ValueError`` for a name with control characters or line breaks."""
    for name in names:
        if one_line(name) != name:
            raise ValueError(f"{short_repr(name)} has control characters")


def _tensors(plain: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: value for name, value in plain.items() if isinstance(value, Tensor)}


def _array(values: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return a tensor of a state as numbers. Raises ``ValueError`` for another shape or numbers out of range."""
    array = _any_array(values[name], name)
    if array.shape != shape or array.dtype != np.float32:
        raise ValueError(f"{name} is {array.shape}, not {shape}")
    return array


def _any_array(value: Any, name: str) -> NDArray[Any]:
    if not isinstance(value, Tensor) or value.dtype not in (torch.float32, torch.float64) or value.is_sparse:
        raise ValueError(f"{name} has no numbers")
    if not value.numel() or not value.isfinite().all() or value.abs().max().item() > LARGEST:
        raise ValueError(f"{name} has numbers out of range")
    return value.detach().cpu().contiguous().numpy().copy()
