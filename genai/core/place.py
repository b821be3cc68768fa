"""Where this process stands among those that a launcher has started: torchrun, SLURM, Open MPI, LSF, Ray Train.

Only the environment is read, so it is known before anything is imported.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from genai.core.errors import UserError, short_repr

LAUNCHERS = {
    "torchrun": {
        "rank": "RANK", "world_size": "WORLD_SIZE", "local_rank": "LOCAL_RANK", "local_world_size": "LOCAL_WORLD_SIZE",
        "node": "GROUP_RANK", "nodes": "GROUP_WORLD_SIZE",
    },
    "srun": {
        "rank": "SLURM_PROCID", "world_size": "SLURM_NTASKS", "local_rank": "SLURM_LOCALID", "node": "SLURM_NODEID",
        "nodes": "SLURM_NNODES",
    },
    "mpirun": {
        "rank": "OMPI_COMM_WORLD_RANK", "world_size": "OMPI_COMM_WORLD_SIZE",
        "local_rank": "OMPI_COMM_WORLD_LOCAL_RANK", "local_world_size": "OMPI_COMM_WORLD_LOCAL_SIZE",
    },
    "jsrun": {
        "rank": "JSM_NAMESPACE_RANK", "world_size": "JSM_NAMESPACE_SIZE", "local_rank": "JSM_NAMESPACE_LOCAL_RANK",
        "local_world_size": "JSM_NAMESPACE_LOCAL_SIZE",
    },
}  # fmt: skip
"""Variables of each launcher by attributes of ``Place``; Ray Train sets those of torchrun."""
LIGHTNING = "lightning"
"""Launcher of the further processes of ``trainer=ddp``, which the first process starts."""
MAX_NUMBER = 2**20
FIRST_SPECIAL_STEP = 2**32 - 16
"""Numbers from here are steps of SLURM that ``srun`` has not started for a command, such as an interactive shell."""


@dataclass(frozen=True)
class Place:
    """The place of this process.

    Attributes:
        launcher: a name of ``LAUNCHERS``, or ``LIGHTNING``; empty: this process was started alone.
        rank, world_size: number of this process among all, and how many there are.
        local_rank, local_world_size: the same on this machine.
        node, nodes: number of this machine, and how many there are.
    """

    launcher: str = ""
    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_world_size: int = 1
    node: int = 0
    nodes: int = 1

    @property
    def is_first(self) -> bool:
        """Whether it is the first process of all, which writes and prints."""
        return self.rank == 0

    @property
    def is_launched(self) -> bool:
        """Whether a launcher has started it, with others."""
        return self.launcher in LAUNCHERS


def find_place(variables: Mapping[str, str] | None = None) -> Place:
    """Return the place of this process.

    Args:
        variables: of the environment; ``None``: those of this process.

    Raises:
        UserError: a launcher's variable is no number, or they contradict each other.
    """
    variables = os.environ if variables is None else variables
    if "GENAI_RUN" in variables or not any(_is_started_by(name, variables) for name in LAUNCHERS):
        rank = _number(variables, "LOCAL_RANK") or 0
        return Place(LIGHTNING, rank, max(rank + 1, _number(variables, "WORLD_SIZE") or 1), rank) if rank else Place()
    launcher = next(name for name in LAUNCHERS if _is_started_by(name, variables))
    names = LAUNCHERS[launcher]
    numbers = {attribute: _number(variables, name) for attribute, name in names.items()}
    rank, world_size, local_rank = (numbers[name] or 0 for name in ("rank", "world_size", "local_rank"))
    node, nodes = numbers.get("node"), numbers.get("nodes")
    local_size = numbers.get("local_world_size") or max(1, world_size // (nodes or 1))
    if launcher == "srun":
        local_size = _tasks_of_node(variables, node or 0) or local_size
    nodes = nodes or max(1, world_size // local_size)
    if rank >= world_size or local_rank >= world_size:
        raise UserError(f"{names['rank']}={rank} does not fit {names['world_size']}={world_size}.")
    place = Place(
        launcher, rank, world_size, local_rank, local_size, rank // local_size if node is None else node, nodes
    )
    return place if world_size > 1 else Place()


def _is_started_by(launcher: str, variables: Mapping[str, str]) -> bool:
    """Return whether the variables of a launcher are there."""
    names = LAUNCHERS[launcher]
    if not {names[name] for name in ("rank", "world_size", "local_rank")} <= set(variables):
        return False
    if launcher != "srun" or "SLURM_JOB_ID" not in variables:
        return True
    # The script of a SLURM job, and a shell in one, have these variables without being a task of ``srun``.
    step = variables.get("SLURM_STEP_ID", "")
    return step.isdecimal() and int(step) < FIRST_SPECIAL_STEP


def _tasks_of_node(variables: Mapping[str, str], node: int) -> int | None:
    """Return how many tasks SLURM has started on a machine: ``"2(x3),1"`` means 2, 2, 2 and 1."""
    text = variables.get("SLURM_STEP_TASKS_PER_NODE", variables.get("SLURM_TASKS_PER_NODE", ""))
    counts = list[int]()
    for part in re.finditer(r"(\d{1,6})(?:\(x(\d{1,6})\))?", text):
        counts += [int(part[1])] * min(int(part[2] or 1), MAX_NUMBER - len(counts))
    return counts[node] if node < len(counts) else None


def _number(variables: Mapping[str, str], name: str) -> int | None:
    """Return the number of a variable, or ``None``. Raises ``UserError`` if it is none."""
    value = variables.get(name)
    if value is None:
        return None
    if not value.strip().isdecimal() or int(value) > MAX_NUMBER:
        raise UserError(f"the variable {name} is {short_repr(value)}, not a number of processes.")
    return int(value)


def job_id(variables: Mapping[str, str] | None = None) -> str | None:
    """Return an id that a job keeps when it is started again; ``None`` if it has none.

    It is that of ``GENAI_RUN_ID``, of SLURM's job, or of torchrun's.
    """
    variables = os.environ if variables is None else variables
    if own := variables.get("GENAI_RUN_ID"):
        return own
    if job := variables.get("SLURM_JOB_ID"):
        return f"slurm-{job}"
    if run := variables.get("TORCHELASTIC_RUN_ID"):
        return f"torchrun-{os.getppid() if run == 'none' else run}"
    return None


def restart_count(variables: Mapping[str, str] | None = None) -> int:
    """Return how often the job was started again, after a failure or because the cluster took its machines."""
    variables = os.environ if variables is None else variables
    counts = (variables.get(name, "") for name in ("SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT"))
    return max(int(count) if count.isdecimal() else 0 for count in counts)
