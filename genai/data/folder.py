"""Data sources from a folder of files: finding files and captions, and splitting into training and validation data."""

import os
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Gt, Len, Lt

from genai.core.cache import cache_key
from genai.core.data import Example, Split, SplitSource
from genai.core.errors import UserError, short_text
from genai.core.filesystem import sort_paths
from genai.core.terminal import one_line, printable
from genai.data.captions import CaptionReaders, Captions, describe_prompts, name_caption, read_captions
from genai.data.dedup import describe_copies, select_val_indices
from genai.data.exclude import ExcludedValues, exclude_items
from genai.data.file_index import NUM_THREADS, index_files
from genai.data.file_table import FileInfo
from genai.data.find_files import expand_glob, walk_folder
from genai.data.item import Item, filter_items
from genai.data.item_weights import ItemWeights, describe_weights, item_weights
from genai.data.last_loaded import LastLoaded
from genai.data.parts import Part
from genai.data.personal_filter import PersonalFilter, PersonalMode

VAL_FOLDERS = ("val", "validation", "valid", "test")
"""Names of a validation folder next to a sub-folder ``train``; the first that exists is used."""

CaptionKind = Literal["auto", "name"]
"""Where captions come from: text files, tables and folders, or the names of the files."""


CaptionColumns = Annotated[list[Annotated[str, Len(1)]], Len(1)]
"""Names of columns of a table of captions."""

Entry = tuple[Item, FileInfo]


