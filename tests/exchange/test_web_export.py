"""The exported page: where onnxruntime-web comes from, and what the folder holds."""

import base64
import gzip
import json
import re
from pathlib import Path

import pytest

from genai.core.errors import UserError
from genai.exchange.web_export import DATA, PAGE, RUNTIME, export_web, find_runtime, read_runtime
from tests.exchange.image_models import LABEL, random_model


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """A ``node_modules`` with files of the names of onnxruntime-web."""
    package = tmp_path / "node_modules" / "onnxruntime-web"
    (package / "dist").mkdir(parents=True)
    for name in (RUNTIME, *DATA.values()):
        (package / "dist" / name).write_bytes(name.encode())
    (package / "package.json").write_text('{"version": "1.2.3"}')
    return tmp_path / "node_modules"


def test_a_page_is_whole_and_says_what_is_in_it(modules: Path, tmp_path: Path) -> None:
    model, folder = random_model("gray"), tmp_path / "page"
    folder.mkdir()
    assert export_web(model.modality, model.method, folder, LABEL, ["</script>"], "card", str(modules)) == (
        "Image Diffusion as a page"
    )
    page = (folder / "index.html").read_text()
    names = re.findall(r'(?:src|href)="([\w.]+)"', page)
    assert len(names) == 9 and all((folder / name).is_file() for name in names)
    assert "://" not in page and "connect-src 'none'" in page  # it can ask nobody
    config = json.loads((folder / "config.js").read_text().removeprefix("globalThis.CONFIG = ").rstrip(";\n"))
    assert config["files"] == ["decoder", "denoiser"] and config["prompt"] is None
    assert sorted(file.stem for file in (folder / "data").iterdir()) == ["decoder", "denoiser", "glue", "wasm"]
    found = re.fullmatch(r'FILES\["glue"\]="(.*)";\n', (folder / "data" / "glue.js").read_text())
    assert found and gzip.decompress(base64.b64decode(found[1])) == DATA["glue"].encode()
    assert "onnxruntime-web 1.2.3" in (folder / "THIRD_PARTY.txt").read_text()
    assert (folder / "README.md").read_text() == "card" and {file.name for file in PAGE.iterdir()} < {
        file.name for file in folder.iterdir()
    }


@pytest.mark.parametrize("place", [".", "onnxruntime-web", "onnxruntime-web/dist"])
def test_its_folder_can_be_named(place: str, modules: Path) -> None:
    assert find_runtime(str(modules / place)).resolve() == modules / "onnxruntime-web" / "dist"


def test_it_is_found_above_the_current_folder(modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (below := modules.parent / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(below)
    assert find_runtime(None) == modules / "onnxruntime-web" / "dist"


def test_a_damaged_package_is_refused(modules: Path, tmp_path: Path) -> None:
    model = random_model("gray")
    (tmp_path / "page").mkdir()
    (modules / "onnxruntime-web" / "package.json").write_text("[" * 9_999)
    with pytest.raises(UserError, match=r"package\.json"):
        export_web(model.modality, model.method, tmp_path / "page", LABEL, [], "card", str(modules))
    with (modules / "onnxruntime-web" / "dist" / RUNTIME).open("wb") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(UserError, match=f"{RUNTIME} has 68,157,440 bytes, more than"):
        read_runtime(modules / "onnxruntime-web" / "dist" / RUNTIME)


def test_without_it_a_line_says_where_it_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, beginning in ((None, "format=web needs"), ("nowhere", "ort=nowhere does not have")):
        with pytest.raises(UserError, match=f"{beginning} onnxruntime-web, .* npm install onnxruntime-web@1"):
            find_runtime(folder)
