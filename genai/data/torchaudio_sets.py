"""Data sets of speech in torchaudio; the spoken words are the prompts."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt

from genai.core.errors import UserError, did_you_mean, join_names
from genai.core.files import make_folder
from genai.data.audio_folder import AudioFolder
from genai.data.folder import Item
from genai.media.sound import SAMPLE_RATES


@dataclass(frozen=True)
class DatasetFiles:
    """How to find the files of a data set, which are then read here; torchaudio needs more packages to read them.

    Attributes:
        folder: the folder below ``root``.
        list_items: lists the files, given a function that creates torchaudio's data set for ``root``.
    """

    folder: str
    list_items: Callable[[Callable[..., Any]], list[Item]]


class TorchaudioSet(AudioFolder):
    """A data set of torchaudio. In Speech Commands, the testing list is validation data; the validation list is unused.

    Args:
        name: name of the data set, as in torchaudio: ``SPEECHCOMMANDS``, ``LJSPEECH``, ``YESNO``.
        path: ``root`` in torchaudio, the folder of ``SpeechCommands``, ``LJSpeech-1.1`` or ``waves_yesno``.
        download: download missing files.
        val_fraction: fraction for validation, for data sets without an official split.
        sample_rate: samples per second to read the sounds at; ``None``: the sample rate of each file.

    Raises:
        UserError: the data set is not supported, or its files are missing.
    """

    def __init__(
        self,
        name: str,
        path: str,
        download: bool = False,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1,
        sample_rate: Annotated[int, Ge(SAMPLE_RATES[0]), Le(SAMPLE_RATES[-1])] | None = None,
    ) -> None:
        if name not in DATASETS:
            hint = did_you_mean(name, DATASETS)
            raise UserError(f"data.name={name}: there is no such data set.{hint} There are: {join_names(DATASETS)}.")
        super().__init__(path, val_fraction, sample_rate)
        self.name, self.download = name, download

    @property
    def description(self) -> str:
        return f"{self.name} in {super().description}"

    def items(self) -> tuple[Path, list[Item], list[str]]:
        from torchaudio import datasets

        dataset_files, root = DATASETS[self.name], Path(self.path).expanduser()
        folder = root / dataset_files.folder

        def create(**arguments: Any) -> Any:
            return getattr(datasets, self.name)(root, download=self.download, **arguments)

        try:
            if self.download:
                make_folder(root)
            items = dataset_files.list_items(create)
        except Exception as error:  # another type for each data set: missing, damaged, no network
            if self.download:
                raise UserError(f"data.name={self.name} cannot be downloaded: {str(error)[:300]}") from error
            raise UserError(self._missing_message(folder, error)) from error
        if not items:
            raise UserError(f"{self.name} in {folder} is incomplete: there are no sounds.")
        return folder, items, []

    def _missing_message(self, folder: Path, error: Exception) -> str:
        if folder.is_dir() and any(folder.iterdir()):
            return f"{self.name} in {folder} is incomplete: {type(error).__name__}: {str(error)[:200]}"
        return f"{self.name} was not found in {folder}. Download it with data.download=true, or set data.path=."


def _list_speech_commands(create: Callable[..., Any]) -> list[Item]:
    items = []
    for subset in ("training", "testing"):
        dataset = create(subset=subset)
        for index in range(len(dataset)):
            file, _, word, speaker, *_ = dataset.get_metadata(index)
            items.append(Item(Path(dataset._archive, file), word, subset == "testing", columns={"speaker": speaker}))
    return items


def _list_lj_speech(create: Callable[..., Any]) -> list[Item]:
    dataset = create()
    return [Item(dataset._path / f"{name}.wav", text) for name, *_, text in dataset._flist]


def _list_yesno(create: Callable[..., Any]) -> list[Item]:
    dataset = create()
    words = {"0": "no", "1": "yes"}
    prompts = {name: " ".join(words[digit] for digit in name.split("_")) for name in dataset._walker}
    return [Item(dataset._path / f"{name}.wav", prompt) for name, prompt in prompts.items()]


DATASETS = {
    "SPEECHCOMMANDS": DatasetFiles("SpeechCommands/speech_commands_v0.02", _list_speech_commands),
    "LJSPEECH": DatasetFiles("LJSpeech-1.1", _list_lj_speech),
    "YESNO": DatasetFiles("waves_yesno", _list_yesno),
}