class Folder(SplitSource):
    """Files below a folder, or matched by a glob.

    The prompt of ``a.png`` is the text of ``a.txt`` or ``a.caption``, else its row in a table of the folder (see
    ``genai.data.caption_table``), else the name of its sub-folder with spaces for underscores, else "". With
    ``caption="name"`` it is the name of the file, without its suffix and a number at its end. With ``captions`` it is
    drawn in each epoch from these columns of the table; lists in ``KEYWORD_COLUMNS`` are keywords, of which some are
    drawn. ``default_caption`` is the prompt of files that have none. Files with a value of ``exclude`` in a column are
    in neither split; training draws those with a value of ``weights`` in a column so many times as often.

    Top-level sub-folders ``train`` and ``val`` (or ``validation``, ``valid``, ``test``) are the two splits, and not
    prompts. Otherwise ``val_fraction`` of the files are validation data, selected by their content. A single file, or
    copies of one, is cut in two if it is large enough.

    Raises:
        UserError: there are no files, or too few that can be used.
    """

    suffixes: ClassVar[frozenset[str]]
    item_name: ClassVar[str]
    """Plural noun for the items in messages, such as ``pictures``."""
    enough: str
    """What a single file needs to be cut in two, for a message."""
    caption_readers: ClassVar[CaptionReaders] = MappingProxyType({})
    """Functions that read captions from files beside the media, besides text files, by suffix."""
    load_options: Any = None
    """Options of ``load`` as plain values, for the content hash."""

    def __init__(
        self,
        path: str,
        val_fraction: Annotated[float, Gt(0), Lt(1)] = 0.1,
        caption: CaptionKind = "auto",
        personal: PersonalMode | None = None,
        license: str = "",
        captions: CaptionColumns | None = None,
        exclude: ExcludedValues | None = None,
        weights: ItemWeights | None = None,
        default_caption: str = "",
    ) -> None:
        self.default_caption = " ".join(default_caption.split())
        self.license = license or self.license
        self.path, self.val_fraction, self.caption, self.personal = path, val_fraction, caption, personal
        self.captions, self.exclude, self.weights = captions or (), exclude or {}, weights or {}
        if self.captions and caption == "name":
            raise ValueError("captions=[...] are columns of a table, so it does not go with caption=name")
        self.skipped = ()
        self.num_skipped, self.num_unused_captions = 0, 0
        self.excluded_items, self.exclude_note = list[Item](), ""
        self.last_whole = LastLoaded(self.load_whole)

    @abstractmethod
    def inspect(self, file: Path) -> dict[str, Any]:
        """Return fields of ``FileInfo`` for a file. Raises ``UserError`` if it cannot be used."""

    @abstractmethod
    def load(self, file: Path) -> Any:
        """Read the media in a file."""

    def load_whole(self, file: Path) -> Any:
        """Read the media that parts are taken from."""
        return self.load(file)

    @abstractmethod
    def take_part(self, media: Any, part: Part) -> Any:
        """Return a part of what ``load_whole`` returns."""

    @abstractmethod
    def cut(self, file: Path, info: FileInfo) -> tuple[list[Part], list[Part], str] | None:
        """Cut the only file into training and validation parts, with a remark; ``None`` if it is too small."""

    def parts(self, info: FileInfo) -> Sequence[Part | None]:
        """Return the parts of a file that are items of their own; ``None`` is the whole file."""
        return [None]

    @property
    def description(self) -> str:
        prompts = [*(self.train.prompts or ()), *(self.val.prompts or ())]
        counts = f"{len(self.train):,} {self.item_name} to train on, {len(self.val):,} held out"
        skipped = f", {self.num_skipped:,} skipped" if self.num_skipped else ""
        count = self.num_unused_captions
        unused = f", {count:,} caption{'s' * (count > 1)} not used" if count else ""
        hint = "" if any(prompts) else self._name_hint
        captions = f"{describe_prompts(prompts)}{self._choice_note}{hint}"
        excluded = f", {self.exclude_note}" if self.exclude_note else ""
        personal = f"; {self.personal_record}" if self.personal_record else ""
        items = [item for item, _ in self._partition[0]]
        weights = describe_weights(items, self.train.weights[: len(items)], self.weights)
        weights = f"; {weights}" if weights else ""
        return f"{one_line(self.path)}: {counts}{skipped}{excluded}{unused}, {captions}{self.note}{weights}{personal}"

    @property
    def _choice_note(self) -> str:
        """Say how many captions there are to draw from."""
        counts = sorted(len(captions) for split in (self.train, self.val) for captions in split.captions)
        if not counts:
            return ""
        numbers = dict.fromkeys((max(1, counts[0]), counts[-1]))
        return f", drawn from {' to '.join(map(str, numbers))} captions each"

    @property
    def _name_hint(self) -> str:
        """Name ``caption="name"`` if the files have different names with letters."""
        names = {name_caption(item.file) for entries in self._partition[:2] for item, _ in entries}
        has_names = self.caption == "auto" and sum(any(map(str.isalpha, name)) for name in names) > 1
        return " (data.caption=name takes the names of the files)" if has_names else ""

    @property
    def note(self) -> str:
        """Remarks on the split and on duplicate files, appended to the description."""
        train, val, note = self._partition
        return f"{note}{describe_copies({item.file: info.content_hash for item, info in [*train, *val]})}"

    def group_ids(self, infos: Sequence[FileInfo]) -> tuple[list[int], str]:
        """Return a group number for each file, and a remark. Files of one group go to the same split."""
        return _group_identical(infos), ""

    def select_val(self, infos: Sequence[FileInfo], group_ids: Sequence[int]) -> set[int]:
        """Select the indices of about ``val_fraction`` of the files by their content; groups stay whole."""
        return select_val_indices([info.content_hash for info in infos], group_ids, self.val_fraction)

    def files(self) -> tuple[list[Path], list[Path], list[str]]:
        """Find the files.

        Returns:
            Files with media, all files in their folders, and errors about unreadable folders; no hidden files.

        Raises:
            UserError: there are no files with media.
        """
        if not self.path:
            raise UserError(f"data.path= is empty: give a folder of {self.item_name}, or a glob.")
        path = Path(self.path).expanduser()
        if path.is_dir():
            files, errors = walk_folder(path)
            media = self.find_media(path, files)
        else:
            matches, errors = ([path], []) if path.is_file() else expand_glob(path)
            media = [file for file in matches if self._has_suffix(file) and not file.is_dir()]
            folders = sort_paths({file.parent for file in media})
            neighbors = [file for folder in folders for file in sort_paths(folder.iterdir())]
            files = [file for file in neighbors if not file.name.startswith(".")]
            if not matches:
                raise UserError(f"data.path={printable(self.path)}: there is no such folder, file or glob.")
        if not media:
            suffixes = " ".join(sorted(self.suffixes))
            raise UserError(f"data.path={printable(self.path)}: no {self.item_name}. Looked for {suffixes}.")
        return media, files, errors

    def find_media(self, folder: Path, files: Sequence[Path]) -> list[Path]:
        """Return the files with media among ``files``, all files of ``folder``, in order."""
        return [file for file in files if self._has_suffix(file)]

    def items(self) -> tuple[Path, list[Item], list[str]]:
        """Return the root folder, the files with their prompts, and a line about each other file that is not used."""
        media, files, errors = self.files()
        path = Path(self.path).expanduser()
        root = path if path.is_dir() else Path(os.path.commonpath([file.parent for file in media]))
        captions = Captions()
        if self.caption == "auto":
            named = [*media, *filter(self._has_suffix, files)]
            captions = read_captions(files, named, self.item_name, self.captions, self.caption_readers)
        caption_of = captions.caption_of if self.caption == "auto" else lambda file, _: name_caption(file)
        notes = [*errors, *captions.notes]
        self.num_unused_captions = captions.num_unused
        folders = _split_folders(path, media)
        folder_of = {file: next((each for each in folders if file.is_relative_to(each)), root) for file in media}
        is_val: dict[Path, bool | None] = {each: each == folders[1] for each in folders} or {root: None}
        unused = [file for file in media if folder_of[file] not in is_val]
        notes += [f"{file} is in neither {folders[0].name} nor {folders[1].name}." for file in unused]
        self.num_skipped = len(unused)
        items = [
            Item(
                file,
                caption_of(file, folder) or self.default_caption,
                is_val[folder],
                columns=captions.columns_of(file, folder),
                captions=captions.choices_of(file),
            )
            for file, folder in folder_of.items()
            if folder in is_val
        ]
        items, self.excluded_items, self.exclude_note = exclude_items(items, self.exclude)
        default = "data.default_caption" if self.default_caption else ""
        origins = [captions.origin_of(item.file, folder_of[item.file]) or default for item in items]
        self.layout_note = self._describe_layout(folders, origins)
        return root, items, notes

    def _describe_layout(self, folders: Sequence[Path], origins: Sequence[str]) -> str:
        """Say where the splits and the captions come from, which ``origins`` names for each file."""
        splits = " and ".join(f"{folder.name}/" for folder in folders) or f"{self.val_fraction:g} held out by content"
        if self.caption == "name":
            return f"{splits}; captions from the names of files"
        counts = Counter(origin for origin in origins if origin)
        columns = f" ({', '.join(map(short_text, self.captions))})" if self.captions else ""
        kinds = ", ".join(f"{count:,} from {origin}" for origin, count in counts.most_common())
        missing = f", {origins.count(''):,} files without" if kinds and "" in origins else ""
        return f"{splits}; captions: {kinds or 'none'}{columns}{missing}"

    @cached_property
    def _partition(self) -> tuple[list[Entry], list[Entry], str]:
        """Training entries, validation entries, and a remark on the split."""
        self.num_skipped, self.num_unused_captions = 0, 0
        self.root, items, notes = self.items()
        items = self._filter_captions(items)
        infos = index_files(self.root, [item.file for item in items], self.item_name, self.inspect)
        self.skipped = tuple(map(one_line, (*(info.error for info in infos if info.error), *notes)))
        entries = [(item, info) for item, info in zip(items, infos, strict=True) if not info.error]
        self.num_skipped += len(items) - len(entries)
        file_notes = (line for item, info in entries for line in _file_notes(item.file, info))
        personal_notes = self.personal_record.notes if self.personal_record else []
        self.file_notes = tuple(map(one_line, (*personal_notes, *file_notes)))
        self.num_copies = len(entries) - len({info.content_hash for _, info in entries})
        is_predefined = any(item.is_val is not None for item in items)
        train, val, note = self._predefined_split(entries) if is_predefined else self._hash_split(entries)
        train, val = self._divide(train), self._divide(val)
        if not train or not val:
            dropped = [f"{self.personal_record}.".capitalize()] if self.personal == "drop" else []
            errors = " ".join(["", *dropped, *self.skipped[:3]])
            advice = "" if is_predefined else f", or a single one of at least {self.enough}, which is cut in two"
            raise UserError(
                f"data.path={printable(self.path)}: two different {self.item_name} are needed, one to hold out{advice}."
                f"{errors}"
            )
        return train, val, note

    def _filter_captions(self, items: Sequence[Item]) -> list[Item]:
        """Return the files whose captions are used, as ``personal`` says."""
        personal = PersonalFilter(self.personal, "caption")
        used = filter_items(items, personal)
        self.personal_record = personal.record
        self.num_skipped += len(items) - len(used)
        return used

    def _divide(self, entries: Sequence[Entry]) -> list[Entry]:
        """Replace files by their parts, unless they are parts already."""
        return [
            (replace(item, part=part), info)
            for item, info in entries
            for part in ([item.part] if item.part else self.parts(info))
        ]

    def _predefined_split(self, entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry], str]:
        """Split by ``Item.is_val``; files that are in both splits become validation data."""
        val = [(item, info) for item, info in entries if item.is_val]
        val_hashes = {info.content_hash for _, info in val}
        train = [(item, info) for item, info in entries if not item.is_val and info.content_hash not in val_hashes]
        duplicates = [item.file for item, info in entries if not item.is_val and info.content_hash in val_hashes]
        self.num_skipped += len(duplicates)
        self.skipped += tuple(
            one_line(f"{file} is also in the validation data: it is not trained on.") for file in duplicates
        )
        return train, val, ""

    def _hash_split(self, entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry], str]:
        """Split by the content of the files, keeping groups together."""
        if len({info.content_hash for _, info in entries}) < 2:
            return self._cut_single(entries)
        group_ids, note = self.group_ids([info for _, info in entries])
        if len(set(group_ids)) < 2:  # all similar, such as single frames of a video: group only identical files
            group_ids = _group_identical([info for _, info in entries])
        val = self.select_val([info for _, info in entries], group_ids)
        train = [entry for index, entry in enumerate(entries) if index not in val]
        return train, [entries[index] for index in sorted(val)], note

    def _cut_single(self, entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry], str]:
        """Split the only file by its parts. Each different prompt of identical files gets all parts."""
        parts = self.cut(entries[0][0].file, entries[0][1]) if entries else None
        if parts is None:
            return [], [], ""
        by_prompt = {item.prompt: (item, info) for item, info in reversed(entries)}
        unique = [by_prompt[prompt] for prompt in sorted(by_prompt)]
        train, val = (
            [(replace(item, part=part), info) for part in split_parts for item, info in unique]
            for split_parts in parts[:2]
        )
        copies = f" in {len(entries):,} copies" if len(entries) > 1 else ""
        return train, val, f"; one {self.item_name.removesuffix('s')}{copies}, {parts[2]}"

    @cached_property
    def column_names(self) -> Sequence[str]:
        """Names of the columns of tables and of ``folder``, in alphabetical order."""
        return sorted({name for entries in self._partition[:2] for item, _ in entries for name in item.columns})

    def items_of(self, split: Split) -> list[Item]:
        """Return the files of a split, in order."""
        train, val, _ = self._partition
        return [item for item, _ in {"val": val, "excluded": self._excluded}.get(split.name, train)]

    @cached_property
    def _excluded(self) -> list[Entry]:
        """The files that ``exclude`` names, which are read only when they are asked for."""
        _ = self._partition  # finds the files
        items = filter_items(self.excluded_items, PersonalFilter(self.personal, "caption"))
        infos = index_files(self.root, [item.file for item in items], self.item_name, self.inspect)
        return self._divide([(item, info) for item, info in zip(items, infos, strict=True) if not info.error])

    @cached_property
    def excluded(self) -> Split | None:
        return self._make_split("excluded", self._excluded) if self._excluded else None

    @cached_property
    def _splits(self) -> tuple[Split, Split]:
        train, val, _ = self._partition
        weights = item_weights([item for item, _ in train], self.weights)
        return replace(self._make_split("train", train), weights=weights), self._make_split("val", val)

    def _make_split(self, name: str, entries: Sequence[Entry]) -> Split:
        prompts = [item.prompt for item, _ in entries]
        content = [
            (info.content_hash, item.prompt, *(item.part or ()), *([item.captions] if item.captions else []))
            for item, info in entries
        ]
        content_hash = cache_key(self.item_name, self.load_options, content)

        def load(index: int) -> Example:
            item, info = entries[index]
            if item.part is None:
                return Example(self.load(item.file), item.prompt, captions=item.captions)
            is_last = index + 1 == len(entries) or entries[index + 1][1].content_hash != info.content_hash
            whole = self.last_whole.get(item.file, info.content_hash, is_last)
            return Example(self.take_part(whole, item.part), item.prompt, captions=item.captions)

        has_parts = any(item.part for item, _ in entries)  # in order, each file is read only once
        captions = [item.captions for item, _ in entries]
        threads = 1 if has_parts else NUM_THREADS
        column = lambda key: [item.columns.get(key, "") for item, _ in entries]  # noqa: E731
        split = Split(name, len(entries), load, content_hash, prompts, threads)
        return replace(split, captions=captions if any(captions) else (), load_column=column)

    def _has_suffix(self, file: Path) -> bool:
        return file.suffix.lower() in self.suffixes


def _file_notes(file: Path, info: FileInfo) -> Iterator[str]:
    """Yield what people should know of a file that is used."""
    if info.note:
        yield f"{file}: {info.note}."
    if info.is_silence:
        yield f"{file} is silent."


def _group_identical(infos: Sequence[FileInfo]) -> list[int]:
    """Return a group number for each file, the same one for identical files."""
    first: dict[str, int] = {}
    return [first.setdefault(info.content_hash, index) for index, info in enumerate(infos)]


def _split_folders(path: Path, media: Sequence[Path]) -> list[Path]:
    """Return the folders of training and validation data; an empty list without a predefined split."""
    if not path.is_dir():
        return []
    names = {file.relative_to(path).parts[0] for file in media if file.parent != path}
    val_name = next((name for name in VAL_FOLDERS if name in names), None)
    return [path / "train", path / val_name] if val_name and "train" in names else []
