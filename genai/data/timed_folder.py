"""What folders of sounds and of clips have in common: they last."""

from genai.data.folder import Folder


class TimedFolder(Folder):
    """A folder whose files last some time: ``look`` gives ``seconds``."""

    @property
    def note(self) -> str:
        return f", {_duration(self.seconds)} in all{super().note}"

    @property
    def seconds(self) -> float:
        """Of both sides together."""
        return sum(look.seconds for side in self._divided[:2] for _, look in side)


def _duration(seconds: float) -> str:
    """``12.5 seconds``, ``21.0 minutes``, ``23.9 hours``: as people say it."""
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} seconds"
