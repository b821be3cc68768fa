"""The Python face: ``genai.fit``, ``genai.load``, ``sample``, ``stream``."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import genai
from genai.core.errors import UserError
from genai.inference.model import Model
from genai.media.text import Document
from tests.conftest import SMALL


@pytest.fixture(scope="module")
def model(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return genai.fit(*SMALL, f"data.path={corpus}", f"runs={tmp_path_factory.mktemp('runs')}", "steps=20")


def test_fit_returns_a_trained_model(model: Model) -> None:
    assert model.record["steps"] == model.step == 20
    assert model.record["modality"] == "text"
    assert type(model.modality).__name__ == "Text"


def test_a_stream_adds_up_to_the_sample(model: Model) -> None:
    stream = model.stream(["a ", "the old "], n=2, seed=5, length=30)
    parts = ["".join(texts) for texts in zip(*stream, strict=True)]
    samples = model.sample(["a ", "the old "], n=2, seed=5, length=30)
    assert stream.results() == samples
    assert [f"{stream.init_text(i)}{part}" for i, part in enumerate(parts)] == samples


def test_stop_ends_a_sample_before_the_text(model: Model) -> None:
    free = model.sample("the ", n=8, length=60)
    stopped = model.sample("the ", n=8, length=60, stop=["s", "."])
    for text, short in zip(free, stopped, strict=True):
        after = text.removeprefix("the ")
        end = min((after.find(s) for s in "s." if s in after), default=len(after))
        assert short == f"the {after[:end]}"


def test_init_comes_before_the_prompt(model: Model, tmp_path: Path) -> None:
    (tmp_path / "begin.txt").write_text("the cat ")
    from_file = model.sample("and", init=tmp_path / "begin.txt", length=10)
    assert (
        from_file == model.sample("the cat and", length=10) == model.sample("and", init=Document("the cat "), length=10)
    )


@pytest.mark.parametrize(
    "options", [{"lenght": 3}, {"temperature": -1.0}, {"top_p": 2.0}, {"stop": 3}, {"n": 0}, {"seed": -1}]
)
def test_wrong_options_are_mistakes(model: Model, options: dict[str, object]) -> None:
    with pytest.raises(UserError, match=next(iter(options))):
        model.sample("a", **options)  # type: ignore[arg-type]


def test_what_people_type_first_works(model: Model, tmp_path: Path) -> None:
    assert model.sample("a", stop="\n", length=9) == model.sample("a", stop=["\n"], length=9)
    file = tmp_path / "a.json"
    report = genai.measure(model, ["metrics=[val_loss]"], n=2, out=file)
    assert report["checkpoint"] == str(model.file) and report["metrics"].keys() == {"val_loss"} and file.exists()
    for run in (model.file.parent.parent, str(model.file), {"ckpt": model}):  # type: ignore[union-attr]
        again = genai.measure(run, metrics=["val_loss"], n=2, out=file)
        assert again["metrics"] == report["metrics"]
    shown = repr(model)
    assert shown.startswith(
        f"Model(Text, Autoregressive, {model.record['parameters']:,} parameters, step 20, weights='ema'"
    )
    assert f"file='{model.file}', prompts such as {model.record['prompts'][0]!r}" in shown
    with pytest.raises(UserError, match=r"this run has done its 20 steps"):
        genai.fit({"resume": model})
    assert repr(Model(model.modality, model.method)).endswith("step 0, weights='ema', file='None')")


def test_what_is_no_word_is_a_mistake(model: Model) -> None:
    for word in ("text", Path("runs"), None):
        with pytest.raises(UserError, match=r"is not a word of the command line.*Keywords"):
            genai.fit(word, steps=1)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="5 is not a word of the command line"):
        genai.fit(["modality=text", 5])  # type: ignore[list-item]
    with pytest.raises(UserError, match=r"n=.*it should be a text, a number"):
        genai.measure(model, n=object())
    with pytest.raises(UserError, match=r"no option 'data_path'. Did you mean 'data.path'"):
        genai.fit(data_path="x")
    for wrong in (None, 3, ["a", 3], b"a"):
        with pytest.raises(UserError, match="it should be a text or a list of texts"):
            model.sample(wrong)  # type: ignore[arg-type]
    for options in ({"n": "2"}, {"seed": None}):
        with pytest.raises(UserError, match="it should be an integer"):
            model.sample("a", **options)
    for source in (3, model, ["a"]):
        with pytest.raises(UserError, match="is not the path of a run folder"):
            genai.load(source)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="this model has no checkpoint"):
        genai.measure(Model(model.modality, model.method))
    with pytest.raises(UserError, match=r"There is no option 'stepz'. Did you mean 'steps'"):
        genai.fit(modality="text", stepz=1)


def test_names_can_be_completed() -> None:
    assert {"fit", "load", "measure"} <= set(dir(genai))


def test_samples_show_themselves_in_a_notebook(model: Model) -> None:
    samples = model.sample("<b>", length=3)
    assert samples._repr_html_().startswith("<pre") and "&lt;b&gt;" in samples._repr_html_()


def test_raw_and_averaged_weights_differ_and_both_load(model: Model) -> None:
    raw = genai.load(model.file, weights="raw")
    pairs = zip(raw.method.parameters(), model.method.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)


def test_sampling_leaves_the_global_generator_alone(model: Model) -> None:
    before = torch.get_rng_state()
    model.sample("a", n=3, length=8)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import genai", ["torch", "lightning", "hydra"]),
        ("import genai.train, genai.sample, genai.evaluate, genai.page", ["torch", "lightning", "pydantic"]),
        (
            "import genai.inference.model, genai.methods.autoregressive, genai.modalities.text, genai.networks.gpt",
            ["lightning", "hydra"],
        ),
    ],
)
def test_imports_stay_light(code: str, absent: list[str]) -> None:
    check = f"import sys; {code}; print([name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
