"""Train and sample generative models of text, images, audio and video.

>>> model = genai.fit("modality=text", "steps=200")       # the words of the command line
>>> model = genai.load("runs/2026-01-31/12-00-00-text-gpt")  # or genai.load(): the newest run
>>> model.sample("def ", n=4, seed=0, temperature=0.8)
>>> genai.measure("modality=text", "n=64")["metrics"]["val_loss"]["value"]
"""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genai.evaluate import measure
    from genai.model import Model, load
    from genai.train import fit

__all__ = ["Model", "fit", "load", "measure"]

try:
    __version__ = version("genai")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"

_HOME = {"Model": "genai.model", "load": "genai.model", "fit": "genai.train", "measure": "genai.evaluate"}


def __getattr__(name: str) -> Any:
    """Import what is asked for only now: ``import genai`` costs no torch."""
    if name not in _HOME:
        raise AttributeError(f"module 'genai' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
