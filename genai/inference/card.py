"""The model card: what a model is, how to use it, how good it is, its data, and what is not known of it."""

import re
from collections.abc import Iterator
from typing import Any

from genai.core.card_metadata import BASE_KEY, format_metadata
from genai.inference.card_record import card_record, model_license, public_record
from genai.inference.card_results import copying_lines, group_lines, score_lines
from genai.inference.card_training import FILES, label_lines, license_lines, training_lines, voice_lines
from genai.inference.card_usage import OTHER_USAGES, usage_lines
from genai.inference.data_summary import data_lines, read_data_summary
from genai.inference.known_prompts import prompt_encoder
from genai.inference.labels import model_name
from genai.inference.model import Model, count_parameters
from genai.modalities.optional import required_option
from genai.report.markdown import markdown_text
from genai.runs.evaluation import read_groups
from genai.runs.record import PromptsRecord, RunRecord

__all__ = ["model_card", "model_license", "public_record"]

TASKS = {
    "Document": ("text-generation", "text-generation"),
    "Picture": ("text-to-image", "unconditional-image-generation"),
    "Sound": ("text-to-audio", ""),
    "Clip": ("text-to-video", ""),
}
"""The hub's name of a task, with and without prompts, by the class of the media."""
INIT_TASKS = {"Picture": "image-to-image", "Sound": "audio-to-audio"}
"""The same for models that make a better version of a file."""
PRODUCTS = {"Document": "texts", "Picture": "pictures", "Sound": "sounds", "Clip": "clips"}
"""Media in a sentence, by their class."""
HUB_LICENSES = frozenset(
    "afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 cc cc-by-2.0 "
    "cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 "
    "cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 ecl-2.0 epl-1.0 "
    "epl-2.0 eupl-1.1 eupl-1.2 gemma gfdl gpl gpl-2.0 gpl-3.0 isc lgpl lgpl-2.1 lgpl-3.0 llama2 llama3 llama3.1 "
    "llama3.2 llama3.3 mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openrail osl-3.0 pddl postgresql unlicense wtfpl "
    "zlib".split()
)
"""Licenses by their names on the hub; others are ``other`` with a name."""
HUB_ID = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)
LISTED_PROMPTS = 4
SMALL_PARAMETERS = 1_000_000_000
LICENSE_HINT = "state it before you share the model: `license=NAME` of `python -m genai card` and `export`"


def model_card(model: Model, library_name: str = "genai") -> str:
    """Return the card as Markdown, with metadata as the Hugging Face hub reads them.

    Args:
        model: the model.
        library_name: what opens the folder: a library, as the hub calls it, or ``web``, a browser.

    Raises:
        UserError: the model's record cannot be read.
    """
    record = card_record(model)
    sections = {
        "Use it": usage_lines(model, record, library_name),
        "What it is for, and its limits": _limit_lines(model, record),
        "Scores": score_lines(record),
        "Groups": group_lines(read_groups(record.groups)),
        "Copies of training data": copying_lines(record.copying, record.scores),
        "Data": data_lines(record, read_data_summary(record, None)),
        "Training": training_lines(model, record),
        "Licenses": license_lines(record, LICENSE_HINT),
        "Labels": label_lines(model),
    }
    title = f"# {model_name(model)}, {count_parameters(model.method):,} parameters"
    lines = [format_metadata(_metadata(model, record, library_name)), title, "", *_summary_lines(model, record)]
    for name, section in sections.items():
        lines += ["", f"## {name}", "", *section]
    text = "\n".join([*lines, ""])
    return text.replace(f"ckpt={FILES}", "ckpt=path/to/the/run") if library_name in OTHER_USAGES else text


