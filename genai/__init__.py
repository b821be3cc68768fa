"""Train and sample generative models of text, images, audio and video.

>>> model = genai.fit("modality=text", "steps=200")       # words of the command line
>>> model = genai.load("runs/2026-01-31/12-00-00-text-gpt")  # or genai.load(): the last finished run
>>> model.sample("def ", n=4, seed=0, temperature=0.8)
>>> genai.provenance("a.png").text                         # where a file comes from
>>> genai.measure("modality=text", "n=64")["metrics"]["val_loss"]["value"]
"""

from typing import TYPE_CHECKING, Any

from genai.core.renamed import install
from genai.version import __version__

if TYPE_CHECKING:
    from genai.commands.evaluate import measure
    from genai.commands.train import fit
    from genai.commands.verify import provenance
    from genai.inference.model import Model, load

__all__ = ["Model", "__version__", "fit", "load", "measure", "provenance"]

_MODULES = {
    "Model": "genai.inference.model",
    "load": "genai.inference.model",
    "fit": "genai.train",
    "measure": "genai.evaluate",
    "provenance": "genai.commands.verify",
}


install()


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    """Import names on first use, so that ``import genai`` does not import torch."""
    if name not in _MODULES:
        raise AttributeError(f"module 'genai' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES[name]), name)
