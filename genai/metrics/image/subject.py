"""Personal models: do samples show the new subject, and do other prompts still give the pictures of the base?"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from genai.core.batch import batch_ranges
from genai.core.errors import UserError, short_text
from genai.inference.known_prompts import known_prompts, split_prompts
from genai.inference.model import Model, load
from genai.media.picture import Picture
from genai.metrics.base import EvalContext, Metric, Result, mean_result
from genai.metrics.image.picture_features import picture_features
from genai.metrics.image.picture_items import read_items
from genai.metrics.image.picture_texture import pixel_distances


class Subject(Metric):
    """Compare the run of an adapter with its base, on the prompts of both and with the same seeds."""

    media = Picture
    compares_with_training = True

    def unsupported_reason(self, model: Model) -> str:
        return "" if model.header and model.header.base else "it compares the run of an adapter with its base"

    def check(self, context: EvalContext) -> None:
        self.base = load_base(context)
        _, self.other_prompts = split_prompts(known_prompts(self.base))
        if not self.other_prompts:
            raise UserError("'subject' needs the prompts of the base, and its run did not record any. Leave it out.")

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return how similar samples are to the nearest picture of the subject, and how far other samples moved."""
        modality, source = context.model.modality, context.source
        real = torch.cat([read_items(source, split, modality).features for split in (source.train, source.val)])
        prompts = source.prompts(source.train, context.n, context.seed)
        others = [self.other_prompts[number % len(self.other_prompts)] for number in range(context.n)]
        own, base_own = self._sample(context, prompts)
        other, base_other = self._sample(context, others)
        center = _features(base_other).mean(0)
        pictures = normalize(real - center)
        similarity, base_similarity = (
            (normalize(_features(pixels) - center) @ pictures.T).amax(1) for pixels in (own, base_own)
        )
        real_similarity = (pictures @ pictures.T).fill_diagonal_(-1).amax(1)
        difference = pixel_distances(base_other, base_other.roll(1, 0)).mean()
        similar = "cosine to the nearest picture of the subject; 0: as other pictures of the base, which itself has "
        return {
            "subject_similarity": mean_result(similarity, f"{similar}{base_similarity.mean():.2f}", real_similarity),
            "subject_drift": mean_result(
                pixel_distances(other, base_other),
                f"RMS change of the pictures of other prompts, in 0..1; two prompts differ by {difference:.3f}",
            ),
        }

    def _sample(self, context: EvalContext, prompts: list[str]) -> tuple[Tensor, Tensor]:
        """Return pixels (prompts, channels, height, width) of samples of the model, and of its base."""
        samples, base_samples = context.samples(prompts), list[Picture]()
        for rows in batch_ranges(len(prompts), context.batch):
            seed, texts = context.seed + rows.start, prompts[rows.start : rows.stop]
            base_samples += self.base.sample(texts, seed=seed, batch=context.batch, **context.options)
        encode = context.model.modality.encode
        own, base = (torch.stack([encode(picture) for picture in part]) for part in (samples, base_samples))
        return own, base


def load_base(context: EvalContext) -> Model:
    """Load the model that an adapter changes. Raises ``UserError`` if it is not there or has changed."""
    model = context.model
    record = (model.header and model.header.base) or {}
    base = load(record.get("path", ""), device=str(model.method.device), plugins=context.plugins)
    if base.digest != record.get("digest"):
        raise UserError(f"the base of this adapter, {short_text(record.get('path', ''))}, has changed since.")
    return base


def _features(pixels: Tensor) -> Tensor:
    return picture_features(lambda rows: pixels[rows.start : rows.stop], len(pixels), "features")
