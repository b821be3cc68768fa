"""The studio in a real browser: each page used as a person does, with nothing from outside and no errors."""

import base64
import json
import re
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from genai.cli.compose import compose
from genai.server.settings import ServeSettings
from genai.training.run import train
from genai.trust.certificates import read_signer
from genai.trust.embed import add_label
from tests.conftest import SMALL
from tests.server.conftest import KINDS, running_server
from tests.trust.conftest import LABEL, make_file

pytestmark = [pytest.mark.peers, pytest.mark.system("chromium")]
WIDTHS = {"narrow": (360, 740), "wide": (1280, 900)}
IS_OVER = "() => {const job = document.querySelector('.job'); return job && job.getAttribute('aria-busy') === 'false'}"

CHANGED_HALVES = """async () => {
    const pixels = async ({ src }) => {
        const picture = await createImageBitmap(await (await fetch(src)).blob());
        const context = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
        context.drawImage(picture, 0, 0);
        return context.getImageData(0, 0, picture.width, picture.height).data;
    };
    const pictures = [...document.querySelectorAll(".take img")].slice(0, 2);
    const [after, before] = await Promise.all(pictures.map(pixels));
    const changed = [...before].map((value, i) => value !== after[i]);
    return [changed.slice(0, before.length / 2).some(Boolean), changed.slice(before.length / 2).some(Boolean)];
}"""
"""Whether the upper and the lower half of the newest picture differ from those of the one before."""
MARKDOWN = """<img src=x onerror=alert(1)> [a](javascript:alert(1)) **b** `c` [d](https://example.org)

- e

```
<script>
```"""
FOUND_ELEMENTS = """async (text) => {
    const { html, render } = await import("/studio/htm-preact.js");
    const { markdown } = await import("/studio/markdown.js");
    const box = document.createElement("div");
    render(html`<div>${markdown(text)}</div>`, box);
    const count = (name) => box.querySelectorAll(name).length;
    const links = [...box.querySelectorAll("a")].map((a) => a.href);
    return [count("img, script"), links, ["strong", "code", "li", "pre"].map(count)];
}"""
"""Number of pictures and scripts, addresses of links, and numbers of other elements in Markdown."""


COVERED_FIELDS = """() => {
    const button = document.querySelector("form .primary");
    return [...document.querySelectorAll("form .field")].filter((field) => {
        field.scrollIntoView({ block: "nearest" });
        const [box, cover] = [field.getBoundingClientRect(), button.getBoundingClientRect()];
        return box.bottom > cover.top + 1 && box.top < cover.bottom - 1;
    }).map((field) => field.textContent);
}"""
"""Texts of the fields of the form that are behind its button after one has scrolled to them."""


