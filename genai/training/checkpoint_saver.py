"""Saving of checkpoints while training goes on.

The training thread only copies the tensors into CPU memory that is reused; another thread writes the copy.
"""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from genai.runs.tensor_tree import map_tensors


class CheckpointSaver:
    """Writes copies of training states one after the other, in the order of ``save``.

    One copy of the state stays in CPU memory. Errors of writing are raised by ``check`` and ``wait``.
    """

    def __init__(self) -> None:
        self._copy = StateCopy()
        self._step: int | None = None
        self._jobs: list[_Job] = []  # oldest first

    def save(self, state: Any, write: Callable[[Any], object], step: int) -> None:
        """Copy ``state``, then call ``write(copy)`` in another thread.

        Waits until the state of an earlier step is written. A second state of the same step has the same tensors, so
        that they are not copied again.

        Raises:
            RunError: an earlier state could not be written.
        """
        if step != self._step:
            self.wait()
        copy = self._copy.update(state, is_same=step == self._step)
        self._step = step
        self._jobs.append(_Job(partial(self._write, write, copy), self._jobs[-1] if self._jobs else None))
        self._jobs[-1].start()

    def _write(self, write: Callable[[Any], object], copy: Any) -> None:
        self._copy.synchronize()
        write(copy)

    def when_saved(self, action: Callable[[], object]) -> None:
        """Let ``check`` or ``wait`` call ``action`` when all states so far are written; now if they are."""
        if self._jobs:
            self._jobs[-1].actions.append(action)
        else:
            action()

    @property
    def has_failed(self) -> bool:
        """Whether a state could not be written, which the next ``check`` or ``wait`` raises."""
        return any(job.error is not None for job in self._jobs)

    def check(self) -> None:
        """Call the actions of what is written. Raises the error of what could not be written."""
        while self._jobs and not self._jobs[0].is_alive():
            job = self._jobs.pop(0)
            if job.error is not None:
                raise job.error
            for action in job.actions:
                action()

    def wait(self) -> None:
        """Wait until everything is written. Raises the error of what could not be written."""
        while self._jobs:
            self._jobs[0].join()
            self.check()


class StateCopy:
    """A copy of the tensors of a state in CPU memory, page-locked for those of CUDA, that is updated in place.

    Memory that several tensors share is copied once, so that a copy takes no more than its original.
    """

    def __init__(self) -> None:
        self._buffers: list[Tensor] = []
        self._keys: list[tuple[torch.device, int]] = []  # places of the originals
        self._event: torch.cuda.Event | None = None

    def update(self, state: Any, is_same: bool = False) -> Any:
        """Return ``state`` with copied tensors. Those of CUDA are complete after ``synchronize``.

        Args:
            state: nested dictionaries and lists.
            is_same: whether the last copy is still used, and tensors at the same places are the same.
        """
        numbers: dict[tuple[torch.device, int], int] = {}  # of buffers

        def copy(name: str, tensor: Tensor) -> Tensor:
            storage = tensor.detach().untyped_storage()
            if not storage.nbytes():
                return tensor.detach().cpu()
            key = tensor.device, storage.data_ptr()
            if key not in numbers:
                numbers[key] = len(numbers)
                source = torch.empty(0, dtype=tensor.dtype, device=tensor.device).set_(storage)
                if not (is_same and self._keys[numbers[key] : len(numbers)] == [key]):
                    self._fill(numbers[key], source, is_new=is_same)
            buffer = self._buffers[numbers[key]].untyped_storage()
            view = torch.empty(0, dtype=tensor.dtype)
            return view.set_(buffer, tensor.storage_offset(), tensor.size(), tensor.stride())

        result = map_tensors(state, copy)
        self._keys = list(numbers)
        del self._buffers[len(numbers) :]
        if any(device.type == "cuda" for device, _ in numbers):
            self._event = torch.cuda.Event()
            self._event.record()
        return result

    def synchronize(self) -> None:
        """Wait for the copies from CUDA; any thread may call this."""
        if self._event is not None:
            self._event.synchronize()

    def _fill(self, number: int, source: Tensor, is_new: bool) -> None:
        """Copy ``source`` into a buffer, which is created if ``is_new``, or if it has another size or type."""
        buffer = self._buffers[number] if number < len(self._buffers) else torch.empty(0)
        if is_new or (buffer.numel(), buffer.dtype) != (source.numel(), source.dtype):
            buffer = torch.empty(source.numel(), dtype=source.dtype, pin_memory=source.is_cuda)
            self._buffers[number : number + 1] = [buffer]
        buffer.copy_(source, non_blocking=source.is_cuda)


class _Job(threading.Thread):
    """A function in another thread, after that of an earlier job, and what is to be done when it has returned."""

    def __init__(self, function: Callable[[], object], earlier: "_Job | None") -> None:
        super().__init__(name="checkpoint", daemon=True)  # a second Ctrl-C does not wait for it
        self.function, self.earlier = function, earlier
        self.error: BaseException | None = None
        self.actions: list[Callable[[], object]] = []

    def run(self) -> None:
        if self.earlier is not None:
            self.earlier.join()
        self.earlier = None
        try:
            self.function()
        except BaseException as error:  # raised in the training thread
            self.error = error
