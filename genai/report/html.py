"""HTML of ``genai.page``: a single file that loads nothing from a network and in which no prompt can run code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from shlex import join
from typing import Any

from genai.data.in_memory import TARGET
from genai.report.paths import public_path, public_text, public_word
from genai.report.plots import line_chart, line_classes, read_losses
from genai.runs.record import RunRecord
from genai.runs.run import Run

CONTENT_SECURITY_POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
"""Permissions of the page in a browser: no scripts, no network."""


@dataclass(frozen=True)
class Section:
    """Content of the page about one run.

    Attributes:
        run: the run.
        samples: ``{"prompt": ..., "seed": ...}`` and the HTML of each displayed sample.
        num_samples: number of samples in the folder.
        folder: of the samples; ``None`` if there are none.
        sample_command: command that generates more samples.
        inputs: key and name of each file that samples were made from, with HTML that shows it, or "".
    """

    run: Run
    samples: Sequence[tuple[Mapping[str, Any], str]]
    num_samples: int
    folder: Path | None
    sample_command: str
    inputs: Sequence[tuple[str, str]] = ()


def render_page(sections: Sequence[Section]) -> str:
    """Render the page. Raises ``UserError`` if the record or the losses of a run cannot be read."""
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    records = [section.run.record for section in sections]
    names = [str(record.modality) for record in records]
    links = "".join(f"<a href='#{number}'>{_title(name)}</a>" for number, name in enumerate(names))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{CONTENT_SECURITY_POLICY}">
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
{"".join(_render_section(number, section) for number, section in enumerate(sections))}</main>
<footer>This page is a single file. It loads nothing from a network.</footer>
</body>
</html>
"""


def _summary(records: Sequence[RunRecord], count: int) -> str:
    minutes = sum(record.seconds for record in records) / 60
    models = "One model" if len(records) == 1 else f"{len(records)} models"
    samples = "one sample" if count == 1 else f"{count} samples"
    return f"{models}, {minutes:,.1f} minutes of training, {samples}, not selected."


def _render_section(number: int, section: Section) -> str:
    record = section.run.record
    visible = [(name, content) for name, content in section.inputs if content]
    figures = "".join(
        f"<figure>{content}<figcaption>{escape(name)}</figcaption></figure>\n" for name, content in visible
    )
    figures += "".join(_figure(item, content) for item, content in section.samples)
    words = [str(word) for word in record.overrides]
    empty = "<p>This run has no samples yet. The command below generates some.</p>"
    lines = read_losses(section.run.folder / "metrics.csv")
    classes = line_classes(lines)
    values = {name: _format(line[-1][1], 4) for name, line in lines.items()}
    legend = "".join(f"<span class='{classes[name]}'>{escape(name)} {value}</span>" for name, value in values.items())
    chart = line_chart(lines, "step", "loss")
    return f"""<section id="{number}">
<h2>{_title(str(record.modality))}</h2>
<p class="data">{escape(public_text(record.data.description, words))}</p>
<div class="samples">{figures or empty}</div>
<div class="run">
<div class="facts">{_run_table(section)}</div>
<figure class="curves">{chart or "No losses were logged."}<figcaption>{legend}</figcaption></figure>
</div>
</section>
"""


def _figure(item: Mapping[str, Any], content: str) -> str:
    prompt = escape(item["prompt"]) or "<em>no prompt</em>"
    caption = f"<figcaption><span>{prompt}</span> <small>seed {item['seed']}</small></figcaption>"
    return f"<figure>{content}{caption}</figure>\n"


def _run_table(section: Section) -> str:
    record = section.run.record
    properties = {**run_summary(record), "Samples": _sample_summary(section)}
    if section.inputs:
        properties["Made from"] = ", ".join(name for name, _ in section.inputs)
    commands = {"Train it": train_command(record)} if record.started else {}  # an exported model has no words
    commands["More samples"] = section.sample_command
    rows = [f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in properties.items()]
    rows += [f"<dt>{name}</dt><dd><pre><code>{escape(text)}</code></pre></dd>" for name, text in commands.items()]
    return f"<dl>{''.join(rows)}</dl>"


def run_summary(record: RunRecord) -> dict[str, str]:
    """Return what is told of a run: its model, its training, its validation loss."""
    loss, step = (record.best.val_loss, record.best.step) if record.best else (None, None)
    minutes = _format(record.seconds / 60, 1)
    return {
        "Model": f"{record.model}, {_format(record.parameters)} parameters",
        "Training": f"{_format(record.steps)} steps in {minutes} minutes, on {record.device}",
        "Validation loss": f"{_format(loss, 4)} at best, at step {_format(step)}",
    }


def train_command(record: RunRecord) -> str:
    """Return the command that trains a run again, without folders of this machine."""
    words = [public_word(str(word)) for word in record.overrides]
    if any(word.partition("=")[2] == TARGET for word in words):  # no command has data of Python
        return "genai.fit(..., data=...) in Python"
    return join(["python", "-m", "genai.train", *words])


def _sample_summary(section: Section) -> str:
    if section.folder is None:
        return "none yet"
    first = "" if len(section.samples) == section.num_samples else f"the first {len(section.samples)} of "
    return f"{first}{section.num_samples} in {public_path(section.folder)}"


def _title(name: str) -> str:
    return escape(name[:1].upper() + name[1:])


def _format(value: float | None, digits: int = 0) -> str:
    """Format a number: ``"1,380,716"``, ``"0.7290"``; a dash for a missing or an absurd value."""
    return "–" if value is None or not abs(value) < 1e15 else f"{value:,.{digits}f}"
