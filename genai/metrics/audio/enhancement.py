"""Does a model clean sound, and better than a classical filter? Ratios in dB, intelligibility, quality."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genai.core.batch import Request
from genai.core.errors import UserError
from genai.core.progress import ProgressBar
from genai.media.sound import Sound
from genai.metrics.audio.wiener import wiener
from genai.metrics.base import EvalContext, Metric, Result

CONDITIONS = (("white", 0), ("white", 10), ("coloured", 0), ("hum", 0), ("babble", 0), ("clipping", 5))
"""Kinds of damage, each with its signal-to-noise ratio in dB."""
SECONDS = 3
"""Of one test: intelligibility and quality are defined for sentences, not for a word."""
UNITS = {
    "si_sdr": "scale-invariant signal-to-distortion ratio in dB",
    "stoi": "STOI, intelligibility of 0..1",
    "pesq": "PESQ, quality of 1..4.5",
}

Scores = dict[str, NDArray[np.float64]]
"""Of each test, by the name of the score."""


class Enhancement(Metric):
    """Held-out sound with damage that is the same every time: as it is, behind a Wiener filter, and as restored.

    The damage is the method's own: one that has ``damaged(clean, kind, ratio)`` as its ``damage`` learns to undo it.
    """

    media = Sound

    def compute(self, study: EvalContext) -> dict[str, Result]:
        """``si_sdr_<kind>_<ratio>`` and, where their packages are installed, ``stoi_...`` and ``pesq_...``."""
        figures: dict[str, Result] = {}
        for (kind, ratio), found in compared(study).items():
            for name, values in found["restored"].items():
                others = ", ".join(f"{other} {np.nanmean(found[other][name]):.3f}" for other in ("noisy", "wiener"))
                about = f"{UNITS[name]}: {others}{_missing(found['restored'])}"
                values = values[~np.isnan(values)]
                error = float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else None
                mean = float(np.mean(values)) if len(values) else None
                figures[f"{name}_{kind}_{ratio}"] = Result(mean, about, error)
        return figures


def compared(study: EvalContext) -> dict[tuple[str, int], dict[str, Scores]]:
    """By condition, the scores of what is ``noisy``, of a ``wiener`` filter, of what is ``restored``.

    Raises:
        UserError: the model is not one that undoes a damage.
    """
    damage = getattr(study.model.method, "damage", None)
    if damage is None:
        raise UserError("'enhancement' is of models that undo a damage (model=enhancer), and this is none.")
    rate = damage.rate
    clean = sentences(study, -(-study.n // len(CONDITIONS)), rate)
    found: dict[tuple[str, int], dict[str, Scores]] = {}
    with ProgressBar("restored sounds", len(CONDITIONS)) as bar, torch.random.fork_rng([]):
        for kind, ratio in CONDITIONS:
            torch.manual_seed(study.seed)
            noisy = damage.damaged(clean, kind, float(ratio))
            made = {"noisy": noisy, "wiener": wiener(noisy, rate), "restored": restored(study, noisy)}
            found[kind, ratio] = {name: scores(x, clean, rate) for name, x in made.items()}
            bar.step()
    return found


def sentences(study: EvalContext, count: int, rate: int) -> Tensor:
    """(at most ``count``, time) of held-out clips, in an order of the seed, joined and cut to ``SECONDS``."""
    length, parts, have = SECONDS * rate, [], 0
    for index in np.random.default_rng(study.seed).permutation(len(study.val)).tolist():
        row = study.val.batch([index], None)
        parts.append(row.x[0] if row.valid is None else row.x[0][row.valid[0]])
        have += len(parts[-1])
        if have >= count * length:
            break
    joined = torch.cat(parts)
    joined = joined.repeat(-(-length // len(joined)))[: max(length, len(joined) // length * length)]
    rows = joined.view(-1, length)[:count]
    return rows[rows.abs().amax(1) > 0]


def restored(study: EvalContext, noisy: Tensor) -> Tensor:
    """What the model makes of (tests, time)."""
    _, options = study.model.split_options(study.options)
    study.model.method.eval()
    requests = [Request([""], [study.seed], (len(row),), init=[row]) for row in noisy]
    return torch.stack([study.model.method.sample(request, options)[0] for request in requests])


def scores(x: Tensor, clean: Tensor, rate: int) -> Scores:
    """Of (tests, time) against what it should be; ``stoi`` and ``pesq`` where their packages are there.

    PESQ is narrow-band below 16 kHz, wide-band from there on (ITU-T P.862, P.862.2).
    """
    found = {"si_sdr": si_sdr(x.double(), clean.double()).numpy()}
    pairs = list(zip(clean.numpy(), x.numpy(), strict=True))
    if stoi := _imported("pystoi", "stoi"):
        found["stoi"] = np.array([stoi(real, made, rate) for real, made in pairs])
    if pesq := _imported("pesq", "pesq"):
        from torchaudio.functional import resample

        band, mode = (16_000, "wb") if rate >= 16_000 else (8000, "nb")
        pairs = [tuple(resample(row, rate, band).numpy() for row in pair) for pair in zip(clean, x, strict=True)]
        values = np.array([pesq(band, real, made, mode, on_error=1) for real, made in pairs])  # -1: nothing to be heard
        found["pesq"] = np.where(values < 0, np.nan, values)
    return found


def si_sdr(x: Tensor, clean: Tensor) -> Tensor:
    """(..., time) -> (...) dB: what of ``x`` points along ``clean``, over the rest (Le Roux et al. 2019,
    arXiv:1811.02508, equation 4), without means."""
    x, clean = (part - part.mean(-1, keepdim=True) for part in (x, clean))
    target = (x * clean).sum(-1, keepdim=True) / clean.square().sum(-1, keepdim=True) * clean
    return 10 * torch.log10(target.square().sum(-1) / (x - target).square().sum(-1))


def _imported(package: str, name: str) -> Any:
    """The function ``name`` of a package that may not be there."""
    from importlib import import_module

    try:
        return getattr(import_module(package), name)
    except ModuleNotFoundError:
        return None


def _missing(found: Scores) -> str:
    names = [name.upper() for name in ("stoi", "pesq") if name not in found]
    return f" ({' and '.join(names)}: pip install 'genai[enhance]')" if names else ""
