"""The command that measures: its table, its file, its mistakes; the same words give the same numbers."""

import json
import math
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import genai
from genai.commands.evaluate import format_table
from genai.core.errors import UserError
from genai.metrics.base import REGISTRY, Result
from genai.runs.run import Run, all_runs
from tests.conftest import SMALL, copy_run

Command = Callable[..., subprocess.CompletedProcess[str]]
TEXT = {"val_loss", "bits_per_byte", "perplexity", "longest_copy", "mean_copy"}
WORLD = {
    "val_loss", "fulfilment", "fulfilment_held_out", "strict", "strict_held_out", "shape", "color", "size", "place",
    "place_spread", "nearest_train", "nearest_train_low",
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, corpus: Path, trained: Callable[[str], Path]) -> Path:
    """A folder with a run of each modality, the text one newest, and a checkpoint outside of both."""
    folder = tmp_path_factory.mktemp("place")
    shutil.copy(corpus, folder / "mine.txt")
    (folder / "other.txt").write_text(corpus.read_text()[:3000])
    copy_run(trained("image"), folder / "runs")
    data = ["data.path=" + str(folder / "mine.txt"), "data.val_fraction=0.2"]
    model = genai.fit(*SMALL, *data, f"runs={folder / 'runs'}", "steps=4", "val_items=null", "val_every=4")
    assert model.file
    shutil.copy(model.file, folder / "bare.ckpt")
    return folder


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return place


def newest() -> Run:
    return next(all_runs(Path("runs")))


