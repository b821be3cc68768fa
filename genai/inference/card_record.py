"""What a model's record tells to everybody: nothing of the machine, of a path or of the person."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from genai.core.errors import UserError, short_text
from genai.core.old_names import FIGURES
from genai.core.plain_data import parse_json
from genai.core.terminal import terminal_text
from genai.inference.data_summary import read_data_summary
from genai.inference.model import Model
from genai.report.paths import public_text, without_folders
from genai.runs.evaluation import read_fitting, read_groups
from genai.runs.record import AdapterRecord, RunRecord, ScoreRecord, parse_record, read_mapping
from genai.trust.personal_data import PersonalDataReport

MAX_SCORES = 40
RECORD_FIELDS = (
    "modality", "model", "method", "prompts", "parameters", "seconds", "device", "devices", "threads", "precision",
    "seed", "versions",
)  # fmt: skip
"""Fields of a record that are told as they are."""
PARTS = ("known_prompts", "best", "energy", "sampling_energy", "copying")
"""Fields that are dataclasses, told as plain values."""
PROMPTS = ("prompts", "known_prompts")
"""Values that are told as the data have them, but for personal data, of which the kind is told."""
DATA_FIELDS = ("name", "license", "train", "val", "hash", "hash_val")


def model_license(record: RunRecord) -> str:
    """Return the license of a model: its own, or that of the model that it was trained from; "" if neither is known."""
    return short_text(record.license or (record.base.license if record.base else ""))


def public_record(model: Model) -> dict[str, Any]:
    """Return the values of a model's record that go with it: none tells of the machine, a path or the person.

    Raises:
        UserError: the record cannot be read.
    """
    record = _full_record(model)
    words = [str(word) for word in record.overrides]
    values = {
        **{name: getattr(record, name) for name in RECORD_FIELDS},
        **{name: _plain(getattr(record, name)) for name in PARTS},
        "data": _public_data(record, words),
        "data_card": _plain(read_data_summary(record, model.run)),
        "hardware": _public_hardware(record),
        "steps": model.step,
        "base": record.base and {name: getattr(record.base, name) for name in ("name", "digest", "license")},
        "license": model_license(record),
        "consent": [asdict(voice) for voice in model.voices],
        "scores": [asdict(score) for score in record.scores],
        "evaluation": _counts(record.evaluation or {}),
        "groups": _plain(read_groups(record.groups)),
        "adapters": [asdict(adapter) for adapter in _adapters(model, record)],
    }
    known = {name: value for name, value in values.items() if value not in (None, "", [], {})}
    return {
        name: _without_personal_data(value) if name in PROMPTS else _without_paths(value, words)
        for name, value in known.items()
    }


def _counts(report: Mapping[str, Any]) -> dict[str, int]:
    """Return the number of samples and the seed of an evaluation."""
    return {name: report[name] for name in ("n", "seed") if type(report.get(name)) is int}


def _plain(part: Any) -> dict[str, Any] | None:
    return asdict(part) if part else None


def _without_paths(value: Any, words: list[str]) -> Any:
    """Return a plain value whose texts name no folder of this machine, and have no control characters."""
    if isinstance(value, str):
        return without_folders(public_text(terminal_text(value), words))
    if isinstance(value, Mapping):
        return {_without_paths(name, words): _without_paths(part, words) for name, part in value.items()}
    return [_without_paths(part, words) for part in value] if isinstance(value, list) else value


def _without_personal_data(value: Any) -> Any:
    """Return a plain value with the kinds of personal data in their place."""
    if isinstance(value, str):
        return PersonalDataReport().mask(value)
    if isinstance(value, Mapping):
        return {name: _without_personal_data(part) for name, part in value.items()}
    return [_without_personal_data(part) for part in value] if isinstance(value, list) else value


def _public_data(record: RunRecord, words: list[str]) -> dict[str, Any] | None:
    data = {name: getattr(record.data, name) for name in DATA_FIELDS}
    data["description"] = public_text(record.data.description, words)
    return data if any(data.values()) else None


def _public_hardware(record: RunRecord) -> dict[str, str]:
    """Return the names of the processor and the system, without its release."""
    system = record.hardware.get("system", "").partition("-")[0]
    values = {"processor": record.hardware.get("processor", ""), "system": system}
    return {name: value for name, value in values.items() if value}


def card_record(model: Model) -> RunRecord:
    """Return the public record of a model, from which its card is made. Raises ``UserError``."""
    return parse_record(public_record(model), model.file or "the model's record")


def _adapters(model: Model, record: RunRecord) -> list[AdapterRecord]:
    """Return the adapters in the weights of a model, by their names instead of paths."""
    paths = [Path(adapter.checkpoint) for adapter in model.adapters]
    names = [path.parent.parent.name if path.suffix == ".ckpt" else path.name for path in paths]
    return [
        *record.adapters,
        *(replace(adapter, checkpoint=name) for adapter, name in zip(model.adapters, names, strict=True)),
    ]


def _full_record(model: Model) -> RunRecord:
    """Return the model's record, with the results of its run if they are of these weights. Raises ``UserError``."""
    run = model.run
    values = dict(model.record)
    if model.adapters:
        names = ("best", "evaluation", "groups", "copying", "sampling_energy")
        values |= {"scores": [], **dict.fromkeys(names)}
    elif run:
        values |= _read_results(model)
    record = parse_record(values, run.record_file if run else model.file or "")
    copying, energy = record.copying, record.sampling_energy
    if run and copying and (copying.step, model.weights) != (model.step, "ema"):
        record = replace(record, copying=None)
    if run and energy and (energy.checkpoint_sha256, model.weights) != (model.digest, "ema"):
        record = replace(record, sampling_energy=None)
    return record


def _read_results(model: Model) -> dict[str, Any]:
    """Return scores and groups in ``metrics.json`` of a run, if they are of this checkpoint with these weights."""
    run = model.run
    try:
        report = read_mapping(run.folder / "metrics.json", "record", parse_json) if run else {}
    except UserError:
        report = {}
    is_own = (report.get("checkpoint_sha256"), report.get("weights")) == (model.digest, model.weights)
    metrics = report.get("metrics") if is_own else None
    if not isinstance(metrics, Mapping):
        return {"scores": [], "evaluation": None, "groups": None}
    new_names = FIGURES.get(model.modality.media.__name__, {})
    scores = (_read_score(name, result) for name, result in metrics.items() if new_names.get(name) not in metrics)
    groups = report.get("groups")
    return {
        "scores": [asdict(score) for score in scores if score][:MAX_SCORES],
        "evaluation": _counts(report),
        "groups": groups if isinstance(groups, dict) else None,
    }


def _read_score(name: str, result: Any) -> ScoreRecord | None:
    fields = ("value", "standard_error", "reference", "description")
    values = {name: result[name] for name in fields if name in result} if isinstance(result, Mapping) else {}
    return read_fitting(ScoreRecord, {"name": name, **values}) if values else None
