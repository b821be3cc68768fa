"""Signs that training with rewards goes wrong, each with one line."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping

WINDOW, MIN_STEPS = 20, 10
"""Latest steps that are judged together, and steps before the first judgment."""
MAX_TRUNCATED, MAX_DEAD, MIN_ENTROPY = 0.9, 0.8, 0.1
"""Shares of answers that do not end and of dead groups, and nats per token, beyond which a line is printed."""
MIN_DIVERSITY = 0.5
"""Diversity of samples, as a fraction of that of the first steps, below which a line is printed."""
MAX_DROP = 0.1
"""Drop of the held-out reward below its best, as a fraction of it, beyond which it is named."""


class RewardHealth(ABC):
    """Judges the numbers of the latest steps. It begins anew in a resumed run."""

    def __init__(self) -> None:
        self.steps = deque[Mapping[str, float]](maxlen=WINDOW)
        self.reported = set[str]()
        self.best: tuple[float, float] | None = None  # rewards on held-out prompts and in training

    def update(self, metrics: Mapping[str, float]) -> list[str]:
        """Add the numbers of a step, and return the lines about what has gone wrong, each once."""
        if "dead_groups" not in metrics:
            return []
        self.steps.append(metrics)
        if len(self.steps) < MIN_STEPS:
            return []
        new = {name: line for name, line in self.lines().items() if line and name not in self.reported}
        self.reported |= set(new)
        return list(new.values())

    def check_held_out(self, reward: float) -> str | None:
        """Return a line if the held-out reward has fallen from its best while that of training has risen."""
        if not self.steps:  # the first validation of a resumed run may come before its first step
            return None
        trained = self._mean("reward")
        if self.best is None or reward > self.best[0]:
            self.best = reward, trained
        best, trained_then = self.best
        if best - reward <= MAX_DROP * abs(best) or trained <= trained_then:
            return None
        return (
            f"the held-out reward is {reward:.3f}, it was {best:.3f}; that of training has risen from "
            f"{trained_then:.3f} to {trained:.3f}: the model overfits its prompts. best.ckpt stays that of the "
            "highest; more prompts, a smaller optimizer.lr=, or a shorter run, helps"
        )

    @abstractmethod
    def lines(self) -> dict[str, str]:
        """Return what is wrong by its name; "": nothing."""

    def _mean(self, name: str) -> float:
        return sum(step[name] for step in self.steps) / len(self.steps)


class PolicyHealth(RewardHealth):
    """Judges training on answers.

    Args:
        length: maximum number of tokens of an answer, for messages.
    """

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def lines(self) -> dict[str, str]:
        truncated, dead, entropy = map(self._mean, ("truncated", "dead_groups", "entropy"))
        no_end = (
            f"{truncated:.0%} of the answers do not end within method.length={self.length}, so they get no reward: "
            "give more, or first train the model to end its answers (experiment=sft)"
        )
        is_low = self._mean("reward") < 0.5
        advice = "method.group= larger, a reward with more steps, or more SFT, helps" if is_low else "harder ones help"
        dead_line = (
            f"{dead:.0%} of the groups are dead: all answers to a prompt have the same reward, so they teach nothing. "
            f"The prompts are too {'hard' if is_low else 'easy'}; {advice}"
        )
        low_entropy = (
            f"the entropy is {entropy:.3f} nats per token: the model gives nearly the same answer each time, and finds "
            "no better ones. Stop here, or begin again with a smaller optimizer.lr="
        )
        return {
            "truncated": no_end * (truncated > MAX_TRUNCATED),
            "dead": dead_line * (dead > MAX_DEAD and truncated <= MAX_TRUNCATED),
            "entropy": low_entropy * (entropy < MIN_ENTROPY and is_low),
        }


class DiffusionHealth(RewardHealth):
    """Judges training on samples of diffusion."""

    def __init__(self) -> None:
        super().__init__()
        self.first_diversity: float | None = None

    def lines(self) -> dict[str, str]:
        dead, diversity, is_low = self._mean("dead_groups"), self._mean("diversity"), self._mean("reward") < 0.5
        if self.first_diversity is None:
            self.first_diversity = diversity
        advice = "method.group= larger, a reward with more steps, or more training without rewards, helps"
        dead_line = (
            f"{dead:.0%} of the groups are dead: all samples of a prompt have the same reward, so they teach nothing. "
            f"The prompts are too {'hard' if is_low else 'easy'}; {advice if is_low else 'harder ones help'}"
        )
        collapse = (
            f"the diversity is {diversity:.2f}, it was {self.first_diversity:.2f}: the samples of a prompt become "
            "equal. Stop here, or begin again with a smaller optimizer.lr= or a larger method.data_weight="
        )
        return {
            "dead": dead_line * (dead > MAX_DEAD),
            "diversity": collapse * (diversity < MIN_DIVERSITY * self.first_diversity),
        }
