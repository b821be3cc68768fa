"""Writes the samples of jobs into the folder of samples, as the command line does."""

import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from genai.core.files import make_folder, open_file
from genai.core.terminal import one_line
from genai.inference.sample_files import new_sample_folder, write_sample
from genai.media.signatures import guess_suffix
from genai.server.gallery import Gallery, sample_id
from genai.server.job_recipes import with_file_paths
from genai.server.jobs import SamplingJob


class SampleSaver:
    """A thread that writes samples, while others are generated.

    Args:
        gallery: of the folder of samples.
    """

    def __init__(self, gallery: Gallery) -> None:
        self.gallery = gallery
        self._thread = ThreadPoolExecutor(1, "genai-saver")

    def submit(self, job: SamplingJob, then: Callable[[], None]) -> None:
        """Write the finished samples of a job, then call ``then``, whether that was possible or not."""

        def run() -> None:
            try:
                save_samples(job, self.gallery.root)
            except Exception as error:  # the client waits for an answer, whatever it is
                print(one_line(f"samples of job {job.id}: {error}"), file=sys.stderr, flush=True)
                reason = getattr(error, "strerror", None) or "the server's log says why"
                job.save_error = f"the samples could not be saved: {reason}."
            finally:
                self.gallery.reset()
                then()

        self._thread.submit(run)

    def close(self) -> None:
        """Write what is left, and end the thread."""
        self._thread.shutdown(wait=True)


def save_samples(job: SamplingJob, root: Path) -> None:
    """Write the finished samples of a job, with recipes and copies of its files, into a new folder below ``root``.

    Raises:
        OSError, RunError: the disk is full, or the folder cannot be written.
        UserError: a link leads out of ``root``.
    """
    make_folder(root)
    folder = new_sample_folder(root)
    make_folder(folder, root)
    paths = {}
    for path, name in job.upload_names.items():
        with open_file(Path(path)) as file:
            copy = folder / f"{name}{guess_suffix(file.read(4096))}"
        shutil.copyfile(path, copy)
        paths[path] = str(copy)
    for number, item in enumerate(job.items):
        if item.result is None:
            continue
        name = f"{number:03d}"
        write_sample(folder, name, item.result, with_file_paths(job.recipe_of(number), paths), job.labeler)
        item.sample_id = sample_id(folder / f"{name}.json", root)
