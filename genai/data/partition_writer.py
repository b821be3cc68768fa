"""Writing the shards of a partition of the data, by itself; and the index of all.

Each partition has a folder of its own. Its record is written last, so a partition is complete, or it is made again.
"""

import json
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any

from genai.core.cache import cache_dir, cache_key, read_sums
from genai.core.data import Example, Partition, Source, Split
from genai.core.errors import RunError, UserError, short_text
from genai.core.files import make_folder, read_text, remove_path, write_file
from genai.core.instantiate import instantiate, read_dataclass
from genai.core.personal_record import PersonalRecord, join_records
from genai.core.plain_data import parse_json
from genai.core.terminal import one_line
from genai.data.prepared import FORMAT, INDEX, MAX_SHARDS, PreparedIndex, restore_state
from genai.modalities.base import Modality
from genai.modalities.shards import PackedFile, Shard, find_problem
from genai.runs.record import config_differences
from genai.version import __version__

SETTINGS, RECORD = "settings.json", "part.json"
SHARD_BYTES, SHARD_ITEMS = 256_000_000, 65_536
"""Size of a shard, about, and most examples of one; texts are only measured."""
FIT_EXAMPLES, FIT_BYTES = 4096, 64_000_000
"""Examples, and bytes of them, that a tokenizer or statistics are computed from."""
MAX_MESSAGES = 20
"""Messages about unusable examples that are kept."""
SPLITS = ("train", "val")
PART_NAME = "part-[0-9a-f]{24}"
"""Name of the folder of a partition."""
MAX_DIFFERENCES = 3


@dataclass(frozen=True)
class DataNodes:
    """Config nodes of a source and of the modality that packs it, and the packages whose classes are allowed."""

    data: Mapping[str, Any]
    modality: Mapping[str, Any]
    plugins: Sequence[str] = ()

    def build(self) -> tuple[Source, Modality]:
        """Build both. Raises ``UserError``."""
        source: Source = instantiate(self.data, Source, "data", plugins=self.plugins)  # type: ignore[type-abstract]
        modality: Modality = instantiate(self.modality, Modality, "modality", plugins=self.plugins)  # type: ignore[type-abstract]
        return source, modality


@dataclass(frozen=True)
class PartitionRecord:
    """What is in the folder of a partition: its shards, the examples that could not be used, and personal data."""

    train: list[Shard]
    val: list[Shard]
    num_skipped: int
    skipped: list[str]
    personal: PersonalRecord | None = None


