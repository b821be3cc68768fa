"""What the card of a model tells of its data: a summary of the data card, without paths and quotes of people."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, TypeVar

from annotated_types import Ge, Le

from genai.core.errors import UserError, short_text
from genai.core.personal_record import DONE
from genai.core.plain_data import parse_json
from genai.core.terminal import terminal_text
from genai.report.markdown import format_number, markdown_table, markdown_text
from genai.runs.evaluation import Count, read_fitting
from genai.runs.record import RunRecord, read_mapping
from genai.runs.run import Run

DATA_CARD = "data_card.json"
UNKNOWN = "not recorded"
OPT_OUTS = ("robots.txt", "ai.txt", "noai.txt", "opt-out.txt", "optout.txt", "tdmrep.json")
"""Notices that reserve rights against text and data mining; other ones are named, not quoted."""
MAX_LINES, MAX_CHARACTERS = 12, 600
"""Of an opt-out that are quoted."""
MIN_SCRIPT = 0.001
"""Fraction of the letters from which a writing system is named."""
MAX_NAMES = 20
"""Writing systems, kinds of personal data and files that are named."""
Fraction = Annotated[float, Ge(0), Le(1)]
T = TypeVar("T")


@dataclass(frozen=True)
class DataSummary:
    """A summary of a data card.

    Attributes:
        consent, split_by, languages: as on the data card.
        exact_duplicates, near_duplicates: numbers of items, or why they are not known.
        scripts: writing systems, with their fractions of the letters.
        personal_data: numbers of finds by kind.
        personal_action: what was found in all texts, and what was done about it; "": they were not searched.
        num_texts, num_characters: of the sample in which the two before were looked for.
        skipped: number of messages about what is not used.
        notices: names of files such as LICENSE that are beside the data.
        opt_outs: beginnings of those that reserve rights, by name.
    """

    consent: str = UNKNOWN
    split_by: str = UNKNOWN
    languages: str = UNKNOWN
    exact_duplicates: Count | str = UNKNOWN
    near_duplicates: Count | str = UNKNOWN
    scripts: dict[str, Fraction] = field(default_factory=dict)
    personal_data: dict[str, Count] = field(default_factory=dict)
    personal_action: str = ""
    num_texts: Count = 0
    num_characters: Count = 0
    skipped: Count = 0
    notices: list[str] = field(default_factory=list)
    opt_outs: dict[str, str] = field(default_factory=dict)


def read_data_summary(record: RunRecord, run: Run | None) -> DataSummary | None:
    """Return the summary of a run's data card, or the one that an exported model has; ``None``: there is none."""
    if run is None or record.data_card:
        return _limit_names(read_fitting(DataSummary, record.data_card))
    try:
        card = read_mapping(run.folder / DATA_CARD, "record", parse_json)
    except UserError:
        return None
    return _summarize(card) if card else None


def _summarize(card: Mapping[str, Any]) -> DataSummary | None:
    sample, personal, skipped = (_mapping(card, name) for name in ("sample", "personal_data", "skipped"))
    notices = _notices(card.get("notices"))
    values = {
        **card,
        "personal_data": personal.get("counts"),
        "personal_action": _describe_action(_mapping(personal, "record")),
        "num_texts": sample.get("texts"),
        "num_characters": sample.get("characters"),
        "skipped": skipped.get("messages"),
        "notices": [name for name, _ in notices],
        "opt_outs": {name: _quote(text) for name, text in notices if name.lower() in OPT_OUTS},
    }
    return _limit_names(read_fitting(DataSummary, values))


def _notices(values: Any) -> list[tuple[str, str]]:
    """Return names and texts of the files beside the data."""
    notices = [value for value in values if isinstance(value, Mapping)] if isinstance(values, list) else []
    pairs = [(notice.get("name"), notice.get("text")) for notice in notices[:MAX_NAMES]]
    return [(name, text) for name, text in pairs if isinstance(name, str) and isinstance(text, str)]


