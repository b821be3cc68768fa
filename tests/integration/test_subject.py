"""A subject of one's own: an adapter with a new word, exact resume, mixing, a metric that compares with the base."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import genai
from genai.cli.compose import compose
from genai.cli.overrides import with_base_words
from genai.core.errors import UserError
from genai.inference.known_prompts import prompt_notes, split_prompts
from genai.runs.checkpoint import load_checkpoint
from genai.runs.record import config_differences
from genai.runs.run import Run, all_runs
from genai.training.run import train
from genai.training.setup import prepare_training
from tests.conftest import FEW_STEPS, SMALL_IMAGE, copy_run
from tests.integration.test_resume import STEPS, assert_same_state, go_on, run_to, stopped_at

Words = Callable[..., list[str]]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose network sees components of patches."""
    runs = tmp_path_factory.mktemp("base")
    genai.fit(*SMALL_IMAGE, FEW_STEPS, "codec=pca", f"runs={runs}", "steps=2")
    return next(all_runs(runs)).folder


@pytest.fixture(scope="module")
def dog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures without captions."""
    folder = tmp_path_factory.mktemp("dog")
    for number in range(6):
        Image.new("RGB", (20, 20), (40 * number, 250 - 40 * number, 0)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def words(base: Path, dog: Path, tmp_path: Path) -> Words:
    """The words of a run with an adapter for a new word, and others."""

    def all_words(*more: str) -> list[str]:
        own = ["experiment=subject", f"init_from={base}", "adapter=lora", "adapter.rank=2", f"data.path={dog}"]
        small = ["val_every=5", "log_every=1", "preview_every=100", "trainer=cpu", "trainer.threads=1"]
        words = [*own, *small, "batch=2", "steps=3", "copying_check=false", f"runs={tmp_path}/runs", *more]
        return with_base_words(words)

    return all_words


def weights_of(*arguments: Any, **options: Any) -> dict[str, torch.Tensor]:
    return dict(genai.load(*arguments, **options).method.state_dict())


def test_a_subject_resumes_bit_equal_with_the_same_prompts(words: Words, monkeypatch: pytest.MonkeyPatch) -> None:
    own = words("subject.kind=dog")
    whole = run_to(own, f"steps={STEPS}", "checkpoint_every=5")
    config = whole.read_config()
    assert whole.record.known_prompts and whole.record.known_prompts.prompts == ["zwx dog"]
    assert len(config["adapter"]["prompts"]) > 16
    broken = stopped_at(7, own, monkeypatch)
    folder = Path(whole.record.base.path).parent.parent  # type: ignore[union-attr]
    record = (folder / "record.json").read_text(encoding="utf-8")
    Run(folder).write_record(known_prompts=None)  # a resumed run has its own
    try:
        assert_same_state(whole, go_on(broken))
    finally:
        (folder / "record.json").write_text(record, encoding="utf-8")


@pytest.mark.slow
def test_new_words_have_a_rate_of_their_own_and_others_stay_bit_for_bit(
    words: Words, base: Path, inside: Any, tmp_path: Path
) -> None:
    run = run_to(words("optimizer.lr=0", "optimizer.embedding_lr=0.1", "ema=0"))
    names = [name for name in load_checkpoint(run.last)["state_dict"] if name.endswith("lora.rows.weight")]
    assert sorted(name.split(".")[0] for name in names) == ["ema", "ema", "method", "method"]
    tuned, plain = weights_of(run.last), weights_of(base)
    changed = {name: int((tuned[name] != plain[name]).any(-1).sum()) for name in plain if tuned[name].ndim == 2}
    assert {name: count for name, count in changed.items() if count} == {
        f"ema_module.prompt.words.{table}.weight": 1 for table in (0, 1)
    }
    assert prompt_notes(genai.load(run.folder), ["zwx circle", "blue"]) == []
    result = inside("evaluate", f"ckpt={run.folder}", "metrics=[subject]", "n=4", "steps=2", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert re.search(r"^subject_similarity +-?\d.*\nsubject_drift +0\.0000", result.stdout, re.MULTILINE)
    refused = inside("evaluate", f"ckpt={base}", "metrics=[subject]", cwd=tmp_path)
    assert refused.returncode == 2 and "compares the run of an adapter with its base" in refused.stderr


@pytest.mark.slow
def test_two_subjects_are_mixed_with_factors_and_another_base_is_refused(
    words: Words, base: Path, trained: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rates = ("optimizer.lr=0.05", "optimizer.embedding_lr=0.05", "steps=2")
    first, second = (run_to(words(f"subject.word={word}", *rates)).folder for word in ("zwx", "circle"))
    assert capsys.readouterr().err.count("the base has learned the word 'circle'") == 1
    plain, alone, other = weights_of(base), weights_of(first), weights_of(second)
    both = weights_of(base, adapter=f"{{{first}: 0.7, {second}: 0.4}}")
    for name, x in plain.items():
        torch.testing.assert_close(both[name], x + 0.7 * (alone[name] - x) + 0.4 * (other[name] - x))
    assert any(not both[name].equal(x) for name, x in plain.items() if name.endswith("words.0.weight"))
    elsewhere = copy_run(trained("image"), tmp_path / "elsewhere")
    with pytest.raises(UserError, match="changes another model"):
        genai.load(elsewhere, adapter={str(first): 1.0, str(second): 1.0})


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["data.default_caption=dog"], r"adapter\.words: 'zwx' is in no caption.*data\.default_caption="),
        (["subject.word=zwx-dog"], r"'zwx-dog' should be one word"),
        (["adapter.preserve=0"], r"adapter\.preserve=0"),
    ],
)
def test_what_does_not_fit_is_named(more: list[str], message: str, words: Words, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        train(compose("train", words(*more)))
    assert not (tmp_path / "runs").exists()


def test_the_kind_of_adapter_is_not_guessed(words: Words) -> None:
    with pytest.raises(UserError, match=r"as experiment=subject does: add adapter=lora\."):
        run_to([word for word in words() if word != "adapter=lora"])


def test_a_base_without_prompts_and_other_methods_are_named(
    words: Words, base: Path, trained: Callable[[str], Path], tmp_path: Path
) -> None:
    silent = copy_run(base, tmp_path / "silent")
    Run(silent).write_record(known_prompts=None)
    with pytest.raises(UserError, match=r"did not record any\. Give some: adapter\.prompts="):
        run_to(words(f"init_from={silent}"))
    setup = prepare_training(compose("train", words(f"init_from={silent}", "adapter.prompts=[a red circle]")))
    assert setup.method.preservation.prompts == ["a red circle"]  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"adapter\.preserve= is for diffusion models"):
        run_to(words(f"init_from={trained('gan')}", "optimizer=adamw_gan", "adapter.prompts=[a]"))


@pytest.mark.slow
def test_clips_learn_new_words_too(trained: Callable[[str], Path], tmp_path: Path) -> None:
    own = [
        f"init_from={trained('video')}",
        "adapter=lora",
        "adapter.words=[red]",
        "adapter.preserve=3",
        "data.items=20",
    ]
    small = ["batch=2", "val_items=4", "trainer=cpu", "trainer.threads=1", f"runs={tmp_path}"]
    run = run_to(with_base_words([*own, *small]), "steps=2")
    assert "preservation_loss" in (run.folder / "metrics.csv").read_text(encoding="utf-8").splitlines()[0]


def test_an_adapter_of_before_new_words_is_resumed() -> None:
    values = compose("train", ["adapter=lora"]).values["adapter"]
    before = {name: values[name] for name in ("_target_", "rank", "alpha", "targets", "dropout")}
    assert not config_differences(before, values)


def test_some_prompts_are_left_for_the_metric(base: Path) -> None:
    known = Run(base).record.known_prompts
    learned, measured = split_prompts(known)
    assert known and not {*learned} & {*measured} and {*learned, *measured} == {*known.prompts}
    assert split_prompts(None) == ([], [])
