"""Media of each type that is labeled."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from genai.media.clip import Clip
from genai.media.picture import Picture
from genai.media.sound import Sound
from genai.media.text import Document
from genai.trust.certificates import Signer, make_certificates, read_signer
from genai.trust.label import Label

FILES = (".png", ".jpg", ".webp", ".gif", ".wav", ".flac", ".ogg", ".mp4", ".webm", "clip.png", "clip.webp", ".txt")
LABEL = Label("Image Diffusion", "1.0", "a" * 64, {"seed": 3, "options": {"steps": 20}})


def make_file(name: str) -> tuple[str, bytes]:
    """Suffix and content of a file; of a clip for ``clip.png``."""
    rng = np.random.default_rng(0)
    suffix = name[name.index(".") :]
    if suffix == ".txt":
        return suffix, Document("a text of wörds").to_bytes()
    if suffix in (".wav", ".flac", ".ogg"):
        return suffix, Sound(rng.normal(0, 0.1, 4000).astype(np.float32), 8000).to_bytes(suffix)
    if name.startswith("clip") or suffix in (".mp4", ".webm"):
        return suffix, Clip(rng.integers(0, 256, (4, 32, 32, 3), np.uint8), 8).to_bytes(suffix)
    return suffix, Picture(rng.integers(0, 256, (24, 24, 3), np.uint8)).to_bytes(suffix)


@pytest.fixture(scope="session")
def signer(shared: Path) -> Signer:
    """The signer of this machine."""
    return read_signer()


@pytest.fixture
def stranger(tmp_path: Path) -> Signer:
    """A signer whose authority is not known here."""
    make_certificates(tmp_path / "stranger", "a stranger")
    return read_signer(*(str(tmp_path / "stranger" / f"{name}.pem") for name in ("certificate", "key")))


@pytest.fixture
def put(tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    """Write the files of ``add_label``; return the first."""

    def write(files: dict[str, bytes]) -> Path:
        paths = [tmp_path / f"file{suffix}" for suffix in files]
        for path, content in zip(paths, files.values(), strict=True):
            path.write_bytes(content)
        return paths[0]

    return write
