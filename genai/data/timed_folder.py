"""Base class of folders whose files have a duration: sounds and clips."""

from genai.data.folder import Folder


class TimedFolder(Folder):
    """A folder of files with a duration, which ``inspect`` returns as ``seconds``."""

    @property
    def note(self) -> str:
        return f", {_format_duration(self.seconds)} in all{super().note}"

    @property
    def seconds(self) -> float:
        """Total duration of both splits."""
        return sum(info.seconds for entries in self._partition[:2] for _, info in entries)


def _format_duration(seconds: float) -> str:
    """Format a duration as ``12.5 seconds``, ``21.0 minutes`` or ``23.9 hours``."""
    for unit, unit_seconds in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * unit_seconds:
            return f"{seconds / unit_seconds:.1f} {unit}"
    return f"{seconds:.1f} seconds"
