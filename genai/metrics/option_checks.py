"""Checks that the options of ``genai.evaluate`` and its metrics fit together."""

from collections.abc import Mapping
from typing import Any

from genai.core.errors import UserError
from genai.inference.model import Model
from genai.metrics.base import Metric


def check_parts(metrics: Mapping[str, Metric], model: Model) -> None:
    """Raise ``UserError`` if a metric needs a part that the model does not have, or a part is not used."""
    required = {metric.required_part: name for name, metric in metrics.items() if metric.required_part}
    for key in model.parts.keys() - {"ckpt", *required}:
        raise UserError(f"{key}=: none of these metrics uses it. Add {', '.join(model.metrics)}, or leave out {key}.")
    for key in required.keys() - model.parts.keys():
        raise UserError(f"'{required[key]}' needs a {key} model: {key}=RUN.")


def check_files_are_used(metrics: Mapping[str, Metric], options: Mapping[str, Any]) -> None:
    """Raise ``UserError`` if an option is given, by name, that none of the metrics uses."""
    users = {"problems": "passes", "references": "prompt_retrieval", "judge": "word_error"}
    for name, value in options.items():
        if value and not any(getattr(metric, f"uses_{name}") for metric in metrics.values()):
            raise UserError(
                f"{name}=: none of these metrics uses it. Add metrics=[{users[name]}], or leave out {name}."
            )
