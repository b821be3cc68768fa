"""Sounds of one's own, with the captions that lie beside them."""

from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt

from genai.data.timed_folder import TimedFolder
from genai.media.sound import RATES, Sound

SUFFIXES = frozenset(
    ".wav .flac .ogg .oga .opus .mp3 .mp2 .aif .aiff .aifc .au .snd .caf .w64 .rf64 .m4a .m4b .mp4 .aac .webm .mka .mkv"
    " .mov .wma .amr .ac3 .wv .ape".split()
)


class AudioFolder(TimedFolder):
    """Sounds of any kind and length, from a folder with its sub-folders; prompts and division as in ``Folder``.

    Args:
        path: a folder (searched through by ``SUFFIXES``, hidden files left out) or a glob such as ``birds/**/*.wav``.
        val_fraction: what is held out; equal files are on the same side.
        rate: samples a second that they are needed in; their own where that is ``None``.

    Raises:
        UserError: nothing is there, or too little of it can be used.
    """

    media = Sound
    metrics = ("val_loss", "bits_per_sample", "prompt_accuracy", "nearest")
    suffixes = SUFFIXES
    things = "sounds"

    def __init__(
        self,
        path: str,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1,
        rate: Annotated[int, Ge(RATES[0]), Le(RATES[-1])] | None = None,
    ) -> None:
        super().__init__(path, val_fraction)
        self.loaded_as = rate

    def load(self, file: Path) -> Sound:
        return Sound.read(file, self.loaded_as)

    def look(self, file: Path) -> dict[str, Any]:
        return {"seconds": Sound.read(file).seconds}
