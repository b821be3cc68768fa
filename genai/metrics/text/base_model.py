"""The model that another one was trained from, and its data, to compare with."""

from pathlib import Path
from typing import Any

from genai.core.data import Source
from genai.core.errors import UserError, short_text
from genai.core.instantiate import instantiate
from genai.core.renamed import current_node
from genai.data.canaries import add_canaries, split_node
from genai.inference.model import Model, load
from genai.runs.record import parse_record


def load_base(model: Model) -> Model:
    """Load the model that ``init_from=`` named. Raises ``UserError`` if there was none, or it is not there."""
    record = parse_record(model.record, str(model.file)).base
    if record is None:
        raise UserError("the run began with random weights")
    if not record.path or not Path(record.path).exists():
        raise UserError(f"{short_text(record.path or record.name)} is not there")
    return load(record.path, device=str(model.method.device))


def base_data(base: Model) -> Source:
    """Return the data of a base. Raises ``UserError`` if they are not known, or have changed."""
    if base.run is None:
        raise UserError("its data are not known, because it is not a run")
    node: Any = current_node(base.run.read_config().get("data"))
    canaries = 0
    if isinstance(node, dict):
        node.pop("download", None)  # a record does not start a download
        node, canaries = split_node(node)
    source = add_canaries(instantiate(node, Source, "data"), canaries)  # type: ignore[type-abstract]
    if source.val.content_hash != base.run.record.data.hash_val:
        raise UserError("its data have changed")
    return source
