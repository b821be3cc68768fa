"""Try the lowest and the highest release of each dependency that pyproject.toml allows, one package at a time.

    .venv/bin/python scripts/version_ranges.py [package ...]

Each release goes into a new environment that shares the packages of this one; torch and its companions stay.
The tests of ``CHECKS`` run there. The results are the table in docs/VERSIONS.md. Exit code 1: a release fails.
"""

import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import venv
from datetime import date
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "docs" / "VERSIONS.md"
PINNED = ("torch", "torchvision", "torchaudio")
TRAINING = ["tests/training/test_loggers.py"]
CONFIG = ["tests/core/test_instantiate.py", "tests/test_main.py"]
PICTURES = ["tests/media/test_filmstrip.py", "tests/media/test_spectrogram.py", "tests/modalities/test_image.py"]
CHECKS = {
    "av": ["tests/media/test_clip.py"],
    "hydra-core": CONFIG,
    "numba": ["tests/networks/wavenet/test_native.py"],
    "numpy": [*PICTURES, "tests/modalities/test_audio.py"],
    "pillow": [*PICTURES, "tests/data/test_odd_pictures.py", "tests/media/test_clip.py"],
    "pydantic": CONFIG,
    "pyyaml": CONFIG,
    "safetensors": ["tests/metrics/video/test_frechet_video.py"],
    "soundfile": ["tests/media/test_sound.py"],
    "tokenizers": ["tests/modalities/test_tokenizers.py"],
    "torchmetrics": ["tests/metrics/video/test_prediction.py", "tests/metrics/audio/test_enhancement.py"],
}
"""The tests of what uses a package; ``TRAINING`` for the others."""
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


def dependencies() -> list[Requirement]:
    """Dependencies in pyproject.toml with a range, without those that stay as they are."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    requirements = [Requirement(text) for text in declared]
    return [requirement for requirement in requirements if requirement.name not in PINNED]


def lowest_and_highest(requirement: Requirement) -> list[str]:
    """Final releases at both ends of a range that exist for this Python. Raises ``SystemExit`` if pip cannot say."""
    done = subprocess.run([*PIP, "index", "versions", requirement.name], capture_output=True, text=True)
    found = re.search(r"Available versions: (.*)", done.stdout)
    if not found:
        sys.exit(f"pip knows no releases of {requirement.name}:\n{done.stderr}")
    releases = sorted(map(Version, found[1].split(", ")))
    allowed = [str(release) for release in releases if release in requirement.specifier and not release.is_prerelease]
    return list(dict.fromkeys([allowed[0], allowed[-1]]))


def check(name: str, release: str) -> str:
    """Install a release of a package in a new environment and run its tests. Returns the result in a few words."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=False)
        python = str(Path(folder) / ("Scripts" if os.name == "nt" else "bin") / "python")
        site = subprocess.check_output(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        )
        Path(site.strip(), "shared.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
        pins = Path(folder, "pins.txt")
        pins.write_text("".join(f"{package}=={version(package)}\n" for package in PINNED), encoding="utf-8")
        install = [*PIP, "--python", python, "install", "-q", f"{name}=={release}", "-c", str(pins)]
        done = subprocess.run(install, capture_output=True, text=True)
        if done.returncode:
            return f"cannot be installed: {_last_line(done.stderr)}"
        test = [python, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not (slow or peers or system)"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [*test, *CHECKS.get(name, TRAINING)], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        if done.returncode < 0:
            return f"crashes (signal {-done.returncode})"
        failed = re.search(r"^(?:FAILED|ERROR) (.*)", done.stdout, re.MULTILINE)
        return "works" if done.returncode == 0 else f"fails: {failed[1][:120] if failed else _last_line(done.stdout)}"


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1][:120]


def write_table(rows: dict[str, str]) -> None:
    """Put ``rows``, by package, into the table; rows of other packages stay."""
    table = TABLE.read_text(encoding="utf-8") if TABLE.exists() else ""
    lines = {match[1]: match[0] for match in re.finditer(r"^\| ([\w-]+) \|.*$", table, re.MULTILINE)}
    lines = {name: line for name, line in lines.items() if name != "package"} | rows
    text = f"""# Versions

torch, torchvision and torchaudio are tested as `constraints.txt` pins them. Of every other dependency
`scripts/version_ranges.py` tries the lowest and the highest release that `pyproject.toml` allows, one at a time,
beside the pinned releases of all others. A dependency that is not in the table was not tried.

| package | declared | lowest | | highest | | tried |
|---|---|---|---|---|---|---|
{chr(10).join(lines[name] for name in sorted(lines))}
"""
    TABLE.write_text(text, encoding="utf-8", newline="\n")


def main() -> None:
    """Try the packages of the command line, or all, and write the table after each."""
    names = {canonicalize_name(name) for name in sys.argv[1:]}
    chosen = [
        requirement for requirement in dependencies() if not names or canonicalize_name(requirement.name) in names
    ]
    if unknown := names - {canonicalize_name(requirement.name) for requirement in chosen}:
        sys.exit(f"no dependency with a range: {', '.join(sorted(unknown))}")
    is_good = True
    for requirement in chosen:
        ends = lowest_and_highest(requirement)
        results = {release: check(requirement.name, release) for release in ends}
        is_good &= set(results.values()) == {"works"}
        lowest, highest = ends[0], ends[-1]
        tried = f"{date.today()}, Python {sys.version_info.major}.{sys.version_info.minor}"
        cells = (
            requirement.name,
            str(requirement.specifier),
            lowest,
            results[lowest],
            highest,
            results[highest],
            tried,
        )
        row = f"| {' | '.join(cells)} |"
        print(row, flush=True)
        write_table({requirement.name: row})
    sys.exit(not is_good)


if __name__ == "__main__":
    main()
