"""The loss on the held-out split."""

from genai.core.errors import UserError
from genai.core.renamed import module_getattr
from genai.metrics.base import EvalContext, Metric, Result


class ValidationLoss(Metric):
    """Validation loss over the whole held-out split, with the same noise every time.

    It is the loss that training minimizes, unless the method defines a better one for validation.
    """

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``val_loss``, and ``val_<part>`` for each part that the method names.

        It is unknown if the method compares with a model that is not there any more.
        """
        try:
            losses = context.losses
        except UserError as reason:
            return {"val_loss": Result(None, f"the held-out loss is unknown: {reason}")}
        split = "on the whole held-out split" if context.own_data else "on the held-out split of other data"
        return {f"val_{name}": Result(value, f"{name} {split}") for name, value in losses.items()}


__getattr__ = module_getattr(__name__)
