"""Data that were prepared: a folder of shards, or its address on another machine, as a source."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import Any

from genai.core.cache import cache_key
from genai.core.data import Example, PackedDataset, Source, Split
from genai.core.errors import UserError, short_repr, short_text
from genai.core.files import is_address, read_text
from genai.core.instantiate import instantiate, read_dataclass
from genai.core.personal_record import PersonalRecord
from genai.core.plain_data import parse_json
from genai.core.terminal import one_line
from genai.data.remote_shards import RemoteShards
from genai.media.base import Media
from genai.modalities.base import Modality
from genai.modalities.shards import Shard, ShardedDataset, ShardFolder, decode_item

INDEX = "index.json"
FORMAT = 1
MAX_SHARDS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class PreparedIndex:
    """The file ``index.json`` of prepared data.

    Attributes:
        format: ``FORMAT``.
        version: of genai.
        modality, state: config node of the modality that packed the shards, and its state.
        source: what the data are, for people.
        name, license: of the data set.
        metrics: default metrics of ``genai.evaluate``.
        train, val: the shards of both splits.
        num_skipped, skipped: number of examples that could not be used, and messages about the first.
        personal: what was found of personal data, and done about it; ``None``: not searched.
    """

    format: int
    version: str = ""
    modality: dict[str, Any]
    state: dict[str, Any]
    source: str
    name: str = ""
    license: str = ""
    metrics: list[str] = field(default_factory=lambda: ["val_loss"])
    train: list[Shard]
    val: list[Shard]
    num_skipped: int = 0
    skipped: list[str] = field(default_factory=list)
    personal: PersonalRecord | None = None

    def __post_init__(self) -> None:
        if not all(0 < len(shards) <= MAX_SHARDS for shards in (self.train, self.val)):
            raise ValueError(f"train and val should have 1 to {MAX_SHARDS:,} shards")

    @classmethod
    def read(cls, file: Path) -> "PreparedIndex":
        """Read an index. Raises ``UserError`` naming what is wrong with it."""
        try:
            values = parse_json(read_text(file, "index"), str(file), 40 * MAX_SHARDS)
            if isinstance(values, dict) and values.get("format") != FORMAT:
                raise UserError(f"its format is {short_repr(values.get('format'))}; this version reads {FORMAT}.")
            return read_dataclass(cls, values)
        except UserError as error:
            raise UserError(f"{file} is no index of prepared data: {error}") from error

    def create_modality(self) -> Modality:
        """Return the modality that packed the shards. Raises ``UserError``."""
        modality: Modality = instantiate(self.modality, Modality, "modality")  # type: ignore[type-abstract]
        restore_state(modality, self.state)
        return modality


def restore_state(modality: Modality, state: Any) -> None:
    """Restore the state of a modality from a file. Raises ``UserError`` if it is of any other shape."""
    try:
        modality.restore(state)
    except (UserError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"the state of the modality cannot be used ({short_text(str(error))}).") from error


class Prepared(Source):
    """Data that ``python -m genai prepare`` made: shards of tensors for one modality with its settings.

    An example is what the model sees of it, such as a picture in the size of the model, or a window of a text.

    Args:
        path: the folder; or its address, which begins with the name of a protocol (``s3://bucket/folder``): shards are
            copied to the cache when they are needed.
        cache_gb: size in GB of the copies that are kept; the oldest are removed.

    Raises:
        UserError: there is no such folder, or its index cannot be used.
    """

    media: type[Any] = object  # type: ignore[misc]

    def __init__(self, path: str, cache_gb: float | None = None) -> None:
        self.path = path
        self.place = RemoteShards(path, cache_gb) if is_address(path) else ShardFolder(Path(path).expanduser())
        self.index = PreparedIndex.read(self.place.fetch_index(INDEX))
        self.modality = self.index.create_modality()
        self.media = self.modality.media
        self.metrics = tuple(self.index.metrics)
        self.name, self.license = self.index.name, self.index.license
        self.skipped = tuple(map(one_line, self.index.skipped))
        if (personal := self.index.personal) is not None:
            self.personal_record = personal
            self.file_notes = tuple(one_line(short_text(note)) for note in personal.notes)

    @cached_property
    def train(self) -> Split:
        return self._make_split("train", self.index.train)

    @cached_property
    def val(self) -> Split:
        return self._make_split("val", self.index.val)

    @property
    def description(self) -> str:
        size = sum(shard.num_bytes for shard in (*self.index.train, *self.index.val))
        num_shards = len(self.index.train) + len(self.index.val)
        counts = f"{len(self.train):,} items to train on, {len(self.val):,} held out"
        skipped = f", {self.index.num_skipped:,} skipped" * bool(self.index.num_skipped)
        shards = f"prepared, {num_shards:,} shards of {size / 1e6:,.1f} MB together"
        personal = f"; {short_text(str(self.personal_record))}" if self.personal_record else ""
        return one_line(f"{short_text(self.index.source)}: {counts}{skipped}; {shards}{personal}")

    def _make_split(self, name: str, shards: Sequence[Shard]) -> Split:
        split = PreparedSplit(self, shards)
        content_hash = cache_key([[file.sha256 for file in shard.files] for shard in shards])
        return Split(name, sum(shard.items for shard in shards), split.load, content_hash, shards=split)


class PreparedSplit:
    """The shards of a split of ``source``."""

    def __init__(self, source: Prepared, shards: Sequence[Shard]) -> None:
        self.source, self.shards = source, shards

    @property
    def state(self) -> Mapping[str, Any]:
        """State of the modality that packed them."""
        return self.source.index.state

    @cached_property
    def packed(self) -> PackedDataset:
        """The split for the modality that packed it."""
        return ShardedDataset(self.source.place, self.shards, self.source.modality)

    @property
    def is_local(self) -> bool:
        """Whether the shards lie on this machine."""
        return isinstance(self.source.place, ShardFolder)

    def prompt(self, index: int) -> str:
        """Return the prompt of an item; "" if there is none."""
        prompts = self.packed.batch([index], None).prompts
        return prompts[0] if prompts else ""

    def load(self, index: int) -> Example:
        """Return an item as the model sees it."""
        media: Media = decode_item(self.source.modality, self.packed, index)
        return Example(media, self.prompt(index))

    def dataset(self, modality: Modality) -> PackedDataset:
        """Return the split for a modality. Raises ``UserError`` if its settings or its state pack differently."""
        packed = ShardedDataset(self.source.place, self.shards, modality)
        try:
            packed.batch([0], None)
        except UserError as error:
            if words := _differences(self.source.modality, modality):
                path = self.source.path
                raise UserError(
                    f"data.path={path} was prepared with {words}: give the same, or prepare the data again."
                ) from error
            raise
        return packed


def _differences(expected: Modality, modality: Modality) -> str:
    """Return the settings in which a modality differs from the one that packed data, as words."""
    if type(expected) is not type(modality):
        return f"{type(expected).__name__}, not {type(modality).__name__}"
    values = {name: getattr(expected, name) for name in signature(type(expected)).parameters if hasattr(expected, name)}
    plain = {name: value for name, value in values.items() if isinstance(value, bool | int | float | str | list)}
    changed = [name for name, value in plain.items() if value != getattr(modality, name, None)]
    return " ".join(f"modality.{name}={getattr(expected, name)}" for name in changed)