@dataclass(frozen=True)
class PartitionWriter:
    """Writes the partitions of a source to a folder, each by itself."""

    nodes: DataNodes
    folder: Path
    source: Source
    modality: Modality

    def restore_or_fit(self, partitions: Sequence[Partition], state: Mapping[str, Any] | None = None) -> None:
        """Restore the state that the folder was begun with, or ``state``, or fit the modality to the first examples.

        Raises:
            UserError: the folder has other data, or there are no examples.
        """
        file = self.folder / SETTINGS
        settings = json.loads(json.dumps({"data": self.nodes.data, "modality": self.nodes.modality}))
        if file.exists():
            before = parse_json(read_text(file, "tokenizer"), str(file))
            if not isinstance(before, dict):
                raise UserError(f"{file} is damaged: name a new folder, out=.")
            if words := _other_words(before, settings):
                raise UserError(
                    f"{self.folder} was begun with {words}. Repeat those words, or name a new folder, out=."
                )
            restore_state(self.modality, before.get("state"))
            return
        if state is None:
            examples = _first_examples(partitions)
            print(
                f"computing what encoding needs from the first {len(examples):,} examples", file=sys.stderr, flush=True
            )
            self.modality.fit(examples, cache_dir())
        else:
            self.modality.restore(state)
        make_folder(self.folder)
        write_file(file, json.dumps({**settings, "state": self.modality.state()}))

    @cached_property
    def key(self) -> str:
        """Hash of what the shards depend on besides the examples."""
        return cache_key(self.nodes.modality, self.modality.state())

    def record(self, partition: Partition) -> PartitionRecord | None:
        """Return the record of a partition; ``None`` if it is not complete, or files are missing."""
        file = self.folder / self._partition_name(partition) / RECORD
        if not file.exists():
            return None
        record = read_dataclass(PartitionRecord, parse_json(read_text(file, "index"), str(file), 40 * MAX_SHARDS))
        shards = (*record.train, *record.val)
        return None if any(find_problem(file.parent, shard) for shard in shards) else record

    def remove_unused(self, partitions: Sequence[Partition]) -> None:
        """Delete the folders of partitions that there are not any more: the data or the tokenizer were others then."""
        names = {self._partition_name(partition) for partition in partitions}
        for path in self.folder.glob("part-*"):
            if re.fullmatch(PART_NAME, path.name) and path.name not in names:
                remove_path(path)

    def write_partition(self, partition: Partition) -> None:
        """Write the shards of a partition, and its record. Raises ``RunError`` if the disk is full."""
        folder = self.folder / self._partition_name(partition)
        shutil.rmtree(folder, ignore_errors=True)
        make_folder(folder)
        unused = UnusedExamples()
        shards = {split: list(self._pack(partition, split, folder, unused)) for split in SPLITS}
        skipped = [one_line(short_text(message)) for message in unused.errors[:MAX_MESSAGES]]
        personal = join_records(unused.records)
        record = PartitionRecord(shards["train"], shards["val"], len(unused.errors), skipped, personal)
        write_file(folder / RECORD, json.dumps(asdict(record)))

    def _pack(self, partition: Partition, split: str, folder: Path, unused: "UnusedExamples") -> Iterator[Shard]:
        """Pack the examples of one split of a partition; add to ``unused`` what else it yields."""
        read = partition.read.get(split)
        examples = unused.skip(read()) if read else iter(())
        for number, first in enumerate(examples):
            content_hash = cache_key(partition.stamp, self.key, split, number)
            packing = _ShardExamples(partition.name, first, examples, content_hash, self._byte_ratio(first.media))
            before = set(folder.glob("*.sums"))
            packed = self.modality.pack(packing, folder)
            yield _describe_shard(set(folder.glob("*.sums")) - before, folder, content_hash, len(packed))

    def _byte_ratio(self, media: Any) -> float:
        """Return how many bytes of a shard one byte of media becomes, about."""
        return 1.0 if isinstance(media, str) else self.modality.encode(media).nbytes / max(1, media_bytes(media))

    def write_index(self, partitions: Sequence[Partition]) -> PreparedIndex:
        """Write the index of all partitions. Raises ``UserError`` if one of the splits is empty."""
        records = [record for partition in partitions if (record := self.record(partition))]
        shards = {split: [shard for record in records for shard in getattr(record, split)] for split in SPLITS}
        skipped = [message for record in records for message in record.skipped]
        for split, members in shards.items():
            if not members:
                hint = " ".join(list(dict.fromkeys(skipped))[:3])
                raise UserError(f"{one_line(self.source_name)}: the split '{split}' has no examples. {hint}".rstrip())
        index = PreparedIndex(
            format=FORMAT,
            version=__version__,
            modality=dict(self.nodes.modality),
            state=dict(self.modality.state()),
            source=self.source_name,
            name=self.source.name,
            license=self.source.license,
            metrics=[name for name in self.source.metrics if name not in self.source.own_metrics],
            train=shards["train"],
            val=shards["val"],
            num_skipped=sum(record.num_skipped for record in records),
            skipped=skipped[:MAX_MESSAGES],
            personal=join_records([*(record.personal for record in records), self.source.personal_record]),
        )
        write_file(self.folder / INDEX, json.dumps(asdict(index)) + "\n")
        return index

    @property
    def source_name(self) -> str:
        """The data, for people."""
        return str(self.nodes.data.get("path") or self.source.name or type(self.source).__name__)

    def _partition_name(self, partition: Partition) -> str:
        return f"part-{cache_key(partition.stamp, self.key)}"


