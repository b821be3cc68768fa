"""The model card of an exported model: what it is, what it was trained on, how good it is, how to open it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from genai.core.card_metadata import BASE_KEY, format_metadata
from genai.core.errors import UserError, short_text
from genai.core.old_names import FIGURES
from genai.core.plain_data import parse_json
from genai.inference.known_prompts import known_prompts, prompt_encoder
from genai.inference.model import Model, count_parameters
from genai.modalities.optional import required_option
from genai.report.paths import public_text
from genai.runs.record import AdapterRecord, RunRecord, ScoreRecord, parse_record, read_mapping

TASKS = {
    "Document": ("text-generation", "text-generation"),
    "Picture": ("text-to-image", "unconditional-image-generation"),
    "Sound": ("text-to-audio", ""),
    "Clip": ("text-to-video", ""),
}
"""The hub's name of a task, with and without prompts, by the class of the media."""
HUB_LICENSES = frozenset(
    "afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 cc cc-by-2.0 "
    "cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 "
    "cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 ecl-2.0 epl-1.0 "
    "epl-2.0 eupl-1.1 eupl-1.2 gemma gfdl gpl gpl-2.0 gpl-3.0 isc lgpl lgpl-2.1 lgpl-3.0 llama2 llama3 llama3.1 "
    "llama3.2 llama3.3 mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openrail osl-3.0 pddl postgresql unlicense wtfpl "
    "zlib".split()
)
"""Licenses by their names on the hub; others are ``other`` with a name."""
TRANSFORMERS = {"model": "ModelForCausalLM", "tokenizer": "Tokenizer"}
LOAD_ARGUMENTS = {
    "gguf": '"path/to/this/folder/model.gguf"',
    "peft": '"path/to/the/base", adapter="path/to/this/folder"',
}
"""Arguments of ``genai.load`` by the library of a card; of the others it is the folder."""
HUB_ID = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)
WEIGHTS = {"ema": "averaged over training", "raw": "of the last step"}
MAX_SCORES = 40


def model_card(model: Model, library_name: str = "genai") -> str:
    """Return the card as Markdown, with front matter as the Hugging Face hub reads it.

    Args:
        model: the model.
        library_name: the library that opens the folder, as the hub calls it.
    """
    record = _record(model)
    base, license_name = record.base, model_license(record)
    is_listed = license_name in HUB_LICENSES
    front = {
        "license": license_name if is_listed else "other" if license_name else "",
        "license_name": "" if is_listed else license_name,
        "base_model": base.name if base and HUB_ID.fullmatch(base.name) else "",
        BASE_KEY: base.name if base else "",
        "datasets": [record.data.name] if HUB_ID.fullmatch(record.data.name) else [],
        "library_name": library_name,
        "pipeline_tag": _task(model),
        "tags": ["genai"],
    }
    rows = {
        "model": f"{type(model.method).__name__}, {count_parameters(model.method):,} parameters",
        "samples": model.modality.description,
        "license": license_name,
        "base": base.name if base else "",
        "base, license": base.license if base else "",
        "base, sha256": base.digest if base else "",
        "adapters": ", ".join(map(_describe_adapter, _adapters(model, record))),
        "data": record.data.name,
        "data, license": record.data.license,
        "data, content": _public_description(record),
        "data, hash": record.data.hash,
        "steps": f"{model.step:,}" if model.step else "",
        "best validation loss": f"{record.best.val_loss:.4f}" if record.best else "",
        "weights": WEIGHTS[model.weights] if model.step else "",
        "checkpoint, sha256": model.digest,
    }
    lines = [f"| {name} | {markdown_text(value)} |" for name, value in rows.items() if value]
    lines += list(_score_lines(record)) + list(_usage_lines(model, library_name))
    if not license_name:
        lines += [
            "",
            "The license of this model is not known here: state it before you share it (export license=NAME).",
        ]
    return "\n".join([format_metadata(front), "# A model exported by genai", "", "| | |", "|---|---|", *lines, ""])


def _adapters(model: Model, record: RunRecord) -> list[AdapterRecord]:
    """Return the adapters in the weights of a model, by their names instead of paths."""
    paths = [Path(adapter.checkpoint) for adapter in model.adapters]
    names = [path.parent.parent.name if path.suffix == ".ckpt" else path.name for path in paths]
    return [
        *record.adapters,
        *(replace(adapter, checkpoint=name) for adapter, name in zip(model.adapters, names, strict=True)),
    ]


def _describe_adapter(adapter: AdapterRecord) -> str:
    data = ", ".join(filter(None, (adapter.data, adapter.license)))
    learned = f"; data: {data}" if data else ""
    return f"{adapter.checkpoint} x {adapter.factor:g} (sha256 {adapter.checkpoint_sha256[:12]}{learned})"


