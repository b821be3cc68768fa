"""What labels cost: bytes and time for each type of file: ``python benchmarks/labels.py [--json FILE]``."""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from genai.media.clip import Clip
from genai.media.picture import Picture
from genai.media.sound import Sound
from genai.media.text import Document
from genai.trust.certificates import read_signer
from genai.trust.embed import add_label
from genai.trust.label import Label
from genai.trust.verify import verify_file

TRIES = 31
OPTIONS = {"guidance": 2.0, "guidance_from": 1.0, "guidance_until": 0.0, "guidance_rescale": 0.0, "steps": 25}
LABEL = Label("Image Diffusion", "1.0.0", "a" * 64, {"seed": 3, "options": OPTIONS, "step": 500, "weights": "ema"})


def media() -> dict[str, bytes]:
    """Return a file of each type."""
    rng = np.random.default_rng(0)
    picture = Picture(rng.integers(0, 256, (64, 64, 3), np.uint8))
    sound = Sound(rng.normal(0, 0.1, 16_000).astype(np.float32), 16_000)
    clip = Clip(rng.integers(0, 256, (16, 64, 64, 3), np.uint8), 8)
    files = {suffix: picture.to_bytes(suffix) for suffix in (".png", ".jpg", ".webp", ".gif")}
    files |= {suffix: sound.to_bytes(suffix) for suffix in (".wav", ".flac")}
    return {**files, ".mp4": clip.to_bytes(".mp4"), ".txt": Document("a text").to_bytes()}


def main() -> None:
    """Print bytes, and milliseconds of signing, of metadata alone and of reading."""
    signer, results, folder = read_signer(), {}, Path(tempfile.mkdtemp())
    print("type      file   + signed  + metadata   sign ms  metadata ms  verify ms")
    for suffix, content in media().items():
        times: dict[str, list[float]] = {"sign": [], "metadata": [], "verify": []}
        for _ in range(TRIES):
            start = time.perf_counter()
            signed = add_label(content, suffix, LABEL, signer)
            times["sign"].append(time.perf_counter() - start)
            start = time.perf_counter()
            plain = add_label(content, suffix, LABEL, None)
            times["metadata"].append(time.perf_counter() - start)
        file = folder / f"file{suffix}"
        for each, data in signed.items():
            file.with_suffix(each).write_bytes(data)
        for _ in range(5):
            start = time.perf_counter()
            verify_file(file)
            times["verify"].append(time.perf_counter() - start)
        for each in signed:
            file.with_suffix(each).unlink()
        milliseconds = {name: 1000 * statistics.median(values) for name, values in times.items()}
        more = sum(map(len, signed.values())) - len(content)
        results[suffix] = {"bytes": more, "metadata_bytes": len(plain[suffix]) - len(content), **milliseconds}
        print(
            f"{suffix:<6}{len(content):>8,}  {more:>8,}  {len(plain[suffix]) - len(content):>10,}  "
            f"{milliseconds['sign']:>8.1f}  {milliseconds['metadata']:>11.2f}  {milliseconds['verify']:>9.1f}",
            flush=True,
        )
    if "--json" in sys.argv:
        Path(sys.argv[sys.argv.index("--json") + 1]).write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
