"""How people look at samples: which ones a run previews, as files, on one sheet, and in TensorBoard."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from genai.core.data import Split
from genai.core.files import make_folder, write_file
from genai.media.base import Media

PromptSamples = Sequence[tuple[str, Any]]
"""(prompt, media) pairs."""


class Preview:
    """Presents samples of one modality. This class does what is the same for all: prompts, files, a logged sheet."""

    _last_contact_sheet: tuple[PromptSamples, Any] | None = None
    """The samples of the last contact sheet, and the sheet."""
    animation_class: ClassVar[Any] = None
    """Class that animates a list of media, such as the states of one item's stream; ``None``: not supported."""

    @property
    def shows_base(self) -> bool:
        """Whether the model that a run begins with is previewed too, to compare with."""
        return False

    def prompts(self, split: Split) -> list[str]:
        """Choose a few prompts from held-out data: up to eight different ones."""
        count = min(len(split), 64)
        prompts = dict.fromkeys(split.prompt(index * len(split) // count) for index in range(count))
        return list(prompts)[:8] or [""]

    def inits(self, prompts: list[str], degrade: Callable[[Tensor], Tensor | None]) -> list[Any] | None:
        """Return the media that previews start from, one per prompt; ``None``: none. Call ``prompts`` first.

        Args:
            prompts: of the previews.
            degrade: the method's degradation of clean data (batch, ...); returns ``None`` for other methods.
        """
        return None

    def options(self, prompts: list[str]) -> list[dict[str, Any]] | None:
        """Return further options of the previews, a dict per prompt; ``None``: none. Call ``prompts`` first."""
        return None

    def contact_sheet(self, samples: PromptSamples) -> Media | None:
        """Return one picture of all samples; ``None``: unsupported."""
        return None

    def interpolation_strip(self, samples: PromptSamples) -> Media | None:
        """Return one picture with the samples in a row; ``None``: unsupported."""
        return None

    def log(self, writer: Any, tag: str, samples: PromptSamples, step: int) -> None:
        """Log samples to a TensorBoard ``SummaryWriter``: their contact sheet."""
        if sheet := self._contact_sheet_once(samples):
            from tensorboard.compat.proto.summary_pb2 import Summary

            height, width, channels = sheet.pixels.shape
            content = sheet.to_bytes(".png")
            image = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=content)
            writer._get_file_writer().add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), step)

    def write(self, folder: Path, samples: PromptSamples, encode: Callable[[Any], Mapping[str, bytes]]) -> None:
        """Write each sample and their contact sheet to ``folder``; ``encode`` returns the files of media by suffix."""
        make_folder(folder, folder.parent.parent)
        media = {f"{number:03d}": sample for number, (_, sample) in enumerate(samples)}
        if sheet := self._contact_sheet_once(samples):
            media["sheet"] = sheet
        for name, sample in media.items():
            for suffix, content in encode(sample).items():
                write_file(folder / f"{name}{suffix}", content, folder)

    def _contact_sheet_once(self, samples: PromptSamples) -> Any:
        """Return the contact sheet, made once for the log and the files of the same samples; ``None``: unsupported."""
        if self._last_contact_sheet is None or self._last_contact_sheet[0] is not samples:
            from genai.media.picture import ContactSheet

            sheet: Any = self.contact_sheet(samples)
            self._last_contact_sheet = samples, sheet and ContactSheet(sheet.pixels)
        return self._last_contact_sheet[1]
