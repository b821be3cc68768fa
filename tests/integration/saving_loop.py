"""``python saving_loop.py FOLDER PROCESSES``: saves checkpoints as fast as it can, until it is killed.

For each line with a step on standard input it forks processes that begin after this step, and prints the number of
their group. All numbers of the checkpoint of a step are this step. ``FOLDER/saved`` has the last step whose save has
ended, as eight bytes; ``FOLDER/process-RANK`` the number of a process.
"""

import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

from genai.training.checkpoint_io import SafeCheckpointIO
from genai.training.checkpoint_saver import CheckpointSaver

SIZES = {"a": (511, 129), "b": (3,), "c": (1,), "d": (257, 65, 3)}


def loop(folder: Path, rank: int, processes: int, step: int) -> None:
    """Save one checkpoint after the other, and change its tensors as soon as ``save_checkpoint`` returns."""
    torch.set_num_threads(1)
    (folder / f"process-{rank}").write_text(str(os.getpid()))
    tensors: dict[str, Tensor] = {name: torch.full(size, float(step)) for name, size in SIZES.items()}
    group: Any = None
    if processes > 1:
        store = distributed.FileStore(str(folder / f".store-{os.getpgid(0)}"), processes)
        distributed.init_process_group("gloo", store=store, rank=rank, world_size=processes)
        mesh = init_device_mesh("cpu", (processes,))
        places = {"c": [Replicate()]}
        tensors = {name: distribute_tensor(x, mesh, places.get(name, [Shard(0)])) for name, x in tensors.items()}
        group = distributed.group.WORLD
    weights = {f"method.{name}": tensor for name, tensor in tensors.items()}
    moments = {number: {"momentum": tensor.clone()} for number, tensor in enumerate(tensors.values())}
    saver = CheckpointSaver()
    io = SafeCheckpointIO({}, saver)
    saved = os.open(folder / "saved", os.O_RDWR | os.O_CREAT)
    while True:
        step += 1
        for tensor in (*weights.values(), *(state["momentum"] for state in moments.values())):
            tensor.add_(1)
        header = {"format": 1, "step": step}
        states = [{"state": {n: dict(state) for n, state in moments.items()}, "param_groups": [{"betas": (0.9, 0.95)}]}]
        saver.wait()
        if rank == 0 and step > 1:
            os.pwrite(saved, (step - 1).to_bytes(8, "little"), 0)
        state = {"genai": header, "state_dict": dict(weights), "optimizer_states": states}
        io.save_checkpoint(state, folder / "checkpoints" / "last.ckpt", group)


def main() -> None:
    """Fork processes, again and again."""
    folder, processes = Path(sys.argv[1]), int(sys.argv[2])
    for line in sys.stdin:
        first = os.fork()
        if first == 0:
            os.setpgid(0, 0)
            rank = next((rank for rank in range(1, processes) if os.fork() == 0), 0)
            try:
                loop(folder, rank, processes, int(line))
            finally:
                os._exit(1)
        print(first, flush=True)
        os.waitpid(first, 0)


if __name__ == "__main__":
    main()
