"""What watermarks hold: shares found by length and size, after changes, and of media without one.

python benchmarks/watermarks.py pictures --files FOLDER     photographs of at least 256 x 256 pixels
python benchmarks/watermarks.py sounds --files FOLDER       recordings of at least five seconds; shorter ones are joined
python benchmarks/watermarks.py clips --files FILE.npz      frames, with start and length of each clip
python benchmarks/watermarks.py texts --ckpt RUN            a model of text
"""

import argparse
import io
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
import torch
from PIL import Image

import genai
from genai.core.errors import UserError
from genai.inference.known_tokenizers import tokenizer_of
from genai.media.clip import Clip
from genai.media.picture import Picture
from genai.media.sound import Sound
from genai.trust.watermarks.clips import add_to_clip, detect_in_clip
from genai.trust.watermarks.detection import Detection
from genai.trust.watermarks.key import WatermarkKey, read_key
from genai.trust.watermarks.pictures import add_to_picture, detect_in_picture
from genai.trust.watermarks.sounds import add_to_sound, detect_in_sound
from genai.trust.watermarks.texts import DELTA, GAMMA, detect_in_tokens

KEY = WatermarkKey(bytes(range(32)))
NUM_KEYS = 100
"""Random keys with which media without a watermark are searched."""


def report(title: str, found: Sequence[Detection]) -> None:
    """Print a row: the share that is found, and the largest p-value."""
    print(f"| {title} | {sum(each.is_found for each in found)} of {len(found)} | {max(each.p for each in found):.0e} |")


def report_false(media: Sequence[Any], detect: Callable[[Any, WatermarkKey], Detection]) -> None:
    """Print how many media without a watermark have one for a random key."""
    keys = [WatermarkKey(random.Random(seed).randbytes(32)) for seed in range(NUM_KEYS)]
    p = [detect(each, key).p for each in media for key in keys]
    print(f"without: {sum(x <= 1e-5 for x in p)} of {len(p):,} found; {sum(x <= 0.01 for x in p)} with p <= 0.01")


def reencode(image: Image.Image, quality: int) -> Image.Image:
    """Return a picture after JPEG."""
    file = io.BytesIO()
    image.save(file, "jpeg", quality=quality)
    return Image.open(file)


