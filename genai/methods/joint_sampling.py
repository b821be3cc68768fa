"""Requests in progress that share evaluations of a network."""

from collections.abc import Generator, Hashable
from typing import Any

from genai.methods.base import Evaluation, Method


class JointSampling:
    """Requests to one method, which join and leave at any step.

    A request gets the same samples as alone: an evaluation of several requests has the same numbers for each of them
    (on a CPU in float32), and their random numbers are their own.
    """

    def __init__(self, method: Method) -> None:
        self.method = method
        self._steps: dict[Hashable, Generator[Any, Any, None]] = {}
        self._inputs: dict[Hashable, Evaluation] = {}

    def __len__(self) -> int:
        return len(self._steps)

    def add(self, key: Hashable, steps: Generator[Any, Any, None]) -> None:
        """Begin a request: ``Method.steps``, or a generator that passes on what it yields, as ``Stream.steps`` does."""
        self._steps[key] = steps

    def remove(self, key: Hashable) -> None:
        """End a request."""
        self._inputs.pop(key, None)
        self._steps.pop(key).close()

    def step(self) -> list[tuple[Any, Any]]:
        """Move every request on, by one evaluation or by one value.

        Returns:
            Pairs (key, value) of what the requests yield besides evaluations, in order; (key, exception) of one that
            ends a request; (key, ``StopIteration``) at its end.
        """
        answers = {}
        if self._inputs:
            keys = [*self._inputs]
            answers = dict(zip(keys, self.method.evaluate([self._inputs[key] for key in keys]), strict=True))
        return [(key, value) for key in [*self._steps] for value in self._advance(key, answers.get(key))]

    def _advance(self, key: Hashable, answer: Any) -> list[Any]:
        """Send an answer to a request; return what it yields until its next evaluation, or one value if it has none."""
        steps, values, has_input = self._steps[key], list[Any](), key in self._inputs
        self._inputs.pop(key, None)
        try:
            value = steps.send(answer)
            while not isinstance(value, Evaluation):
                values.append(value)
                if not has_input:
                    return values
                value = next(steps)
            self._inputs[key] = value
        except Exception as error:  # of this request alone
            del self._steps[key]
            values.append(error)
        return values