@pytest.fixture(scope="module")
def chat_run(talks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that chats, after a few steps."""
    words = [word for word in SMALL if not word.startswith(("data=", "modality=", "modality.vocab"))]
    runs = tmp_path_factory.mktemp("chat")
    words += [f"data.path={talks}", "modality.vocab_size=null", "modality.block=64", f"runs={runs}", "steps=5"]
    return train(compose("train", ["experiment=sft", *words])).folder


@pytest.fixture(scope="module")
def studio(
    trained: Callable[[str], Path], chat_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """The address of a studio, and its folder of samples."""
    samples = tmp_path_factory.mktemp("studio") / "samples"
    paths = {"talker": chat_run, **{kind: trained(kind) for kind in KINDS}}
    models = "{" + ", ".join(f"{name}: '{path}'" for name, path in paths.items()) + "}"
    folders = {"samples": str(samples), "runs": str(samples.parent / "runs"), "data_root": str(samples.parent)}
    settings = ServeSettings(models=models, device="cpu", train=True, **folders)
    shutil.copytree(paths["image"], samples.parent / "runs/2026-01-30/12-00-00-image-diffusion")
    with running_server(settings) as (url, _):
        yield url, samples


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        program = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield program
        program.close()


@pytest.fixture(params=WIDTHS)
def page(request: pytest.FixtureRequest, browser: Any, studio: tuple[str, Path]) -> Iterator[Any]:
    """The studio at a width; it must report no error and ask nobody else."""
    url, _ = studio
    width, height = WIDTHS[request.param]
    context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True, base_url=url)
    problems: list[str] = []
    context.route(
        re.compile(rf"^(?!{re.escape(url)}|data:|blob:)"),
        lambda route: (problems.append(route.request.url), route.abort()),
    )
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.on(
        "console", lambda line: problems.append(f"{line.text} {line.location['url']}") if line.type != "log" else None
    )
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto("/")
    page.wait_for_selector("#prompt, .empty")
    yield page
    widest = page.evaluate("document.documentElement.scrollWidth")
    context.close()
    assert problems == []
    assert widest <= width, "the page is wider than the window"


def choose(page: Any, model: str) -> None:
    """Choose a model on the page Make."""
    page.select_option("#model", model)
    page.wait_for_function(
        "model => document.querySelector('#model').value === model && document.querySelector('#prompt')", arg=model
    )


def make(page: Any, prompt: str, n: int, is_waiting: bool = True) -> None:
    page.fill("#prompt", prompt)
    page.fill("#n", str(n))
    before = page.locator(".take").count()
    page.click("button:text-is('Make')")
    page.wait_for_function("count => document.querySelectorAll('.take').length > count", arg=before)
    if is_waiting:
        page.wait_for_function(IS_OVER)
        assert page.locator(".take >> nth=0 >> .error").all_inner_texts() == []


def set_option(page: Any, name: str, value: str) -> None:
    """Write a value beside the slider of an option."""
    page.get_by_label(f"{name} as a number").fill(value)
    page.keyboard.press("Tab")


@pytest.mark.parametrize("kind", KINDS)
def test_make(page: Any, studio: tuple[str, Path], kind: str) -> None:
    choose(page, kind)
    selector = {"text": "figure pre", "image": "figure img", "audio": "figure audio", "video": "figure video"}[kind]
    if kind == "text":
        set_option(page, "length", "12")
    else:
        page.click(".chip >> nth=0")
    prompt = page.input_value("#prompt")
    make(page, prompt or "the ", 2)
    assert page.locator(f".take >> nth=0 >> {selector}").count() == 2
    page.click("header .logo")
    page.click("nav >> text=Gallery")
    page.wait_for_selector(f".tile.{kind}")
    assert len(list(studio[1].glob("**/00*.json"))) >= 2


def test_the_button_covers_no_field(page: Any) -> None:
    choose(page, "image")
    page.locator(".options details > summary").click()
    assert page.evaluate(COVERED_FIELDS) == []


def test_a_mask_outlives_the_prompt_and_protects_the_rest(page: Any, studio: tuple[str, Path]) -> None:
    choose(page, "image")
    make(page, "", 1)
    page.click("text=start from it")
    page.locator(".mask canvas").scroll_into_view_if_needed()
    box = page.locator(".mask canvas").bounding_box()
    x, y = box["x"] + box["width"] / 4, box["y"] + box["height"] / 4
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + box["width"] / 4, y, steps=4)
    page.mouse.up()
    page.fill("#prompt", "other words")
    assert "the rest stays" in page.inner_text(".mask")
    make(page, "other words", 1)
    compared = page.evaluate(CHANGED_HALVES)
    assert compared == [True, False], "the upper half is painted on, the lower one is not"
    page.locator(".mask canvas").focus()
    for key in ("z", "e", " ", "]"):
        page.keyboard.press(key)
    assert page.get_by_role("button", name="eraser").get_attribute("aria-pressed") == "true"


def test_a_request_can_be_canceled(page: Any) -> None:
    choose(page, "image")
    set_option(page, "steps", "250")
    make(page, "", 64, is_waiting=False)
    page.click(".job >> text=cancel")
    page.wait_for_selector(".job >> text=canceled")


WATCH_JOBS = """() => {
    window.jobs = [];
    const original = window.fetch;
    window.fetch = async (path, options = {}) => {
        const method = options.method ?? "GET";
        if (method === "GET" || !String(path).startsWith("/api/jobs")) return original(path, options);
        const entry = { method, time: performance.now(), body: method === "POST" && JSON.parse(options.body) };
        window.jobs.push(entry);
        const response = await original(path, options);
        if (method === "POST") entry.id = (await response.clone().json()).id;
        return response;
    };
}"""
"""Record the jobs that the page begins and cancels."""


def previews(page: Any) -> list[dict[str, Any]]:
    """The jobs that the page began, when the last one is over."""
    page.wait_for_selector(".preview[aria-busy=false] img")
    return [each for each in page.evaluate("window.jobs") if each["method"] == "POST"]


def test_a_slider_redraws_a_preview_while_it_moves(page: Any, studio: tuple[str, Path]) -> None:
    """By keyboard and by mouse; one request at a time, the newest counts, and nothing is saved."""
    choose(page, "image")
    page.evaluate(WATCH_JOBS)
    page.click(".chip >> nth=0")
    prompt, saved = page.input_value("#prompt"), len(list(studio[1].glob("**/00*.json")))
    slider = page.locator("#option-steps")
    slider.focus()
    start = page.evaluate("performance.now()")
    steps = int(slider.get_attribute("max"))
    changes = steps - int(slider.input_value())
    for _ in range(changes):
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(30)
    page.wait_for_selector(f".preview >> text=preview, {steps} steps")
    jobs = previews(page)
    elapsed = page.evaluate("performance.now()") - start
    assert 1 <= len(jobs) <= elapsed / 150 + 1 and len(jobs) < changes
    assert jobs[-1]["body"]["options"]["steps"] == steps
    assert {(each["body"]["prompt"], each["body"]["n"], each["body"].get("save")) for each in jobs} == {
        (prompt, 1, None)
    }
    assert len({each["body"]["seed"] for each in jobs}) == 1
    assert all(late["time"] - early["time"] > 140 for early, late in pairwise(jobs))

    page.evaluate("window.jobs = []")
    page.locator("#option-guidance").scroll_into_view_if_needed()
    box = page.locator("#option-guidance").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    page.mouse.down()
    for part in range(10):
        page.mouse.move(box["x"] + box["width"] * (0.3 + part / 20), box["y"] + box["height"] / 2)
        page.wait_for_timeout(60)
    page.mouse.up()
    page.wait_for_selector(".preview >> text=preview, 4 steps")
    page.wait_for_timeout(300)
    jobs = previews(page)
    guidance = float(page.input_value("#option-guidance"))
    assert len(jobs) > 1 and jobs[-1]["body"]["options"] == {"steps": 4, "guidance": guidance}
    page.click("text=keep its seed")
    assert page.input_value("#seed") == str(jobs[-1]["body"]["seed"])
    assert len(list(studio[1].glob("**/00*.json"))) == saved


def test_a_preview_that_is_outdated_is_canceled(page: Any) -> None:
    choose(page, "image")
    page.evaluate(WATCH_JOBS)
    set_option(page, "steps", "250")
    page.wait_for_function("() => window.jobs.some((job) => job.id)")
    set_option(page, "steps", "2")
    page.wait_for_selector(".preview[aria-busy=false] >> text=preview, 2 steps")
    methods = [each["method"] for each in page.evaluate("window.jobs")]
    assert methods == ["POST", "DELETE", "POST"]
    slow = page.evaluate("window.jobs[0].id")
    assert page.request.get(f"/api/jobs/{slow}").json()["state"] == "canceled"
    choose(page, "text")
    set_option(page, "length", "20")
    assert page.locator(".preview").count() == 0 and len(page.evaluate("window.jobs")) == 3


SLOW_ANSWERS = """() => {
    const watched = window.fetch;
    const answers = new Promise((resolve) => (window.release = resolve));
    window.fetch = async (...request) => {
        const response = await watched(...request);
        if (request[1]?.method === "POST") await answers;
        return response;
    };
}"""
"""Hold back the answers to new jobs until ``release()``."""
STOP_WHILE_BUILDING = """async (name) => {
    const { Previewer } = await import("/studio/preview.js");
    const previewer = new Previewer();
    let finish;
    previewer.ask(() => new Promise((resolve) => (finish = resolve)));
    previewer[name]();
    finish({ body: { model: "image", prompt: "", n: 1, options: {} }, files: {} });
    await new Promise((resolve) => setTimeout(resolve, 300));
    return [window.jobs.length, previewer.shown];
}"""


def test_a_preview_of_another_model_is_canceled_before_its_first_event(page: Any) -> None:
    choose(page, "image")
    page.evaluate(WATCH_JOBS)
    page.evaluate(SLOW_ANSWERS)
    set_option(page, "steps", "250")
    page.wait_for_function("() => window.jobs.length")
    choose(page, "text")
    page.evaluate("window.release()")
    page.wait_for_function("() => window.jobs.some((job) => job.method === 'DELETE')", timeout=5_000)
    assert page.locator(".preview").count() == 0


@pytest.mark.parametrize("name", ["stop", "clear"])
def test_a_preview_that_is_stopped_while_it_is_built_is_not_sent(page: Any, name: str) -> None:
    page.evaluate(WATCH_JOBS)
    assert page.evaluate(STOP_WHILE_BUILDING, name) == [0, None]


def test_two_prompts_with_one_seed_stand_side_by_side(page: Any) -> None:
    choose(page, "image")
    page.fill("#prompt", "one")
    page.click("text=compare with another prompt")
    page.fill("#second", "two")
    page.get_by_label("roll a seed").click()
    seed = page.input_value("#seed")
    make(page, "one", 1)
    page.wait_for_function("() => document.querySelectorAll('.take:first-child figcaption').length === 2")
    assert [
        caption.count(f"seed {seed}") for caption in page.locator(".take >> nth=0 >> figcaption").all_inner_texts()
    ] == [1, 1]


def test_the_gallery_finds_marks_compares_and_deletes(page: Any, studio: tuple[str, Path]) -> None:
    choose(page, "image")
    make(page, "needle in a haystack", 2)
    page.click("nav >> text=Gallery")
    page.fill("input[type=search]", "needle haystack")
    page.wait_for_function("() => document.querySelectorAll('.tile').length === 2")
    page.click(".tile >> nth=0 >> .star")
    page.wait_for_selector(".tile .star[aria-pressed=true]")
    for index in range(2):
        page.click(f".tile >> nth={index} >> .choose input")
    page.click("button:has-text('compare two')")
    page.click("dialog >> text=better >> nth=0")
    page.wait_for_selector("dialog >> text=noted")
    page.keyboard.press("Escape")
    line = json.loads((studio[1] / "media_preferences.jsonl").read_text().splitlines()[-1])
    assert line.keys() == {"prompt", "chosen", "rejected"} and line["prompt"] == "needle in a haystack"
    page.click(".tile .title >> nth=0")
    page.click("dialog >> button:text-is('again')")
    page.wait_for_function("() => document.querySelector('#prompt')?.value === 'needle in a haystack'")
    page.click("nav >> text=Gallery")
    for count in (1, 0):
        page.click(".tile .title >> nth=0")
        page.click("dialog >> button:text-is('delete')")
        page.click("dialog >> text=Delete this sample")
        page.click("dialog dialog >> button:text-is('delete')")
        page.wait_for_function("count => document.querySelectorAll('.tile').length === count", arg=count)
    page.wait_for_selector("text=No samples found.")


def test_chat_streams_and_is_exported(page: Any, studio: tuple[str, Path], tmp_path: Path) -> None:
    page.click("nav >> text=Chat")
    page.select_option(".settings select", "talker")
    page.wait_for_selector("text=Ask something.")
    page.get_by_label("tokens at most").fill("8")
    page.fill("#message", "turn <b>abcd</b>")
    page.keyboard.press("Enter")
    page.click("text=answer again")
    page.wait_for_selector("text=2 of 2")
    page.click("text=better than the other")
    page.wait_for_selector(".thumb >> text=noted")
    assert page.locator(".question b").count() == 0 and "<b>" in page.inner_text(".question")
    page.click("text=edit")
    page.fill("#message", "turn bcde")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=answer again")
    with page.expect_download() as download:
        page.click("button:text-is('export')")
    download.value.save_as(tmp_path / "chat.jsonl")
    (line,) = (tmp_path / "chat.jsonl").read_text().splitlines()
    assert [message["role"] for message in json.loads(line)["messages"]] == ["user", "assistant"]
    assert json.loads(line)["messages"][0]["content"] == "turn bcde"


def test_a_run_is_shown_with_its_curves_and_previews(page: Any) -> None:
    page.click("nav >> text=Runs")
    page.click("tbody a:text-is('2026-01-30_12-00-00-image-diffusion')")
    page.wait_for_selector(".chart polyline, .chart circle")
    page.get_by_label("preview at step").focus()
    page.wait_for_selector(".previews img")
    page.click("text=all runs")
    page.click(".runs >> text=This machine")
    page.wait_for_selector("details pre:has-text('torch')")


def test_a_run_is_started_and_stopped(page: Any, studio: tuple[str, Path]) -> None:
    page.click("nav >> text=Runs")
    page.select_option("#modality", "image")
    page.select_option("#data", "world")
    page.get_by_label("size", exact=True).fill("16")
    page.get_by_label("minutes", exact=True).fill("5")
    page.click("button:text-is('Start')")
    page.click(".active:has(h2:text-matches('^Training')) >> text=curves and previews")
    page.wait_for_selector(".run .running")
    page.click(".run >> button:text-is('stop')")
    page.click("dialog >> button:text-is('stop')")
    page.click("text=all runs")
    page.wait_for_selector("text=Last training: stopped")
    assert list((studio[1].parent / "runs").glob("*/*/checkpoints/last.ckpt"))


DROP = """([name, base64]) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([Uint8Array.from(atob(base64), (each) => each.charCodeAt(0))], name));
    const zone = document.querySelector(".verify .drop");
    zone.dispatchEvent(new DragEvent("dragover", { dataTransfer: transfer, bubbles: true, cancelable: true }));
    zone.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""