def pictures(folder: Path) -> None:
    """Pictures: sizes, JPEG, parts, other sizes."""
    images = []
    for path in sorted(folder.iterdir()):
        try:
            images.append(Picture.read(path).image.convert("RGB"))
        except UserError:
            continue
    for size in (256, 512):
        crops = [crop(image, size) for image in images if min(image.size) >= size]
        marked = [add_to_picture(Picture(np.asarray(each)), KEY).image for each in crops]
        noise = [10 * np.log10(255**2 / np.mean((np.asarray(a, float) - np.asarray(b)) ** 2))
                 for a, b in zip(crops, marked, strict=True)]  # fmt: skip
        print(f"\n{len(crops)} photographs, {size} x {size}: PSNR {np.median(noise):.1f} dB (least {min(noise):.1f})")
        changes: dict[str, Callable[[Image.Image], Image.Image]] = {
            "as it is": lambda image: image,
            "JPEG 75": lambda image: reencode(image, 75),
            "JPEG 50": lambda image: reencode(image, 50),
            "JPEG 30": lambda image: reencode(image, 30),
            "middle 3/4, JPEG 75": lambda image: reencode(crop(image, image.width * 3 // 4), 75),
            "middle half, JPEG 75": lambda image: reencode(crop(image, image.width // 2), 75),
            "70 %, JPEG 75": lambda image: reencode(resize(image, 0.7), 75),
            "50 %, JPEG 75": lambda image: reencode(resize(image, 0.5), 75),
            "150 %, JPEG 75": lambda image: reencode(resize(image, 1.5), 75),
            "40 %": lambda image: resize(image, 0.4),
            "turned by 2 degrees": lambda image: image.rotate(2, Image.Resampling.BICUBIC),
            "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        }
        for name, change in changes.items():
            report(name, [detect_in_picture(np.asarray(change(each)), KEY) for each in marked])
    small = [np.asarray(crop(image, 256)) for image in images if min(image.size) >= 256]
    report_false(small[:3], detect_in_picture)


def crop(image: Image.Image, size: int) -> Image.Image:
    """Return the middle of a picture."""
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return image.crop((left, top, left + size, top + size))


def resize(image: Image.Image, factor: float) -> Image.Image:
    """Return a picture in another size."""
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC)


def encode_sound(sound: Sound, codec: str, bit_rate: int, layout: str) -> Sound:
    """Return a sound after a lossy codec of FFmpeg."""
    file = io.BytesIO()
    container: Any
    with av.open(file, "w", format=layout) as container:
        stream = container.add_stream(codec, rate=sound.sample_rate, layout="mono", bit_rate=bit_rate)
        frame = av.AudioFrame.from_ndarray(sound.samples[None], "fltp", "mono")
        frame.sample_rate = sound.sample_rate
        container.mux([*stream.encode(frame), *stream.encode(None)])
    with av.open(io.BytesIO(file.getvalue())) as container:
        parts = [frame.to_ndarray() for frame in container.decode(audio=0)]
        rate = container.streams.audio[0].rate
    return Sound(np.concatenate(parts, 1)[0].astype(np.float32), rate)


def ogg(sound: Sound) -> Sound:
    """Return a sound after Vorbis."""
    samples, rate = soundfile.read(io.BytesIO(sound.to_bytes(".ogg")), dtype="float32")
    return Sound(samples, rate)


def sounds(folder: Path) -> None:
    """Sounds: lengths, MP3, parts, sample rates, noise."""
    recordings: list[Sound] = []
    for path in sorted(folder.rglob("*")):
        try:
            recordings.append(Sound.read(path))
        except UserError:
            continue
    rate = recordings[0].sample_rate
    samples = np.concatenate([each.samples for each in recordings if each.sample_rate == rate])
    rng = np.random.default_rng(0)
    for seconds in (1, 2, 3, 5, 10):
        starts = rng.integers(0, len(samples) - seconds * rate, 40)
        clips = [Sound(samples[start : start + seconds * rate], rate) for start in starts]
        marked = [add_to_sound(each, KEY) for each in clips]
        noise = [10 * np.log10(np.square(a.samples).sum() / np.square(a.samples - b.samples).sum())
                 for a, b in zip(clips, marked, strict=True)]  # fmt: skip
        print(f"\n{len(clips)} parts of {seconds} s, {rate:,} Hz: SNR {np.median(noise):.1f} dB")
        changes: dict[str, Callable[[Sound], Sound]] = {
            "as it is": lambda sound: sound,
            "MP3, 96 kbit/s": lambda sound: encode_sound(sound, "libmp3lame", 96_000, "mp3"),
            "MP3, 32 kbit/s": lambda sound: encode_sound(sound, "libmp3lame", 32_000, "mp3"),
            "Vorbis": ogg,
            "last 3/4": lambda sound: Sound(sound.samples[len(sound.samples) // 4 :], rate),
            "last 3/4, MP3, 96 kbit/s": lambda sound: encode_sound(
                Sound(sound.samples[len(sound.samples) // 4 :], rate), "libmp3lame", 96_000, "mp3"
            ),
            "resampled to 22,050 Hz": lambda sound: sound.resample(22_050),
            "noise, 20 dB below": with_noise,
            "half as loud": lambda sound: Sound(sound.samples * np.float32(0.5), rate),
            "2 % faster": lambda sound: Sound(sound.resample(round(rate / 1.02)).samples, rate),
        }
        for name, change in changes.items():
            report(name, [detect_in_sound(change(each), KEY) for each in marked])
    report_false(clips, detect_in_sound)


def with_noise(sound: Sound) -> Sound:
    """Return a sound with white noise of a hundredth of its power."""
    noise = np.random.default_rng(0).normal(0, float(sound.samples.std()) / 10, len(sound.samples))
    return Sound((sound.samples + noise).clip(-1, 1).astype(np.float32), sound.sample_rate)


def clips(file: Path) -> None:
    """Clips: sizes, lengths, codecs, without the first frames."""
    arrays = np.load(file)
    starts, lengths = arrays["start"], arrays["length"]
    real = [arrays["frames"][start : start + length] for start, length in zip(starts, lengths, strict=True)]
    for side, count in ((64, 24), (64, 12), (32, 24), (32, 12)):
        small = [np.stack([np.asarray(Image.fromarray(frame).resize((side, side), Image.Resampling.BOX))
                           for frame in frames[:count]]) for frames in real if len(frames) >= count]  # fmt: skip
        marked = [add_to_clip(Clip(frames, 8.0), KEY) for frames in small]
        noise = [10 * np.log10(255**2 / np.mean((a.astype(float) - b.frames) ** 2))
                 for a, b in zip(small, marked, strict=True)]  # fmt: skip
        growth = [len(b.to_bytes(".mp4")) / len(Clip(a, 8.0).to_bytes(".mp4"))
                  for a, b in zip(small, marked, strict=True)]  # fmt: skip
        print(f"\n{len(small)} clips of {count} frames, {side} x {side}: PSNR {np.median(noise):.1f} dB, "
              f"MP4 {np.median(growth):.1f} times as large")  # fmt: skip
        changes: dict[str, Callable[[Clip], np.ndarray]] = {
            "frames": lambda clip: clip.frames,
            "MP4 as written": lambda clip: decode(clip.to_bytes(".mp4")),
            "WebM as written": lambda clip: decode(clip.to_bytes(".webm")),
            "MP4, again with crf 28": lambda clip: decode(again(decode(clip.to_bytes(".mp4")), 28)),
            "MP4, without 5 frames": lambda clip: decode(clip.to_bytes(".mp4"))[5:],
        }
        for name, change in changes.items():
            report(name, [detect_in_clip(change(each), KEY) for each in marked])
    report_false(small[:5], detect_in_clip)


def decode(content: bytes) -> np.ndarray:
    """Return the frames of a video."""
    container: Any
    with av.open(io.BytesIO(content)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def again(frames: np.ndarray, crf: int) -> bytes:
    """Return frames as H.264 of a quality."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=8, options={"crf": str(crf)})
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()


def texts(ckpt: str, count: int, prompt: str) -> None:
    """Texts: lengths, temperatures, words that are replaced; what they cost."""
    model = genai.load(ckpt)
    tokenize = tokenizer_of(model.modality)
    words = "the of and a to in is was he for it with as his on be at by had are but from or have an they".split()

    def sample(temperature: float, **options: Any) -> list[str]:
        """Return texts without their prompt."""
        drawn = model.sample(prompt, n=count, length=400, temperature=temperature, **options)
        return [str(each)[len(prompt) :] for each in drawn]

    for temperature in (1.0, 0.7, 0.0):
        marked, plain = sample(temperature, watermark=True), sample(temperature)
        print(f"\ntemperature {temperature:g}{expected_cost(model, plain, temperature) if temperature else ''}")
        key = read_key()
        for length in (50, 100, 200, 400):
            report(f"{length} tokens", [detect_in_tokens(key, tokenize(text)[:length]) for text in marked])
        for share in (0.1, 0.2, 0.4):
            swapped = [swap(text, share, words, seed) for seed, text in enumerate(marked)]
            report(f"200 tokens, {share:.0%} of words replaced", [detect_in_tokens(key, tokenize(each)[:200])
                                                                  for each in swapped])  # fmt: skip
        report_false([tokenize(text)[:200] for text in plain], lambda tokens, key: detect_in_tokens(key, tokens))


@torch.inference_mode()
def expected_cost(model: Any, plain: Sequence[str], temperature: float) -> str:
    """Return how many nats more a token with the watermark has, on average over tokens and green lists."""
    block = model.modality.block
    tokens = torch.stack([model.modality.encode(text)[:block] for text in plain])
    log_p = (model.method.network(tokens).float() / temperature).log_softmax(-1)
    entropy = -(log_p.exp() * log_p).sum(-1).mean()
    costs = []
    for seed in range(4):
        green = torch.rand(log_p.shape, generator=torch.Generator().manual_seed(seed)) < GAMMA
        marked = (log_p + DELTA * green).softmax(-1)
        costs.append(-(marked * log_p).sum(-1).mean() - entropy)
    cost = torch.stack(costs).mean()
    return f": {entropy:.3f} nats a token, and {cost:.3f} more with watermark ({cost / entropy:.1%})"


def swap(text: str, share: float, words: Sequence[str], seed: int) -> str:
    """Return a text in which a share of the words are others."""
    rng = random.Random(seed)
    return " ".join(rng.choice(words) if rng.random() < share else word for word in text.split(" "))


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("pictures", "sounds", "clips", "texts"))
    parser.add_argument("--files", type=Path)
    parser.add_argument("--ckpt")
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--prompt", default="\n")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.kind == "texts":
        texts(arguments.ckpt, arguments.count, arguments.prompt)
    else:
        {"pictures": pictures, "sounds": sounds, "clips": clips}[arguments.kind](arguments.files)


if __name__ == "__main__":
    main()
