"""Build a folder of one English voice, 540 recordings of 23 minutes: ``python scripts/voice.py OUT``.

OUT gets ``train/`` and ``test/`` with a ``metadata.csv`` each, as ``data=audio_folder`` reads them, ``consent.yaml``,
``LICENSE.md`` and ``README.md``. ``apt-get`` fetches two packages of Debian, whose sha256 are compared; they are
unpacked, not installed. The recordings are prompts of the telephone system Asterisk.

A recording is held out if a hash of its words says so, with all others of the same words.
"""

import argparse
import csv
import gzip
import hashlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

PACKAGES = {
    "asterisk-core-sounds-en-g722=1.6.1-1": "38c5261820b406dcb0ecb37675720da2b0864850690690352ca52707eb623806",
    "asterisk-core-sounds-en=1.6.1-1": "973e797d28e37fa6ca3c0a9d6fa717e77cf1268ae916bf09fd3503113cdffa50",
}
"""Packages with their versions, and the sha256 of their files."""
SOUNDS, TEXTS = "usr/share/asterisk/sounds/en_US_f_Allison", "usr/share/doc/asterisk-core-sounds-en"
SPEAKER, SAMPLE_RATE = "allison", 16_000
HELD_OUT = 0.06
"""Fraction of the different texts that is held out."""
THRESHOLD_DB, MIN_AMPLITUDE, MIN_SECONDS = -40, 40, 0.15
"""Where a recording begins: below its loudest hundredth of a second, and in units of 16 bits; the shortest one."""
PADDING = 0.04, 0.08
"""Seconds that are left before and after."""
SOURCE = "https://www.asterisk.org, as packages asterisk-core-sounds-en-g722 and asterisk-core-sounds-en of Debian"
LICENSE = "CC-BY-SA-3.0"
CREDIT = "Recordings by Allison Smith (theivrvoice.com), (c) Digium, Inc."
STATEMENT = "The file debian/copyright of both packages: Creative Commons Attribution-Share Alike 3.0 (CC-BY-SA-3.0)"
README = f"""\
# An English voice, {SAMPLE_RATE:,} Hz

{CREDIT} Source: {SOURCE}. License: {LICENSE}; what is made of the recordings and shared has the same license.

A license of recordings is no consent to be imitated. Say "synthetic voice, trained on recordings of the Asterisk
project, {LICENSE}", and do not offer it as the voice of a person.

    python -m genai.train experiment=voice data.path=THIS_FOLDER
"""
CONSENT = f"""\
public:
  source: "{SOURCE}"
  license: "{LICENSE}"
  statement: "{STATEMENT}"
"""


@dataclass(frozen=True)
class Recording:
    """A recording: its name without suffix, what is said, and its samples (time,)."""

    name: str
    text: str
    samples: NDArray[np.int16]

    @property
    def folder(self) -> str:
        """``train`` or ``test``."""
        words = " ".join(re.findall(r"[a-z0-9']+", self.text.lower()))
        fraction = int(hashlib.sha256(words.encode()).hexdigest()[:8], 16) / 2**32
        return "test" if fraction < HELD_OUT else "train"


def fetch_packages(folder: Path) -> list[Path]:
    """Return the files of the packages in ``folder``, fetched if they are missing, with the right sha256."""
    files = []
    for name, sha256 in PACKAGES.items():
        file = folder / f"{name.replace('=', '_')}_all.deb"
        if not file.exists():
            subprocess.run(["apt-get", "download", name], cwd=folder, check=True)
        if hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
            sys.exit(f"{file} is another file than the one that this script was made for: its sha256 is not {sha256}.")
        files.append(file)
    return files


def read_texts(content: str) -> dict[str, str]:
    """Return what is said by the names of recordings, from lines ``name: text``."""
    lines = (line.partition(":") for line in content.split("\n") if line.strip() and not line.startswith(";"))
    return {name.strip(): text.strip() for name, colon, text in lines if colon}


