"""Setup of an adapter: the prompts whose answers it keeps, and its new words."""

import sys
from dataclasses import replace

from genai.adapters.lora import LoRA
from genai.cli.compose import CommandConfig
from genai.core.data import PackedDataset, packed_captions
from genai.core.errors import UserError, short_repr
from genai.core.terminal import one_line
from genai.inference.known_prompts import split_prompts
from genai.methods.base import Method
from genai.methods.preservation import Preservation, has_words
from genai.modalities.base import Modality
from genai.modalities.optional import rehearsal
from genai.networks.text_encoder import split_words
from genai.runs.record import PromptsRecord
from genai.runs.run import Run
from genai.training.base import Base


def attach_adapter(adapter: LoRA, method: Method, modality: Modality | None = None) -> None:
    """Give a method the layers of an adapter, and what it has to preserve.

    Args:
        adapter: to attach.
        method: of the base.
        modality: with its state; ``None``: there is none yet.

    Raises:
        UserError: they do not fit.
    """
    adapter.attach(method)
    if adapter.preserve:
        requests = rehearsal(modality, adapter.prompts) if modality else None
        method.preserve_outputs(Preservation(adapter.preserve, adapter.words, adapter.prompts, requests))


def with_base_prompts(config: CommandConfig, base: Base | None, resumed: Run | None) -> CommandConfig:
    """Return the config with the prompts whose answers an adapter keeps: those of the base, or of the resumed run.

    Raises:
        UserError: it keeps answers, and no prompts are known, or those that are given have a new word.
    """
    node = config.values.get("adapter")
    if not node or not node.get("preserve"):
        return config
    words = node.get("words") or []
    if node.get("prompts"):
        if known := next((prompt for prompt in node["prompts"] if has_words(str(prompt), words)), None):
            raise UserError(f"adapter.prompts: {short_repr(known)} has a new word, whose answers change. Leave it out.")
        return config
    if resumed:
        prompts = (resumed.read_config().get("adapter") or {}).get("prompts")
    else:
        prompts = split_prompts(base.prompts if base else None)[0]
        prompts = [prompt for prompt in prompts if not has_words(prompt, words)]
    if not prompts:
        raise UserError(
            "adapter.preserve= keeps the answers to prompts of the base, and its run did not record any. Give some: "
            "adapter.prompts='[red apple, a dog]'"
        )
    return replace(config, values=config.values | {"adapter": {**node, "prompts": prompts}})


def check_new_words(adapter: LoRA, train: PackedDataset, known: PromptsRecord | None) -> None:
    """Look for the new words of an adapter in captions, and print a note about those that the base knows.

    Args:
        adapter: with or without new words.
        train: the training split.
        known: prompts of the base.

    Raises:
        UserError: a word is in none of the captions.
    """
    if not adapter.words:
        return
    words = {word for caption in set(packed_captions(train)) for word in split_words(caption, "unicode")}
    old = set(known.words.split()) if known else set()
    for word in adapter.words:
        if word.lower() not in words:
            raise UserError(
                f"adapter.words: {short_repr(word)} is in no caption of the training data. Write it into captions, or "
                "give data.default_caption= to pictures that have none."
            )
        if word.lower() in old:
            note = f"note: the base has learned the word {short_repr(word)}: a word that it does not know changes less"
            print(one_line(note), file=sys.stderr, flush=True)
