"""What is saved is the state of its step, although training goes on."""

import threading
from typing import Any

import pytest
import torch

from genai.core.errors import RunError
from genai.training.checkpoint_saver import CheckpointSaver, StateCopy


class Disk:
    """Writes when it is let, and keeps what it was given."""

    def __init__(self) -> None:
        self.ready, self.written = threading.Event(), list[Any]()

    def write(self, state: Any) -> None:
        assert self.ready.wait(10)
        self.written.append({name: tensor.clone() for name, tensor in state.items()})


def test_a_state_is_saved_as_it_was_although_training_goes_on() -> None:
    saver, disk, weights = CheckpointSaver(), Disk(), torch.zeros(5)
    saver.save({"a": weights}, disk.write, step=1)
    weights.add_(1)
    assert not disk.written
    disk.ready.set()
    saver.wait()
    assert disk.written[0]["a"].tolist() == [0] * 5
    saver.save({"a": weights}, disk.write, step=2)
    weights.add_(1)
    saver.wait()
    assert disk.written[1]["a"].tolist() == [1] * 5


def test_two_states_of_one_step_are_queued_and_those_of_the_next_wait() -> None:
    saver, disk, weights = CheckpointSaver(), Disk(), torch.zeros(2)
    saver.save({"a": weights}, disk.write, step=1)
    saver.save({"a": weights, "b": torch.ones(1)}, disk.write, step=1)  # what is new is copied
    threading.Timer(0.2, disk.ready.set).start()
    weights.add_(1)
    saver.save({"a": weights}, disk.write, step=2)
    assert len(disk.written) >= 2
    saver.wait()
    assert [written["a"].tolist() for written in disk.written] == [[0, 0], [0, 0], [1, 1]]
    assert disk.written[1]["b"].tolist() == [1]


def test_an_error_is_raised_where_training_looks_next_and_only_once() -> None:
    saver, done = CheckpointSaver(), list[str]()

    def fail(_: Any) -> None:
        raise RunError("the disk is full")

    saver.save({}, fail, step=1)
    saver.when_saved(lambda: done.append("never"))
    while not saver.has_failed:
        pass
    with pytest.raises(RunError, match="the disk is full"):
        saver.check()
    assert not saver.has_failed
    saver.save({}, lambda _: None, step=2)
    saver.wait()
    assert not done
    saver.save({}, fail, step=3)
    with pytest.raises(RunError, match="the disk is full"):
        saver.save({}, fail, step=4)


def test_actions_follow_what_they_wait_for_in_the_training_thread() -> None:
    saver, disk, done = CheckpointSaver(), Disk(), list[Any]()
    saver.when_saved(lambda: done.append("at once"))
    assert done == ["at once"]
    saver.save({}, disk.write, step=1)
    saver.when_saved(lambda: done.append(threading.current_thread()))
    saver.check()
    assert len(done) == 1
    disk.ready.set()
    saver.wait()
    assert done[1] is threading.main_thread() and len(disk.written) == 1


def test_a_copy_reuses_its_memory_and_copies_shared_memory_once() -> None:
    copy, shared = StateCopy(), torch.arange(12.0)
    state = {"a": shared, "b": [shared.view(3, 4).T, {"c": torch.tensor(1), "d": torch.empty(0, 2), "e": 3}]}
    first = copy.update(state)
    assert torch.equal(first["b"][0], state["b"][0]) and first["b"][0].stride() == (1, 4)  # type: ignore[index]
    assert first["a"].data_ptr() == first["b"][0].data_ptr() != shared.data_ptr()
    assert first["b"][1]["d"].shape == (0, 2) and first["b"][1]["e"] == 3
    shared.mul_(2)
    second = copy.update(state)
    assert second["a"].data_ptr() == first["a"].data_ptr() and torch.equal(second["a"], shared)
    shared.mul_(2)
    assert not torch.equal(copy.update(state, is_same=True)["a"], shared)
    others = {"x": torch.full((12,), 7.0), "a": shared}  # another order
    third = copy.update(others, is_same=True)
    assert third["x"].tolist() == [7] * 12 and torch.equal(third["a"], shared)
    assert not torch.equal(second["a"], third["a"])  # it may still be read
    assert copy.update({"a": torch.ones(3, dtype=torch.float64)})["a"].dtype == torch.float64
    assert copy.update({"a": torch.ones(1), "b": torch.zeros(20)})["b"].tolist() == [0] * 20
