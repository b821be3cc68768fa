"""Commands under a launcher such as torchrun; without one nothing heavy is imported."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from genai.core.place import find_place

T = TypeVar("T")


@contextmanager
def process_group() -> Iterator[None]:
    """Let the processes of a launcher meet, and part at the end. Raises as ``core.process_group.process_group``."""
    place = find_place()
    if not place.is_launched:
        yield
        return
    from genai.core import process_group as group

    with group.process_group(place):
        yield


def run_on_main(function: Callable[[], T]) -> T:
    """Return what a function returns in the first process, in all of them; see ``core.process_group``."""
    place = find_place()
    if not place.is_launched:
        return function()
    from genai.core import process_group as group

    return group.run_on_main(place, function)
