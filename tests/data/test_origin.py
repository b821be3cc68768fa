"""Name and license of data: the set's own, or what its folder states."""

from pathlib import Path

from genai.data.image_folder import ImageFolder
from genai.data.origin import data_license, data_name
from genai.data.text import Stdlib, TextFolder
from genai.data.torchvision_sets import TorchvisionSet
from genai.toy.data.image import ToyImages


def test_a_set_has_a_name_and_a_folder_has_its_own(pictures: Path, fashion: Path, tmp_path: Path) -> None:
    assert data_name(TorchvisionSet("FashionMNIST", str(fashion))) == "FashionMNIST"
    assert data_name(ImageFolder(str(pictures))) == pictures.name
    snapshot = tmp_path / "datasets--a--b" / "snapshots" / "1"
    assert data_name(TextFolder(str(snapshot))) == "a/b"
    assert data_name(ToyImages(16)) == "toy world of genai" and data_license(ToyImages(16)) == "mit"
    assert data_name(Stdlib()) == "Python standard library"


def test_a_folder_states_its_license_in_its_card(tmp_path: Path) -> None:
    source = TextFolder(str(tmp_path))
    assert data_license(source) == ""
    (tmp_path / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    assert data_license(source) == "cc-by-4.0"
    assert data_license(TextFolder(str(tmp_path / "README.md"))) == data_license(TextFolder("*.txt")) == ""
