"""Speech enhancement: SI-SDR, STOI and PESQ of restored sound, with the scores of the input and of a Wiener filter."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genai.core.batch import Request
from genai.core.errors import UserError
from genai.core.progress import ProgressBar
from genai.media.sound import Sound
from genai.metrics.audio.wiener import wiener_filter
from genai.metrics.base import EvalContext, Metric, Result

CONDITIONS = (("white", 0), ("white", 10), ("colored", 0), ("hum", 0), ("babble", 0), ("clipping", 5))
"""Kinds of degradation, each with its signal-to-noise ratio in dB."""
CLIP_SECONDS = 3
"""Length of a test clip: intelligibility and quality are defined for sentences, not for single words."""
SCORE_DESCRIPTIONS = {
    "si_sdr": "scale-invariant signal-to-distortion ratio in dB",
    "stoi": "STOI, intelligibility in 0..1",
    "pesq": "PESQ, quality in 1..4.5",
}

Scores = dict[str, NDArray[np.float64]]
"""Score name -> values (clips,)."""


class Enhancement(Metric):
    """Scores of held-out sound with reproducible degradation after restoration; the description has those before it.

    The method defines the degradation: ``method.degradation.degrade(clean, kind, ratio)``.
    """

    media = Sound

    def compute(self, context: EvalContext) -> dict[str, Result]:
        """Return ``si_sdr_<kind>_<ratio>`` and, if their packages are installed, ``stoi_...`` and ``pesq_...``."""
        results: dict[str, Result] = {}
        for (kind, ratio), systems in score_conditions(context).items():
            for name, values in systems["restored"].items():
                baselines = ", ".join(
                    f"{system} {np.nanmean(systems[system][name]):.3f}" for system in ("noisy", "wiener")
                )
                description = f"{SCORE_DESCRIPTIONS[name]}: {baselines}{_install_hint(systems['restored'])}"
                values = values[~np.isnan(values)]
                standard_error = float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else None
                mean = float(np.mean(values)) if len(values) else None
                results[f"{name}_{kind}_{ratio}"] = Result(mean, description, standard_error)
        return results or {"si_sdr": Result(None, "nothing to restore: the held-out sounds are silent")}


def score_conditions(context: EvalContext) -> dict[tuple[str, int], dict[str, Scores]]:
    """For each condition, return the scores of the input (``noisy``), a ``wiener`` filter and the model (``restored``).

    There are none if all held-out sounds are silent.

    Raises:
        UserError: the model does not undo a degradation.
    """
    degradation = getattr(context.model.method, "degradation", None)
    if degradation is None:
        raise UserError("'enhancement' needs a model that restores sound (model=enhancer).")
    sample_rate = degradation.sample_rate
    clean = joined_clips(context, -(-context.n // len(CONDITIONS)), sample_rate)
    scores: dict[tuple[str, int], dict[str, Scores]] = {}
    if not len(clean):
        return scores
    with ProgressBar("restored sounds", len(CONDITIONS)) as bar, torch.random.fork_rng([]):
        for kind, ratio in CONDITIONS:
            torch.manual_seed(context.seed)
            noisy = degradation.degrade(clean, kind, float(ratio))
            outputs = {
                "noisy": noisy,
                "wiener": wiener_filter(noisy, sample_rate),
                "restored": restore_clips(context, noisy),
            }
            scores[kind, ratio] = {name: compute_scores(x, clean, sample_rate) for name, x in outputs.items()}
            bar.step()
    return scores


def joined_clips(context: EvalContext, count: int, sample_rate: int) -> Tensor:
    """Join held-out clips in random order, and cut them into at most ``count`` clips of ``CLIP_SECONDS``.

    Returns:
        (clips, time).
    """
    length, parts, total = CLIP_SECONDS * sample_rate, [], 0
    for index in np.random.default_rng(context.seed).permutation(len(context.val)).tolist():
        item = context.val.batch([index], None)
        parts.append(item.x[0] if item.valid is None else item.x[0][item.valid[0]])
        total += len(parts[-1])
        if total >= count * length:
            break
    joined = torch.cat(parts)
    joined = joined.repeat(-(-length // len(joined)))[: max(length, len(joined) // length * length)]
    clips = joined.view(-1, length)[:count]
    return clips[clips.abs().amax(1) > 0]


def restore_clips(context: EvalContext, noisy: Tensor) -> Tensor:
    """Return the output of the model for (clips, time)."""
    _, options = context.model.build_options(context.options)
    context.model.method.eval()
    requests = [Request([""], [context.seed], (len(row),), init=[row]) for row in noisy]
    return torch.stack([context.model.method.sample(request, options)[0] for request in requests])


def compute_scores(x: Tensor, clean: Tensor, sample_rate: int) -> Scores:
    """Score ``x`` (clips, time) against ``clean``; ``stoi`` and ``pesq`` only if their packages are installed.

    PESQ is narrow-band below 16 kHz and wide-band from 16 kHz on (ITU-T P.862, P.862.2).
    """
    scores = {"si_sdr": si_sdr(x.double(), clean.double()).numpy()}
    pairs = list(zip(clean.numpy(), x.numpy(), strict=True))
    if stoi := _import_function("pystoi", "stoi"):
        scores["stoi"] = np.array([stoi(target, output, sample_rate) for target, output in pairs])
    if pesq := _import_function("pesq", "pesq"):
        from torchaudio.functional import resample

        rate, mode = (16_000, "wb") if sample_rate >= 16_000 else (8000, "nb")
        pairs = [tuple(resample(row, sample_rate, rate).numpy() for row in pair) for pair in zip(clean, x, strict=True)]
        values = np.array([pesq(rate, target, output, mode, on_error=1) for target, output in pairs])  # -1: no speech
        scores["pesq"] = np.where(values < 0, np.nan, values)
    return scores


def si_sdr(x: Tensor, clean: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio, (..., time) -> (...) in dB, after the means are removed.

    See Le Roux et al. 2019, arXiv:1811.02508, equation 4.
    """
    x, clean = (signal - signal.mean(-1, keepdim=True) for signal in (x, clean))
    target = (x * clean).sum(-1, keepdim=True) / clean.square().sum(-1, keepdim=True) * clean
    return 10 * torch.log10(target.square().sum(-1) / (x - target).square().sum(-1))


def _import_function(package: str, name: str) -> Any:
    """Import the function ``name`` of ``package``; ``None`` if the package is not installed."""
    from importlib import import_module

    try:
        return getattr(import_module(package), name)
    except ModuleNotFoundError:
        return None


def _install_hint(scores: Scores) -> str:
    missing = [name.upper() for name in ("stoi", "pesq") if name not in scores]
    return f" ({' and '.join(missing)}: pip install 'genai[enhance]')" if missing else ""