def _limit_names(summary: DataSummary | None) -> DataSummary | None:
    """Return a summary with at most ``MAX_NAMES`` names of each kind, which are short, on one line and not empty."""
    if summary is None:
        return None
    return replace(
        summary,
        scripts=_with_short_names(summary.scripts),
        personal_data=_with_short_names(summary.personal_data),
        notices=list(_with_short_names(dict.fromkeys(summary.notices))),
        opt_outs={name: _quote(text) for name, text in _with_short_names(summary.opt_outs).items()},
    )


def _with_short_names(values: Mapping[str, T]) -> dict[str, T]:
    return {short_text(name): value for name, value in list(values.items())[:MAX_NAMES] if name}


def _describe_action(record: Mapping[str, Any]) -> str:
    """Return what ``data.personal=`` found and did, as far as it is recorded."""
    mode = record.get("mode")
    if not isinstance(mode, str) or mode not in DONE:
        return ""
    finds = _with_short_names(_mapping(record, "counts"))
    counts = ", ".join(f"{count:,} {kind}" for kind, count in finds.items() if type(count) is int)
    return f"{counts}: {DONE[mode]}" if counts else "none found"


def _mapping(card: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = card.get(name)
    return value if isinstance(value, Mapping) else {}


def _quote(text: str) -> str:
    lines = terminal_text(text[:MAX_CHARACTERS]).strip().split("\n")
    begin = "\n".join(lines[:MAX_LINES])
    return begin + "\n..." * (len(begin) < len(text.strip()))


def data_lines(record: RunRecord, summary: DataSummary | None) -> Iterator[str]:
    """Yield the section of a card about the data, as Markdown."""
    data = record.data
    counts = f"{data.train:,} for training, {data.val:,} held out" if data.train else UNKNOWN
    rows = {
        "source": data.name or UNKNOWN,
        "content": data.description or UNKNOWN,
        "license": data.license or "not stated (data.license= of the training states it)",
        "items": counts,
        **(_summary_rows(summary) if summary else {"data card": "none: this run has no data_card.json"}),
        **({"consent": "; ".join(map(str, record.consent[:MAX_NAMES]))} if record.consent else {}),
        "hash, training": data.hash or UNKNOWN,
        "hash, held out": data.hash_val or UNKNOWN,
    }
    yield from markdown_table(("", ""), ((name, markdown_text(value)) for name, value in rows.items()))
    for name, text in list(summary.opt_outs.items() if summary else ())[: len(OPT_OUTS)]:
        yield from ("", f"{markdown_text(name)} beside the data says, which genai quotes and does not interpret:", "")
        yield from (f"    {line}" for line in _quote(text).split("\n"))


def _summary_rows(summary: DataSummary) -> dict[str, str]:
    scripts = ", ".join(f"{name} {part:.1%}" for name, part in summary.scripts.items() if part >= MIN_SCRIPT)
    personal = ", ".join(f"{count:,} {kind}" for kind, count in summary.personal_data.items())
    sample = f"in {summary.num_characters:,} characters of {summary.num_texts:,} items"
    no_texts = "not searched: no texts at hand"
    others = [name for name in summary.notices if name not in summary.opt_outs]
    return {
        "consent": summary.consent,
        "split by": summary.split_by,
        "exact duplicates": _count(summary.exact_duplicates),
        "near-duplicates": _count(summary.near_duplicates),
        "languages": summary.languages,
        "writing systems": (scripts or "no letters found") if summary.num_texts else no_texts,
        "personal data": f"{personal or 'none found'}, {sample}" if summary.num_texts else no_texts,
        **({"personal data, all texts": summary.personal_action} if summary.personal_action else {}),
        "files or rows not used": format_number(summary.skipped) if summary.skipped else "none",
        "opt-outs": ", ".join(summary.opt_outs) or "no file beside the data states one",
        "other files beside the data": ", ".join(others) or "none that state licenses or terms",
    }


def _count(value: int | str) -> str:
    return value if isinstance(value, str) else format_number(value)