@pytest.mark.parametrize(("val_items", "is_told"), [(2, True), (None, False), (100_000, False), ("many", False)])
def test_a_loss_of_fewer_items_in_training_is_told(
    val_items: object, is_told: bool, trained: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(copy_run(trained("text"), tmp_path))
    (run.folder / "config.yaml").write_text(json.dumps(run.read_config() | {"val_items": val_items}))
    genai.measure(run.folder, "metrics=[val_loss]")
    told = "held-out items; during training it was of 2 of them (val_items)"
    assert (told in capsys.readouterr().err) == is_told
    genai.measure(run.folder, "metrics=[longest_copy]", n=2, length=5)
    assert "val_loss" not in capsys.readouterr().err


def test_text(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = genai.measure("n=6", "length=40", "seed=3", "temperature=0.5")
    figures = report["metrics"]
    assert figures.keys() == TEXT
    best = newest().record.best
    assert best
    assert figures["val_loss"]["value"] == pytest.approx(best.val_loss, rel=1e-6)
    assert figures["perplexity"]["value"] == pytest.approx(math.exp(best.val_loss))
    energy = report.pop("energy")
    assert energy["samples"] == 6 and energy["kwh_per_1000_samples"] == pytest.approx(energy["kwh"] / 6 * 1000)
    assert energy["kwh"] > 0 and energy["how"]
    record = newest().record.sampling_energy
    assert record and record.kwh_per_1000_samples == energy["kwh_per_1000_samples"] and record.samples == 6
    assert (record.how, record.checkpoint_sha256) == (energy["how"], report["checkpoint_sha256"])
    assert report == json.loads((newest().folder / "metrics.json").read_text())
    assert (report["n"], report["seed"], report["step"], report["weights"]) == (6, 3, 4, "ema")
    assert report["options"]["length"] == 40 and report["options"]["temperature"] == 0.5
    assert report["data"]["own"] and report["data"]["hash"] == newest().record.data.hash
    assert report["checkpoint_sha256"] in Path(f"{report['checkpoint']}.sha256").read_text()
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()[1:]] == list(figures)
    assert "metrics.json" in err and "step 4" in err and "energy of 6 samples: " in err


def test_some_figures_do_not_take_the_place_of_all(here: Path) -> None:
    genai.measure("n=3", "length=9")
    folder = newest().folder
    before, energy = (folder / "metrics.json").read_bytes(), newest().record.sampling_energy
    for words in (["metrics=[val_loss]"], ["weights=raw"], ["data.path=other.txt"]):
        others = set(folder.glob("metrics-*.json"))
        genai.measure("n=3", "length=9", *words)
        assert (folder / "metrics.json").read_bytes() == before
        assert set(folder.glob("metrics-*.json")) >= others
    assert list(folder.glob("metrics-*.json")) and newest().record.sampling_energy == energy is not None


def test_the_world(here: Path) -> None:
    report = genai.measure("modality=image", "n=4", "steps=2", "guidance=1", "out=figures/world.json")
    assert report["metrics"].keys() >= WORLD  # and the former names
    assert report.pop("energy")["samples"] == 8
    assert report == json.loads((here / "figures" / "world.json").read_text())
    assert report["metrics"]["fulfilment"]["reference"] > 0.5


@pytest.mark.parametrize("words", [pytest.param(["length=20"], marks=pytest.mark.slow), ["modality=image", "steps=2"]])
def test_the_same_words_give_the_same_bytes(words: list[str], here: Path, command: Command, inside: Command) -> None:
    """Those of another process as well."""
    contents = []
    for run in (inside, command if words == ["length=20"] else inside):
        done = run("evaluate", *words, "n=3", "seed=5", "out=same.json", cwd=here)
        assert done.returncode == 0, done.stderr
        contents.append(((here / "same.json").read_bytes(), done.stdout))
    assert contents[0] == contents[1]


def test_groups_of_the_world(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["modality=image", "metrics=[val_loss,toy_image]", "n=12", "steps=2", "out=groups.json"]
    groups = genai.measure(*words, audit_group="size")["groups"]
    assert groups == json.loads((here / "groups.json").read_text())["groups"]
    assert groups.keys() == {"column", "groups", "worst_to_best", "notes"} and groups["column"] == "size"
    assert [group["name"] for group in groups["groups"]] == ["large", "small"]
    assert 30 < sum(group["train_items"] for group in groups["groups"]) <= 40
    assert all(0 <= group["scores"]["obedience"]["value"] <= 1 for group in groups["groups"])
    assert all(group.keys() == {"name", "train_items", "held_out_items", "scores"} for group in groups["groups"])
    assert "loss: too few to say of large, small (fewer than 10)." in " ".join(groups["notes"])  # four are held out
    table = capsys.readouterr().out
    assert "groups by size, 95 % intervals, 12 samples of each" in table
    by_word = genai.measure(*words, audit_group=["red", "blue"])["groups"]
    assert (by_word["column"], [group["name"] for group in by_word["groups"]]) == ("words of prompts", ["red", "blue"])
    with pytest.raises(UserError, match="no such column"):
        genai.measure(*words, audit_group="sizes")
    with pytest.raises(UserError, match="add yes=true"):
        genai.measure(*words, "n=6000", audit_group="size")


def test_only_what_is_asked_for(here: Path) -> None:
    report = genai.measure("metrics=[bits_per_byte,val_loss]", "out=a.json")
    assert list(report["metrics"]) == ["bits_per_byte", "perplexity", "val_loss"]


def test_the_report_names_the_watermark(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = genai.measure("metrics=[longest_copy]", n=2, length=5, watermark=True)
    assert report["options"]["watermark"] and len(report["watermark_key"]) == 16
    assert f"with watermark=true, key {report['watermark_key']}" in capsys.readouterr().out
    assert "watermark_key" not in genai.measure("metrics=[longest_copy]", n=2, length=5)


def test_weights_of_the_last_step(here: Path) -> None:
    one, other = (
        genai.measure("metrics=[val_loss]", f"weights={kind}", "out=a.json")["metrics"]["val_loss"]["value"]
        for kind in ("ema", "raw")
    )
    assert one != other


def test_other_data_are_called_other(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = genai.measure("data.path=other.txt", "n=3", "length=9", "out=a.json")
    assert report["metrics"].keys() == {"val_loss", "bits_per_byte", "perplexity"}
    assert not report["data"]["own"]
    assert "other data" in report["metrics"]["val_loss"]["description"]
    assert "longest_copy, which compare with the training data, are left out" in capsys.readouterr().err
    same = genai.measure("data.path=mine.txt", "n=3", "length=9", "out=a.json")
    assert same["data"]["own"] and "longest_copy" in same["metrics"]
    split_elsewhere = genai.measure("data.val_fraction=0.1", "metrics=[val_loss]", "out=a.json")
    assert not split_elsewhere["data"]["own"]


def test_another_member_does_not_inherit_the_runs_words_about_data(here: Path) -> None:
    report = genai.measure("data=text_folder", "data.path=mine.txt", "metrics=[val_loss]", "out=a.json")
    assert not report["data"]["own"]  # the run held out a fifth


def test_a_checkpoint_without_a_run(here: Path) -> None:
    before = sorted(here.iterdir())
    report = genai.measure("ckpt=bare.ckpt", "data=text_folder", "data.path=mine.txt", "n=2", "length=5")
    assert not report["data"]["own"] and "bits_per_byte" in report["metrics"]
    assert sorted(here.iterdir()) == before


def test_a_metric_that_needs_no_data_loads_none(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pyseccomp")
    problem = {"task_id": "a", "prompt": "x", "test": "def check(c): pass", "entry_point": "x"}
    (here / "my problems.jsonl").write_text(json.dumps(problem))
    words = ["metrics=[passes]", "problems=my problems.jsonl", "n=2", "length=2", "out=a.json"]
    report = genai.measure("ckpt=bare.ckpt", *words)
    assert report["data"] is None and report["problems"] == "my problems.jsonl"
    assert report["metrics"]["pass@1"]["value"] == 0 and report["metrics"]["pass@1"]["reference"] is None
    assert "data  " not in capsys.readouterr().err
    assert genai.measure("ckpt=bare.ckpt", *words, "data=text_folder", "data.path=mine.txt")["data"]["own"] is False
    assert genai.measure("modality=text", *words)["data"] is None


def test_a_metric_of_a_plugin(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "measuring_plugin.py").write_text(
        "from genai.metrics.base import Metric, Result\n"
        "class Answer(Metric):\n    def compute(self, context):\n        return {'answer': Result(42, 'to all')}\n"
    )
    monkeypatch.syspath_prepend(here)
    word = "metrics=[measuring_plugin.Answer]"
    assert genai.measure(word, "plugins=[measuring_plugin]", "out=a.json")["metrics"]["answer"]["value"] == 42
    with pytest.raises(UserError, match=r"metrics: refused 'measuring_plugin.Answer'"):
        genai.measure(word, "out=a.json")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["metrics=[val_los]"], "no metric 'val_los'. Did you mean 'val_loss'"),
        (["metrics=val_loss"], "metrics='val_loss': it should be a list"),
        (["metrics=[]"], "name at least one"),
        (["metrics=[nearest]"], "'nearest' does not fit TextFolder.*there are: .*parses"),
        (["metrics=[toy_image]"], "no metric 'toy_image'.*there are: .*parses"),
        (["modality=image", "metrics=[parses]"], "'parses' does not fit ToyImages.*nearest"),
        (["modality=image", "metrics=[classification_accuracy]"], "the prompts have to be classes"),
        (["modality=smell"], "there is no such modality"),
        (["ckpt=runs/nope"], "there is no run folder or checkpoint runs/nope"),
        (["runs=nowhere"], "no run with a checkpoint is in nowhere"),
        (["n=0"], "n=0: it should be greater than or equal to 1"),
        (["seed=-1"], "seed=-1"),
        (["weights=best"], "weights='best'"),
        (["temprature=1"], "Did you mean 'temperature'"),
        (["temperature=-1"], "temperature='-1'"),
        (["metrix=[val_loss]"], "Did you mean 'metrics'"),
        (["guidance=2"], "no option 'guidance'"),
        (["out=runs"], "out=runs is a folder"),
        (["out=/dev/null/a.json"], "cannot create the folder"),
        (["ckpt=bare.ckpt"], "is not in a run folder"),
        (
            ["ckpt=bare.ckpt", "data=world"],
            "data=world does not exist for modality=text. There are: chat, preferences, prepared, stdlib",
        ),
        (["ckpt=bare.ckpt", "data=image_folder", "data.path=."], "of type Picture, which Text does not support"),
        (["data=text_foldr"], "Did you mean 'text_folder'"),
        (["data.path=nowhere.txt"], "there is no such file"),
        (["data.val_fractoin=0.1"], "Did you mean 'val_fraction'"),
        (["data.path=other.txt", "metrics=[longest_copy]"], "these are other data"),
        (["problems=mine.txt"], "problems=: none of these metrics uses it"),
        (["references=mine.txt"], "references=: none of these metrics uses it"),
        (["modality=image", "metrics=[prompt_retrieval]", "references=nowhere"], "there is no such folder"),
        (["judge.weights=mine.txt"], "judge=: none of these metrics uses it"),
        (["judge.weigths=mine.txt"], "weights"),
        (["judge=mine.txt"], "judge='mine.txt'"),
        (["modality=image", "metrics=[word_error]"], "'word_error' does not fit"),
        (["metrics=[passes]", "problems=nowhere.jsonl"], "cannot read nowhere.jsonl"),
        (["metrics=[passes]", "problems=mine.txt"], "mine.txt:1: it is not JSON"),
        (["modality=image", "metrics=[passes]"], "'passes' does not fit"),
        (["ckpt=bare.ckpt", "metrics=[passes, val_loss]"], "is not in a run folder"),
    ],
)
def test_mistakes_are_explained_and_leave_nothing(words: list[str], message: str, here: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in here.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=message) as caught:
        genai.measure("n=2", *words)
    assert len(str(caught.value).splitlines()) <= 2
    assert {path: path.stat().st_mtime_ns for path in here.rglob("*") if path.is_file()} == before


def test_data_that_have_changed_are_refused(here: Path, corpus: Path) -> None:
    (here / "mine.txt").write_text(corpus.read_text() + "one more line")
    try:
        with pytest.raises(UserError, match=r"have changed since training(.|\n)*data="):
            genai.measure("n=2")
        assert not genai.measure("data.path=mine.txt", "metrics=[val_loss]", "out=a.json")["data"]["own"]
    finally:
        shutil.copy(corpus, here / "mine.txt")


def test_the_command_exits_with_two(here: Path, inside: Command) -> None:
    done = inside("evaluate", "metrics=[val_los]", cwd=here)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: There is no metric 'val_los'")


def test_every_shipped_metric_is_there() -> None:
    from genai.core.instantiate import import_class
    from genai.metrics.base import Metric

    assert all(import_class(target, Metric, "metrics") for targets in REGISTRY.values() for target in targets)  # type: ignore[type-abstract]


def test_the_table_is_aligned() -> None:
    lines = format_table({"a": Result(0.5, "one", 0.01), "longer": Result(None, "two", reference=12)}).splitlines()
    assert [line.split() for line in lines] == [
        ["value", "real"], ["a", "0.5000", "±", "0.0100", "-", "one"], ["longer", "-", "12", "two"],
    ]  # fmt: skip
    assert lines[1].index("one") == lines[2].index("two")
