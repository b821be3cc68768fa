"""The exported page in a real browser: it makes the pictures of ``genai.sample``, and asks nobody."""

import os
import re
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import genai
from genai.exchange.web_export import export_web
from genai.media.picture import Picture
from genai.networks.text_encoder import PromptEncoder
from tests.exchange.image_models import LABEL, PROMPT, pixels, random_model
from tests.exchange.test_onnx_sample import ODD_PROMPTS

NODE_MODULES = os.environ.get("GENAI_NODE_MODULES", "")
pytestmark = [
    pytest.mark.peers,
    pytest.mark.system("chromium"),
    pytest.mark.skipif(not (Path(NODE_MODULES) / "onnxruntime-web").is_dir(), reason="no onnxruntime-web"),
]
MAX_DIFFERENCE = 3
"""Of 255: onnxruntime multiplies in another order in WebAssembly."""
IDS = "([prompts, rules]) => {const {ids, shape} = wordIds(prompts, rules); return [[...ids], shape]}"


@pytest.fixture(autouse=True)
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sample in float32 on every processor."""
    monkeypatch.setattr("genai.methods.diffusion.fast_bfloat16", lambda device: False)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        program = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield program
        program.close()


class Opener:
    """Opens pages that must report no error and ask nobody else."""

    def __init__(self, browser: Any, **options: Any) -> None:
        self.context, self.problems = browser.new_context(accept_downloads=True, **options), list[str]()

    def open(self, url: str) -> Any:
        root = url.rpartition("/")[0]
        self.context.route(
            re.compile(rf"^(?!{re.escape(root)}|data:|blob:)"),
            lambda route: (self.problems.append(route.request.url), route.abort()),
        )
        page = self.context.new_page()
        page.on("console", lambda line: self.problems.append(line.text))
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.goto(url)
        page.wait_for_selector("#draw:enabled", timeout=120_000)
        return page


def draw(page: Any, **values: Any) -> Path:
    """Draw with these fields, and return the file that the page saves."""
    for name, value in values.items():
        field = page.locator(f"#{name}")
        field.select_option(value) if name == "sampler" else field.fill(str(value))
    page.click("#draw")
    page.wait_for_selector("#status:text-matches('Drawn in')", timeout=120_000)
    with page.expect_download() as download:
        page.click("#save")
    file = Path(download.value.path()).with_suffix(".png")
    download.value.save_as(file)
    return file


@pytest.mark.parametrize("kind", ["pixels", "words", "gray", "gan"])
def test_a_page_that_is_opened_as_a_file_makes_the_same_pictures(kind: str, browser: Any, tmp_path: Path) -> None:
    model = random_model(kind)
    export_web(model.modality, model.method, tmp_path, LABEL, [PROMPT], "card", NODE_MODULES)
    opener = Opener(browser, viewport={"width": 360, "height": 740})
    page = opener.open((tmp_path / "index.html").as_uri())
    steps = [{"sampler": name, "steps": 3} for name in ("euler", "euler_ancestral", "heun", "dpmpp_2m")]
    choices = [{"truncation": 0.5}] if kind == "gan" else steps[:: 3 if kind == "words" else 1]
    prompt = {} if kind == "gray" else {"prompt": PROMPT}
    for seed, values in enumerate([{}, *choices]):
        file = draw(page, seed=seed, **values, **prompt)
        found = np.asarray(Picture.read(file).image.convert("L" if kind == "gray" else "RGB")).astype(int)
        expected = pixels(model, seed=seed, **values)[0]
        assert np.abs(found.reshape(expected.shape) - expected).max() <= MAX_DIFFERENCE, values
        assert found.std() > 3
    result = genai.provenance(file)
    assert result.status == "unsigned" and result.is_synthetic and result.recipe["seed"] == seed
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    opener.context.close()
    assert opener.problems == []


def test_a_server_of_files_is_enough(browser: Any, tmp_path: Path) -> None:
    model, prompts = random_model("pixels"), [PROMPT, "a <b>blue</b> ring"]
    export_web(model.modality, model.method, tmp_path, LABEL, prompts, "card", NODE_MODULES)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        opener = Opener(browser, color_scheme="dark")
        page = opener.open(f"http://127.0.0.1:{server.server_port}/index.html")
        page.click("#examples button >> nth=1")
        assert page.input_value("#prompt") == prompts[1] and page.locator("b").count() == 0
        file = draw(page, seed=7, guidance=1)
        expected = pixels(model, prompts[1], seed=7, guidance=1.0)[0]
        assert np.abs(expected - np.asarray(Picture.read(file).image)).max() <= MAX_DIFFERENCE
        page.click("#another")
        page.wait_for_selector("#status:text-matches('Drawing')")
        page.wait_for_selector("#status:text-matches('Drawn in')")
        assert page.input_value("#seed") == "8" and page.get_attribute("#save", "download") == "a-b-blue-b-ring-8.png"
        server.shutdown()
        axe = pytest.importorskip("axe_playwright_python.sync_playwright")
        violations = axe.Axe().run(page).response["violations"]
        assert [each["id"] for each in violations] == []
    opener.context.close()
    assert opener.problems == []


def test_words_have_the_ids_of_the_encoder(browser: Any, tmp_path: Path) -> None:
    model = random_model("pixels")
    export_web(model.modality, model.method, tmp_path, LABEL, [PROMPT], "card", NODE_MODULES)
    page = Opener(browser).open((tmp_path / "index.html").as_uri())
    for segmentation in ("spaces", "unicode"):
        encoder = PromptEncoder(8, 8, 1, 50, 7, segmentation)  # type: ignore[arg-type]
        rules = {"rows": encoder.rows, "max_words": encoder.max_words, "segmentation": segmentation}
        ids, shape = page.evaluate(IDS, [ODD_PROMPTS, rules])
        assert np.array_equal(np.reshape(ids, shape), encoder.tokenize(ODD_PROMPTS).numpy())


def test_drawing_can_be_stopped(browser: Any, tmp_path: Path) -> None:
    model = random_model("pixels")
    export_web(model.modality, model.method, tmp_path, LABEL, [PROMPT], "card", NODE_MODULES)
    page = Opener(browser).open((tmp_path / "index.html").as_uri())
    page.fill("#steps", "1000")
    page.press("#steps", "Enter")
    page.wait_for_selector("#status:text-matches('Drawing')")
    page.click("#stop")
    page.wait_for_selector("#status:text-is('Stopped')")
    assert 0 < page.evaluate("document.getElementById('progress').value") < 1 and page.is_enabled("#draw")
