"""The exported page: where onnxruntime-web comes from, and what the folder holds."""

import base64
import gzip
import json
import re
from pathlib import Path

import pytest

from genai.core.errors import UserError
from genai.exchange.web_export import DATA, PAGE, RUNTIME, VERSION, export_web, find_runtime, read_runtime
from tests.conftest import ROOT
from tests.exchange.image_models import LABEL, random_model
from tests.exchange.web_runtime import WEB_RUNTIME, write_web_runtime


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ``node_modules`` with files of the names of onnxruntime-web."""
    monkeypatch.setattr("genai.exchange.web_export.SHA256", WEB_RUNTIME)
    write_web_runtime(tmp_path / "node_modules")
    return tmp_path / "node_modules"


def test_a_page_is_whole_and_says_what_is_in_it(modules: Path, tmp_path: Path) -> None:
    model, folder = random_model("gray"), tmp_path / "page"
    folder.mkdir()
    assert export_web(model.modality, model.method, folder, LABEL, ["</script>"], "card", str(modules)) == (
        f"Image Diffusion as a page, with onnxruntime-web {VERSION} of {modules / 'onnxruntime-web' / 'dist'}"
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
    assert f"onnxruntime-web {VERSION}," in (folder / "THIRD_PARTY.txt").read_text()
    assert (folder / "README.md").read_text() == "card" and {file.name for file in PAGE.iterdir()} < {
        file.name for file in folder.iterdir()
    }


@pytest.mark.parametrize("place", [".", "onnxruntime-web", "onnxruntime-web/dist"])
def test_its_folder_can_be_named(place: str, modules: Path) -> None:
    assert find_runtime(str(modules / place)).resolve() == modules / "onnxruntime-web" / "dist"


def test_it_is_found_in_the_current_folder_and_not_above(modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(modules.parent)
    assert find_runtime(None) == modules / "onnxruntime-web" / "dist"
    (below := modules.parent / "a").mkdir()
    monkeypatch.chdir(below)
    with pytest.raises(UserError, match="format=web needs onnxruntime-web"):
        find_runtime(None)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ('{"name": "onnxruntime-web", "version": "1.29.9"}', "onnxruntime-web 1.29.9"),
        (f'{{"name": "other\\u001b", "version": "{VERSION}"}}', rf"other\S* {VERSION}"),
        (f'{{"version": "{VERSION}"}}', VERSION),
        ("[]", "nothing"),
        (None, "nothing"),
    ],
)
def test_another_package_or_version_is_refused(record: str | None, said: str, modules: Path) -> None:
    file = modules / "onnxruntime-web" / "package.json"
    file.unlink() if record is None else file.write_text(record)
    with pytest.raises(UserError, match=rf"json says {said}\. format=web is tested with onnxruntime-web {VERSION}"):
        read_runtime(file.parent / "dist")


@pytest.mark.parametrize("name", list(WEB_RUNTIME))
def test_a_changed_file_is_refused(name: str, modules: Path) -> None:
    (dist := modules / "onnxruntime-web" / "dist").joinpath(name).write_bytes(b"alert(1)")
    with pytest.raises(UserError, match=f"{name} is not the file of onnxruntime-web {VERSION}"):
        read_runtime(dist)


@pytest.mark.parametrize("path", ["CONTRIBUTING.md", "configs/hydra/help/export.yaml", "docs/image_export.md"])
def test_documents_name_the_version_that_is_taken(path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    assert set(re.findall(r"onnxruntime-web[@ -](\d[\d.]*\d)|Only version (\d[\d.]*\d)", text)) <= {
        (VERSION, ""),
        ("", VERSION),
    }
    assert f"onnxruntime-web@{VERSION}" in text


def test_a_damaged_package_is_refused(modules: Path, tmp_path: Path) -> None:
    model = random_model("gray")
    (tmp_path / "page").mkdir()
    (modules / "onnxruntime-web" / "package.json").write_text("[" * 9_999)
    with pytest.raises(UserError, match=r"package\.json"):
        export_web(model.modality, model.method, tmp_path / "page", LABEL, [], "card", str(modules))
    write_web_runtime(modules / "second")
    with (modules / "second" / "onnxruntime-web" / "dist" / RUNTIME).open("wb") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(UserError, match=f"{RUNTIME} has 68,157,440 bytes, more than"):
        read_runtime(modules / "second" / "onnxruntime-web" / "dist")


def test_without_it_a_line_says_where_it_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, beginning in ((None, "format=web needs"), ("nowhere", "ort=nowhere does not have")):
        with pytest.raises(UserError, match=f"{beginning} onnxruntime-web, .* npm install onnxruntime-web@1"):
            find_runtime(folder)
