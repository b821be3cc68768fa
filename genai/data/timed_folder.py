"""Base class of folders whose files have a duration: sounds and clips."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from genai.data.dedup import order_groups
from genai.data.file_table import FileInfo
from genai.data.folder import Folder
from genai.data.parts import Part, split_time
from genai.data.weighted_split import select_by_weight


class TimedFolder(Folder):
    """A folder of files with a duration, which ``inspect`` returns as ``seconds``."""

    min_seconds: ClassVar[float]
    """Shortest part of a single file that is cut in two, and the time between the parts."""

    def media_files(self) -> tuple[Path, Sequence[Path]]:
        files = [item.file for entries in self._partition[:2] for item, _ in entries]
        return next(filter(Path.is_dir, (Path(self.path).expanduser(), self.root))), files

    def cut(self, file: Path, info: FileInfo) -> tuple[list[Part], list[Part], str] | None:
        """Cut a single file in time: its end is held out."""
        parts = split_time(info.seconds, self.val_fraction, self.min_seconds, self.cuts(info))
        if parts is None:
            return None
        train, val = parts
        note = (
            f"split in time: {train[1]:.1f} s to train on, {val[1] - val[0]:.1f} s held out, "
            f"{val[0] - train[1]:.1f} s between"
        )
        return [train], [val], note

    def select_val(self, infos: Sequence[FileInfo], group_ids: Sequence[int]) -> set[int]:
        """Select about ``val_fraction`` of the seconds where the same fraction of the files is far from that."""
        by_count = super().select_val(infos, group_ids)
        seconds = dict.fromkeys(order_groups([info.content_hash for info in infos], group_ids), 0.0)
        for info, group_id in zip(infos, group_ids, strict=True):
            seconds[group_id] += info.seconds
        selection = select_by_weight(seconds, self.val_fraction, {group_ids[index] for index in by_count})
        return {index for index, group_id in enumerate(group_ids) if group_id in selection}

    def cuts(self, info: FileInfo) -> Sequence[float]:
        """Return the times at which a file is cut into scenes, in seconds."""
        return ()

    @property
    def note(self) -> str:
        return f", {_format_duration(self.seconds)} in all{super().note}"

    @property
    def seconds(self) -> float:
        """Total duration of both splits."""
        entries = [entry for entries in self._partition[:2] for entry in entries]
        return sum(item.part[1] - item.part[0] if item.part else info.seconds for item, info in entries)


def _format_duration(seconds: float) -> str:
    """Format a duration as ``12.5 seconds``, ``21.0 minutes`` or ``23.9 hours``."""
    for unit, unit_seconds in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * unit_seconds:
            return f"{seconds / unit_seconds:.1f} {unit}"
    return f"{seconds:.1f} seconds"
