"""The loss on what was held out."""

from genai.metrics.base import EvalContext, Metric, Result


class HeldOutLoss(Metric):
    """What validation says of the whole held-out split, with noise that is the same every time: the loss that training
    minimises, or what the method knows better."""

    def compute(self, study: EvalContext) -> dict[str, Result]:
        """``val_loss``, and ``val_<part>`` of each part that the method names."""
        of = "on the whole held-out split" if study.own else "on the held-out split of other data"
        return {f"val_{name}": Result(value, f"{name} {of}") for name, value in study.losses.items()}
