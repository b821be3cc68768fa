"""Lines about training with rewards that goes wrong."""

from genai.methods.policy_health import WINDOW, DiffusionHealth, PolicyHealth

GOOD = {"reward": 0.4, "truncated": 0.1, "dead_groups": 0.3, "entropy": 0.5}


def lines(steps: int, **numbers: float) -> list[str]:
    health = PolicyHealth(length=6)
    return [line for _ in range(steps) for line in health.update({**GOOD, **numbers})]


def test_nothing_is_said_of_a_good_run() -> None:
    assert lines(100) == []
    assert PolicyHealth(6).update({"loss": 1.0}) == []  # of other batches


def test_answers_that_never_end_are_named_within_20_steps() -> None:
    (line,) = lines(WINDOW, truncated=1.0, dead_groups=1.0, reward=0.0)
    assert line.startswith("100% of the answers do not end within method.length=6")


def test_dead_groups_are_named_once_with_the_reason() -> None:
    (hard,) = lines(60, dead_groups=0.9, reward=0.02)
    assert hard.startswith("90% of the groups are dead") and "too hard" in hard
    (easy,) = lines(60, dead_groups=0.9, reward=0.98)
    assert "too easy" in easy


def test_a_low_entropy_is_named() -> None:
    (line,) = lines(60, entropy=0.05)
    assert line.startswith("the entropy is 0.050 nats")
    assert lines(60, entropy=0.05, reward=0.95) == []  # it has learned


def test_a_validation_before_the_first_step_of_a_resumed_run_says_nothing() -> None:
    health = PolicyHealth(6)
    assert health.check_held_out(0.5) is None
    health.update(GOOD)
    assert health.check_held_out(0.1) is None


def test_a_line_comes_once() -> None:
    health = PolicyHealth(6)
    said = [health.update({**GOOD, "entropy": 0.01 if step % 100 < 50 else 0.5}) for step in range(200)]
    assert sum(map(len, said)) == 1


def test_a_held_out_reward_that_falls_while_the_other_rises_is_named() -> None:
    health = PolicyHealth(6)
    health.update({**GOOD, "reward": 0.4})
    assert health.check_held_out(0.5) is None
    for _ in range(WINDOW):
        health.update({**GOOD, "reward": 0.8})
    assert health.check_held_out(0.48) is None  # noise
    line = health.check_held_out(0.4)
    assert line and line.startswith("the held-out reward is 0.400, it was 0.500; that of training has risen from 0.400")
    for _ in range(WINDOW):
        health.update({**GOOD, "reward": 0.3})
    assert health.check_held_out(0.4) is None  # both fall


def sample_lines(steps: int, **numbers: float) -> list[str]:
    health = DiffusionHealth()
    first = [{"reward": 0.4, "dead_groups": 0.3, "diversity": 0.8}] * 20
    later = [{**first[0], **numbers}] * steps
    return [line for step in (*first, *later) for line in health.update(step)]


def test_samples_that_become_equal_are_named_once() -> None:
    assert sample_lines(60) == sample_lines(60, diversity=0.5) == []
    (line,) = sample_lines(60, diversity=0.1)
    assert line.startswith("the diversity is 0.38, it was 0.80")


def test_dead_groups_of_samples_are_named() -> None:
    (hard,) = sample_lines(60, dead_groups=0.95, reward=0.02)
    (easy,) = sample_lines(60, dead_groups=0.95, reward=0.98)
    assert "too hard" in hard and "too easy" in easy
