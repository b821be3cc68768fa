"""Training with rewards, from a model that has learned answers to one that is loaded, exported and resumed."""

import csv
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import genai
from genai.cli.compose import compose
from genai.core.errors import RunError, UserError
from genai.exchange.hf_export import export_folder
from genai.runs.run import Run, all_runs
from genai.training.run import train
from tests.conftest import ROOT
from tests.integration.test_resume import assert_same_state, go_on

SMALL = [
    "modality.tokenizer=bytes", "modality.vocab_size=null", "modality.block=32", "modality.reserved=16",
    "trainer=cpu", "trainer.threads=1", "logger=csv", "log_every=1", "preview_every=100", "data.task=make",
    "data.items=200",
]  # fmt: skip
NETWORK = [
    "model=llama", "model.network.layers=1", "model.network.heads=2", "model.network.width=32",
    "model.network.hidden=64",
]  # fmt: skip
FUNCTIONS = """
import os
import time
calls = 0
def hang(prompt, sample):
    while calls >= 0:
        time.sleep(0.01)
def fail(prompt, sample):
    raise KeyError(sample)
def same(prompt, sample):
    return -0.3
def later(prompt, sample):
    global calls
    calls += 1
    return float("nan") if calls > 400 else len(sample)
def second(prompt, sample):
    if os.environ.get("LOCAL_RANK") == "1":
        raise OSError(sample)
    return len(sample)
"""


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = ["experiment=sft", "data=tasks", *SMALL, *NETWORK, "batch=16", "optimizer.head_lr=0.02", "steps=120"]
    return train(compose("train", [*words, f"runs={tmp_path_factory.mktemp('runs')}"])).folder


@pytest.fixture
def words(taught: Path, tmp_path: Path) -> list[str]:
    return [
        "experiment=grpo", f"init_from={taught}", *(word for word in SMALL if not word.startswith("modality.")),
        "batch=4", "method.group=4", "method.length=8", "val_every=2", f"runs={tmp_path / 'runs'}",
    ]  # fmt: skip


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "odd_rewards.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "odd_rewards", raising=False)
    return "plugins=[odd_rewards]"


def fit(words: list[str], *more: str) -> Run:
    return train(compose("train", [*words, *more]))


