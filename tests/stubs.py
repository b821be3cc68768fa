"""Stand-ins for tests: models with prepared samples, sources of given sounds and clips, trackers of experiments."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from genai.core.batch import Batch
from genai.core.cache import cache_key
from genai.core.data import Example, Source, Split
from genai.media.clip import Clip
from genai.media.signatures import guess_suffix
from genai.media.sound import Sound
from genai.metrics.base import EvalContext
from genai.toy.data.soundtrack import ToySoundtracks
from genai.toy.world.soundtrack import Note, bounce_notes, render_soundtracks
from genai.toy.world.video_oracle import detect_motions

# -------------------------------------------------------------------------------------------------------- any media


def decoded(content: bytes) -> bytes:
    """The values of media in a file, which a label does not change."""
    suffix = guess_suffix(content)
    if suffix in ("", ".txt", ".webm"):
        return content
    with TemporaryDirectory() as folder:
        path = Path(folder, f"file{suffix}")
        path.write_bytes(content)
        if suffix in (".wav", ".flac", ".ogg"):
            return Sound.read(path).samples.tobytes()
        if suffix == ".mp4":
            clip = Clip.read(path, sound=True)
            return clip.frames.tobytes() + (clip.sound.samples.tobytes() if clip.sound else b"")
        return b"".join(_frames(path))


def _frames(path: Path) -> Iterator[bytes]:
    with Image.open(path) as image:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            yield image.convert("RGB").tobytes()


def decoded_files(folder: Path, pattern: str = "*") -> dict[str, bytes]:
    """The values of media in the files of a folder, and the content of others, but for signatures."""
    return {path.name: decoded(path.read_bytes()) for path in folder.glob(pattern) if path.suffix != ".c2pa"}


class ConstantLoss(nn.Module):
    """A method with a constant loss."""

    def __init__(self, loss: float = 0.0) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(loss))

    needs_reference = False

    @property
    def device(self) -> torch.device:
        return self.value.device

    def networks(self) -> dict[str, nn.Module]:
        return {"model": self}

    def loss(self, batch: Batch, network_name: str) -> dict[str, Tensor]:
        return {"loss": self.value}

    def validation_loss(self, batch: Batch) -> dict[str, Tensor]:
        return self.loss(batch, next(iter(self.networks())))


class StubModel:
    """A model whose samples are ``answer(prompts)``; ``num_prompts`` counts the prompts."""

    def __init__(
        self, modality: Any, answer: Callable[[list[str]], list[Any]] | None = None, loss: float = 0.0
    ) -> None:
        self.modality, self.answer, self.method, self.num_prompts = modality, answer, ConstantLoss(loss), 0
        self.parts: dict[str, Any] = {"ckpt": self}
        self.header = None

    def sample(self, prompts: Sequence[str], **options: Any) -> list[Any]:
        assert self.answer is not None
        self.num_prompts += len(prompts)
        return self.answer(list(prompts))


class StubRewards:
    """Rewards of answers by a function of their tokens; 7 ends an answer."""

    end_tokens, num_classes = (7,), 8

    def __init__(self, function: Callable[[list[int]], float]) -> None:
        self.function = function
        self.prompts: list[str] = []
        self.answers: list[list[int]] = []

    def __call__(self, prompts: Sequence[str], answers: Sequence[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        self.prompts, self.answers = list(prompts), [answer.tolist() for answer in answers]
        values = torch.tensor([float(self.function(answer)) for answer in self.answers])
        return values, {"mine": values}


class StubSampleRewards:
    """Rewards of samples by a function of their pixels."""

    def __init__(self, function: Callable[[Tensor], float]) -> None:
        self.function = function
        self.prompts: list[str] = []

    def __call__(self, prompts: Sequence[str], samples: Sequence[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        self.prompts = list(prompts)
        values = torch.tensor([float(self.function(sample.float())) for sample in samples])
        return values, {"mine": 2 * values}


# ----------------------------------------------------------------------------------------------------------- sounds


class SoundSource(Source):
    """Clips, each (samples at 8 kHz, prompt); every fourth is held out."""

    media = Sound

    def __init__(self, clips: Sequence[tuple[NDArray[Any], str]]) -> None:
        self.clips = clips

    @cached_property
    def train(self) -> Split:
        return self._split("train", [clip for number, clip in enumerate(self.clips) if number % 4])

    @cached_property
    def val(self) -> Split:
        return self._split("val", list(self.clips[::4]))

    def _split(self, name: str, clips: list[tuple[NDArray[Any], str]]) -> Split:
        examples = [Example(Sound(samples.astype(np.float32), 8000), prompt) for samples, prompt in clips]
        digest = sha256(b"".join(example.media.samples.tobytes() for example in examples)).hexdigest()
        prompts = [prompt for _, prompt in clips]
        return Split(name, len(examples), examples.__getitem__, cache_key(digest, prompts), prompts)


# ------------------------------------------------------------------------------------------------------------ clips


class PackedClips:
    """Clips of a split in memory."""

    def __init__(self, split: Split) -> None:
        examples = list(split)
        self.clips = [example.media.frames.transpose(0, 3, 1, 2) for example in examples]
        self.prompts = [example.prompt for example in examples]

    def __len__(self) -> int:
        return len(self.clips)

    def clip(self, index: int) -> NDArray[np.uint8]:
        return self.clips[index]

    def batch(self, indices: Sequence[int], random: Any) -> Batch:
        return Batch(torch.from_numpy(np.stack([self.clips[index] for index in indices])))


class ClipModality:
    """Clips of 16 frames, 8 per second."""

    media, fps, frames = Clip, 8.0, 16

    def pack(self, split: Split, cache: Path) -> PackedClips:
        return PackedClips(split)

    pack_split = pack


class ClipSource(Source):
    """Clips (clips, time, channels, height, width); every fourth is held out."""

    media = Clip

    def __init__(self, clips: Sequence[NDArray[np.uint8]]) -> None:
        self.clips = clips

    @cached_property
    def train(self) -> Split:
        return self._split("train", [clip for number, clip in enumerate(self.clips) if number % 4])

    @cached_property
    def val(self) -> Split:
        return self._split("val", list(self.clips[::4]))

    def _split(self, name: str, clips: list[NDArray[np.uint8]]) -> Split:
        examples = [Example(make_clip(clip), f"clip {number}") for number, clip in enumerate(clips)]
        digest = sha256(b"".join(clip.tobytes() for clip in clips)).hexdigest()
        return Split(name, len(clips), examples.__getitem__, digest[:24], [example.prompt for example in examples])


def make_clip(pixels: NDArray[np.uint8]) -> Clip:
    """Return a clip of pixels (time, channels, height, width)."""
    return Clip(np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)), 8.0)


def make_context(source: Source, answer: Callable[[list[str]], list[Any]] | None = None, **fields: Any) -> EvalContext:
    """Return a context with a model that answers prompts with clips; ``fields`` are those of ``EvalContext``."""
    return EvalContext(StubModel(ClipModality(), answer), source, **fields)  # type: ignore[arg-type]


def corrupted(corruption: Callable[[Tensor], Tensor], clips: Sequence[Clip]) -> list[Clip]:
    """Apply a function of ``genai.metrics.video.corruptions`` to ``clips``, with a fixed seed."""
    frames = torch.from_numpy(np.stack([clip.frames.transpose(0, 3, 1, 2) for clip in clips])) / 255
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return [make_clip(pixels) for pixels in (corruption(frames) * 255).round().byte().numpy()]


# ------------------------------------------------------------------------------------------------------ soundtracks


class KnownSoundtracksStub:
    """A model that knows the score of each held-out clip of ``source``, and plays ``change(score)``."""

    def __init__(self, source: ToySoundtracks, change: Any = lambda notes: notes, sample_rate: int = 8_000) -> None:
        all_notes = [source.notes(source.val, index) for index in range(40)]
        self.change, self.sample_rate = change, sample_rate
        self.clip_notes = {
            source.val[index].conditioning.frames.tobytes(): notes for index, notes in enumerate(all_notes)
        }

    def sample(self, prompt: str, seed: int, clip: Any) -> list[Sound]:
        notes = self.change(self.clip_notes[clip.frames.tobytes()])
        sound = render_soundtracks([notes], clip.seconds, np.random.default_rng(seed), max(4_000, self.sample_rate))[0]
        return [Sound(sound, self.sample_rate)]


class SoundtrackStub:
    """A model of soundtracks that sees the bounces as the oracle does, and plays ``change(score)``."""

    def __init__(self, change: Callable[[list[Note]], list[Note]]) -> None:
        self.change = change

    def stream(self, prompt: str, seed: int, clip: Clip) -> "SoundtrackStub":
        detection = detect_motions(clip.frames.transpose(0, 3, 1, 2)[None], clip.fps)[0]
        notes = bounce_notes(detection.motion, detection.bounces) if detection.motion else []
        self.sound = Sound(
            render_soundtracks([self.change(notes)], clip.seconds, np.random.default_rng(seed))[0], 8_000
        )
        return self

    def __iter__(self) -> Any:
        return iter(())

    def results(self) -> list[Sound]:
        return [self.sound]


# --------------------------------------------------------------------------------------------------------- trackers


class WandbStub:
    """The calls of wandb that are used."""

    class Error(Exception):
        """Base of its errors."""

    def __init__(self) -> None:
        self.inits: list[dict[str, Any]] = []
        self.logs: list[tuple[int, dict[str, float]]] = []
        self.finished = False

    def init(self, **arguments: Any) -> "WandbStub":
        self.inits.append(arguments)
        return self

    def log(self, values: dict[str, float], step: int) -> None:
        self.logs.append((step, values))

    def finish(self) -> None:
        self.finished = True


class MLflowStub:
    """The calls of MLflow that are used."""

    class MlflowException(Exception):
        """Base of its errors."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        run = SimpleNamespace(info=SimpleNamespace(run_id="abc"))
        return lambda *args, **kwargs: self.calls.append((name, (*args, *kwargs.values()))) or run


