"""Samples of several requests in progress, which share evaluations of the network."""

from collections.abc import Generator, Hashable
from typing import Any

from genai.core.batch import Chunk, Request
from genai.methods.base import Evaluation, Method

Key = Hashable


class JointSampling:
    """Requests to one method, which join and leave at any step.

    A request gets the same samples as alone: an evaluation of several requests has the same numbers for each of them
    (on a CPU in float32), and their random numbers are their own.
    """

    def __init__(self, method: Method) -> None:
        self.method = method.eval()
        self._steps: dict[Key, Generator[Any, Any, None]] = {}
        self._inputs: dict[Key, Evaluation] = {}

    def __len__(self) -> int:
        return len(self._steps)

    def add(self, key: Key, request: Request, options: Any) -> None:
        """Begin a request; it takes part from the next step on."""
        self._steps[key] = self.method.steps(request, options)

    def remove(self, key: Key) -> None:
        """End a request."""
        self._inputs.pop(key, None)
        self._steps.pop(key).close()

    def step(self) -> "list[tuple[Key, Chunk | Exception | None]]":
        """Move every request on, by one evaluation or one chunk.

        Returns:
            Pairs in order: the chunks of a request; an exception, which ends it; ``None`` at its end.
        """
        results: list[tuple[Key, Chunk | Exception | None]] = []
        answers: dict[Key, Any] = {}
        if self._inputs:
            keys = [*self._inputs]
            answers = dict(zip(keys, self.method.evaluate([self._inputs[key] for key in keys]), strict=True))
        for key in [*self._steps]:
            results += [(key, output) for output in self._advance(key, answers.get(key))]
        return results

    def _advance(self, key: Key, answer: Any) -> list[Chunk | Exception | None]:
        """Send an answer to a request; return its chunks up to its next evaluation, or one if there are none."""
        steps, outputs = self._steps[key], list[Chunk | Exception | None]()
        shares = key in self._inputs
        self._inputs.pop(key, None)
        try:
            value = steps.send(answer)
            while not isinstance(value, Evaluation):
                outputs.append(value)
                if not shares:
                    return outputs
                value = next(steps)
            self._inputs[key] = value
        except StopIteration:
            outputs.append(None)
        except Exception as error:  # of this request alone
            outputs.append(error)
        if outputs and not isinstance(outputs[-1], Chunk):
            del self._steps[key]
        return outputs