def rows(run: Run) -> list[dict[str, str]]:
    with (run.folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_run_reports_its_rewards_apart(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    run = fit(words, "steps=2", "rewards={score: 1, exact: 0, length: {weight: 0.1, characters: 5}}")
    out = capfd.readouterr().out
    assert "method    grpo" in out and " different prompts" in out
    (*_, last) = rows(run)
    score, short, total = (float(last[name]) for name in ("reward/score", "reward/length", "reward"))
    assert total == pytest.approx(score + 0.1 * short, abs=1e-4)
    assert float(last["val_loss"]) == pytest.approx(1 - float(last["val_reward"]), abs=1e-4)
    assert {"reward/exact", "val_reward/exact", "dead_groups", "entropy", "truncated", "answer_length"} <= set(last)


def test_a_resumed_run_equals_one_that_never_stopped(words: list[str], tmp_path: Path) -> None:
    words = [*words, "schedule.cooldown=0", "val_every=3"]
    whole = fit(words, "steps=6")
    part = fit(words, "steps=3", f"runs={tmp_path / 'part'}")
    go_on(part, "steps=6")
    assert_same_state(whole, part)


def test_the_model_is_loaded_and_exported(words: list[str], tmp_path: Path) -> None:
    model = genai.load(fit(words, "steps=1").folder, device="cpu")
    prompt = model.modality.chat_prompt([{"role": "user", "content": "make:20"}])
    (answer,) = model.sample(prompt, length=8)
    export_folder(model.modality, model.method, tmp_path / "hf")
    exported = genai.load(tmp_path / "hf", device="cpu")
    assert exported.sample(prompt, length=8, temperature=0.8)[0] == answer


def test_an_adapter_learns(words: list[str], taught: Path) -> None:
    run = fit(words, "steps=3", "adapter=lora", "adapter.rank=2")
    adapted, base = (genai.load(path, device="cpu").method.state_dict() for path in (run.folder, taught))
    changed = {name for name, tensor in base.items() if not tensor.equal(adapted[name])}
    assert any("attention" in name for name in changed) and not any("embedding" in name for name in changed)


def test_answers_that_never_end_are_named_within_20_steps(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    fit(words, "steps=20", "method.length=1", "val_every=100")
    (line,) = (line for line in capfd.readouterr().err.splitlines() if "do not end within" in line)
    assert line.startswith("step 10: 100% of the answers do not end within method.length=1")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fail", "the reward odd_rewards.fail raises KeyError"),
        ("hang", "the reward odd_rewards.hang takes more than 0.1 seconds"),
    ],
)
def test_a_reward_that_fails_ends_the_run(
    words: list[str], plugin: str, name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genai.training.rewards.MAX_SECONDS", 0.1)
    with pytest.raises(RunError, match=message):
        fit(words, "steps=3", plugin, f"rewards=[odd_rewards.{name}]")
    assert not any((tmp_path / "runs").rglob("*.ckpt"))  # nothing was learned


def test_the_checkpoint_before_a_failure_is_kept(words: list[str], plugin: str) -> None:
    with pytest.raises(RunError, match=r"the reward odd_rewards\.later is nan, no finite number"):
        fit(words, "steps=40", plugin, "rewards=[odd_rewards.later]", "checkpoint_every=1", "val_every=100")
    run = next(all_runs(Path(next(word for word in words if word.startswith("runs=")).partition("=")[2])))
    assert genai.load(run.last, device="cpu").header.step > 0  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["rewards=[exakt]"], "There is no reward 'exakt'. Did you mean 'exact'?"),
        (["init_from=null"], "method= needs init_from="),
        (["method.group=1"], "method.group=1"),
        (["accumulate=2"], "accumulate=2: method=grpo divides its loss by the tokens of a whole batch"),
        (["rewards={regex: {pattern: '('}}"], "rewards.regex.pattern='('"),
    ],
)
def test_a_mistake_is_named(words: list[str], more: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        fit(words, "steps=1", *more)
    assert message in str(error.value)
    assert not (tmp_path / "runs").exists()


def test_prompts_without_a_reward_are_named_before_a_run_begins(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genai.rewards.passes.check_sandbox", lambda: None)
    with pytest.raises(UserError, match="no problem has the prompt of the question 'make:"):
        fit(words, "steps=1", "rewards=[passes]")
    assert not (tmp_path / "runs").exists()


def test_dead_groups_alone_change_no_weights(words: list[str], plugin: str, taught: Path) -> None:
    run = fit(words, "steps=2", plugin, "rewards=[odd_rewards.same]", "method.group=7", "optimizer.weight_decay=0.5")
    assert [float(row["grad_norm"]) for row in rows(run)] == [0, 0]
    trained = genai.load(run.folder, weights="raw", device="cpu").method.state_dict()
    base = genai.load(taught, device="cpu").method.state_dict()
    assert all(tensor.equal(trained[name]) for name, tensor in base.items())


def test_rewards_are_for_grpo_alone(taught: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="rewards= is for method=grpo"):
        fit(["experiment=sft", "data=tasks", *SMALL, *NETWORK, "rewards=[exact]", "steps=1", f"runs={tmp_path}"])


@pytest.mark.slow
def test_two_processes_train_together(
    words: list[str], tmp_path: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    words = [word for word in words if word not in ("trainer=cpu", "trainer.threads=1")]
    two = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
    done = command("train", *words, "steps=3", *two, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = next(all_runs(tmp_path / "runs"))
    assert run.record.devices == 2 and len(rows(run)) == 3


@pytest.mark.slow
def test_two_processes_end_together_when_a_reward_fails_in_one(
    words: list[str], plugin: str, tmp_path: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    words = [word for word in words if word not in ("trainer=cpu", "trainer.threads=1")]
    two = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", plugin, "rewards=[odd_rewards.second]"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    done = command("train", *words, "steps=3", *two, cwd=tmp_path, env=environment)
    assert done.returncode == 1
    assert "the reward odd_rewards.second raises OSError" in done.stderr and "Traceback" not in done.stderr
