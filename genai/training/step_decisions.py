"""Decisions of all processes after a step, and how a signal ends a run."""

from dataclasses import dataclass


class StoppedBySignal(BaseException):
    """The run was stopped by a signal, after it was saved."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class SignalReceived(Exception):
    """A signal arrived during validation, while the averaged weights were swapped in."""


@dataclass(frozen=True)
class StepDecisions:
    """What a run does after a step: the signal that stops it, whether it saves and makes previews, its seconds.

    ``has_failed``: a process could not write a checkpoint.
    """

    signal: int
    save: bool
    preview: bool
    has_failed: bool
    seconds: float
