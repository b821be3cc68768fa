"""Time of each operator in a training step: ``profile=true``."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback
from torch.profiler import ProfilerActivity, profile, schedule

from genai.core.files import make_folder

WARMUP_STEPS, PROFILED_STEPS, TABLE_ROWS = 3, 5, 15


class ProfilerCallback(Callback):
    """Profiles ``PROFILED_STEPS`` steps after ``WARMUP_STEPS`` with torch's profiler.

    Writes ``profile/operators.txt`` and ``profile/trace.json`` (chrome://tracing) into the run ``folder``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.is_written = folder / "profile", False

    def on_train_start(self, *_: Any) -> None:
        cuda = [ProfilerActivity.CUDA] if torch.cuda.is_available() else []
        self.profiler = profile(
            activities=[ProfilerActivity.CPU, *cuda],
            schedule=schedule(wait=1, warmup=WARMUP_STEPS - 1, active=PROFILED_STEPS, repeat=1),
            on_trace_ready=self._write,
            record_shapes=True,
        )
        self.profiler.start()

    def on_train_batch_end(self, *_: Any) -> None:
        self.profiler.step()

    def on_train_end(self, *_: Any) -> None:
        self.profiler.stop()
        if not self.is_written:
            print(f"profile   none: it takes {1 + WARMUP_STEPS + PROFILED_STEPS} steps or more", flush=True)

    def _write(self, profiler: Any) -> None:
        self.is_written = True
        make_folder(self.folder, self.folder.parent)
        key = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
        table = profiler.key_averages().table(sort_by=key, row_limit=TABLE_ROWS, max_name_column_width=40)
        (self.folder / "operators.txt").write_text(table, encoding="utf-8", newline="\n")
        profiler.export_chrome_trace(str(self.folder / "trace.json"))
        print(f"{table}\nprofile   {self.folder}/operators.txt, trace.json", flush=True)