"""Drops a file onto the page Verify."""


OBSERVE_CHOOSER = """() => document.querySelector(".verify input").addEventListener("click", (event) => {
    event.preventDefault();
    window.isChooserOpen = true;
})"""


def test_a_dropped_file_says_where_it_comes_from(page: Any, tmp_path: Path) -> None:
    suffix, content = make_file(".png")
    signed = add_label(content, suffix, LABEL, read_signer())[suffix]
    page.click("nav >> text=Verify")
    page.evaluate(DROP, ["<b>my</b>.png", base64.b64encode(signed).decode()])
    page.wait_for_selector(".verdict.verified >> text=content unchanged: made by a model")
    assert "<b>my</b>.png" in page.inner_text(".verdict dl") and page.locator(".verdict b").count() == 0
    page.click("text=how it was made")
    assert '"seed"' in page.inner_text(".verdict pre")
    (tmp_path / "plain.png").write_bytes(content)
    page.evaluate(OBSERVE_CHOOSER)
    page.get_by_role("button", name="Choose a file").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("window.isChooserOpen")
    page.set_input_files(".verify input", str(tmp_path / "plain.png"))
    page.wait_for_selector(".verdict.no >> text=That does not make it real")
    texts = add_label(b"a text", ".txt", LABEL, read_signer())
    files = [{"name": f"a{name}", "mimeType": "", "buffer": data} for name, data in texts.items()]
    page.set_input_files(".verify input", files)
    page.wait_for_selector(".verdict.verified >> text=a.txt")


