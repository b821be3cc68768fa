"""From a model that answers to one that prefers: resumed, in two processes, with adapters, exported."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import genai
from genai.cli.compose import compose
from genai.core.errors import UserError
from genai.exchange.hf_export import export_folder
from genai.inference.conversation import Conversation
from genai.inference.reward import load_reward
from genai.runs.checkpoint import load_checkpoint
from genai.runs.run import Run, all_runs
from genai.training.setup import prepare_training
from tests.integration.test_chat_training import QUESTION, WORDS
from tests.integration.test_distributed import TWO, Command, assert_same_curve
from tests.integration.test_resume import assert_same_state, go_on, rows, run_to, stopped_at

SIZES = ("batch=4", "val_every=20", "log_every=1", "preview_every=100", "trainer=cpu", "trainer.threads=1", "ema=0.5")
DPO = ("experiment=dpo", "optimizer.lr=0.005", *SIZES)
REWARD = ("experiment=dpo", "method=reward", "optimizer.lr=0.005", *SIZES)
METHODS = {"dpo": DPO, "reward": REWARD}


@pytest.fixture(scope="module")
def base(talks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned to answer."""
    runs = tmp_path_factory.mktemp("base")
    return run_to([*WORDS, f"data.path={talks}", f"runs={runs}", "steps=20"]).folder