class _ShardExamples(Split):
    """The next examples of an iterator, as many as make a shard: a split that is read once."""

    def __init__(
        self, name: str, first: Example, rest: Iterator[Example], content_hash: str, byte_ratio: float
    ) -> None:
        super().__init__(name, SHARD_ITEMS, lambda index: first, content_hash)
        object.__setattr__(self, "_examples", chain([first], rest))
        object.__setattr__(self, "_byte_ratio", byte_ratio)
        object.__setattr__(self, "_is_read", False)

    def __iter__(self) -> Iterator[Example]:
        if self._is_read:  # type: ignore[attr-defined]
            raise RunError(f"{self.name}: a shard could not be written; is the disk full?")
        object.__setattr__(self, "_is_read", True)
        num_bytes = 0.0
        examples: Iterator[Example] = self._examples  # type: ignore[attr-defined]
        for example in examples if isinstance(self[0].media, str) else islice(examples, SHARD_ITEMS):
            yield example
            num_bytes += media_bytes(example.media) * self._byte_ratio  # type: ignore[attr-defined]
            if num_bytes >= SHARD_BYTES:
                return


def _other_words(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return words in which settings differ, with their values before and after; "" if none do."""
    differences = [part for key, value in after.items() for part in config_differences(before.get(key), value, key)]
    targets = [part for part in differences if part[0].endswith("._target_")]  # their arguments differ, too
    lines = [
        f"{name.removesuffix('._target_')}={_describe_value(old)}, not {_describe_value(new)}"
        for name, old, new in (targets or differences)[:MAX_DIFFERENCES]
    ]
    return "; ".join([*lines, *["..."] * (len(targets or differences) > MAX_DIFFERENCES)])


def _describe_value(value: Any) -> str:
    return short_text(value) if isinstance(value, str) else short_text(json.dumps(value, ensure_ascii=False))


def media_bytes(media: Any) -> int:
    """Return about how much memory media take, in bytes."""
    if isinstance(media, str):
        return len(media)
    return sum(getattr(value, "nbytes", 0) for value in vars(media).values())


@dataclass
class UnusedExamples:
    """What reading a partition yields besides examples: why others cannot be used, and what was found in them."""

    errors: list[str] = field(default_factory=list)
    records: list[PersonalRecord] = field(default_factory=list)

    def skip(self, members: Iterator[Example | UserError | PersonalRecord]) -> Iterator[Example]:
        """Yield the examples, and keep the others."""
        for member in members:
            if isinstance(member, Example):
                yield member
            elif isinstance(member, PersonalRecord):
                self.records.append(member)
            else:
                self.errors.append(str(member))


def _first_examples(partitions: Sequence[Partition]) -> Split:
    """Return the first training examples of the first partitions. Raises ``UserError`` if there are none."""
    unused, examples, num_bytes = UnusedExamples(), list[Example](), 0
    readers = (partition.read["train"] for partition in partitions if "train" in partition.read)
    for example in unused.skip(chain.from_iterable(read() for read in readers)):
        examples.append(example)
        num_bytes += media_bytes(example.media)
        if len(examples) == FIT_EXAMPLES or num_bytes > FIT_BYTES:
            break
    if not examples:
        raise UserError(_no_examples(unused))
    content_hash = cache_key("first", [partition.stamp for partition in partitions[:1000]], len(examples))
    return Split("train", len(examples), examples.__getitem__, content_hash)


def _no_examples(unused: UnusedExamples) -> str:
    """Return the message that nothing is left to train on, with each reason once."""
    personal = join_records(unused.records)
    if personal and personal.mode == "drop" and personal.num_texts:
        return f"data: there are no examples to train on: {personal}."
    reasons = list(dict.fromkeys(unused.errors))[:3]
    return f"data: there are no examples to train on. {' '.join(reasons)}".rstrip()


def _describe_shard(entries: set[Path], folder: Path, content_hash: str, items: int) -> Shard:
    """Describe the shard with the sums ``entries``, which have to be one. Raises ``RunError`` if there is none."""
    if len(entries) != 1:
        raise RunError(f"cannot write in {folder}: is its disk full? The same words go on when there is room.")
    files = [PackedFile(name, *content) for name, content in read_sums(entries.pop().with_suffix("")).items()]
    return Shard(folder.name, content_hash, items, files)
