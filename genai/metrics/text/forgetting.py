"""Forgetting: how much worse a model has become at what the model that it was trained from had learned."""

from typing import Any

from genai.core.cache import cache_dir
from genai.core.errors import RunError, UserError
from genai.inference.model import Model
from genai.inference.validation import validation_losses
from genai.media.text import Document
from genai.metrics.base import EvalContext, Metric, Result
from genai.metrics.text.base_model import base_data, load_base


class Forgetting(Metric):
    """Held-out loss of the data of the base, which ``init_from=`` named, before and after the training."""

    media = Document

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``forgetting``, the difference of ``base_loss`` (after) and ``base_loss_before``, in nats per token.

        It is unknown if the base has no data in a record, or if they are not there any more.
        """
        try:
            base = load_base(context.model)
            source = base_data(base)
        except (UserError, RunError) as reason:
            return {"forgetting": Result(None, f"the base's held-out loss is unknown: {reason}")}
        packed = context.model.modality.pack_split(source.val, cache_dir())
        before, after = (_loss(model, packed, context.seed) for model in (base, context.model))
        of_base = "of the base's own held-out data, in nats per token"
        return {
            "forgetting": Result(after - before, f"rise of the loss {of_base}"),
            "base_loss": Result(after, f"loss {of_base}, after training"),
            "base_loss_before": Result(before, f"loss {of_base}, of the base"),
        }


def _loss(model: Model, packed: Any, seed: int) -> float:
    sums, weight = validation_losses(model.method.eval(), packed, seed=seed)
    return float(sums["loss"] / weight)