def markdown_text(value: str) -> str:
    """Return a text of a stranger for a table of Markdown: on one line, without links, HTML and columns of its own."""
    return re.sub(r"([\\`\[\]<>|*!])", r"\\\1", short_text(value))


def model_license(record: RunRecord) -> str:
    """Return the license of a model: its own, or that of the model that it was trained from; "" if neither is known."""
    return short_text(record.license or (record.base.license if record.base else ""))


def public_record(model: Model) -> dict[str, Any]:
    """Return the values of a model's record that go with it: none tells of the machine, a path or the person."""
    record = _record(model)
    data = {
        **{name: getattr(record.data, name) for name in ("name", "license", "train", "val", "hash", "hash_val")},
        "description": _public_description(record),
    }
    values = {
        **{name: getattr(record, name) for name in ("modality", "model", "prompts", "parameters", "seconds", "device")},
        **{name: asdict(part) if (part := getattr(record, name)) else None for name in ("known_prompts", "best")},
        "data": data if any(data.values()) else None,
        "steps": model.step,
        "base": record.base and {name: getattr(record.base, name) for name in ("name", "digest", "license")},
        "license": model_license(record),
        "scores": [asdict(score) for score in record.scores],
        "adapters": [asdict(adapter) for adapter in _adapters(model, record)],
    }
    return {name: value for name, value in values.items() if value}


def _record(model: Model) -> RunRecord:
    """Return the model's record, with the scores of its run if they are of these weights. Raises ``UserError``."""
    run = model.run
    values = dict(model.record)
    if model.adapters:
        values |= {"best": None, "scores": []}
    elif run:
        values["scores"] = _read_scores(model)
    return parse_record(values, run.record_file if run else model.file or "")


def _read_scores(model: Model) -> list[dict[str, Any]]:
    """Return the scores in ``metrics.json`` of a run, if they are of this checkpoint with these weights."""
    run = model.run
    try:
        report = read_mapping(run.folder / "metrics.json", "record", parse_json) if run else {}
    except UserError:
        return []
    metrics = report.get("metrics")
    if (report.get("checkpoint_sha256"), report.get("weights")) != (model.digest, model.weights):
        return []
    old_names = FIGURES.get(model.modality.media.__name__, {}).values()
    fields = ("value", "standard_error", "reference", "description")
    return [
        {"name": name, **{field: result[field] for field in fields if field in result}}
        for name, result in (metrics.items() if isinstance(metrics, Mapping) else ())
        if name not in old_names and isinstance(result, Mapping)
    ][:MAX_SCORES]


def _score_lines(record: RunRecord) -> Iterator[str]:
    if record.scores:
        yield from ("", "## Scores", "", "| metric | value | of real data | meaning |", "|---|---|---|---|")
    for score in record.scores[:MAX_SCORES]:
        name, description = markdown_text(score.name), markdown_text(score.description)
        yield f"| {name} | {_number(score)} | {_format(score.reference)} | {description} |"


def _number(score: ScoreRecord) -> str:
    error = "" if score.standard_error is None else f" ± {score.standard_error:.4g}"
    return f"{_format(score.value)}{error}"


def _format(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _usage_lines(model: Model, library_name: str) -> Iterator[str]:
    """Yield how to open the folder."""
    nodes = [model.header.model, model.header.modality] if model.header else []
    packages = sorted({name for node in nodes for name in _packages(node)})
    plugins = f", plugins={packages}" if packages else ""
    yield from ("", "## Open it", "", "```python", "import genai", "")
    place = LOAD_ARGUMENTS.get(library_name, '"path/to/this/folder"')
    yield from (f"model = genai.load({place}{plugins})", "```")
    if library_name == "transformers":
        yield from ("", "```python", "from transformers import AutoModelForCausalLM, AutoTokenizer", "")
        yield from (f'{name} = Auto{cls}.from_pretrained("path/to/this/folder")' for name, cls in TRANSFORMERS.items())
        yield "```"


def _packages(node: Any) -> Iterator[str]:
    """Yield the packages besides genai of the classes that a config node names."""
    if isinstance(node, Mapping):
        target = str(node.get("_target_", "genai."))
        if not target.startswith("genai."):
            yield target.rsplit(".", 2)[0]
        for part in node.values():
            yield from _packages(part)


def _task(model: Model) -> str:
    """Return the hub's name of what the model does; "" if it has none."""
    if option := required_option(model.modality):
        return "audio-to-audio" if option == "init" else ""
    known = known_prompts(model)
    has_prompts = bool(prompt_encoder(model)) and (known is None or known.count > 0)
    return TASKS.get(model.modality.media.__name__, ("", ""))[not has_prompts]


def _public_description(record: RunRecord) -> str:
    return public_text(record.data.description, [str(word) for word in record.overrides])
