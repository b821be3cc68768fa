"""Whisper as a judge: writes down what is said in a sound, with weights from a folder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from genai.core.errors import UserError, short_text
from genai.core.files import check_file, file_hash, read_text
from genai.core.plain_data import parse_json
from genai.core.progress import ProgressBar
from genai.media.sound import Sound
from genai.metrics.audio.judge_input import SAMPLE_RATE, judge_samples
from genai.metrics.judge_options import JudgeOptions

SILENCE_SECONDS = 0.25
"""Silence before and after a sound."""
TOKENS_PER_SECOND, MIN_TOKENS, MAX_TOKENS = 10, 20, 200
"""Limits on what is written down: a judge that hears noise repeats itself without end."""
FILES = ("model.bin", "config.json", "tokenizer.json")
"""Files of a folder of weights, besides the vocabulary."""
VOCABULARY_FILES = ("vocabulary.json", "vocabulary.txt")
WEIGHTS_HINT = "give Whisper's weights with judge.weights=FOLDER (docs/voice.md says where they come from)"


class Recognizer(Protocol):
    """Writes down what is said.

    Attributes:
        description: name and hash of its weights, for people.
        sha256: of its weights.
        key: changes with all that its answers depend on.
    """

    @property
    def description(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def key(self) -> str: ...

    def __call__(self, sound: Sound) -> str:
        """Return what is said in a sound."""
        ...


def check_recognizer(options: JudgeOptions, metric: str) -> Path:
    """Return the folder of weights if it is complete and faster-whisper is installed. Raises ``UserError``."""
    from importlib.util import find_spec

    if find_spec("faster_whisper") is None:
        raise UserError(f"'{metric}' needs faster-whisper: pip install 'genai[judge]'.")
    if options.weights is None:
        raise UserError(f"'{metric}': {WEIGHTS_HINT}.")
    folder = Path(options.weights).expanduser()
    names = set(FILES) if any((folder / name).exists() for name in VOCABULARY_FILES) else {*FILES, VOCABULARY_FILES[0]}
    missing = sorted(name for name in names if not (folder / name).exists())
    if missing:
        problem = "there is no such folder" if not folder.is_dir() else f"it has no {', '.join(missing)}"
        raise UserError(f"judge.weights={short_text(str(folder))}: {problem}.\nIt should be a folder of CTranslate2: "
                        f"{', '.join(FILES)}, {VOCABULARY_FILES[0]} or .txt.")  # fmt: skip
    for name in {*FILES, *VOCABULARY_FILES} & {path.name for path in folder.iterdir()}:
        check_file(folder / name)
    config = parse_json(read_text(folder / "config.json", "config"), str(folder / "config.json"))
    if not isinstance(config, dict) or "suppress_ids" not in config:
        raise UserError(f"judge.weights={short_text(str(folder))}: its config.json is not of a Whisper of CTranslate2.")
    return folder


@dataclass(frozen=True)
class WhisperRecognizer:
    """Whisper (Radford et al. 2022, arXiv:2212.04356) by faster-whisper, with int8 on the CPU, greedy.

    Attributes:
        model: ``WhisperModel`` of faster-whisper.
        language: code of the language that is spoken.
        sha256: of ``model.bin``.
        version: of faster-whisper.
    """

    model: Any
    language: str
    sha256: str
    version: str

    @property
    def description(self) -> str:
        return f"by Whisper (sha256 {self.sha256[:12]})"

    @property
    def key(self) -> str:
        return f"{self.sha256} {self.language} {self.version}"

    def __call__(self, sound: Sound) -> str:
        samples = np.pad(judge_samples(sound), round(SILENCE_SECONDS * SAMPLE_RATE))
        segments, _ = self.model.transcribe(
            samples,
            language=self.language,
            beam_size=1,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
            vad_filter=False,
            no_speech_threshold=None,
            log_prob_threshold=None,
            compression_ratio_threshold=None,
            max_new_tokens=min(MAX_TOKENS, MIN_TOKENS + round(TOKENS_PER_SECOND * sound.seconds)),
        )
        return " ".join(segment.text for segment in segments).strip()


def load_recognizer(options: JudgeOptions, metric: str) -> Recognizer:
    """Load the weights of the judge; nothing is downloaded. Raises ``UserError`` if they cannot be used."""
    folder = check_recognizer(options, metric)
    import faster_whisper
    import torch

    sha256 = file_hash(folder / "model.bin")
    try:
        model = faster_whisper.WhisperModel(
            str(folder),
            device="cpu",
            compute_type="int8",
            cpu_threads=torch.get_num_threads(),
            local_files_only=True,
        )
        if options.language not in model.supported_languages:
            known = ", ".join(sorted(model.supported_languages))
            raise UserError(
                f"judge.language={short_text(options.language)}: Whisper does not know it. It knows {known}."
            )
    except (RuntimeError, ValueError, OSError) as error:
        raise UserError(f"judge.weights={folder}: they cannot be used ({short_text(str(error))}).") from error
    return WhisperRecognizer(model, options.language, sha256, faster_whisper.__version__)


def transcribe(recognizer: Callable[[Sound], str], sounds: Sequence[Sound], label: str) -> list[str]:
    """Return what is said in each sound, with a progress bar."""
    texts = []
    with ProgressBar(f"listening to {label}", len(sounds)) as bar:
        for sound in sounds:
            texts.append(recognizer(sound))
            bar.step(1)
    return texts
