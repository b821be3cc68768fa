"""Speech that torchaudio knows by name; what is said is the prompt."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt

from genai.core.errors import UserError, did_you_mean, join_names
from genai.data.audio_folder import AudioFolder
from genai.data.folder import Item
from genai.media.sound import RATES


@dataclass(frozen=True)
class Known:
    """How the files of a set are found. We read its sounds: torchaudio's own reading needs more than its wheel.

    Attributes:
        place: its folder below ``root``.
        items: the files that torchaudio's class names, given a call that makes one for ``root``.
    """

    place: str
    items: Callable[[Callable[..., Any]], list[Item]]


class TorchaudioSet(AudioFolder):
    """A data set of torchaudio. Of Speech Commands its testing list is held out, and its validation list left alone.

    Args:
        name: as torchaudio spells it: ``SPEECHCOMMANDS``, ``LJSPEECH``, ``YESNO``.
        path: the folder that torchaudio calls ``root``: it holds ``SpeechCommands``, ``LJSpeech-1.1``, ``waves_yesno``.
        download: fetch what is missing there.
        val_fraction: what is held out of a set that does not say so itself.
        rate: samples a second that the sounds are needed in; their own where that is ``None``.

    Raises:
        UserError: there is no such set, or its files are not there.
    """

    def __init__(
        self,
        name: str,
        path: str,
        download: bool = False,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1,
        rate: Annotated[int, Ge(RATES[0]), Le(RATES[-1])] | None = None,
    ) -> None:
        if name not in SETS:
            raise UserError(
                f"data.name={name}: there is no such set.{did_you_mean(name, SETS)} There are: {join_names(SETS)}."
            )
        super().__init__(path, val_fraction, rate)
        self.name, self.download = name, download

    @property
    def description(self) -> str:
        return f"{self.name} in {super().description}"

    def items(self) -> tuple[Path, list[Item], list[str]]:
        from torchaudio import datasets

        known, root = SETS[self.name], Path(self.path).expanduser()
        place = root / known.place

        def make(**particular: Any) -> Any:
            return getattr(datasets, self.name)(root, download=self.download, **particular)

        try:
            if self.download:
                root.mkdir(parents=True, exist_ok=True)
            items = known.items(make)
        except Exception as error:  # a different one for each set: missing, damaged, no network
            if self.download:
                raise UserError(f"data.name={self.name} cannot be had: {str(error)[:300]}") from error
            raise UserError(self._missing(place, error)) from error
        if not items:
            raise UserError(f"{self.name} in {place} is not complete: there are no sounds.")
        return place, items, []

    def _missing(self, place: Path, error: Exception) -> str:
        if place.is_dir() and any(place.iterdir()):
            return f"{self.name} in {place} is not complete: {type(error).__name__}: {str(error)[:200]}"
        return f"{self.name} is not there: looked for {place}. Fetch it with data.download=true, or set data.path=."


def _commands(make: Callable[..., Any]) -> list[Item]:
    found = []
    for subset in ("training", "testing"):
        data = make(subset=subset)
        for index in range(len(data)):
            file, _, word, *_ = data.get_metadata(index)
            found.append(Item(Path(data._archive, file), word, subset == "testing"))
    return found


def _lj(make: Callable[..., Any]) -> list[Item]:
    data = make()
    return [Item(data._path / f"{name}.wav", text) for name, *_, text in data._flist]


def _yes_no(make: Callable[..., Any]) -> list[Item]:
    data = make()
    said = {"0": "no", "1": "yes"}
    return [Item(data._path / f"{name}.wav", " ".join(said[each] for each in name.split("_"))) for name in data._walker]


SETS = {
    "SPEECHCOMMANDS": Known("SpeechCommands/speech_commands_v0.02", _commands),
    "LJSPEECH": Known("LJSpeech-1.1", _lj),
    "YESNO": Known("waves_yesno", _yes_no),
}
