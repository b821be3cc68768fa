"""Tasks with exact answers, made on the spot: prompts and answers to train on, others to test with."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le

from genai.core.data import Split, SplitSource
from genai.core.errors import UserError
from genai.data.chat_split import make_chat_split
from genai.media.chat import Chat

LETTERS, DIGITS = "abcdefghijklmnopqrstuvwxyz", "0123456789"
SUMS = range(11, 100)
"""Numbers of the task ``make``."""
NUM_VAL_SUMS = 20
MAX_DISTANCE = 30
"""Distance of a sum from that which is asked for, from which an answer is worth nothing."""
VAL_FRACTION = 0.1
"""Of the prompts of the other tasks."""


@dataclass(frozen=True)
class Task:
    """A task.

    Attributes:
        draw: returns a random prompt.
        prompts: all prompts; ``None``: they are too many to be listed.
        answer: returns a right answer to a prompt, which may be one of many.
        is_right: returns whether an answer to a prompt is right.
        score: returns how good an answer is, see ``Tasks.score``; ``None``: it is right or wrong.
    """

    draw: Callable[[np.random.Generator], str]
    prompts: Callable[[], Iterator[str]] | None
    answer: Callable[[str, np.random.Generator], str]
    is_right: Callable[[str, str], bool]
    score: Callable[[str, str], float] | None = None


class Tasks(SplitSource):
    """Prompts of a task with an exact answer.

    A prompt is held out or not for good: by its hash, for every seed. A sum is held out in both orders of its numbers.

    ``add`` is the sum of two numbers of two digits, ``sort`` sorts five digits, ``reverse`` reverses five letters,
    and ``make`` finds two numbers with a given sum, which has many right answers; of its 89 sums, 20 are held out.

    Args:
        task: its name.
        items, val_items: largest number of prompts to train on and to test with; of ``make``, of answers to train on.
        style: of the answers to ``add``: ``plain``; ``backwards``, the last digit first; or ``scratch``, after a line
            with the sums of the digits.
        seed: of the prompts.

    Attributes:
        rewards: weights of the rewards that training with rewards uses by default.
    """

    media = Chat
    metrics = ("val_loss", "exact_match")

    def __init__(
        self,
        task: Literal["add", "sort", "reverse", "make"] = "add",
        items: Annotated[int, Ge(1), Le(10_000_000)] = 20_000,
        val_items: Annotated[int, Ge(1), Le(100_000)] = 500,
        style: Literal["plain", "backwards", "scratch"] = "scratch",
        seed: Annotated[int, Ge(0)] = 0,
    ) -> None:
        if style != "scratch" and task != "add":
            raise UserError(f"data.style={style}: only data.task=add has styles.")
        self.name, self.items, self.val_items, self.seed = f"task {task}", items, val_items, seed
        self.task = TASKS[f"add {style}" if task == "add" else task]
        self.repeats = task == "make"
        self.rewards = {"exact": 1.0} if self.task.score is None else {"score": 1.0, "exact": 0.0}

    @property
    def description(self) -> str:
        return f"{self.name}: {len(self.train):,} prompts, {len(self.val):,} held out"

    def is_right(self, chat: Chat, answer: str) -> bool:
        """Return whether an answer to the question of a conversation is right."""
        return self.task.is_right(str(chat.question[-1]["content"]), answer)

    def score(self, chat: Chat, answer: str) -> float:
        """Return 1 for a right answer. Of ``make``, two numbers with another sum get less than 0.5, the less the
        farther it is; all other answers get 0."""
        if self.task.score is None:
            return float(self.is_right(chat, answer))
        return self.task.score(str(chat.question[-1]["content"]), answer)

    @cached_property
    def _splits(self) -> tuple[Split, Split]:
        rng = np.random.default_rng(self.seed)
        train, val = self._prompts(rng, self.items, False), self._prompts(rng, self.val_items, True)
        if self.repeats:
            train = [train[index] for index in rng.integers(len(train), size=self.items)]
        return make_chat_split("train", self._chats(train, rng)), make_chat_split("val", self._chats(val, rng))

    def _prompts(self, rng: np.random.Generator, count: int, is_val: bool) -> list[str]:
        """Return at most ``count`` different prompts of a split."""
        if self.task.prompts:
            prompts = [prompt for prompt in self.task.prompts() if is_val_prompt(prompt) == is_val]
            return [prompts[index] for index in rng.permutation(len(prompts))[:count]]
        found = dict[str, None]()
        while len(found) < count:
            prompt = self.task.draw(rng)
            if is_val_prompt(prompt) == is_val:
                found[prompt] = None
        return list(found)

    def _chats(self, prompts: list[str], rng: np.random.Generator) -> list[Chat]:
        pairs = ((prompt, self.task.answer(prompt, rng)) for prompt in prompts)
        return [
            Chat.from_messages([{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}])
            for prompt, answer in pairs
        ]


def is_val_prompt(prompt: str) -> bool:
    """Return whether a prompt is one to test with."""
    if prompt.startswith("make:"):
        return prompt in sorted(map("make:{}".format, SUMS), key=_digest)[:NUM_VAL_SUMS]
    if prompt.startswith("add:"):  # a sum in the other order is no new one
        prompt = "add:{}+{}".format(*sorted(_numbers(prompt)))
    return int(_digest(prompt)[:8], 16) / 16**8 < VAL_FRACTION


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _draw_word(name: str, alphabet: str) -> Callable[[np.random.Generator], str]:
    return lambda rng: f"{name}:{''.join(alphabet[index] for index in rng.integers(len(alphabet), size=5))}"


def _sums() -> Iterator[str]:
    return (f"add:{a}+{b}" for a in range(10, 100) for b in range(10, 100))


def _numbers(prompt: str) -> tuple[int, int]:
    """Return the numbers of ``add:34+57``."""
    first, second = prompt.partition(":")[2].split("+")
    return int(first), int(second)


def _total(prompt: str) -> str:
    return str(sum(_numbers(prompt)))


def scratch_line(prompt: str) -> str:
    """Return the sums of the digits, the last first: ``4+7=11, 3+5+1=9`` for ``add:34+57``."""
    first, second = _numbers(prompt)
    units = first % 10 + second % 10
    carry = f"+{units // 10}" if units > 9 else ""
    tens = first // 10 + second // 10 + units // 10
    return f"{first % 10}+{second % 10}={units}, {first // 10}+{second // 10}{carry}={tens}"


def _sum_of(answer: str) -> int | None:
    """Return the sum of an answer of two positive numbers, written plainly; ``None`` for other answers."""
    parts = answer.strip().split("+")
    is_plain = len(parts) == 2 and all(part.isdecimal() and part.isascii() and part[0] != "0" for part in parts)
    return sum(map(int, parts)) if is_plain and max(map(len, parts)) <= 3 else None


def _makes(prompt: str, answer: str) -> bool:
    """Return whether an answer is two positive numbers, written plainly, with the sum that is asked for."""
    return _sum_of(answer) == int(prompt.partition(":")[2])


def _score_sum(prompt: str, answer: str) -> float:
    """Return 1 for the right sum, less than 0.5 for another one, falling to 0 at a distance of ``MAX_DISTANCE``."""
    total = _sum_of(answer)
    if total is None:
        return 0.0
    distance = abs(total - int(prompt.partition(":")[2]))
    return 1.0 if distance == 0 else 0.5 * max(0.0, 1 - distance / MAX_DISTANCE)


def _draw_parts(prompt: str, rng: np.random.Generator) -> str:
    total = int(prompt.partition(":")[2])
    first = int(rng.integers(1, total))
    return f"{first}+{total - first}"


def _add_task(answer: Callable[[str], str], result: Callable[[str], str]) -> Task:
    """Return the task ``add`` with answers that end in a line of which ``result`` returns the sum."""

    def draw(rng: np.random.Generator) -> str:
        first, second = rng.integers(10, 100, size=2)
        return f"add:{first}+{second}"

    def is_right(prompt: str, text: str) -> bool:
        return result(text.strip().rpartition("\n")[2]) == _total(prompt)

    return Task(draw, _sums, lambda prompt, rng: answer(prompt), is_right)


def _word_task(name: str, alphabet: str, change: Callable[[str], str]) -> Task:
    """Return a task whose only right answer is a changed word."""

    def answer(prompt: str) -> str:
        return change(prompt.partition(":")[2])

    return Task(
        _draw_word(name, alphabet),
        None,
        lambda prompt, rng: answer(prompt),
        lambda prompt, text: text.strip() == answer(prompt),
    )


def _draw_sum(rng: np.random.Generator) -> str:
    return f"make:{rng.choice(SUMS)}"


TASKS = {
    "add plain": _add_task(_total, str),
    "add backwards": _add_task(lambda prompt: _total(prompt)[::-1], lambda line: line[::-1]),
    "add scratch": _add_task(lambda prompt: f"{scratch_line(prompt)}\n{_total(prompt)}", str),
    "sort": _word_task("sort", DIGITS, lambda word: "".join(sorted(word))),
    "reverse": _word_task("reverse", LETTERS, lambda word: word[::-1]),
    "make": Task(_draw_sum, lambda: map("make:{}".format, SUMS), _draw_parts, _makes, _score_sum),
}
"""The tasks by name."""
