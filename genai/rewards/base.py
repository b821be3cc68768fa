"""Rewards of samples by name, with weights: functions ``reward(prompt, sample) -> float``.

For language models a prompt is a ``media.chat.Question``: the text of the last message, with its conversation as
``chat`` and the answers that the data have to it as ``answers``, and a sample is the text of the model's answer. For
other models a prompt is a text and a sample the medium, such as a ``Picture``. Further parameters of a function are its
options; one that is called ``source`` gets the data source. A reward of a plugin is named by its function,
``mypackage.rewards.mine``.
"""

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, get_type_hints

from genai.core.data import Source
from genai.core.errors import RunError, UserError, did_you_mean, join_names, short_repr, short_text
from genai.core.instantiate import validate_value
from genai.media.chat import Chat
from genai.media.text import Document
from genai.rewards.time_limit import CallTimeout, call_within

REGISTRY = {
    "exact": "genai.rewards.answers.exact",
    "score": "genai.rewards.answers.answer_score",
    "format": "genai.rewards.answers.has_format",
    "regex": "genai.rewards.answers.regex",
    "length": "genai.rewards.answers.length",
    "passes": "genai.rewards.passes.Passes",
    "reward_model": "genai.rewards.reward_model.RewardModel",
}
"""Functions, or subclasses of ``BatchReward``, of texts by name. ``Source.own_rewards`` has those of one source."""
MAX_SECONDS = 10.0
"""Longest time of one call of a function."""

RewardFunction = Callable[..., float]


class BatchReward(ABC):
    """A reward of many samples at once. Its arguments are its options; ``source`` gets the data source."""

    @abstractmethod
    def scores(self, prompts: Sequence[Any], samples: Sequence[Any]) -> Sequence[float]:
        """Return the reward of each sample."""

    def check(self, prompts: Sequence[Any]) -> None:
        """Raise ``UserError`` if a prompt has no reward. A run calls it with all prompts before it begins."""
        return


@dataclass(frozen=True)
class WeightedReward:
    """A reward with its options.

    Attributes:
        name: in the config and in plots.
        weight: in the sum; 0: it is only plotted.
        function: ``reward(prompt, sample)``, or a ``BatchReward``.
        options: further arguments of the function.
    """

    name: str
    weight: float
    function: RewardFunction | BatchReward
    options: Mapping[str, Any]


class Rewards:
    """The weighted sum of several rewards.

    Args:
        rewards: at least one.
        max_seconds: longest time of one call of a function, and of each answer of a ``BatchReward`` on average.
    """

    def __init__(self, rewards: Sequence[WeightedReward], max_seconds: float = MAX_SECONDS) -> None:
        self.rewards, self.max_seconds = rewards, max_seconds

    def check(self, prompts: Sequence[str]) -> None:
        """Raise ``UserError`` if a prompt has no reward."""
        for reward in self.rewards:
            if isinstance(reward.function, BatchReward):
                reward.function.check(prompts)

    def score(self, prompts: Sequence[str], samples: Sequence[Any]) -> tuple[list[float], dict[str, list[float]]]:
        """Return the reward of each sample, and its parts by name, without their weights.

        Equal answers to a prompt are scored once. Answers to one prompt share its object: prompts of different
        conversations may have the same text.

        Raises:
            RunError: a reward raises an error, takes too long, or is no finite number; the message names it.
            UserError: of a ``BatchReward``, about a prompt.
        """
        pairs = list(zip(prompts, samples, strict=True))
        keys = [(id(prompt), sample) for prompt, sample in pairs]
        different = dict(zip(keys, pairs, strict=True))
        parts = {}
        for reward in self.rewards:
            values = dict(zip(different, self._values(reward, list(different.values())), strict=True))
            parts[reward.name] = [values[key] for key in keys]
        weighted = [[reward.weight * value for value in parts[reward.name]] for reward in self.rewards]
        return [math.fsum(values) for values in zip(*weighted, strict=True)], parts

    def _values(self, reward: WeightedReward, pairs: Sequence[tuple[str, Any]]) -> list[float]:
        """Return one reward of different answers."""
        function = reward.function
        if isinstance(function, BatchReward):
            values = self._call_batch(reward, function, pairs)
            if len(values) != len(pairs):
                raise RunError(f"the reward {reward.name} returns {len(values)} values for {len(pairs)} samples.")
            return [_check_number(reward.name, *each) for each in zip(pairs, values, strict=True)]
        return [_check_number(reward.name, pair, self._call(reward, function, pair)) for pair in pairs]

    def _call_batch(
        self, reward: WeightedReward, function: BatchReward, pairs: Sequence[tuple[str, Any]]
    ) -> list[float]:
        prompts, samples = [prompt for prompt, _ in pairs], [sample for _, sample in pairs]
        what = f"{len(pairs)} samples, the first of which is {_describe(pairs[0])}"
        seconds = self.max_seconds * len(pairs)
        return _call_named(reward.name, what, seconds, lambda: list(function.scores(prompts, samples)), (UserError,))

    def _call(self, reward: WeightedReward, function: RewardFunction, pair: tuple[str, Any]) -> Any:
        return _call_named(reward.name, _describe(pair), self.max_seconds, lambda: function(*pair, **reward.options))


