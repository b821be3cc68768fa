"""Tar files in the layout of WebDataset: the files of an example follow each other, and have its name before a dot."""

import tarfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Gt, Lt

from genai.core.cache import cache_key
from genai.core.data import Example, IterableSource, Partition, error_partitions, held_out
from genai.core.errors import UserError, short_text
from genai.core.files import MAX_BYTES, check_file
from genai.core.personal_record import PersonalRecord
from genai.core.plain_data import parse_json
from genai.core.terminal import one_line
from genai.data.find_files import walk_folder
from genai.data.media_readers import MediaReader
from genai.data.personal_filter import PersonalFilter, PersonalMode, personal_stamp
from genai.data.text import find_texts

CAPTION_SUFFIXES = (".txt", ".caption", ".cls")
COMPRESSED = (".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".tar.lz4")
"""Ends of names of compressed tar files."""
CAPTION_FIELDS = ("caption", "text", "prompt")


class TarFiles(IterableSource):
    """Examples in tar files: ``000.jpg``, ``000.txt``, ``001.jpg``, ...

    The prompt of an example is its file ``.txt``, ``.caption`` or ``.cls``, else ``caption``, ``text`` or ``prompt`` of
    its ``.json``, else "". Compressed tar files are not read: nothing says how large they are before they are unpacked.

    Args:
        path: a tar file, a folder of them, or a glob.
        reader: of the media.
        val_fraction: fraction of the examples for validation, selected by their content.
        personal: what to do about personal data in prompts and texts, see ``PersonalFilter``.

    Raises:
        UserError: there is no tar file.
    """

    media: type[Any] = object  # type: ignore[misc]

    def __init__(
        self,
        path: str,
        reader: MediaReader,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1,
        personal: PersonalMode | None = None,
    ) -> None:
        self.path, self.reader, self.val_fraction, self.personal = path, reader, val_fraction, personal
        self.media, self.metrics = reader.media, reader.metrics

    def partitions(self) -> Sequence[Partition]:
        compressed = _compressed_files(Path(self.path).expanduser())
        try:
            files, errors = find_texts(self.path, (".tar",), item_name="tar file")
        except UserError as error:
            raise UserError(" ".join([str(error), *map(_describe_compressed, compressed[:1])])) from error
        errors = [*errors, *map(_describe_compressed, compressed)]
        options = (self.val_fraction, self.reader.options, *personal_stamp(self.personal))
        return [
            Partition(
                file.name,
                cache_key("tar", str(file.absolute()), *_size_and_time(file), *options),
                {split: partial(self._filter, file, split == "val") for split in ("train", "val")},
            )
            for file in files
        ] + error_partitions(errors)

    def _filter(self, file: Path, is_val: bool) -> Iterator[Example | UserError | PersonalRecord]:
        return PersonalFilter(self.personal, "example").read(self._read(file, is_val))

    def _read(self, file: Path, is_val: bool) -> Iterator[Example | UserError]:
        """Yield the examples of one split in a file."""
        reader = self.reader
        try:
            for name, contents in _read_groups(check_file(file), reader):
                suffix = next((suffix for suffix in contents if suffix in reader.suffixes), None)
                place = one_line(f"{file}, {name}")
                if suffix is None:
                    if not is_val:  # both splits read all names
                        yield UserError(f"{place}: it has no file of the known types of {reader.item_name}.")
                elif held_out(contents[suffix], self.val_fraction) == is_val:
                    media = reader.read_content(contents.pop(suffix), suffix, place)
                    yield media if isinstance(media, UserError) else Example(media, _caption(contents))
        except (tarfile.TarError, OSError, EOFError) as error:
            if not is_val:
                yield UserError(f"{file} cannot be read further ({short_text(str(error))}).")


def _compressed_files(path: Path) -> list[Path]:
    """Return the compressed tar files in a folder; none of other paths."""
    files = walk_folder(path)[0] if path.is_dir() else []
    return [file for file in files if file.name.lower().endswith(COMPRESSED)]


def _describe_compressed(file: Path) -> str:
    return f"{file} is compressed, so it is not read: unpack it to a .tar file."


def _caption(contents: Mapping[str, bytes]) -> str:
    """Return the prompt of an example with these files besides the media, by their suffixes."""
    for suffix in CAPTION_SUFFIXES:
        if suffix in contents:
            return " ".join(contents[suffix].decode("utf-8", "replace").split())
    try:
        fields = parse_json(contents.get(".json", b"{}").decode("utf-8", "replace"), "its .json")
    except UserError:
        return ""
    texts = [fields.get(name) for name in CAPTION_FIELDS] if isinstance(fields, dict) else []
    return " ".join(next((text for text in texts if isinstance(text, str)), "").split())


def _size_and_time(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def _read_groups(file: Path, reader: MediaReader) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield the name of each example, and the contents of its files by suffix: of media, captions and ``.json``."""
    limits = dict.fromkeys((*CAPTION_SUFFIXES, ".json"), MAX_BYTES["caption"])
    limits |= dict.fromkeys(reader.suffixes, reader.max_bytes)
    name, contents = "", dict[str, bytes]()
    with tarfile.open(file, "r:") as archive:
        for member in archive:
            archive.members = []  # type: ignore[attr-defined]  # otherwise it keeps all of them
            folder, _, base = member.name.rpartition("/")
            stem, _, rest = base.partition(".")
            if not member.isfile() or member.issparse() or not stem:  # links, devices, and what is larger than it is
                continue
            if (key := f"{folder}/{stem}") != name and name:
                yield name.lstrip("/"), contents
                contents = {}
            name, suffix = key, f".{rest.lower()}"
            if member.size + sum(map(len, contents.values())) <= limits.get(suffix, -1):
                stream = archive.extractfile(member)
                contents[suffix] = stream.read() if stream else b""
    if name:
        yield name.lstrip("/"), contents