def test_a_watermark_is_shown(page: Any) -> None:
    answer = {"status": "no evidence", "text": "nothing", "watermark": {"kind": "picture", "p": 1.5e-9, "key": "mine"}}
    page.route("**/v1/genai/verify", lambda route: route.fulfill(json=answer))
    page.click("nav >> text=Verify")
    page.set_input_files(".verify input", [{"name": "a.png", "mimeType": "", "buffer": b"x"}])
    page.wait_for_selector(".verdict >> text=p = 1.5e-9, key mine: how likely a picture without this mark")
    answer["watermark"] = None
    page.set_input_files(".verify input", [{"name": "b.png", "mimeType": "", "buffer": b"x"}])
    page.wait_for_selector(".verdict >> text=b.png")
    assert "watermark" not in page.inner_text(".verdict")


def test_markdown_runs_nothing(page: Any) -> None:
    found = page.evaluate(FOUND_ELEMENTS, MARKDOWN)
    assert found == [0, ["https://example.org/"], [1, 2, 1, 1]]


@pytest.mark.parametrize("place", ["make", "chat", "gallery", "runs", "verify"])
def test_everybody_can_use_it(page: Any, place: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page.goto(f"/#/{place}")
    page.wait_for_timeout(1000)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        violations = axe.Axe().run(page).response["violations"]
        serious = [
            (each["id"], each["nodes"][0]["html"]) for each in violations if each["impact"] in ("serious", "critical")
        ]
        assert serious == [], scheme