def _call_named(
    name: str, what: str, seconds: float, function: Callable[[], Any], passed: tuple[type[Exception], ...] = ()
) -> Any:
    """Call a function.

    Args:
        name: of the reward, for messages.
        what: it gets, for messages.
        seconds: longest time.
        function: the call.
        passed: errors that are raised as they are.

    Raises:
        RunError: it raises an error or takes too long.
    """
    try:
        return call_within(seconds, function)
    except passed:
        raise
    except CallTimeout:
        raise RunError(f"the reward {name} takes more than {seconds:g} seconds for {what}.") from None
    except Exception as error:
        reason = f"{type(error).__name__}: {short_text(str(error))}"
        raise RunError(f"the reward {name} raises {reason} for {what}.") from error


def _check_number(name: str, pair: tuple[str, Any], value: Any) -> float:
    """Return a reward as a number. Raises ``RunError``."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or isinstance(value, str):
        raise RunError(f"the reward {name} is {short_repr(value)}, no finite number, for {_describe(pair)}.")
    return number


def _describe(pair: tuple[str, Any]) -> str:
    prompt, sample = pair
    if not isinstance(sample, str):
        return f"a {type(sample).__name__.lower()} of {short_repr(prompt)}"
    return f"the answer {short_repr(sample)} to {short_repr(str(prompt))}"


def parse_rewards(
    value: Sequence[str] | Mapping[str, Any], source: Source, plugins: Sequence[str] = ()
) -> list[WeightedReward]:
    """Return the rewards of ``rewards=``.

    Args:
        value: names; or weights, or options with ``weight`` among them, by name.
        source: the data.
        plugins: packages besides genai whose functions are allowed.

    Raises:
        UserError: a name, an option or a weight is wrong.
    """
    entries = dict(value) if isinstance(value, Mapping) else dict.fromkeys(value, 1.0)
    if not entries:
        raise UserError(f"rewards=: name at least one. {_list_rewards(available_rewards(source))}")
    rewards = []
    for name, entry in entries.items():
        options = dict(entry) if isinstance(entry, Mapping) else {"weight": entry}
        weight = validate_value(options.pop("weight", 1.0), float, f"rewards.{name}.weight")
        rewards.append(_create(str(name), weight, options, source, plugins))
    if not any(reward.weight for reward in rewards):
        raise UserError("rewards=: all weights are 0, so nothing can be learned.")
    return rewards


def available_rewards(source: Source) -> Mapping[str, str]:
    """Return the rewards by name that fit the media of a source: those of texts, and its own."""
    has_texts = issubclass(source.media, (Chat, Document))
    return {**(REGISTRY if has_texts else {}), **source.own_rewards}


def _list_rewards(available: Mapping[str, str]) -> str:
    if available:
        return f"There are: {join_names(available)}."
    return "For these data there are none: name a function of a plugin, rewards=[mypackage.reward] plugins=[mypackage]."


def _create(
    name: str, weight: float, options: dict[str, Any], source: Source, plugins: Sequence[str]
) -> WeightedReward:
    function = _import_reward(name, available_rewards(source), plugins)
    parameters = list(inspect.signature(function).parameters.values())
    names = [p.name for p in parameters[0 if isinstance(function, type) else 2 :] if p.kind is not p.VAR_KEYWORD]
    hints = get_type_hints(function.__init__ if isinstance(function, type) else function, include_extras=True)  # type: ignore[misc]
    allowed = [each for each in names if each != "source"]
    for option, value in options.items():
        if option not in allowed:
            hint = did_you_mean(option, allowed)
            raise UserError(
                f"rewards.{name}.{short_text(option)}: there is no such option.{hint} "
                f"It has: {join_names([*allowed, 'weight'])}."
            )
        options[option] = validate_value(value, hints.get(option, Any), f"rewards.{name}.{option}")
    required = [p.name for p in parameters if p.name in allowed and p.default is p.empty]
    if missing := next((each for each in required if each not in options), None):
        raise UserError(f"rewards.{name} needs {missing}: rewards={{{name}: {{{missing}: ...}}}}.")
    if "source" in names:
        options["source"] = source
    if isinstance(function, type):
        try:
            return WeightedReward(name, weight, function(**options), {})
        except ValueError as error:
            raise UserError(f"rewards.{name}: {error}") from error
    return WeightedReward(name, weight, function, options)


def _import_reward(name: str, available: Mapping[str, str], plugins: Sequence[str]) -> Any:
    """Return a function, or a subclass of ``BatchReward``, of genai or a plugin. Raises ``UserError``."""
    if name not in available and "." not in name:
        raise UserError(
            f"There is no reward '{short_text(name)}'.{did_you_mean(name, available)} {_list_rewards(available)}"
        )
    target = available.get(name, name)
    module_name, _, attribute = target.rpartition(".")
    packages = ("genai.rewards", *plugins, *([module_name] if name in available else []))
    if len(target) > 200 or not any(f"{module_name}.".startswith(f"{package}.") for package in packages):
        raise UserError(f"rewards: refused {short_repr(name)}: name its package in plugins=[...] too.")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        raise UserError(f"rewards: {short_text(name)}: there is no module '{short_text(error.name or '')}'.") from error
    reward = getattr(module, attribute, None)
    is_class = isinstance(reward, type) and issubclass(reward, BatchReward)
    is_function = inspect.isfunction(reward) and len(inspect.signature(reward).parameters) >= 2
    if not (is_class or is_function) or getattr(reward, "__module__", None) != module_name:
        raise UserError(f"rewards: {short_repr(name)} is no function reward(prompt, sample) of {module_name}.")
    return reward