def _metadata(model: Model, record: RunRecord, library_name: str) -> dict[str, Any]:
    """Return the values that the hub reads."""
    base, license_name = record.base, model_license(record)
    is_listed = license_name in HUB_LICENSES
    task = _task(model, record)
    metrics = [
        {"type": score.name, "value": score.value, "name": score.description or score.name}
        for score in record.scores
        if score.value is not None
    ]
    data = {"type": _data_id(record) or "other", "name": record.data.name or "not recorded", "split": "held out"}
    result = {"task": {"type": task or "other"}, "dataset": data, "metrics": metrics}
    return {
        "license": license_name if is_listed else "other" if license_name else "",
        "license_name": "" if is_listed else license_name,
        "base_model": base.name if base and HUB_ID.fullmatch(base.name) else "",
        BASE_KEY: base.name if base else "",
        "datasets": [_data_id(record)] if _data_id(record) else [],
        "library_name": "onnx" if library_name == "web" else library_name,
        "pipeline_tag": task,
        "tags": ["genai"],
        "model-index": [{"name": model_name(model), "results": [result]}] if metrics else [],
    }


def _data_id(record: RunRecord) -> str:
    """Return the id of the data on the hub; "" if they have none."""
    return record.data.name if HUB_ID.fullmatch(record.data.name) else ""


def _task(model: Model, record: RunRecord) -> str:
    """Return the hub's name of what the model does; "" if it has none."""
    if option := required_option(model.modality):
        return INIT_TASKS.get(model.modality.media.__name__, "") if option == "init" else ""
    has_prompts = bool(prompt_encoder(model)) and (record.known_prompts is None or record.known_prompts.count > 0)
    return TASKS.get(model.modality.media.__name__, ("", ""))[not has_prompts]


def _summary_lines(model: Model, record: RunRecord) -> Iterator[str]:
    """Yield what is most important."""
    product = PRODUCTS.get(model.modality.media.__name__, "media")
    license_name, data = model_license(record), record.data
    source = f"{data.train:,} items: {markdown_text(data.name)}" if data.name else "data that are not recorded"
    base = f" It began from {markdown_text(record.base.name)}." if record.base else ""
    seconds = f" (its whole run: {record.seconds:,.0f} s)" if record.seconds else ""
    steps = f"It was trained for {model.step:,} steps{seconds} on {source}." if model.step else f"Its data: {source}."
    yield f"It makes {product}: {markdown_text(model.modality.description)}. {steps}{base}"
    yield ""
    yield f"**License:** {markdown_text(license_name)}" if license_name else f"**License:** not stated; {LICENSE_HINT}."
    if record.copying and record.copying.alarm:
        yield from ("", "**Warning:** it copies its training data, see below.")
    elif record.copying and record.copying.has_possible_copies:
        yield from ("", "**Warning:** copies of its training data were found, which could not be tested, see below.")


# ------------------------------------------------------------------------------------------------------------- limits


def _limit_lines(model: Model, record: RunRecord) -> Iterator[str]:
    """Yield what the facts say about where it can be used."""
    product = PRODUCTS.get(model.modality.media.__name__, "media")
    yield f"- **For** {product} like those of its training data. Nobody has stated or tested another use."
    count = count_parameters(model.method)
    small = ", where large models have billions" if count < SMALL_PARAMETERS else ""
    yield f"- **{'Small' if small else 'Size'}:** {count:,} parameters{small}."
    yield f"- **Output:** {markdown_text(model.modality.description)}."
    yield f"- **Prompts:** {_describe_prompts(model, record.known_prompts)}"
    if model.makes_voices or model.modality.has_voices:
        yield from voice_lines(model)
    if record.base:
        name = markdown_text(record.base.name)
        yield f"- **Base:** it began from {name}, and the limits of that model are its own, too."
    truth = ", whether its texts are true" if issubclass(model.modality.media, str) else ""
    yield f"- **Not measured:** harmful or offensive content, use in decisions about people{truth}."


def _describe_prompts(model: Model, known: PromptsRecord | None) -> str:
    if option := required_option(model.modality):
        return f"it needs a file, `{option}=`; without one it makes nothing."
    if prompt_encoder(model) is None:
        return (
            "a prompt is the beginning of a text, which it continues."
            if issubclass(model.modality.media, str)
            else "it takes none."
        )
    if known is None:
        return "not recorded."
    if not known.count:
        return "it was trained without prompts: `prompt=` changes next to nothing."
    examples = ", ".join(f'"{markdown_text(text)}"' for text in known.prompts[:LISTED_PROMPTS])
    return (
        f"its training data have {known.count:,} different prompts of {known.num_words:,} words, such as {examples}. "
        "Other words mean nothing to it."
    )
