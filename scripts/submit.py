"""Train on a SLURM cluster from Python: ``python scripts/submit.py modality=image minutes=60``, over submitit.

``SUBMIT_CLUSTER=local`` tries it on this machine. Numbers of machines and GPUs: ``SUBMIT_NODES=2 SUBMIT_GPUS=8``.
A job that is taken off its machines, or whose time is over, is saved, queued again and goes on.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

import submitit


class Training:
    """A training that submitit runs in every process, and submits again after a time-out.

    Args:
        words: of the command line.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = list(words)

    def __call__(self) -> None:
        from genai.commands.train import main

        submitit.helpers.TorchDistributedEnvironment().export(overwrite=True)
        sys.argv = ["genai.train", *self.words]
        try:
            main()
        except SystemExit as error:
            if error.code:
                raise RuntimeError(f"the training ended with code {error.code}") from error

    def checkpoint(self) -> Any:
        """Return what is submitted again: the same words, which find the run by the job's id."""
        return submitit.helpers.DelayedSubmission(self)


def main() -> None:
    """Submit a job, wait for it and print what its first process says."""
    gpus = int(os.environ.get("SUBMIT_GPUS", "0"))
    executor = submitit.AutoExecutor(folder="submit", cluster=os.environ.get("SUBMIT_CLUSTER"))
    executor.update_parameters(
        nodes=int(os.environ.get("SUBMIT_NODES", "1")), tasks_per_node=max(1, gpus or 2), gpus_per_node=gpus,
        timeout_min=int(os.environ.get("SUBMIT_MINUTES", "60")), name="genai",
    )  # fmt: skip
    job = executor.submit(Training(sys.argv[1:]))
    print(f"job {job.job_id}: {job.paths.stdout}", flush=True)
    job.results()
    print(job.stdout())


if __name__ == "__main__":
    main()
