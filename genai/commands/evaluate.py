"""``python -m genai.evaluate``: how good a trained model is, on what its run held out. ``--help`` says how."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genai.cli.compose import CommandConfig, compose, guarded, key_of, launch
from genai.cli.options import check, keys, loaded, output, say_which, set_apart, typed
from genai.core.errors import RunError, UserError

if TYPE_CHECKING:
    from genai.core.data import Source
    from genai.inference.model import Model
    from genai.metrics.base import EvalContext, Result
    from genai.runs.run import Run

USUAL = {"metrics": None, "weights": "ema", "sound": None}
"""Keys at which figures are those of the run; how many samples they rest on stands beside them."""
OF_SOUND = ("bounces",)
"""The usual metrics where another model makes the sound of samples."""


def main() -> None:
    """The command."""
    words, data, options = _parted(sys.argv[1:])
    launch(lambda composed: evaluate(composed, data, options), "evaluate", words)


def measure(*words: str) -> dict[str, Any]:
    """Measure with the words of the command line, ``measure("modality=text", "n=64")``; what ``metrics.json`` holds.

    Raises:
        UserError: a word that does not fit.
    """
    others, data, options = _parted(words)
    return evaluate(compose("evaluate", others), data, options)


def _parted(words: Sequence[str]) -> tuple[list[str], list[str], dict[str, str]]:
    """The words that ``evaluate.yaml`` knows, those about data, and the options of the model."""
    data = [word for word in words if key_of(word).split(".")[0] == "data"]
    others, options = set_apart("evaluate", [word for word in words if word not in data])
    return others, data, options


def evaluate(composed: CommandConfig, data: Sequence[str], options: Mapping[str, str]) -> dict[str, Any]:
    """Measure, print the table, write and return the figures. Raises ``UserError``, ``RunError``."""
    values = {**composed.values, "modality": options.get("modality")}
    _check(values)
    from genai.inference.soundtrack import model_of
    from genai.metrics.base import EvalContext, chosen
    from genai.runs.run import Run

    model = loaded(values)
    known = [*keys("evaluate"), "modality", "data"]
    read = typed(model, {key: text for key, text in options.items() if key != "modality"}, known)
    model.split_options(read)
    sound = model_of(values, model, read)
    run = Run(model.file.parent.parent) if model.file and model.record else None
    source, own = _source(model, run, data, values["plugins"])
    wanted = OF_SOUND if sound else model.method.metrics
    metrics, left_out = chosen(values["metrics"], source, own, values["plugins"], wanted)
    usual = own and all(values[key] == default for key, default in USUAL.items())
    if sound and not any(metric.hears for metric in metrics.values()):
        raise UserError(f"sound=: none of these metrics hears it. Add {', '.join(OF_SOUND)}, or leave out sound.")
    if not sound and (deaf := [name for name, metric in metrics.items() if metric.hears]):
        raise UserError(
            f"'{deaf[0]}' hears the sound that a model of soundtracks makes of samples: say which with sound=RUN."
        )
    out = _out(values["out"], run, usual)
    say_which(model)
    if sound:
        say_which(sound, "sound")
    _say_data(source, own, left_out)
    study = EvalContext(model, source, own, values["n"], values["seed"], values["batch"], read, sound)
    figures: dict[str, Result] = {}
    for metric in metrics.values():
        figures |= metric.compute(study)
    print(table(figures), flush=True)
    report = _report(study, values, figures)
    if out:
        _write(out, report)
    return report


def _check(values: Mapping[str, Any]) -> None:
    from genai.core.instantiate import validate_value

    check(values)
    validate_value(values["metrics"], Sequence[str] | None, "metrics")


def _source(model: "Model", run: "Run | None", data: Sequence[str], plugins: Sequence[str]) -> "tuple[Source, bool]":
    """The data to measure on, and whether they are the run's own: shown by their hash, not believed.

    Raises:
        UserError: nobody said which; they do not fit the model; the run's own have changed.
    """
    from genai.cli.overrides import located, words_of
    from genai.core.data import Source
    from genai.core.instantiate import instantiate
    from genai.data.registry import modalities

    data = located(data)
    chooses = any(key_of(word) == "data" for word in data)
    if run is None and not chooses:
        raise UserError(f"{model.file} is in no run folder, so its data are not known: give data=..., data.path=...")
    names = [name for name, modality in modalities().items() if type(model.modality) is modality]
    words = words_of(run, data) if run else [*(f"modality={name}" for name in names), *data]
    if chooses:  # what the run said about its data does not belong to others
        words = [word for word in words if word in data or not key_of(word).startswith("data.")]
    node = compose("train", words).values["data"]
    source = instantiate(node, Source, "data", plugins=plugins)  # type: ignore[type-abstract]
    if not issubclass(source.media, model.modality.media):
        kinds = source.media.__name__, type(model.modality).__name__
        raise UserError(
            f"these data hold values of type {kinds[0]}, which {kinds[1]} is not for. Choose another data=."
        )
    recorded = run.record.get("data") if run else None
    recorded = recorded if isinstance(recorded, Mapping) else {}
    own = (recorded.get("hash"), recorded.get("hash_val")) == (source.train.fingerprint, source.val.fingerprint)
    if run and not own and not data:
        raise UserError(
            f"the data of {run.folder} have changed since it was trained, so what is held out now may have been learnt."
            "\nRestore them, or say which data to measure on: data=..."
        )
    return source, own


def _out(wanted: str | None, run: "Run | None", usual: bool) -> Path | None:
    """The file for the figures; ``None`` where there is no place for one. Raises ``UserError``.

    Some of the metrics, those of other data or of other weights, do not take the place of ``metrics.json``.
    """
    if wanted is None:
        name = "metrics.json" if usual else f"metrics-{datetime.now():%Y-%m-%d-%H-%M-%S}.json"
        return run.folder / name if run else None
    return output(wanted, "metrics.json")


def _say_data(source: "Source", own: bool, left_out: Sequence[str]) -> None:
    print(f"data  {source.description}", file=sys.stderr)
    if not own:
        print("      other data than the model was trained with; some of them may have been learnt", file=sys.stderr)
    if left_out:
        print(f"      so {', '.join(left_out)}, about what was trained on, is left out", file=sys.stderr)
    sys.stderr.flush()


def table(figures: "Mapping[str, Result]") -> str:
    """Aligned lines: name, value and standard error, the same of real data, what it is."""

    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:,.0f}" if isinstance(value, int) else f"{value:.4f}"

    rows = [("", "value", "", "real", "")]
    for name, figure in figures.items():
        error = "" if figure.error is None else f"± {figure.error:.4f}"
        rows.append((name, number(figure.value), error, number(figure.beside), figure.about))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}} {row[2]:<{widths[2]}}  {row[3]:>{widths[3]}}  {row[4]}".rstrip()
        for row in rows
    )


def _report(study: "EvalContext", values: Mapping[str, Any], figures: "Mapping[str, Result]") -> dict[str, Any]:
    """All that makes the figures again, and the figures."""
    from dataclasses import asdict

    import genai
    from genai.inference.provenance import origin

    model, source = study.model, study.source
    options = [asdict(part) for part in model.split_options(study.options)]
    return {
        **origin(model),
        "sound": study.sound and origin(study.sound),
        "weights": values["weights"],
        "n": study.n,
        "seed": study.seed,
        "batch": study.batch,
        "device": str(model.method.device),
        "options": {k: list(v) if isinstance(v, tuple) else v for part in options for k, v in part.items()},
        "data": {
            "description": source.description,
            "hash": source.train.fingerprint,
            "hash_val": source.val.fingerprint,
            "own": study.own,
        },
        "version": genai.__version__,
        "metrics": {name: asdict(figure) for name, figure in figures.items()},
    }


def _write(path: Path, report: Mapping[str, Any]) -> None:
    from genai.runs.checkpoint import atomic_write

    try:
        atomic_write(path, json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}.") from error
    print(f"figures in {path}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    guarded(main)
