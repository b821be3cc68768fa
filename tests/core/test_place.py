"""Places that launchers give to processes."""

import pytest

from genai.core.errors import UserError
from genai.core.place import LIGHTNING, Place, find_place, job_id, restart_count

TORCH = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4", "GROUP_RANK": "1"}
SLURM = {"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_NNODES": "2"}
MPI = {
    f"OMPI_COMM_WORLD_{name}": "12"[number % 2]
    for number, name in enumerate(("RANK", "SIZE", "LOCAL_RANK", "LOCAL_SIZE"))
}
LSF = {"JSM_NAMESPACE_RANK": "2", "JSM_NAMESPACE_SIZE": "6", "JSM_NAMESPACE_LOCAL_RANK": "0"}


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({}, Place()),
        ({"LOCAL_RANK": "0", "WORLD_SIZE": "2"}, Place()),  # what Lightning leaves in the first process
        ({"LOCAL_RANK": "1", "WORLD_SIZE": "2", "GENAI_RUN": "x"}, Place(LIGHTNING, 1, 2, 1)),
        (TORCH, Place("torchrun", 5, 8, 1, 4, 1, 2)),
        (
            {**TORCH, "GROUP_WORLD_SIZE": "3"},
            Place("torchrun", 5, 8, 1, 4, 1, 3),
        ),  # machines with other numbers of GPUs
        ({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}, Place()),
        (SLURM, Place("srun", 3, 4, 1, 2, 1, 2)),
        ({**SLURM, "SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0"}, Place("srun", 3, 4, 1, 2, 1, 2)),
        ({**SLURM, "SLURM_JOB_ID": "7"}, Place()),  # the script of a job is no task of srun
        ({**SLURM, "SLURM_JOB_ID": "7", "SLURM_STEP_ID": "4294967290"}, Place()),  # nor is a shell in one
        ({**SLURM, "SLURM_STEP_TASKS_PER_NODE": "1,3"}, Place("srun", 3, 4, 1, 3, 1, 2)),
        ({**SLURM, "SLURM_TASKS_PER_NODE": "2(x2)"}, Place("srun", 3, 4, 1, 2, 1, 2)),
        (MPI, Place("mpirun", 1, 2, 1, 2, 0, 1)),
        (LSF, Place("jsrun", 2, 6, 0, 6, 0, 1)),
    ],
)
def test_places(variables: dict[str, str], place: Place) -> None:
    assert find_place(variables) == place
    assert place.is_first == (place.rank == 0)
    assert place.is_launched == (place.launcher not in ("", LIGHTNING))


@pytest.mark.parametrize("value", ["", "x", "-1", "9" * 30])
def test_variables_that_are_no_numbers_are_named(value: str) -> None:
    with pytest.raises(UserError, match=r"the variable RANK is .*, not a number of processes"):
        find_place({**TORCH, "RANK": value})
    with pytest.raises(UserError, match="RANK=8 does not fit WORLD_SIZE=8"):
        find_place({**TORCH, "RANK": "8"})


def test_ids_of_jobs() -> None:
    assert job_id({}) is None
    assert job_id({"SLURM_JOB_ID": "7"}) == "slurm-7"
    assert job_id({"SLURM_JOB_ID": "7", "GENAI_RUN_ID": "mine"}) == "mine"
    assert job_id({"TORCHELASTIC_RUN_ID": "a"}) == "torchrun-a"
    assert str(job_id({"TORCHELASTIC_RUN_ID": "none"})).startswith("torchrun-")


def test_restarts_are_counted() -> None:
    assert restart_count({}) == restart_count({"SLURM_RESTART_COUNT": "x"}) == 0
    assert restart_count({"TORCHELASTIC_RESTART_COUNT": "2", "SLURM_RESTART_COUNT": "1"}) == 2