@pytest.fixture
def words(base: Path, pairs: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """The words of a run of each method."""
    return lambda method: [
        *METHODS[method], f"init_from={base}", f"data.path={pairs}", f"runs={tmp_path / 'runs'}"
    ]  # fmt: skip


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that no other test uses."""
    monkeypatch.setenv("GENAI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_dpo_learns_and_shows_each_number(words: Callable[..., list[str]], capfd: pytest.CaptureFixture[str]) -> None:
    run = run_to(words("dpo"), "steps=30", "val_every=15")
    first, last = rows(run)[0], rows(run)[-1]
    assert float(first["preference_loss"]) == pytest.approx(0.693147, abs=1e-5)
    assert [float(first[name]) for name in ("margin", "chosen_change")] == pytest.approx([0, 0], abs=1e-5)
    assert float(last["val_accuracy"]) > 0.9 and float(last["val_margin"]) > 0.1
    difference = float(last["val_chosen_change"]) - float(last["val_rejected_change"])
    assert float(last["val_margin"]) == pytest.approx(0.1 * difference, rel=1e-3)
    assert 1 < float(last["val_chosen_length"]) < float(last["val_rejected_length"])
    total = float(last["val_preference_loss"]) + float(last["val_sft_loss"])
    assert float(last["val_loss"]) == pytest.approx(total, rel=1e-4)
    out, err = capfd.readouterr()
    assert "method    dpo\n" in out and "]] instead of [[" in out and "54 pairs" in out
    assert "ln 2" not in err


@pytest.mark.parametrize("method", METHODS)
def test_killed_and_resumed_is_bit_equal(
    method: str, words: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_to(words(method), "steps=12", "checkpoint_every=5")
    broken = stopped_at(7, [*words(method), "steps=12", "checkpoint_every=5"], monkeypatch)
    assert_same_state(whole, go_on(broken))
    assert rows(whole) == rows(broken)


def test_a_resumed_run_compares_with_the_base_and_not_with_itself(
    words: Callable[..., list[str]], own_cache: Path, monkeypatch: pytest.MonkeyPatch, base: Path, tmp_path: Path
) -> None:
    whole = run_to(words("dpo"), "steps=12", "checkpoint_every=5")
    broken = stopped_at(7, [*words("dpo"), "steps=12", "checkpoint_every=5"], monkeypatch)
    for file in own_cache.glob("*.f4*"):
        file.unlink()
    assert_same_state(whole, go_on(broken))


@pytest.mark.slow
def test_a_resumed_run_needs_its_base_only_if_the_cache_is_empty(
    words: Callable[..., list[str]], own_cache: Path, tmp_path: Path, base: Path
) -> None:
    copy = run_to([*WORDS, *run_words(base), f"runs={tmp_path / 'base'}", "steps=3"]).folder
    run = run_to([word.replace(str(base), str(copy)) for word in words("dpo")], "steps=3", "schedule.cooldown=0")
    moved = copy.rename(tmp_path / "moved")
    go_on(run, "steps=4")
    for file in own_cache.glob("*.f4*"):
        file.unlink()
    with pytest.raises(UserError, match="which is not there"):
        go_on(run, "steps=5")
    go_on(run, "steps=5", f"init_from={moved}")


def test_evaluation_without_the_base_says_what_is_unknown(
    words: Callable[..., list[str]], own_cache: Path, tmp_path: Path, base: Path, inside: Callable[..., Any]
) -> None:
    copy = run_to([*WORDS, *run_words(base), f"runs={tmp_path / 'base'}", "steps=3"]).folder
    run = run_to([word.replace(str(base), str(copy)) for word in words("dpo")], "steps=3")
    copy.rename(tmp_path / "moved")
    for file in own_cache.glob("*.f4*"):
        file.unlink()
    done = inside("evaluate", f"ckpt={run.last}", f"out={tmp_path / 'scores.json'}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    loss = json.loads((tmp_path / "scores.json").read_text())["metrics"]["val_loss"]
    assert loss["value"] is None and "the held-out loss is unknown: the loss compares with" in done.stdout
    assert "which is not there or has changed" in loss["description"]


def run_words(folder: Path) -> list[str]:
    return [word for word in Run(folder).record.overrides if word.startswith("data.path=")]


def test_processes_that_load_have_the_reference(words: Callable[..., list[str]], tmp_path: Path) -> None:
    one = run_to(words("dpo"), "steps=3")
    two = run_to(words("dpo"), "steps=3", "workers=2", f"runs={tmp_path / 'workers'}")
    assert_same_state(one, two)


def test_the_reference_is_that_of_the_base(words: Callable[..., list[str]], base: Path) -> None:
    setup = prepare_training(compose("train", [*words("dpo"), "steps=2"]))
    batch = setup.train.batch([0, 5, 7], None)
    x, valid = batch.x, batch.valid
    log_probs = genai.load(base).method.network(x.flatten(0, 1)[:, :-1]).log_softmax(-1)
    picked = log_probs.gather(-1, x.flatten(0, 1)[:, 1:, None])[..., 0].view(valid.shape)
    torch.testing.assert_close((picked * valid).sum(-1), batch.reference, atol=1e-4, rtol=1e-5)
    assert setup.method.ema_module.embedding.weight.equal(genai.load(base).method.ema_module.embedding.weight)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_two_processes_follow_the_curve_of_one_with_twice_the_batch(
    method: str, words: Callable[..., list[str]], tmp_path: Path, command: Command
) -> None:
    more = ["steps=4", "val_every=2"]
    done = command("train", *words(method), *more, *TWO, "accumulate=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    two = next(all_runs(tmp_path / "runs"))
    one = run_to(words(method), *more, "batch=8", f"runs={tmp_path / 'one'}")
    assert_same_curve(one, two)
    assert two.record.devices == 2 and two.record.finished


def test_the_model_chats_evaluates_and_exports(
    words: Callable[..., list[str]], tmp_path: Path, inside: Callable[..., Any]
) -> None:
    run = run_to(words("dpo"), "steps=3")
    model = genai.load(run.folder, device="cpu")
    prompt = Conversation.from_messages(model, QUESTION).prompt()
    assert str(model.sample(prompt, length=5)[0]).startswith(prompt)
    done = inside("evaluate", f"ckpt={run.last}", f"out={tmp_path / 'scores.json'}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "scores.json").read_text())["metrics"]
    for name in ("val_loss", "val_margin", "val_accuracy"):
        assert scores[name]["value"] == pytest.approx(float(rows(run)[-1][name]), rel=1e-4, abs=1e-5)
    export_folder(model.modality, model.method, tmp_path / "hf")
    again = genai.load(tmp_path / "hf", device="cpu")
    assert again.sample(prompt, length=6, temperature=0.0) == model.sample(prompt, length=6, temperature=0.0)


@pytest.mark.parametrize("loss", ["ipo", "kto", "orpo"])
@pytest.mark.slow
def test_other_losses_train(loss: str, words: Callable[..., list[str]]) -> None:
    run = run_to(words("dpo"), "steps=25", f"method.loss={loss}")
    last = rows(run)[-1]
    assert float(last["val_margin"]) > 0.05 and float(last["val_accuracy"]) > 0.8
    assert ("val_chosen_log_prob" in last) == (loss == "orpo")
    assert load_checkpoint(run.last)["genai"]["model"]["loss"] == loss


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.slow
def test_adapters(method: str, words: Callable[..., list[str]], base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = ["adapter=lora", "adapter.rank=2", "steps=12", "checkpoint_every=5", "optimizer.lr=0.01"]
    whole = run_to(words(method), *more)
    broken = stopped_at(7, [*words(method), *more], monkeypatch)
    assert_same_state(whole, go_on(broken))
    assert float(rows(whole)[0]["margin"]) == pytest.approx(0, abs=1e-4)
    assert float(rows(whole)[-1]["val_margin"]) > 0
    model, last = genai.load(whole.folder, device="cpu"), genai.load(whole.last, weights="raw", device="cpu")
    assert type(model.method).__name__ == {"dpo": "Preference", "reward": "Reward"}[method]
    assert any((a != b).any() for a, b in zip(*(m.method.state_dict().values() for m in (model, last)), strict=True))


def test_a_reward_model_scores_answers(words: Callable[..., list[str]], tmp_path: Path, inside: Any) -> None:
    run = run_to(words("reward"), "steps=40", "schedule.cooldown=0")
    assert float(rows(run)[-1]["val_accuracy"]) > 0.9
    reward = load_reward(run.folder)
    assert reward("turn abcd", "dcba") > reward("turn abcd", "abcd")
    assert reward(QUESTION, "dcba") == reward("turn abcd", "dcba")
    with pytest.raises(UserError, match="fills the context"):
        reward("a" * 400, "b")
    with pytest.raises(UserError, match="this is a reward model"):
        genai.load(run.folder).sample("a")
    done = inside("export", f"ckpt={run.folder}", f"out={tmp_path / 'package'}", "format=genai", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert load_reward(tmp_path / "package")("turn abcd", "dcba") == reward("turn abcd", "dcba")
    assert not any((run.folder / "previews").glob("*"))
    with pytest.raises(UserError, match="no text run with a checkpoint"):
        genai.load(modality="text", runs_folder=str(tmp_path / "runs"))
    assert run.record.method == "reward" and not run.record.can_sample


def test_scores_do_not_depend_on_what_is_in_the_batch(words: Callable[..., list[str]]) -> None:
    run = run_to(words("reward"), "steps=3")
    method, reward = genai.load(run.last, device="cpu").method, load_reward(run.last)
    setup = prepare_training(compose("train", [*words("reward"), "steps=2"]))
    pair = setup.source.val[0].media
    with torch.no_grad():
        losses = method.loss(setup.val.batch([0], None))
    assert float(losses["chosen_score"]) == pytest.approx(reward(pair.chosen.question, pair.chosen.answer), abs=1e-5)
    assert float(losses["rejected_score"]) == pytest.approx(
        reward(pair.rejected.question, pair.rejected.answer), abs=1e-5
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_loss_that_does_not_move_is_explained(
    method: str, words: Callable[..., list[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    rates = [f"optimizer.{name}=0" for name in ("lr", "embedding_lr", "head_lr")]
    run_to(words(method), "steps=2", *rates)
    err = capfd.readouterr().err
    assert "stays at 0.693 (ln 2)" in err and "optimizer.lr= 0" in err


@pytest.mark.slow
def test_a_method_can_follow_a_method(words: Callable[..., list[str]], talks: Path, tmp_path: Path) -> None:
    first = run_to(words("dpo"), "steps=2")
    again = [word for word in words("dpo") if not word.startswith("init_from")]
    second = run_to([*again, f"init_from={first.folder}"], "steps=2")
    assert float(rows(second)[0]["chosen_change"]) == pytest.approx(0, abs=1e-4)
    words_of_sft = [word for word in WORDS if not word.startswith(("model", "modality"))]
    third = run_to(
        [*words_of_sft, "adapter=lora", f"init_from={second.folder}", f"data.path={talks}", f"runs={tmp_path}/runs"],
        "steps=2",
    )  # fmt: skip
    assert set(rows(third)[0]) >= {"loss"} and "margin" not in rows(third)[0]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        (["init_from=null"], "method= needs init_from="),
        (["data=chat", "data.path={talks}"], "trained on pairs of answers: data=preferences"),
        (["method.beta=-1"], r"method.beta=-1"),
        (["method.gamma=1"], r"method.gamma: Preference has no such option"),
        (["model=gpt"], "init_from= brings its own"),
        (["modality.block=4"], r"no pair \(train\) can be used with a context of 4"),
    ],
)
def test_mistakes(changes: list[str], error: str, words: Callable[..., list[str]], talks: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=error):
        run_to(words("dpo"), "steps=2", *(word.format(talks=talks) for word in changes))
    assert not (tmp_path / "runs").exists()


def test_pairs_need_a_method(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="add init_from= and method=dpo"):
        run_to([*WORDS, "data=preferences", f"data.path={pairs}", f"runs={tmp_path}", "steps=2"])


def test_a_method_refuses_other_models(trained: Callable[[str], Path], pairs: Path, tmp_path: Path) -> None:
    for kind in ("image", "audio"):
        with pytest.raises(UserError, match=r"method=dpo, which trains|does not fit"):
            run_to([*DPO, f"init_from={trained(kind)}", f"data.path={pairs}", f"runs={tmp_path}", "steps=2"])
