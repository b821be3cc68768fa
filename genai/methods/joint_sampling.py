"""Requests in progress that share the calls of a network."""

from collections.abc import Generator, Hashable
from typing import Any

from genai.methods.base import Method, NetworkCall


class JointSampling:
    """Requests to one method, which join and leave at any step.

    A request gets the same samples as alone: a call for several requests has the same numbers for each of them (on a
    CPU in float32), and their random numbers are their own.
    """

    def __init__(self, method: Method) -> None:
        self.method = method
        self._running: dict[Hashable, Generator[Any, Any, None]] = {}
        self._inputs: dict[Hashable, NetworkCall] = {}

    def __len__(self) -> int:
        return len(self._running)

    def add(self, key: Hashable, steps: Generator[Any, Any, None]) -> None:
        """Begin a request: ``Method.steps``, or a generator that passes on what it yields, as ``Stream.steps`` does.

        Raises:
            ValueError: there is a request with this key.
        """
        if key in self._running:
            raise ValueError(f"there is a request {key!r} already")
        self._running[key] = steps

    def remove(self, key: Hashable) -> None:
        """End a request, if it has not ended by itself."""
        self._inputs.pop(key, None)
        if steps := self._running.pop(key, None):
            steps.close()

    def step(self) -> list[tuple[Any, Any]]:
        """Move every request on, by one network call or by one value.

        Returns:
            Pairs (key, value) of what the requests yield besides network calls, in order; (key, exception) of one that
            ends a request; (key, ``StopIteration``) at its end.
        """
        keys, answers = [*self._inputs], {}
        try:
            if keys:
                answers = dict(zip(keys, self.method.call_network([self._inputs[key] for key in keys]), strict=True))
        except Exception as error:  # of the network: none of these requests can go on
            for key in keys:
                self.remove(key)
            return [(key, error) for key in keys]
        return [(key, value) for key in [*self._running] for value in self._advance(key, answers.get(key))]

    def _advance(self, key: Hashable, answer: Any) -> list[Any]:
        """Send an answer to a request; return what it yields until its next call, or one value if it has none."""
        steps, values, has_input = self._running[key], list[Any](), key in self._inputs
        self._inputs.pop(key, None)
        try:
            value = steps.send(answer)
            while not isinstance(value, NetworkCall):
                values.append(value)
                if not has_input:
                    return values
                value = next(steps)
            self._inputs[key] = value
        except Exception as error:  # of this request alone
            del self._running[key]
            values.append(error)
        return values