class SessionStub:
    """Outputs 3, 4, 5; remembers the inputs."""

    def __init__(self) -> None:
        self.inputs: list[Any] = []

    def run(self, names: None, inputs: dict[str, Any]) -> list[Any]:
        self.inputs.append(inputs["input_1"])
        return [np.array([[3.0, 4.0, 5.0]])]


class RecognizerStub:
    """Recognizes a sound by its length in samples; what ends loudly is misheard."""

    description, sha256, key = "by a stub", "0" * 64, "stub"

    def __init__(self, texts: dict[int, str]) -> None:
        self.texts, self.num_calls = texts, 0

    def __call__(self, sound: Sound) -> str:
        self.num_calls += 1
        text = self.texts[len(sound.samples)]
        return text if abs(sound.samples[-1]) < 0.5 else text.replace("press ", "dress up ")


class WhisperStub:
    """Writes down how many seconds it was given."""

    supported_languages = ("en", "es")
    calls: list[dict[str, Any]] = []  # noqa: RUF012

    def __init__(self, folder: str, **options: Any) -> None:
        assert options["local_files_only"] and Path(folder).is_dir()
        if b"damaged" in Path(folder, "model.bin").read_bytes():
            raise RuntimeError("unsupported model")

    def transcribe(self, samples: Any, **options: Any) -> tuple[list[Any], None]:
        self.calls.append(options | {"peak": float(np.abs(samples).max())})
        return [SimpleNamespace(text=f" {len(samples) / 16_000:.1f}"), SimpleNamespace(text=" seconds ")], None


class EncoderStub:
    """The mean of the samples, and 1."""

    def embed_all(self, sounds: Sequence[Sound], label: str) -> Tensor:
        rows = torch.tensor([[float(sound.samples.mean()) * 2, 1.0] for sound in sounds])
        return torch.nn.functional.normalize(rows, dim=1)
