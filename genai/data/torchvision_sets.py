"""Labelled pictures that torchvision knows by name; the name of a class is the prompt."""

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from genai.core.cache import cache_key
from genai.core.data import Divided, Example, Split
from genai.core.errors import UserError, did_you_mean, join_names
from genai.media.picture import Picture

BY_FLAG = ("CIFAR10", "CIFAR100", "FashionMNIST", "KMNIST", "MNIST", "QMNIST", "USPS")
BY_SPLIT = ("STL10", "SVHN")


class TorchvisionSet(Divided):
    """A data set of torchvision that fits into memory. Its own test pictures are held out.

    Args:
        name: as torchvision spells it: ``FashionMNIST``, ``CIFAR10``, ...
        path: the folder that torchvision calls ``root``: it holds ``FashionMNIST/raw``, ``cifar-10-batches-py``, ...
        download: fetch what is missing there.

    Raises:
        UserError: there is no such set, or its files are not there.
    """

    media = Picture
    metrics = ("val_loss", "nearest", "classification_accuracy")

    def __init__(self, name: str, path: str, download: bool = False) -> None:
        if name not in (allowed := BY_FLAG + BY_SPLIT):
            raise UserError(
                f"data.name={name}: there is no such set.{did_you_mean(name, allowed)} There are: {join_names(allowed)}."
            )
        self.name, self.path, self.download = name, path, download

    @property
    def description(self) -> str:
        classes = len(set(self.train.prompts or ()))
        return f"{self.name}: {super().description}, {classes} classes"

    @cached_property
    def _splits(self) -> tuple[Split, Split]:
        return self._split("train", True), self._split("val", False)

    def _split(self, name: str, train: bool) -> Split:
        data = self._load(train)
        labels = [int(label) for label in (data.targets if hasattr(data, "targets") else data.labels)]
        names = [_prompt(name) for name in getattr(data, "classes", None) or range(10)]
        prompts = [names[label] for label in labels]
        content = hashlib.sha256(np.ascontiguousarray(data.data).data).hexdigest()
        load = lambda index: Example(Picture.of(data[index][0]), prompts[index])  # noqa: E731
        return Split(name, len(data), load, cache_key("torchvision", content, prompts), prompts)

    def _load(self, train: bool) -> Any:
        from torchvision import datasets

        cls, root = getattr(datasets, self.name), Path(self.path).expanduser()
        side: dict[str, Any] = {"train": train} if self.name in BY_FLAG else {"split": "train" if train else "test"}
        try:
            return cls(root, **side, download=self.download)
        except ImportError as error:
            raise UserError(
                f"data.name={self.name} needs the package {error.name}: pip install {error.name}."
            ) from error
        except Exception as error:  # a different one for each set: missing, damaged, no network
            if self.download:
                raise UserError(f"data.name={self.name} cannot be had: {str(error)[:300]}") from error
            raise UserError(self._missing(_place(cls, root), error)) from error

    def _missing(self, place: Path, error: Exception) -> str:
        if packed := sorted(place.glob("*.gz")):
            return f"{self.name} is still packed, in {len(packed)} files: gunzip --keep {place}/*.gz"
        if place.is_dir() and any(place.iterdir()):
            return f"{self.name} in {place} is not complete: {type(error).__name__}: {str(error)[:200]}"
        return f"{self.name} is not there: looked for {place}. Fetch it with data.download=true, or set data.path=."


def _place(cls: Any, root: Path) -> Path:
    """Where torchvision wants the files of a set."""
    from torchvision.datasets import MNIST

    return root / cls.__name__ / "raw" if issubclass(cls, MNIST) else root / getattr(cls, "base_folder", "")


def _prompt(name: Any) -> str:
    """The name of a class as one would type it: "7" for "7 - seven", "maple tree" for "maple_tree"."""
    return str(name).partition(" - ")[0].replace("_", " ")
