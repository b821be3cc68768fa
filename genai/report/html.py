"""The page of ``genai.page`` as HTML: one file that asks nothing of a network, where no prompt can do anything."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from shlex import join
from typing import Any

from genai.report import plots as curves
from genai.runs.run import Run, shell_path

POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
"""What a browser may do with it: no script, no address."""


@dataclass(frozen=True)
class Section:
    """What the page says of one run.

    Attributes:
        run: it is.
        samples: ``{"prompt": ..., "seed": ...}`` of each that is shown, and its HTML.
        made: how many there are.
        folder: that they are in; ``None``: there are none.
        more: the command that makes more of them.
    """

    run: Run
    samples: Sequence[tuple[Mapping[str, Any], str]]
    made: int
    folder: Path | None
    more: str


def html(sections: Sequence[Section]) -> str:
    """The whole page. Raises ``UserError`` where the record or the losses of a run cannot be read."""
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    records = [section.run.record for section in sections]
    names = [str(record.get("modality")) for record in records]
    links = "".join(f"<a href='#{number}'>{_title(name)}</a>" for number, name in enumerate(names))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>genai: {escape(", ".join(names))}</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>genai</h1>
<p>{_summary(records, sum(len(section.samples) for section in sections))}</p>
<nav>{links}</nav>
</header>
<main>
{"".join(_section(number, section) for number, section in enumerate(sections))}</main>
<footer>This page is one file. It asks nothing of a network.</footer>
</body>
</html>
"""


def _summary(records: Sequence[Mapping[str, Any]], count: int) -> str:
    minutes = sum(_real(record.get("seconds")) or 0 for record in records) / 60
    models = "One model" if len(records) == 1 else f"{len(records)} models"
    samples = "one sample" if count == 1 else f"{count} samples"
    return f"{models}, {minutes:,.1f} minutes of training, {samples}, as they came out."


def _section(number: int, section: Section) -> str:
    record = section.run.record
    figures = "".join(_figure(about, inside) for about, inside in section.samples)
    none = "<p>No samples of this run have been made yet. The command below makes some.</p>"
    lines = curves.losses(section.run.folder / "metrics.csv")
    legend = "".join(f"<span class='{name}'>{name} {_number(line[-1][1], 4)}</span>" for name, line in lines.items())
    drawing = curves.drawn(lines, "step", "loss")
    return f"""<section id="{number}">
<h2>{_title(str(record.get("modality")))}</h2>
<p class="data">{escape(str(record.get("data", {}).get("description", "")))}</p>
<div class="samples">{figures or none}</div>
<div class="run">
<div class="facts">{_facts(section)}</div>
<figure class="curves">{drawing or "Nothing was logged."}<figcaption>{legend}</figcaption></figure>
</div>
</section>
"""


def _figure(about: Mapping[str, Any], inside: str) -> str:
    prompt = escape(about["prompt"]) or "<em>no prompt</em>"
    return (
        f"<figure>{inside}<figcaption><span>{prompt}</span> <small>seed {about['seed']}</small></figcaption></figure>\n"
    )


def _facts(section: Section) -> str:
    record = section.run.record
    best = record.get("best")
    best = best if isinstance(best, Mapping) else {}
    minutes = _number((_real(record.get("seconds")) or 0) / 60, 1)
    facts = {
        "Model": f"{record.get('model')}, {_number(record.get('parameters'))} parameters",
        "Training": f"{_number(record.get('steps'))} steps in {minutes} minutes, on {record.get('device')}",
        "Validation loss": f"{_number(best.get('val_loss'), 4)} at best, at step {_number(best.get('step'))}",
        "Samples": _samples(section),
    }
    words = [str(word) for word in record.get("overrides", [])]
    commands = {"Train it": join(["python", "-m", "genai.train", *words]), "More of it": section.more}
    rows = [f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in facts.items()]
    rows += [f"<dt>{name}</dt><dd><pre><code>{escape(text)}</code></pre></dd>" for name, text in commands.items()]
    return f"<dl>{''.join(rows)}</dl>"


def _samples(section: Section) -> str:
    if section.folder is None:
        return "none yet"
    first = "" if len(section.samples) == section.made else f"the first {len(section.samples)} of "
    return f"{first}{section.made} in {shell_path(section.folder)}"


def _title(name: str) -> str:
    return escape(name[:1].upper() + name[1:])


def _number(value: Any, digits: int = 0) -> str:
    """For people: ``"1,380,716"``, ``"0.7290"``; a dash for what a record does not say."""
    number = _real(value)
    return "–" if number is None else f"{number:,.{digits}f}"


def _real(value: Any) -> float | None:
    """A number of a record, which can be a stranger's; ``None``: it is none."""
    return float(value) if isinstance(value, int | float) and abs(value) < 1e15 else None
