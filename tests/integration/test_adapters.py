"""Adapters of all kinds of models: checkpoints without the base, exact resume, and the way back to it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import genai
from genai.cli.compose import compose
from genai.cli.overrides import resolve_resume, with_base_words
from genai.core.errors import UserError
from genai.core.files import file_hash
from genai.inference.card import model_card
from genai.runs.checkpoint import load_checkpoint, save_checkpoint
from genai.runs.run import Run, all_runs
from genai.training.run import train
from tests.conftest import copy_run
from tests.integration.test_resume import STEPS, assert_same_state, go_on, run_to, stopped_at

TOKENIZER = ("modality.tokenizer=characters", "modality.vocab_size=null")
KINDS = ["text", "image", "gan", "audio", "video"]


@pytest.fixture
def words(request: pytest.FixtureRequest, trained: Callable[[str], Path], tmp_path: Path, each_data: Any) -> list[str]:
    """The words of a run with an adapter, of each kind of model."""
    base = copy_run(trained(request.param), tmp_path / "base")
    words = [f"init_from={base}", "adapter=lora", "adapter.rank=2", *each_data(request.param), f"runs={tmp_path}/runs"]
    return with_base_words(words)


@pytest.fixture
def each_data(corpus: Path) -> Callable[[str], list[str]]:
    """The words of the data and of the steps of a kind."""
    from tests.conftest import WORDS

    def words(kind: str) -> list[str]:
        every = [word.format(corpus=corpus) for word in WORDS[kind]]
        return [word for word in every if not word.startswith(("model", "modality"))]

    return words


def base_of(words: list[str]) -> Path:
    return Path(next(word for word in words if word.startswith("init_from=")).partition("=")[2])


def sample_bytes(model: Any) -> list[bytes]:
    options: dict[str, Any] = {"length": 8} if type(model.modality).__name__ == "Text" else {}
    options = {"seconds": 0.05} if type(model.modality).__name__ == "Audio" else options
    options |= {"steps": 2} if type(model.method).__name__.endswith("Diffusion") else {}
    return [sample.to_bytes() for sample in model.sample("", n=2, **options)]


@pytest.mark.parametrize(
    "words",
    [kind if kind == "text" else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS],
    indirect=True,
)
def test_an_adapter_resumes_bit_equal_and_leaves_its_base(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    base = Run(base_of(words))
    before = file_hash(base.best)
    whole = run_to(words, f"steps={STEPS}", "checkpoint_every=5")
    broken = stopped_at(7, words, monkeypatch)
    assert_same_state(whole, go_on(broken))
    assert file_hash(base.best) == before == whole.record.base.digest  # type: ignore[union-attr]
    state, base_state = (load_checkpoint(run.last)["state_dict"] for run in (whole, base))
    assert not [name for name in state if name in base_state and state[name].is_floating_point() and state[name].ndim]
    sizes = [sum(x.numel() for x in weights.values()) for weights in (state, base_state)]
    assert sizes[0] < sizes[1]
    model, base_model = genai.load(whole.folder), genai.load(base.folder)
    assert type(model.method) is type(base_model.method)
    assert model.method.state_dict().keys() == base_model.method.state_dict().keys()
    tensors, base_tensors = model.method.ema_module.state_dict(), base_model.method.ema_module.state_dict()
    changed = [name for name in tensors if not tensors[name].equal(base_tensors[name])]
    assert changed and all(name.endswith(".weight") for name in changed)


@pytest.mark.parametrize("words", KINDS, indirect=True)
def test_an_adapter_that_has_learned_nothing_is_its_base(words: list[str]) -> None:
    run = run_to(words, "steps=2", "optimizer.lr=0", *(["optimizer.discriminator.lr=0"] if "gan" in str(words) else []))
    assert sample_bytes(genai.load(run.folder)) == sample_bytes(genai.load(base_of(words)))


@pytest.fixture
def text_words(trained: Callable[[str], Path], tmp_path: Path, each_data: Any) -> list[str]:
    base = copy_run(trained("text"), tmp_path / "base")
    return with_base_words([f"init_from={base}", "adapter=lora", *each_data("text"), f"runs={tmp_path}/runs"])


def test_a_base_that_moved_or_changed_is_named(text_words: list[str], tmp_path: Path) -> None:
    run = run_to(text_words, "steps=2")
    base = base_of(text_words)
    moved = base.rename(tmp_path / "moved")
    with pytest.raises(UserError, match=r"its base, .*, is not there\. Name a copy with ckpt="):
        genai.load(run.folder)
    with pytest.raises(UserError, match=r"best\.ckpt', which is not there\. If it has moved, say where to: init_from="):
        go_on(run)
    moved.rename(base)
    content = base / "checkpoints" / "best.ckpt"
    run_to([word for word in text_words if not word.startswith(("init_from", "adapter"))], "steps=1")
    other = next(each for each in all_runs(tmp_path / "runs") if each.folder != run.folder)
    for suffix in ("", ".sha256"):
        Path(f"{content}{suffix}").write_bytes(Path(f"{other.best}{suffix}").read_bytes())
    with pytest.raises(UserError, match="has changed since"):
        genai.load(run.folder)
    with pytest.raises(UserError, match="it continues with the same base"):
        go_on(run)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["init_from=null"], r"adapter= needs init_from="),
        (["adapter.targets=[q_proj]"], r"adapter\.targets: the model has no layer 'q_proj'"),
        (["adapter.rank=0"], r"adapter\.rank=0"),
        (["adapter.alpa=3"], r"adapter\.alpa: LoRA has no such option\. Did you mean 'alpha'"),
        (["model=llama"], r"model=llama: init_from= brings its own, gpt"),
        (["modality=image"], r"modality=image: init_from= brings its own, text"),
        (["trainer=fsdp"], r"trainer=fsdp is not for adapters"),
        (["model.network.width=32"], r"does not fit the options given here: its .* is .*, this model has"),
    ],
)
def test_what_does_not_fit_is_refused_before_a_run_is_there(
    more: list[str], message: str, text_words: list[str], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        run_to(text_words, "steps=2", *more)
    assert not (tmp_path / "runs").exists()


def test_a_stranger_that_says_it_is_an_adapter_is_refused(text_words: list[str], tmp_path: Path) -> None:
    run = run_to(text_words, "steps=2")
    state = torch.load(run.last, weights_only=True)
    name = next(name for name in state["state_dict"] if name.endswith("lora.A"))
    changes: list[dict[str, Any]] = [
        {"state_dict": {**state["state_dict"], "method.ema_module.blocks.9.up.lora.A": torch.ones(8, 16)}},
        {"state_dict": {**state["state_dict"], name: torch.ones(3, 3)}},
        {"state_dict": {key: x for key, x in state["state_dict"].items() if key != name}},
        {"genai": {**state["genai"], "adapter": {"_target_": "os.system"}}},
        {"genai": {**state["genai"], "adapter": {**state["genai"]["adapter"], "words": ["zwx"]}}},
        {"genai": {**state["genai"], "adapter": {**state["genai"]["adapter"], "words": ["x" * 10_000]}}},
        {"genai": {**state["genai"], "adapter": {**state["genai"]["adapter"], "prompts": ["a"] * 10_000}}},
        {"genai": {**state["genai"], "base": None}},
        {"genai": {**state["genai"], "base": {"path": "/dev/zero", "digest": "0"}}},
        {"genai": {**state["genai"], "base": {"path": "x" * 10_000, "digest": "0"}}},
    ]
    for number, change in enumerate(changes):
        file = tmp_path / f"{number}.ckpt"
        torch.save({**state, **change}, file)
        with pytest.raises(UserError) as caught:
            genai.load(file)
        assert len(str(caught.value)) < 1000


@pytest.fixture
def pair(text_words: list[str]) -> tuple[Path, Path, Path]:
    """A base, and the runs of two adapters that change it."""
    rates = ("optimizer.lr=0.1", "steps=4")
    first, second = (run_to(text_words, *rates, f"seed={seed}").folder for seed in (0, 1))
    return base_of(text_words), first, second


def weights_of(*arguments: Any, **options: Any) -> dict[str, torch.Tensor]:
    return dict(genai.load(*arguments, **options).method.state_dict())


def test_adapters_are_merged_with_factors(pair: tuple[Path, Path, Path]) -> None:
    base, first, second = pair
    plain, alone, other = weights_of(base), weights_of(first), weights_of(second)
    for state in (
        weights_of(base, adapter=first),
        weights_of(adapter=str(first)),
        weights_of(base, adapter={str(first): 1}),
    ):
        assert all(state[name].equal(alone[name]) for name in alone)
    both = weights_of(base, adapter=f"{{{first}: 0.7, {second}: -0.3}}")
    assert any(not both[name].allclose(plain[name]) for name in plain)
    for name, x in plain.items():
        torch.testing.assert_close(both[name], x + 0.7 * (alone[name] - x) - 0.3 * (other[name] - x))
    model = genai.load(base, adapter={str(first): 0.5})
    assert [(origin.checkpoint, origin.factor) for origin in model.adapters] == [(str(Run(first).best), 0.5)]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{a: b}", r"adapter\.a='b': it should be a number"),
        ("{a: 1000}", r"adapter\.a=1000.*less than or equal to 100"),
        ("{a", "it should be a run, or runs with factors"),
        ("{}", "it should be a run, or runs with factors"),
        ("[a, b]", "it should be a run, or runs with factors"),
        ("", "adapter= is empty"),
        ("nowhere", "there is no run folder or checkpoint nowhere"),
    ],
)
def test_a_wrong_adapter_is_named(value: str, message: str, trained: Callable[[str], Path]) -> None:
    with pytest.raises(UserError, match=message):
        genai.load(trained("text"), adapter=value)


def test_an_adapter_of_another_model_or_a_whole_model_is_refused(
    pair: tuple[Path, Path, Path], trained: Callable[[str], Path]
) -> None:
    base, first, _ = pair
    with pytest.raises(
        UserError, match=r"changes another model, 12-00-00-text-gpt-corpus \(sha256 .*\), than .* It was at "
    ):
        genai.load(trained("llama"), adapter=first)
    with pytest.raises(UserError, match="it is a whole model, not an adapter: give it as ckpt="):
        genai.load(base, adapter=base)


def test_a_sample_with_adapters_is_repeated_from_its_recipe(
    pair: tuple[Path, Path, Path], inside: Callable[..., Any], tmp_path: Path
) -> None:
    base, first, second = pair
    value = f"adapter={{{first}: 0.7, {second}: 0.3}}"
    done = inside("sample", f"ckpt={base}", value, "prompt=the", "length=12", f"out={tmp_path / 'a'}", cwd=tmp_path)
    assert done.returncode == 0 and f"with {Run(first).best} x 0.7" in done.stderr
    again = inside("sample", f"from={tmp_path / 'a' / '000.json'}", f"out={tmp_path / 'b'}", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "a" / "000.txt").read_bytes() == (tmp_path / "b" / "000.txt").read_bytes()
    with_other = inside("sample", f"from={tmp_path / 'a' / '000.json'}", f"adapter={first}", cwd=tmp_path)
    assert with_other.returncode == 2 and "leave out adapter" in with_other.stderr


def test_an_adapter_is_exported_merged(
    pair: tuple[Path, Path, Path], inside: Callable[..., Any], tmp_path: Path
) -> None:
    base, first, _ = pair
    for name, words in (("a", [f"ckpt={first}"]), ("b", [f"ckpt={base}", f"adapter={first}"])):
        out = tmp_path / name
        done = inside("export", *words, "format=genai", f"out={out}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        exported, merged = weights_of(out), weights_of(first)
        assert all(exported[key].equal(merged[key]) for key in merged)
        name = {"a": "12-00-00-text-gpt-corpus", "b": first.name}[name]
        assert name in (out / "README.md").read_text()
        again = inside("export", f"ckpt={out}", "format=genai", f"out={out}-again", cwd=tmp_path)
        assert again.returncode == 0 and name in Path(f"{out}-again/README.md").read_text()
        assert str(base) not in "".join(file.read_text(errors="replace") for file in out.iterdir())


def test_options_that_are_given_with_an_adapter_stay(text_words: list[str]) -> None:
    run = run_to(text_words, "steps=2", "model.sampling.temperature=0.3")
    model = genai.load(run.folder)
    assert model.method.sampling["temperature"] == 0.3
    assert model.header and model.header.adapter is None


def test_the_data_have_the_size_of_the_base(trained: Callable[[str], Path], tmp_path: Path) -> None:
    words = with_base_words([f"init_from={trained('image')}", "adapter=lora", f"runs={tmp_path}"])
    assert "modality=image" in words and "modality.size=16" in words
    given = with_base_words([f"init_from={trained('image')}", "adapter=lora", "modality.size=8"])
    assert [word for word in given if word.startswith("modality.size")] == ["modality.size=8"]


@pytest.mark.parametrize("kind", ["package", "file"])
def test_an_exported_folder_and_a_checkpoint_alone_are_bases(
    kind: str, trained: Callable[[str], Path], each_data: Any, inside: Callable[..., Any], tmp_path: Path
) -> None:
    base = tmp_path / "a base, of mine"
    if kind == "file":
        base = base.with_suffix(".ckpt")
        base.write_bytes(Run(trained("text")).best.read_bytes())
    else:
        done = inside("export", f"ckpt={trained('text')}", "format=genai", f"out={base}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    words = with_base_words([f"init_from={base}", "adapter=lora", *each_data("text"), f"runs={tmp_path}/runs"])
    run = run_to(words, "steps=2", "optimizer.lr=0")
    assert run.record.modality == "text" and run.record.base and run.record.base.path == str(base)
    assert sample_bytes(genai.load(run.folder)) == sample_bytes(genai.load(base))


def test_an_adapter_that_is_its_own_base_is_refused(text_words: list[str], tmp_path: Path) -> None:
    run, file = run_to(text_words, "steps=2"), tmp_path / "own.ckpt"
    state = torch.load(run.last, weights_only=True)
    for path in (file, run.folder):
        state["genai"]["base"]["path"] = str(path)
        torch.save(state, file)
        with pytest.raises(UserError, match=r"own\.ckpt is an adapter, and its base"):
            genai.load(file)


def test_a_record_of_a_stranger_chooses_no_config(text_words: list[str], tmp_path: Path) -> None:
    base = Run(base_of(text_words))
    base.write_record(modality="${oc.env:HOME}")
    words = with_base_words([f"init_from={base.folder}", "adapter=lora"])
    assert "modality=text" in words and "HOME" not in str(words)


def test_all_weights_are_not_trained_from_an_adapter_alone(text_words: list[str]) -> None:
    run = run_to(text_words, "steps=2")
    words = [word for word in text_words if not word.startswith(("init_from", "adapter", "modality"))]
    with pytest.raises(UserError, match=r"holds an adapter, not a whole model\. Add adapter=lora"):
        run_to(words, "modality=text", *TOKENIZER, f"init_from={run.folder}", "steps=2")


def test_raw_weights_are_those_of_the_adapter_on_the_averaged_base(pair: tuple[Path, Path, Path]) -> None:
    base, first, _ = pair
    alone, merged = genai.load(first, weights="raw"), genai.load(base, adapter={first: 1}, weights="raw")
    assert merged.weights == "raw"
    tensors = dict(alone.method.state_dict())
    assert all(x.equal(tensors[name]) for name, x in merged.method.state_dict().items())


def test_a_merged_model_has_no_scores_of_its_base(pair: tuple[Path, Path, Path]) -> None:
    base, first, _ = pair
    model = genai.load(base)
    report = {"checkpoint_sha256": model.digest, "weights": "ema", "metrics": {"perplexity": {"value": 3.5}}}
    (base / "metrics.json").write_text(json.dumps(report))
    assert "perplexity" in model_card(model) and "Lowest validation loss" in model_card(model)
    card = model_card(genai.load(base, adapter=first))
    assert "perplexity" not in card and "Lowest validation loss" not in card


def test_peft_takes_one_run(pair: tuple[Path, Path, Path], inside: Callable[..., Any], tmp_path: Path) -> None:
    base, first, _ = pair
    for words in ([f"ckpt={base}"], [f"ckpt={first}"], []):
        done = inside("export", *words, f"adapter={first}", "format=peft", f"out={tmp_path / 'out'}", cwd=tmp_path)
        assert done.returncode == 2 and "name the run with ckpt=" in done.stderr


@pytest.mark.parametrize("use", ["ckpt", "init_from"])
def test_a_folder_of_peft_alone_says_how_to_use_it(use: str, inside: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "adapter_config.json").write_text("{}")
    done = inside("sample" if use == "ckpt" else "train", f"{use}=small", cwd=tmp_path)
    assert done.returncode == 2 and "small is an adapter of peft: give it as adapter=" in done.stderr


def test_the_same_words_continue_an_unfinished_adapter(
    text_words: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = stopped_at(7, text_words, monkeypatch)
    words, found = resolve_resume([*text_words, f"steps={STEPS}", "checkpoint_every=5"], "auto")
    assert found is not None and found.folder == broken.folder
    assert train(compose("train", words), found).record.steps == STEPS
    for other in ("adapter.rank=3", "model.network.dropout=0.1", "init_from=elsewhere"):
        _, found = resolve_resume([*text_words, f"steps={STEPS}", "checkpoint_every=5", other], "auto")
        assert found is None, other


def test_a_run_goes_on_with_a_base_that_has_moved(text_words: list[str], tmp_path: Path) -> None:
    run = run_to(text_words, "steps=4", "schedule.cooldown=0")
    moved = base_of(text_words).rename(tmp_path / "moved")
    with pytest.raises(UserError, match=r"which is not there\. If it has moved, say where to: init_from="):
        go_on(run, "steps=6")
    other = copy_run(run.folder, tmp_path / "others")
    with pytest.raises(UserError, match="is not what this run began with"):
        go_on(run, "steps=6", f"init_from={replaced_base(moved, tmp_path)}")
    go_on(run, "steps=6", f"init_from={moved}")
    assert run.record.steps == 6 and run.record.base is not None and str(moved) in run.record.base.path
    assert genai.load(run.folder).step == 6 and other.exists()


def replaced_base(base: Path, folder: Path) -> Path:
    """A copy of a run with other weights."""
    copy = Path(shutil.copytree(base, folder / "replaced"))
    file = Run(copy).best
    state = torch.load(file, weights_only=True)
    state["state_dict"] = {name: x * 2 if x.is_floating_point() else x for name, x in state["state_dict"].items()}
    save_checkpoint(state, file)
    return copy


def test_the_loss_of_the_base_is_printed_first(text_words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    run = run_to(text_words, "steps=2", "optimizer.lr=0")
    error = capfd.readouterr().err
    base_loss = float(error.split("val_loss of the base: ")[1].split()[0])
    assert run.record.best is not None and base_loss == pytest.approx(run.record.best.val_loss, abs=1e-4)
    assert error.index("val_loss of the base") < error.index("step 1/2")
