import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest

from genai.core.errors import UserError
from genai.data.torchvision_sets import TorchvisionSet
from genai.modalities.image import Image


def test_classes_are_prompts_and_the_test_pictures_are_held_out(fashion: Path, tmp_path: Path) -> None:
    source = TorchvisionSet("FashionMNIST", str(fashion))
    assert (len(source.train), len(source.val)) == (20, 10)
    assert source.description == "FashionMNIST: 20 to train on, 10 held out, 10 classes"
    assert [source.val.prompt(index) for index in (0, 1, 9)] == ["T-shirt/top", "Trouser", "Ankle boot"]
    content = (fashion / "FashionMNIST" / "raw" / "t10k-images-idx3-ubyte").read_bytes()[16:]
    assert b"".join(example.media.pixels.tobytes() for example in source.val) == content
    packed = Image(28, 1).pack(source.val, tmp_path)
    assert np.array_equal(packed.pixels.tobytes(), content)


def test_digits_are_their_own_prompts_and_content_is_the_fingerprint(fashion: Path, tmp_path: Path) -> None:
    shutil.copytree(fashion / "FashionMNIST", tmp_path / "MNIST")
    digits, clothes = TorchvisionSet("MNIST", str(tmp_path)), TorchvisionSet("FashionMNIST", str(fashion))
    assert [example.prompt for example in digits.val] == list("0123456789")
    hashes = [split.content_hash for source in (digits, clothes) for split in (source.train, source.val)]
    assert len(set(hashes)) == 4
    assert hashes[2] == TorchvisionSet("FashionMNIST", str(fashion)).train.content_hash


def test_what_is_missing_is_said_and_never_fetched(
    fashion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("a download")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    for name, folder in (("FashionMNIST", "FashionMNIST/raw"), ("CIFAR10", "cifar-10-batches-py"), ("USPS", "")):
        with pytest.raises(UserError, match=f"{name} was not found in {tmp_path / folder}.*data.download=true"):
            _ = TorchvisionSet(name, str(tmp_path)).train
    shutil.copytree(fashion / "FashionMNIST", tmp_path / "FashionMNIST")
    for file in list((raw := tmp_path / "FashionMNIST" / "raw").iterdir()):
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    with pytest.raises(UserError, match=f"still compressed, in 4 files: gunzip --keep {raw}"):
        _ = TorchvisionSet("FashionMNIST", str(tmp_path)).train


def test_damaged_files_are_said(fashion: Path, tmp_path: Path) -> None:
    shutil.copytree(fashion / "FashionMNIST", tmp_path / "FashionMNIST")
    file = tmp_path / "FashionMNIST" / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"FashionMNIST in .* is incomplete"):
        _ = TorchvisionSet("FashionMNIST", str(tmp_path)).train


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"data\.name=CIFAR: there is no such data set\. Did you mean 'CIFAR10"):
        TorchvisionSet("CIFAR", "x")