def is_speech(name: str, text: str) -> bool:
    """Return whether a text is read aloud: those of tones and silence stand in brackets."""
    return bool(re.search(r"[A-Za-z0-9]", text)) and not re.search(r"[<>\[\]]", text) and not name.startswith("silence")


def decode_g722(content: bytes) -> NDArray[np.int16]:
    """Return the samples of a G.722 stream: (time,)."""
    codec = av.CodecContext.create("g722", "r")
    codec.sample_rate, codec.layout = SAMPLE_RATE, "mono"  # type: ignore[attr-defined]
    frames = [frame.to_ndarray().reshape(-1) for frame in codec.decode(av.Packet(content))]  # type: ignore[attr-defined]
    return np.concatenate([np.zeros(0, np.int16), *frames]).astype(np.int16)


def trim(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return (time,) without silence at both ends; nothing of a recording that is silent or too short."""
    size = SAMPLE_RATE // 100
    windows = samples[: len(samples) // size * size].reshape(-1, size).astype(np.float64)
    level = np.sqrt(np.square(windows).mean(1))
    loud = np.flatnonzero(level > max(MIN_AMPLITUDE, level.max(initial=0) * 10 ** (THRESHOLD_DB / 20)))
    if not len(loud):
        return samples[:0]
    before, after = (round(seconds * SAMPLE_RATE) for seconds in PADDING)
    part = samples[max(0, loud[0] * size - before) : (loud[-1] + 1) * size + after]
    return part if len(part) >= MIN_SECONDS * SAMPLE_RATE else samples[:0]


def read_recordings(root: Path) -> Iterator[Recording]:
    """Yield the recordings of unpacked packages that have a text and are speech, in the order of their names."""
    texts = read_texts(
        gzip.decompress((root / TEXTS / "core-sounds-en.txt.gz").read_bytes()).decode("utf-8", "replace")
    )
    for file in sorted((root / SOUNDS).rglob("*.g722")):
        name = file.relative_to(root / SOUNDS).with_suffix("").as_posix()
        if is_speech(name, texts.get(name, "")):
            samples = trim(decode_g722(file.read_bytes()))
            if len(samples):
                yield Recording(name.replace("/", "_"), texts[name], samples)


def write_folder(recordings: Sequence[Recording], out: Path, terms: str) -> None:
    """Write the recordings, their tables, and what is known of their license."""
    for folder in ("train", "test"):
        (out / folder).mkdir(parents=True, exist_ok=True)
        rows = [recording for recording in recordings if recording.folder == folder]
        for recording in rows:
            soundfile.write(out / folder / f"{recording.name}.flac", recording.samples, SAMPLE_RATE)
        with (out / folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["file_name", "speaker", "text"])
            table.writerows([f"{recording.name}.flac", SPEAKER, recording.text] for recording in rows)
    for name, text in {"README.md": README, "LICENSE.md": terms, "consent.yaml": CONSENT}.items():
        (out / name).write_text(text, encoding="utf-8", newline="\n")


def main() -> None:
    """Build the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--packages", type=Path, help="folder of the .deb files; default: OUT/.packages")
    options = parser.parse_args()
    packages: Path = options.packages or options.out / ".packages"
    packages.mkdir(parents=True, exist_ok=True)
    files = fetch_packages(packages)
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            subprocess.run(["dpkg-deb", "--extract", str(file), folder], check=True)
        recordings = [*read_recordings(Path(folder))]
        terms = (Path(folder) / TEXTS / "copyright").read_text(encoding="utf-8")
        write_folder(recordings, options.out, terms)
    seconds = sum(len(recording.samples) for recording in recordings) / SAMPLE_RATE
    held_out = sum(recording.folder == "test" for recording in recordings)
    print(f"{options.out}: {len(recordings):,} recordings, {seconds / 60:.1f} minutes, {held_out} held out")


if __name__ == "__main__":
    main()
