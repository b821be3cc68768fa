"""The data card of a run: where its data come from, who may use them, what is in them, and what was left out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from genai.core.caption_choice import all_texts
from genai.core.data import Source, Split
from genai.core.personal_record import PersonalRecord
from genai.core.terminal import one_line
from genai.data.canaries import original_train
from genai.data.origin import data_license, data_name
from genai.report.markdown import markdown_text
from genai.trust.notices import CONSENT, find_notices
from genai.trust.personal_data import PersonalDataReport
from genai.trust.scripts import count_scripts

MISSING, UNKNOWN = "not stated", "not determined"
MAX_ITEMS, MAX_CHARACTERS = 1000, 1_000_000
"""Items, and characters of them all, that are searched for writing systems and personal data."""
MAX_SKIPPED = 100
"""Messages about files that are not used."""
MIN_PART = 0.001
"""Fraction of the letters from which a writing system is in the table."""


def data_card(source: Source) -> dict[str, Any]:
    """Return the card of a run's data as plain values. Texts in it are of strangers, without control characters."""
    path = str(getattr(source, "path", ""))
    fraction = getattr(source, "val_fraction", None)
    notices = find_notices(Path(path).expanduser()) if path else []
    return {
        "name": one_line(data_name(source)),
        "source": one_line(path) or type(source).__name__,
        "content": source.description,
        "license": one_line(data_license(source)) or MISSING,
        "consent": f"see {CONSENT}" if any(notice.name.lower() == CONSENT for notice in notices) else MISSING,
        "splits": {
            split.name: {"items": len(split), "hash": split.content_hash} for split in (source.train, source.val)
        },
        "split_by": source.layout_note or (f"{fraction:g} held out by content" if fraction else MISSING),
        "exact_duplicates": UNKNOWN if source.num_copies is None else source.num_copies,
        "near_duplicates": UNKNOWN if source.num_similar is None else source.num_similar,
        "skipped": {
            "messages": len(source.skipped),
            "first": [one_line(line) for line in source.skipped[:MAX_SKIPPED]],
        },
        "languages": UNKNOWN,
        **_describe_texts(source),
        "notices": [asdict(notice) for notice in notices],
    }


def _describe_texts(source: Source) -> dict[str, Any]:
    """Return what a sample of the texts or captions has: how large it is, writing systems, personal data."""
    texts = _sample_texts(original_train(source), issubclass(source.media, str))
    personal, scripts = PersonalDataReport(), Counter[str]()
    for text in texts:
        personal.add(text)
        scripts += count_scripts(text)
    total = scripts.total()
    return {
        "sample": {"texts": len(texts), "characters": sum(map(len, texts)), "items": len(source.train)},
        "scripts": {name: round(count / total, 4) for name, count in scripts.most_common(10)},
        "personal_data": {
            "counts": dict(personal.counts),
            "texts": personal.num_texts,
            "examples": personal.examples,
            "record": _plain_record(source.personal_record),
        },
    }


def _plain_record(record: PersonalRecord | None) -> dict[str, Any] | None:
    """Return a record as plain values, its texts without control characters: prepared data may be a stranger's."""
    if record is None:
        return None
    counts = {one_line(kind): count for kind, count in record.counts.items()}
    examples = {one_line(kind): [one_line(text) for text in texts] for kind, texts in record.examples.items()}
    return asdict(replace(record, item_name=one_line(record.item_name), counts=counts, examples=examples))


def _sample_texts(split: Split, is_text: bool) -> list[str]:
    """Return the beginnings of texts at even distances; captions of other media only if they need not be loaded.

    Shards on another machine are not fetched for it.
    """
    count = min(len(split), MAX_ITEMS)
    indices = [index * len(split) // count for index in range(count)]
    size = MAX_CHARACTERS // max(1, count)
    if split.prompts is not None:
        captions = dict(enumerate(split.captions))
        texts = (", ".join(all_texts(captions.get(index) or [split.prompts[index]])) for index in indices)
        return [text[:size] for text in texts if text]
    if split.shards is not None and not split.shards.is_local:
        return []
    if is_text:
        return [str(split[index].media)[:size] for index in indices]
    return [text[:size] for index in indices if split.shards is not None and (text := split.shards.prompt(index))]


def format_data_card(card: Mapping[str, Any]) -> str:
    """Return a card as Markdown, with texts of strangers as text."""
    sample, splits = card["sample"], card["splits"]
    scripts = ", ".join(f"{name} {part:.1%}" for name, part in card["scripts"].items() if part >= MIN_PART)
    examples = [text for texts in card["personal_data"]["examples"].values() for text in texts]
    rows = {
        "source": card["source"],
        "content": card["content"],
        "license": card["license"],
        "consent": card["consent"],
        **{f"{name}, items": f"{split['items']:,}" for name, split in splits.items()},
        **{f"{name}, hash": split["hash"] for name, split in splits.items()},
        "split by": card["split_by"],
        "exact duplicates": str(card["exact_duplicates"]),
        "near-duplicates": str(card["near_duplicates"]),
        "languages": card["languages"],
        "writing systems": scripts or UNKNOWN,
        "personal data": _describe_personal(card["personal_data"], bool(sample["texts"])),
        "personal data, examples": ", ".join(examples),
        "sample": f"{sample['characters']:,} characters of {sample['texts']:,} of {sample['items']:,} training items "
        "were searched for writing systems and personal data",
    }
    lines = [f"# Data of this run: {markdown_text(card['name'] or card['source'])}", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {markdown_text(value)} |" for name, value in rows.items() if value]
    lines += _skipped_lines(card["skipped"]["first"], card["skipped"]["messages"])
    for notice in card["notices"]:
        lines += [
            "",
            f"## {markdown_text(notice['name'])}",
            "",
            *(f"    {line}" for line in notice["text"].split("\n")),
        ]
    return "\n".join([*lines, ""])


def _describe_personal(card: Mapping[str, Any], has_texts: bool) -> str:
    """Return what was done about personal data in all texts, and what is in the sample of those that are used."""
    counts = ", ".join(f"{count:,} {kind}" for kind, count in card["counts"].items()) or "none found"
    if not (record := card.get("record")):
        return counts if has_texts else "not searched: no texts at hand"
    sample = f"; in the sample, of what is trained on: {counts}" if has_texts else ""
    return f"in all texts: {PersonalRecord(**record)}{sample}"


def _skipped_lines(messages: Sequence[str], count: int) -> list[str]:
    if not count:
        return []
    more = [f"- {count - len(messages):,} more"] * (count > len(messages))
    return ["", "## Not used", "", *(f"- {markdown_text(message)}" for message in messages), *more]
