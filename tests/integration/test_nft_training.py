"""Training of an image model with rewards, to one that is loaded and resumed."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

import genai
from genai.cli.compose import compose
from genai.core.errors import RunError, UserError
from genai.runs.run import Run
from genai.training.run import train
from tests.integration.test_resume import assert_same_state, go_on

FUNCTIONS = """
def bright(prompt, sample, scale: float = 255.0):
    return sample.pixels.mean() / scale
def fail(prompt, sample):
    raise KeyError(prompt)
"""


@pytest.fixture
def words(trained: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (tmp_path / "picture_rewards.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "picture_rewards", raising=False)
    return [
        "experiment=nft", f"init_from={trained('image')}", "data.items=64", "trainer=cpu", "trainer.threads=1",
        "logger=csv", "log_every=1", "val_every=2", "val_items=4", "preview_every=100", "batch=2",
        "copying_check=false",
        "method.group=3", "method.steps=2", "method.val_samples=2", f"runs={tmp_path / 'runs'}",
        "plugins=[picture_rewards]",
    ]  # fmt: skip


BRIGHT = "rewards=[picture_rewards.bright]"


def fit(words: list[str], *more: str) -> Run:
    return train(compose("train", [*words, *more]))


def test_a_resumed_run_equals_one_that_never_stopped(
    words: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [*words, BRIGHT, "schedule.cooldown=0"]
    whole = fit(words, "steps=4")
    captured = capfd.readouterr()
    assert "method    nft" in captured.out and " reward_std 0." in captured.err
    with (whole.folder / "metrics.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    assert float(last["val_loss"]) == pytest.approx(1 - float(last["val_reward"]), abs=1e-4)
    assert {"reward/picture_rewards.bright", "dead_groups", "diversity", "policy_loss", "data_loss"} <= set(last)
    model = genai.load(whole.folder, device="cpu", plugins=["picture_rewards"])
    assert len(model.sample("a red circle", steps=2)) == 1
    part = fit(words, "steps=2", f"runs={tmp_path / 'part'}")
    go_on(part, "steps=4", "plugins=[picture_rewards]")
    assert_same_state(whole, part)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["rewards=[strikt]"], "There is no reward 'strikt'. Did you mean 'strict'?"),
        (["rewards=[binding]"], "binding is for prompts with two things: data.things=2"),
        (["accumulate=2"], "accumulate=2: method=nft compares the rewards of a whole batch"),
        (["init_from=null"], "method= needs init_from="),
    ],
)
def test_a_mistake_is_named(words: list[str], more: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        fit(words, "steps=1", *more)
    assert message in str(error.value)
    assert not (tmp_path / "runs").exists()


def test_a_reward_that_fails_is_named(words: list[str]) -> None:
    with pytest.raises(RunError, match=r"the reward picture_rewards\.fail raises KeyError.* for a picture of '"):
        fit(words, "steps=1", "rewards=[picture_rewards.fail]", "val_every=100")


@pytest.mark.slow
def test_other_models_are_refused(words: list[str], trained: Callable[[str], Path]) -> None:
    with pytest.raises(UserError, match=r"method=nft, which trains models of Diffusion: .* init_from=, Frame"):
        fit(words, "steps=1", f"init_from={trained('video')}", BRIGHT)
