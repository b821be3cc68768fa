"""``python -m genai.evaluate``: evaluate a trained model on held-out data. See ``--help``."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genai.cli.compose import CommandConfig, compose, launch, override_key
from genai.cli.exit_codes import exit_on_error
from genai.cli.launched import process_group
from genai.cli.options import (
    command_keys,
    load_model,
    output_file,
    parse_options,
    report_checkpoints,
    split_options,
)
from genai.cli.settings import EvaluateSettings, parse_settings
from genai.core.errors import RunError, UserError
from genai.core.files import write_file
from genai.core.limits import check_samples
from genai.core.place import find_place
from genai.core.terminal import one_line
from genai.version import __version__

if TYPE_CHECKING:
    from genai.core.data import Source
    from genai.inference.model import Model
    from genai.metrics.base import EvalContext, Metric, Result
    from genai.metrics.groups import Grouping
    from genai.runs.run import Run


def main() -> None:
    """Run the command."""
    overrides, data, options = _split_words(sys.argv[1:])

    def run() -> None:
        with process_group():
            launch(lambda config: evaluate(config, data, options), "evaluate", overrides)

    exit_on_error(run)


def measure(
    *words: "str | Sequence[str] | Mapping[str, Any] | Path | Model", data: Any = None, **values: Any
) -> dict[str, Any]:
    """Evaluate with the words of the command line, ``measure("modality=text", "n=64")``.

    Under a launcher all processes have to call it; they share the samples.

    Args:
        words: of the command line, or lists of them; a model, or the path of a run, stands for the words that select
            its checkpoint.
        data: a word's value, or pictures in memory, as for ``genai.fit``.
        values: further words, ``n=64``.

    Returns:
        The content of ``metrics.json``, and ``energy`` if samples were made: its entries are those of
        ``genai.core.energy.Energy``, the number of samples, and kWh for each thousand of them.

    Raises:
        UserError: an invalid word.
    """
    from genai.cli.python_words import in_memory_words, python_words

    if isinstance(data, str | dict):
        data, values = None, values | {"data": data}
    new_words = python_words(list(map(_checkpoint_words, words)), values)
    if data is not None:
        new_words += in_memory_words(new_words)
    overrides, data_words, options = _split_words(new_words)
    with process_group():
        return evaluate(replace(compose("evaluate", overrides), examples=data), data_words, options)


def _checkpoint_words(word: Any) -> Any:
    """Return the words that select the checkpoints of a model or a path, and other words as they are.

    Raises:
        UserError: the model has no checkpoint.
    """
    from genai.inference.model import Model

    if isinstance(word, Path) or (isinstance(word, str) and "=" not in word and Path(word).expanduser().exists()):
        return [f"ckpt={word}"]
    if not isinstance(word, Model):
        return word
    model = word
    if missing := [key for key, part in model.parts.items() if part.file is None]:
        raise UserError(f"this model has no checkpoint ({missing[0]}): give one of genai.fit or genai.load.")
    return [*(f"{key}={part.file}" for key, part in model.parts.items()), f"weights={model.weights}"]


def _split_words(words: Sequence[str]) -> tuple[list[str], list[str], dict[str, str]]:
    """Split ``words`` into overrides of ``evaluate.yaml``, overrides of the data, and options of the model."""
    data = [word for word in words if override_key(word).split(".")[0] == "data"]
    overrides, options = split_options("evaluate", [word for word in words if word not in data])
    return overrides, data, options


def evaluate(config: CommandConfig, data: Sequence[str], options: Mapping[str, str]) -> dict[str, Any]:
    """Evaluate, print the table, write and return the results. Raises ``UserError``, ``RunError``."""
    from genai.core.process_group import only_first_prints, run_local_main_first

    place = find_place()
    settings = run_local_main_first(
        place, lambda: parse_settings(EvaluateSettings, config, modality=options.get("modality"))
    )
    context, metrics, file, omitted = run_local_main_first(place, lambda: _prepare(config, settings, data, options))
    grouping = run_local_main_first(place, lambda: _find_groups(context, settings))
    run = context.model.run
    with only_first_prints(place):
        report_checkpoints(context.model)
        _report_data(context.source, context.own_data, omitted)
        results: dict[str, Result] = {}
        for metric in metrics.values():
            results |= metric.compute(context)
        print(format_table(results), flush=True)
        for line in (line for metric in metrics.values() for line in metric.lines(context)):
            print(one_line(line), flush=True)
        if run and context.own_data and "val_loss" in results:
            _report_val_items(run, len(context.val))
        report = _make_report(context, settings.weights, results)
        for metric in metrics.values():
            report |= metric.report_entries(context)
        if "watermark_key" in report:
            print(f"with watermark=true, key {report['watermark_key']}", flush=True)
        if grouping:
            report["groups"] = _audit(context, metrics, grouping)
        if not file:
            print("no run folder: out=FILE writes the results", file=sys.stderr, flush=True)
        elif place.is_first:
            _write_report(file, report)
        if run and context.own_data and settings.weights == "ema" and place.is_first and not run.is_running:
            for metric in metrics.values():
                if entries := metric.record_entries(context):
                    run.write_record(**entries)
        if context.num_samples:
            print(f"energy of {context.num_samples:,} samples: {context.sampling_energy}", file=sys.stderr, flush=True)
            report["energy"] = _energy_entries(context)  # not in the file: the same words write the same bytes
            if run and file == run.folder / "metrics.json" and place.is_first and not run.is_running:
                _record_energy(run, report)
    return report


def _prepare(
    config: CommandConfig, settings: EvaluateSettings, data: Sequence[str], options: Mapping[str, str]
) -> "tuple[EvalContext, dict[str, Metric], Path | None, list[str]]":
    """Return the model and its data, the metrics, the file for the results, and the names of metrics left out.

    Raises:
        UserError: something does not fit.
    """
    from genai.metrics.base import EvalContext, select_metrics, supported_metrics
    from genai.metrics.option_checks import check_files_are_used, check_parts

    check_samples(settings.n, f"n={settings.n:,}", settings.yes)
    model = load_model(settings)
    keys = [*command_keys("evaluate"), "modality", "data"]
    parsed = parse_options(model, {key: text for key, text in options.items() if key != "modality"}, keys)
    model.build_options(parsed)
    source, own_data = _select_source(model, settings, data, config.examples)
    metrics, omitted = select_metrics(settings.metrics, source, own_data, settings.plugins, model.metrics)
    metrics = supported_metrics(metrics, model, settings.metrics is None)
    check_parts(metrics, model)
    judge, uses_judge = settings.judge_options, not settings.judge_options.is_default
    files = {"problems": settings.problems, "references": settings.references, "judge": uses_judge}
    check_files_are_used(metrics, files)
    problems, references = (
        Path(name).expanduser() if name else None for name in (settings.problems, settings.references)
    )
    context = EvalContext(
        model,
        source,
        own_data,
        settings.n,
        settings.seed,
        settings.batch,
        parsed,
        problems,
        references,
        settings.plugins,
        judge,
    )
    for metric in metrics.values():
        metric.check(context)
    return context, metrics, _output_path(settings.out, model.run, own_data and settings.is_default), omitted


def _find_groups(context: "EvalContext", settings: EvaluateSettings) -> "Grouping | None":
    """Return the groups that are compared, before anything is computed. Raises ``UserError``."""
    from genai.metrics.groups import find_groups

    if settings.group_names is None:
        return None
    grouping = find_groups(context, settings.group_names)
    check_samples(settings.n * len(grouping.groups), f"n={settings.n:,} of {len(grouping.groups)} groups", settings.yes)
    return grouping


def _audit(context: "EvalContext", metrics: "Mapping[str, Metric]", grouping: "Grouping") -> dict[str, Any]:
    """Compare the groups, print the table, and return the entries for the results. Raises ``UserError``."""
    from genai.metrics.audit import audit_groups, format_audit

    audit = audit_groups(context, metrics, grouping)
    print(f"\n{format_audit(audit, context.n)}", flush=True)
    return audit.entries()


def _select_source(
    model: "Model", settings: EvaluateSettings, data: Sequence[str], examples: Any
) -> "tuple[Source, bool]":
    """Load the data, unless the metrics need none and none are named. Raises ``UserError``."""
    from genai.core.data import no_data
    from genai.metrics.base import need_no_data

    media = model.modality.media
    if not data and need_no_data(settings.metrics, settings.plugins):
        return no_data(media), False
    return _load_source(model, model.run, data, settings.plugins, examples)


def _load_source(
    model: "Model", run: "Run | None", data: Sequence[str], plugins: Sequence[str], examples: Any = None
) -> "tuple[Source, bool]":
    """Load the data to evaluate on, and check by content hash whether they are the run's own.

    Raises:
        UserError: no data are known; they do not fit the model; the run's own data have changed.
    """
    from genai.cli.overrides import modality_words, recorded_overrides, with_absolute_paths
    from genai.core.data import IterableSource, Source
    from genai.core.instantiate import instantiate
    from genai.data.canaries import add_canaries, split_node
    from genai.data.partition_writer import DataNodes
    from genai.data.prepare import prepare_source
    from genai.runs.record import parse_record

    data = with_absolute_paths(data)
    run_words = run.record.overrides if run else []
    new_words = [word for word in data if override_key(word) == "data" or word not in run_words]
    selects_data = any(override_key(word) in ("data", "data._target_") for word in new_words)
    if run is None and not selects_data:
        raise UserError(f"{model.file} is not in a run folder, so its data are unknown: give data=..., data.path=...")
    words = [*data, *([f"plugins=[{','.join(plugins)}]"] if plugins else [])]
    if run:
        overrides = recorded_overrides(run, words)
    else:
        overrides = [*modality_words(model.header and model.header.modality, plugins), *words]
    if selects_data:  # the run's arguments do not belong to another source
        overrides = [word for word in overrides if word in data or not override_key(word).startswith("data.")]
    nodes = compose("train", overrides).nodes
    node, canaries = split_node(nodes["data"])
    fixed = None if examples is None else {"examples": examples}
    built: Source = instantiate(node, Source, "data", fixed, plugins)  # type: ignore[type-abstract]
    source = add_canaries(built, canaries)
    if isinstance(source, IterableSource):
        source = prepare_source(source, DataNodes(node, nodes["modality"], plugins), model.modality.state())
    if not issubclass(source.media, model.modality.media):
        raise UserError(
            f"these data are of type {source.media.__name__}, which {type(model.modality).__name__} does not support. "
            "Choose another data=."
        )
    data_record = parse_record(model.record, str(model.file)).data
    own_data = (data_record.hash, data_record.hash_val) == (source.train.content_hash, source.val.content_hash)
    if run and not own_data and not data:
        raise UserError(
            f"the data of {run.folder} have changed since training, so held-out data may have been trained on."
            "\nRestore them, or choose the data to evaluate on: data=..."
        )
    return source, own_data


def _output_path(out: str | None, run: "Run | None", is_default: bool) -> Path | None:
    """Return the file for the results; ``None`` if there is no run folder. Raises ``UserError``.

    Results of selected metrics, other data or raw weights do not replace ``metrics.json``.
    """
    if out is None:
        name = "metrics.json" if is_default else f"metrics-{datetime.now():%Y-%m-%d-%H-%M-%S}.json"
        return run.folder / name if run else None
    return output_file(out, "metrics.json")


def _report_data(source: "Source", own_data: bool, omitted: Sequence[str]) -> None:
    from genai.core.data import NoData

    if isinstance(source, NoData):
        return
    print(one_line(f"data  {source.description}"), file=sys.stderr)
    if not own_data:
        print("      not the data of the run; the model may have been trained on some of them", file=sys.stderr)
    if omitted:
        print(f"      so {', '.join(omitted)}, which compare with the training data, are left out", file=sys.stderr)
    sys.stderr.flush()


def _report_val_items(run: "Run", count: int) -> None:
    """Print which of the ``count`` held-out items a loss is of, if it was of fewer during training."""
    num_items = run.read_config().get("val_items")
    if isinstance(num_items, int) and num_items < count:
        line = (
            f"val_loss is of all {count:,} held-out items; during training it was of {num_items:,} of them (val_items)"
        )
        print(line, file=sys.stderr, flush=True)


def format_table(results: "Mapping[str, Result]") -> str:
    """Format results as aligned lines: name, value, standard error, reference value, description."""

    def format_number(value: float | None) -> str:
        return "-" if value is None else f"{value:,.0f}" if isinstance(value, int) else f"{value:.4f}"

    rows = [("", "value", "", "real", "")]
    for name, result in results.items():
        error = "" if result.standard_error is None else f"± {result.standard_error:.4f}"
        rows.append((name, format_number(result.value), error, format_number(result.reference), result.description))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}} {row[2]:<{widths[2]}}  {row[3]:>{widths[3]}}  {row[4]}".rstrip()
        for row in rows
    )


def _make_report(context: "EvalContext", weights: str, results: "Mapping[str, Result]") -> dict[str, Any]:
    """Return the results with all that is needed to reproduce them."""
    from dataclasses import asdict

    from genai.core.data import NoData
    from genai.core.renamed import with_old_results
    from genai.inference.provenance import origin_entries
    from genai.trust.watermarks.key import key_name

    model, source = context.model, context.source
    data = {
        "description": source.description,
        "hash": source.train.content_hash,
        "hash_val": source.val.content_hash,
        "own": context.own_data,
    }
    parts = model.build_options(context.options)
    options = [asdict(part) for part in parts]
    return {
        **origin_entries(model),
        "weights": weights,
        "n": context.n,
        "seed": context.seed,
        "batch": context.batch,
        "device": str(model.method.device),
        "options": {k: list(v) if isinstance(v, tuple) else v for part in options for k, v in part.items()},
        **({"watermark_key": key} if (key := key_name(parts[0])) else {}),
        "data": None if isinstance(source, NoData) else data,
        **({"problems": str(context.problems)} if context.problems else {}),
        **({"references": str(context.references)} if context.references else {}),
        "version": __version__,
        "metrics": with_old_results(
            {name: asdict(result) for name, result in results.items()}, model.modality.media.__name__
        ),
    }


def _energy_entries(context: "EvalContext") -> dict[str, Any]:
    """Return the energy of the samples that metrics share, also for each thousand of them."""
    from dataclasses import asdict

    energy, count = context.sampling_energy, context.num_samples
    return {**asdict(energy), "samples": count, "kwh_per_1000_samples": energy.kwh * 1000 / count}


def _record_energy(run: "Run", report: Mapping[str, Any]) -> None:
    """Write the energy of a thousand samples into the record of a run, for its card."""
    from genai.runs.record import SamplingEnergyRecord

    energy = report["energy"]
    values = {name: energy[name] for name in ("kwh_per_1000_samples", "how", "kg_per_kwh", "samples")}
    co2e = energy["kwh_per_1000_samples"] * energy["kg_per_kwh"]
    record = SamplingEnergyRecord(**values, co2e_kg=co2e, checkpoint_sha256=report["checkpoint_sha256"])
    run.write_record(sampling_energy=vars(record))


def _write_report(path: Path, report: Mapping[str, Any]) -> None:
    try:
        write_file(path, json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}.") from error
    print(one_line(f"results in {path}"), file=sys.stderr, flush=True)


if __name__ == "__main__":
    exit_on_error(main)
