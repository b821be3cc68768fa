"""Sounds from a folder, with captions."""

from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Gt, Le, Lt

from genai.data.captions import CaptionReaders
from genai.data.exclude import ExcludedValues
from genai.data.folder import CaptionColumns, CaptionKind
from genai.data.item_weights import ItemWeights
from genai.data.parts import Part
from genai.data.personal_filter import PersonalMode
from genai.data.timed_folder import TimedFolder
from genai.media.midi import MIDI_SUFFIXES, midi_to_prompt
from genai.media.sound import SAMPLE_RATES, Sound

SUFFIXES = frozenset(
    ".wav .flac .ogg .oga .opus .mp3 .mp2 .aif .aiff .aifc .au .snd .caf .w64 .rf64 .m4a .m4b .mp4 .aac .webm .mka .mkv"
    " .mov .wma .amr .ac3 .wv .ape".split()
)


class AudioFolder(TimedFolder):
    """Sounds of any type and length from a folder and its sub-folders; prompts and splits as in ``Folder``.

    A MIDI file of the same name is a prompt, too: its notes as ``genai.media.notes`` writes them.

    Args:
        path: a folder (searched for ``SUFFIXES``, without hidden files) or a glob such as ``birds/**/*.wav``.
        val_fraction: fraction for validation; identical files go to the same split.
        sample_rate: samples per second to read them at; ``None``: the sample rate of each file.
        caption: ``auto`` as in ``Folder``, or ``name``: the names of the files are their prompts.
        personal: what to do about personal data in captions, see ``PersonalFilter``.
        license: of the files, for records and cards.
        captions: columns of the table of captions, of which one is drawn in each epoch, see ``Folder``.
        exclude: values of columns whose files are left out of both splits, such as ``{"style": "openmoji"}``.
        weights: by columns and values, how many times as often training draws them: ``{"folder": {"dogs": 3}}``.

    Raises:
        UserError: there are no sounds, or too few that can be used.
    """

    media = Sound
    metrics = ("val_loss", "bits_per_sample", "prompt_accuracy", "nearest")
    suffixes = SUFFIXES
    item_name = "sounds"
    caption_readers: ClassVar[CaptionReaders] = MappingProxyType(dict.fromkeys(MIDI_SUFFIXES, midi_to_prompt))
    min_seconds, enough = 1.0, "3 seconds"

    def __init__(
        self,
        path: str,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1,
        sample_rate: Annotated[int, Ge(SAMPLE_RATES[0]), Le(SAMPLE_RATES[-1])] | None = None,
        caption: CaptionKind = "auto",
        personal: PersonalMode | None = None,
        license: str = "",
        captions: CaptionColumns | None = None,
        exclude: ExcludedValues | None = None,
        weights: ItemWeights | None = None,
    ) -> None:
        super().__init__(path, val_fraction, caption, personal, license, captions, exclude, weights)
        self.sample_rate = self.load_options = sample_rate

    def load(self, file: Path) -> Sound:
        return Sound.read(file, self.sample_rate)

    def take_part(self, media: Sound, part: Part) -> Sound:
        start, end = (round(seconds * media.sample_rate) for seconds in part)
        return Sound(media.samples[start:end], media.sample_rate)

    def inspect(self, file: Path) -> dict[str, Any]:
        sound = Sound.read(file)
        return {"seconds": sound.seconds, "note": sound.note, "is_silence": sound.is_silence}

    @property
    def note(self) -> str:
        count = sum(info.is_silence for entries in self._partition[:2] for _, info in entries)
        return f"{super().note}{f'; {count:,} silent' if count else ''}"
