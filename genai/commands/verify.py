"""``python -m genai verify``: say where files come from, as far as they tell it and it can be proven."""

import sys
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from genai.cli.exit_codes import exit_on_error
from genai.core.errors import UserError, did_you_mean
from genai.core.filesystem import sort_paths
from genai.core.terminal import one_line

if TYPE_CHECKING:
    from genai.trust.verify import Provenance
    from genai.trust.watermarks.files import Tokenizer

MAX_FILES = 1_000
"""Files of a folder that are looked at."""
SIDE_SUFFIXES = (".json", ".c2pa")
"""Ends of names of recipes, and of labels beside files."""
HELP = """Say where files come from: who signed them, whether their content has changed, which model made them.

Examples:
python -m genai verify samples/a.png
python -m genai verify *.png *.wav json=true
python -m genai verify samples/romeo     the files in a folder, without recipes, links and folders in it

  json=true       as JSON
  runs=FOLDER     folder of the runs that are known here; default: runs
  ckpt=RUN        model that may have written a text, which is searched for a watermark with its tokenizer; default:
                  those of the newest runs

Exit code 0: verified, a known signer says it and the content is unchanged. 5: it says that it is synthetic, but nobody
known signed that. 4: it was changed after it was signed. 3: no evidence, which does not make it real. Of several
files: the first of 4, 3, 5, 0. 2: a file cannot be read; the others are told."""


def main() -> None:
    """Run the command."""
    words = sys.argv[1:]
    if {"-h", "--help"} & set(words):
        print(HELP)
        return
    exit_on_error(lambda: verify(words))


def verify(words: list[str]) -> None:
    """Print what is known of files, and end with the exit code for it. Raises ``UserError``."""
    from genai.core.progress import ProgressBar
    from genai.trust.certificates import has_c2pa
    from genai.trust.verify import exit_code, report, verify_file

    options = {"json": "false", "runs": "runs", "ckpt": ""}
    values = {key: word.removeprefix(f"{key}=") for word in words for key in options if word.startswith(f"{key}=")}
    files = [Path(word) for word in words if not word.startswith(tuple(f"{key}=" for key in options))]
    if not files:
        raise UserError("name the files: python -m genai verify FILE ...")
    for word in map(str, files):
        if "=" in word and not Path(word).exists():
            key = word.partition("=")[0]
            raise UserError(
                f"There is no option or file '{word}'.{did_you_mean(key, options)} Options: json, runs, ckpt."
            )
    options |= values
    if options["json"] not in ("true", "false"):
        raise UserError(f"json={options['json']}: it should be true or false.")
    if not has_c2pa():
        print("signatures are not looked at: pip install 'genai[label]'", file=sys.stderr, flush=True)
    checkpoints = known_checkpoints(Path(options["runs"]).expanduser())
    tokenizers = _tokenizers(options["ckpt"], Path(options["runs"]).expanduser())
    results, errors = list["Provenance"](), list[UserError]()
    paths = expand_folders(files)
    with ProgressBar("files", len(paths)) as bar:
        for path in paths:
            try:
                results.append(verify_file(path, checkpoints, tokenizers))
            except UserError as error:
                errors.append(error)
            bar.step()
    if results:
        print(report(results, options["json"] == "true"), flush=True)
    if errors:
        raise UserError("\n".join(map(str, errors)))
    if code := exit_code(results):
        raise SystemExit(code)


def expand_folders(paths: list[Path]) -> list[Path]:
    """Return the paths with the files of each folder in its place, without recipes and what stands beside files.

    Folders in a folder, hidden files and links are left out.

    Raises:
        UserError: a folder has no such file, or more than ``MAX_FILES``.
    """
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        try:
            own = [file for file in sort_paths(path.iterdir()) if _is_media(file)]
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}.") from error
        if not own:
            raise UserError(f"{path} has no files but recipes, links and folders: name a folder with files.")
        if len(own) > MAX_FILES:
            raise UserError(f"{path} has {len(own):,} files; of a folder, {MAX_FILES:,} are read. Name the files.")
        files += own
    return files


def _is_media(file: Path) -> bool:
    is_plain = not file.name.startswith(".") and not file.is_symlink() and file.is_file()
    return is_plain and file.suffix.lower() not in SIDE_SUFFIXES


def provenance(file: str | Path, runs: str = "runs", ckpt: str = "") -> "Provenance":
    """Return what a file tells of where it comes from.

    Args:
        file: its path.
        runs: folder of the runs that are known here.
        ckpt: model that may have written a text; "": those of the newest runs.

    Raises:
        UserError: it cannot be read.
    """
    from genai.trust.verify import verify_file

    folder = Path(runs).expanduser()
    return verify_file(Path(file).expanduser(), known_checkpoints(folder), _tokenizers(ckpt, folder))


def _tokenizers(ckpt: str, runs: Path) -> "Callable[[], Iterable[Tokenizer]]":
    """Return what returns the tokenizers with which texts are searched; they are read once, if a text is. Raises
    ``UserError``."""

    @cache
    def read() -> "Iterable[Tokenizer]":
        from genai.inference.known_tokenizers import known_tokenizers, tokenizer_of
        from genai.inference.model import load

        return [tokenizer_of(load(ckpt).modality)] if ckpt else known_tokenizers(runs)

    return read


def known_checkpoints(runs: Path) -> dict[str, str]:
    """Return the runs below a folder by the sha256 of their checkpoints."""
    from genai.runs.checkpoint_files import read_hashes

    found = {}
    for file in sorted(runs.glob("**/checkpoints/*.ckpt.sha256")):
        try:
            hashes = read_hashes(file.with_suffix(""))
        except UserError:
            continue
        found.update(dict.fromkeys(hashes, one_line(str(file.parent.parent))))
    return found


if __name__ == "__main__":
    main()
