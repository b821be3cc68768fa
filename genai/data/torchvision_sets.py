"""Data sets of labeled pictures in torchvision; the class names are the prompts."""

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from genai.core.cache import cache_key
from genai.core.data import Example, Split, SplitSource
from genai.core.errors import UserError, did_you_mean, join_names
from genai.media.picture import Picture

DATASETS_WITH_TRAIN_FLAG = ("CIFAR10", "CIFAR100", "FashionMNIST", "KMNIST", "MNIST", "QMNIST", "USPS")
DATASETS_WITH_SPLIT_NAME = ("STL10", "SVHN")
"""Data sets whose argument for the split is ``train=True``, or ``split="train"``."""


class TorchvisionSet(SplitSource):
    """A data set of torchvision that fits into memory. Its test pictures are the validation data.

    Args:
        name: name of the data set, as in torchvision: ``FashionMNIST``, ``CIFAR10``, ...
        path: ``root`` in torchvision, the folder of ``FashionMNIST/raw``, ``cifar-10-batches-py``, ...
        download: download missing files.

    Raises:
        UserError: the data set is not supported, or its files are missing.
    """

    media = Picture
    metrics = ("val_loss", "nearest", "classification_accuracy")

    def __init__(self, name: str, path: str, download: bool = False) -> None:
        allowed = DATASETS_WITH_TRAIN_FLAG + DATASETS_WITH_SPLIT_NAME
        if name not in allowed:
            hint = did_you_mean(name, allowed)
            raise UserError(f"data.name={name}: there is no such data set.{hint} There are: {join_names(allowed)}.")
        self.name, self.path, self.download = name, path, download

    @property
    def description(self) -> str:
        num_classes = len(set(self.train.prompts or ()))
        return f"{self.name}: {super().description}, {num_classes} classes"

    @cached_property
    def _splits(self) -> tuple[Split, Split]:
        return self._make_split("train", True), self._make_split("val", False)

    def _make_split(self, name: str, train: bool) -> Split:
        dataset = self._load(train)
        labels = [int(label) for label in (dataset.targets if hasattr(dataset, "targets") else dataset.labels)]
        names = [_class_prompt(name) for name in getattr(dataset, "classes", None) or range(10)]
        prompts = [names[label] for label in labels]
        content = hashlib.sha256(np.ascontiguousarray(dataset.data).data).hexdigest()
        load = lambda index: Example(Picture.from_pil(dataset[index][0]), prompts[index])  # noqa: E731
        return Split(name, len(dataset), load, cache_key("torchvision", content, prompts), prompts)

    def _load(self, train: bool) -> Any:
        from torchvision import datasets

        cls, root = getattr(datasets, self.name), Path(self.path).expanduser()
        split_arguments: dict[str, Any] = {"split": "train" if train else "test"}
        if self.name in DATASETS_WITH_TRAIN_FLAG:
            split_arguments = {"train": train}
        try:
            return cls(root, **split_arguments, download=self.download)
        except ImportError as error:
            raise UserError(
                f"data.name={self.name} needs the package {error.name}: pip install {error.name}."
            ) from error
        except Exception as error:  # another type for each data set: missing, damaged, no network
            if self.download:
                raise UserError(f"data.name={self.name} cannot be downloaded: {str(error)[:300]}") from error
            raise UserError(self._missing_message(_data_folder(cls, root), error)) from error

    def _missing_message(self, folder: Path, error: Exception) -> str:
        if archives := sorted(folder.glob("*.gz")):
            return f"{self.name} is still compressed, in {len(archives)} files: gunzip --keep {folder}/*.gz"
        if folder.is_dir() and any(folder.iterdir()):
            return f"{self.name} in {folder} is incomplete: {type(error).__name__}: {str(error)[:200]}"
        return f"{self.name} was not found in {folder}. Download it with data.download=true, or set data.path=."


def _data_folder(cls: Any, root: Path) -> Path:
    """Return the folder where torchvision expects the files of a data set."""
    from torchvision.datasets import MNIST

    return root / cls.__name__ / "raw" if issubclass(cls, MNIST) else root / getattr(cls, "base_folder", "")


def _class_prompt(name: Any) -> str:
    """Turn a class name into a prompt: "7" for "7 - seven", "maple tree" for "maple_tree"."""
    return str(name).partition(" - ")[0].replace("_", " ")
