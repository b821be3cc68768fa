"""The loss on what was held out."""

from genai.metrics.base import Figure, Metric, Study


class HeldOutLoss(Metric):
    """What training minimises, over the whole held-out split, with noise that is the same every time."""

    def measure(self, study: Study) -> dict[str, Figure]:
        """``val_loss``, and ``val_<part>`` of each part that the method names."""
        about = "loss on the whole held-out split" if study.own else "loss on the held-out split of other data"
        return {f"val_{name}": Figure(value, about) for name, value in study.losses.items()}
