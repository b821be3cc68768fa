"""Texts that a model is asked to read aloud, with the recordings of real people who read them."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from genai.core.data import Split
from genai.core.errors import UserError, short_repr, short_text
from genai.core.files import read_text
from genai.core.plain_data import parse_json
from genai.data.canaries import original_train
from genai.media.sound import Sound
from genai.metrics.base import EvalContext

SPEAKER, LANGUAGE = "speaker", "language"
"""Columns of the data, and options of models with several voices."""
MAX_SENTENCES = 2_000
"""Longest list of sentences."""


@dataclass(frozen=True)
class SpokenText:
    """A text to read aloud.

    Attributes:
        text: as a prompt.
        speaker: who reads it; "" if it is not known.
        language: as the data name it; "" if they do not.
        recording: loads a real recording of it; ``None``: there is none.
    """

    text: str
    speaker: str = ""
    language: str = ""
    recording: Callable[[], Sound] | None = None


def held_out_texts(context: EvalContext) -> list[SpokenText]:
    """Return the captions of up to ``n`` held-out clips, with these clips. Raises ``UserError`` if there are none."""
    texts = recorded_texts(context, context.source.val)
    if not texts:
        raise UserError("these data have no held-out clips with captions that say what is spoken.")
    order = np.random.default_rng(context.seed).permutation(len(texts))[: context.n]
    return [texts[index] for index in sorted(order.tolist())]


def recorded_texts(context: EvalContext, split: Split, any_speaker: bool = False) -> list[SpokenText]:
    """Return the captions of a split with their clips: of the judged language and, with ``speaker=``, that speaker."""
    prompts = split.prompts if split.prompts is not None else [split.prompt(index) for index in range(len(split))]
    speakers, languages = map(split.column, (SPEAKER, LANGUAGE))
    selected = None if any_speaker else context.options.get(SPEAKER)
    return [
        SpokenText(prompt, speaker, language, partial(_load_sound, split, index))
        for index, (prompt, speaker, language) in enumerate(zip(prompts, speakers, languages, strict=False))
        if re.search(r"\w", prompt)
        and (not language or _base(language) == _base(context.judge.language))
        and (selected is None or speaker in ("", str(selected)))
    ]


def _base(language: str) -> str:
    """Return "en" for "en-US"."""
    return language.replace("_", "-").partition("-")[0].casefold()


def _load_sound(split: Split, index: int) -> Sound:
    sound: Sound = split[index].media
    return sound


def listed_texts(context: EvalContext, words: Callable[[str], Any]) -> dict[str, list[SpokenText]]:
    """Return the sentences of ``judge.sentences`` by the names of their lists, with recordings of the same words.

    Args:
        words: words of a text, which may be written in different ways. They are compared.
    """
    recordings: dict[Any, SpokenText] = {}
    trained = set()
    for split in (original_train(context.source), context.source.val):
        for each in recorded_texts(context, split):
            recordings[words(each.text)] = each
            if split is not context.source.val:
                trained.add(words(each.text))
    lists = {}
    for name, texts in read_sentences(Path(context.judge.sentences or "").expanduser()).items():
        found = [recordings.get(words(text)) for text in texts]
        lists[name] = [
            replace(each, text=text) if each else SpokenText(text) for text, each in zip(texts, found, strict=True)
        ]
        if context.own_data and (count := sum(words(text) in trained for text in texts)):
            context.note(f"{count} of {len(texts)} sentences of {name} are in the training data")
    return lists


def read_sentences(path: Path) -> dict[str, list[str]]:
    """Read ``{"A": ["a sentence", {"text": "another one"}]}``. Raises ``UserError``, naming the file."""
    data = parse_json(read_text(path, "prompts"), str(path))
    if not isinstance(data, dict) or not data or not all(isinstance(value, list) and value for value in data.values()):
        raise UserError(f'judge.sentences={path}: it should hold lists of sentences by name, {{"A": ["a sentence"]}}.')
    lists = {}
    for name, entries in data.items():
        texts = [entry.get("text") if isinstance(entry, dict) else entry for entry in entries]
        wrong = [
            entry
            for entry, text in zip(entries, texts, strict=True)
            if not isinstance(text, str) or not re.search(r"\w", text)
        ]
        if wrong:
            raise UserError(f"judge.sentences={path}: in {short_text(name)} {short_repr(wrong[0])} is no sentence.")
        if len(texts) > MAX_SENTENCES:
            raise UserError(f"judge.sentences={path}: {short_text(name)} has more than {MAX_SENTENCES:,} sentences.")
        lists[str(name)] = [" ".join(str(text).split()) for text in texts]
    keys = [list_key(name) for name in lists]
    if len(set(keys)) < len(keys) or not all(keys):
        raise UserError(f"judge.sentences={path}: the names of its lists should differ in letters or digits.")
    return lists


def list_key(name: str) -> str:
    """Return the name of a list as a part of the names of results."""
    return re.sub(r"\W+", "_", name).strip("_")


def sample_speech(context: EvalContext, texts: Sequence[SpokenText]) -> list[Sound]:
    """Return a sample of the model for each text; one of several voices reads it with that of its speaker."""
    parts = (context.model.modality, context.model.method)
    names = {field.name for part in parts if hasattr(part, "Options") for field in fields(part.Options)}
    options = [
        {
            name: value
            for name, value in ((SPEAKER, each.speaker), (LANGUAGE, each.language))
            if value and name in names and not {SPEAKER, LANGUAGE} & context.options.keys()
        }
        for each in texts
    ]
    samples: list[Any] = [None] * len(texts)
    for voice in {str(each): each for each in options}.values():
        rows = [index for index, each in enumerate(options) if each == voice]
        for row, sample in zip(rows, context.samples([texts[row].text for row in rows], **voice), strict=True):
            samples[row] = sample
    return samples


def load_recordings(texts: Iterable[SpokenText]) -> list[Sound]:
    """Return the recordings of those texts that have one."""
    return [each.recording() for each in texts if each.recording is not None]
