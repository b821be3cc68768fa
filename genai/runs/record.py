"""The record of a run, ``record.json``: what it is made from and how far it is."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Le

from genai.core.energy import Energy
from genai.core.errors import UserError
from genai.core.files import read_text
from genai.core.plain_data import parse_json
from genai.core.renamed import without_split

MAX_FACTOR = 100
"""Largest factor of an adapter's change."""


@dataclass(frozen=True)
class DataRecord:
    """The data of a run: counts, and hashes of the content, of both splits.

    Attributes:
        name: of the data set, its id on the Hugging Face hub if it is known.
        license: as the data set states it; "" if it does not.
    """

    name: str = ""
    license: str = ""
    description: str = ""
    train: int = 0
    val: int = 0
    hash: str = ""
    hash_val: str = ""
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PromptsRecord:
    """The prompts of the training data.

    Attributes:
        count: number of different prompts, without "".
        prompts: the most frequent ones.
        num_words: number of different words in them.
        words: the most frequent ones, separated by spaces.
    """

    count: int
    prompts: list[str]
    num_words: int
    words: str


@dataclass(frozen=True)
class BestRecord:
    """The lowest validation loss, and its step."""

    step: int
    val_loss: float


@dataclass(frozen=True)
class BaseRecord:
    """The model that another one was trained from, or is a copy of.

    Attributes:
        name: its id on the Hugging Face hub, or the name of its folder.
        digest: sha256 of its files.
        license: as it is stated there; "" if it is not.
        path: of its file or folder on this machine.
        shares_config: whether the run has its modality and its model, rather than those of the run's words.
    """

    name: str
    digest: str = ""
    license: str = ""
    path: str = ""
    shares_config: bool = False


@dataclass(frozen=True)
class VoiceRecord:
    """The consent for a voice in a model, or the license of a public set of voices; see ``genai.trust.consent``.

    Attributes:
        id: of the consent record.
        to: what was agreed to: ``train``, ``clone``, ``publish``.
        license: of the recordings.
        speakers: names of the speakers, as far as they are stated.
        source: where a public set is published; "" for a consent.
    """

    id: str
    to: list[str] = field(default_factory=list)
    license: str = ""
    speakers: list[str] = field(default_factory=list)
    source: str = ""

    def __str__(self) -> str:
        who = f"public set {self.source}" if self.source else f"given to {', '.join(self.to)}"
        speakers = f", speakers {', '.join(self.speakers)}" if self.speakers else ""
        return f"{self.id} ({who}, {self.license}{speakers})"


@dataclass(frozen=True)
class AdapterRecord:
    """An adapter in the weights of a model.

    Attributes:
        checkpoint, checkpoint_sha256: path, or name, and hash of its file.
        factor: of its change.
        data, license: name and license of the data that it was trained on; "" if they are not known.
    """

    checkpoint: str
    checkpoint_sha256: str
    factor: Annotated[float, Ge(-MAX_FACTOR), Le(MAX_FACTOR)] = 1.0
    data: str = ""
    license: str = ""


@dataclass(frozen=True)
class ScoreRecord:
    """A metric of ``genai.evaluate``; see ``genai.metrics.base.Result``."""

    name: str
    value: float | None = None
    standard_error: float | None = None
    reference: float | None = None
    description: str = ""


@dataclass(frozen=True)
class CopyingRecord:
    """Whether a model reproduces its training items, see ``genai.metrics.copying``.

    Attributes:
        alarm: whether it does; ``None``: it could not be tested, though there may be copies.
        copies: share of samples that are copies.
        nearer_train: share of samples that are nearest to a training item, not to a held-out one.
        p: that the samples are as near to held-out items.
        samples, train_items, held_out_items: numbers of them.
        canaries: number of canaries.
        canaries_p: that planted canaries have the loss of those that were left out.
        note: for people.
        step: of the averaged weights that were checked; ``None``: not known.
    """

    alarm: bool | None = None
    copies: float | None = None
    nearer_train: float | None = None
    p: float | None = None
    samples: int = 0
    train_items: int = 0
    held_out_items: int = 0
    canaries: int = 0
    canaries_p: float | None = None
    note: str = ""
    step: int | None = None

    @property
    def has_possible_copies(self) -> bool:
        """Whether copies were found, and nothing tells whether held-out items would have as many."""
        return self.alarm is None and self.copies is not None and self.copies > 0


@dataclass(frozen=True)
class SamplingEnergyRecord:
    """Energy of a thousand samples, as ``genai.evaluate`` measured it; see ``genai.core.energy.Energy``.

    Attributes:
        kwh_per_1000_samples, co2e_kg: of a thousand samples.
        samples: number of them that were made.
        checkpoint_sha256: of the checkpoint, with averaged weights.
    """

    kwh_per_1000_samples: float
    how: str = ""
    co2e_kg: float = 0.0
    kg_per_kwh: float = 0.0
    samples: int = 0
    checkpoint_sha256: str = ""


@dataclass(frozen=True)
class RunRecord:
    """What ``record.json`` holds; a value that is not there (yet) has its default.

    Attributes:
        started, finished, resumed: times in ISO format.
        modality, model, method: members of the config groups.
        can_sample: whether its model makes samples: a reward model does not.
        overrides: words of the command line.
        prompts: of the previews.
        steps, total_steps: steps that are saved, and that are to be done, if they are known.
        git: commit of the working folder, and whether it had uncommitted changes.
        devices: processes on all machines.
        job: id of the job on a cluster, which finds the run when it is started again.
        base: the model that ``init_from=`` named.
        consent: for the voices in the model.
        energy: of training, without the preparation of its data; of all starts.
        sampling_energy: of the newest evaluation that wrote ``metrics.json``.
        copying: whether the model reproduces its training items; ``None``: the run does not look for it.
        warnings: what the run said about its losses, the newest last.
        license, scores, adapters: of an exported model.
        evaluation, groups: number of samples and seed behind the scores; scores by group: of an exported model.
        data_card: a summary of the data card, of an exported model.
    """

    started: str = ""
    finished: str | None = None
    resumed: list[str] = field(default_factory=list)
    modality: str | None = None
    model: str | None = None
    method: str | None = None
    can_sample: bool = True
    overrides: list[Any] = field(default_factory=list)
    seed: int | None = None
    data: DataRecord = field(default_factory=DataRecord)
    prompts: list[str] = field(default_factory=list)
    known_prompts: PromptsRecord | None = None
    parameters: int | None = None
    device: str | None = None
    devices: int | None = None
    threads: int | None = None
    precision: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    git: dict[str, Any] | None = None
    hardware: dict[str, str] = field(default_factory=dict)
    command: list[str] = field(default_factory=list)
    best: BestRecord | None = None
    steps: int = 0
    total_steps: int | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    energy: Energy | None = None
    sampling_energy: SamplingEnergyRecord | None = None
    job: str | None = None
    base: BaseRecord | None = None
    consent: list[VoiceRecord] = field(default_factory=list)
    copying: CopyingRecord | None = None
    warnings: list[str] = field(default_factory=list)
    license: str = ""
    scores: list[ScoreRecord] = field(default_factory=list)
    adapters: list[AdapterRecord] = field(default_factory=list)
    evaluation: dict[str, Any] | None = None
    groups: dict[str, Any] | None = None
    data_card: dict[str, Any] | None = None

    @property
    def progress(self) -> str:
        """How far the run is, for messages: ``"12 of 300 steps"``."""
        return f"{self.steps:,} of {self.total_steps:,} steps" if self.total_steps else f"{self.steps:,} steps"


def iso_seconds(text: str) -> int:
    """Return a time in ISO format in seconds since 1970; 0 if it is none, or out of range."""
    with suppress(ValueError, OverflowError, OSError):
        return int(datetime.fromisoformat(text).timestamp())
    return 0


def read_values(file: Path) -> dict[str, Any]:
    """Return the content of a ``record.json``; empty if there is no file. Raises ``UserError``."""
    return read_mapping(file, "record", parse_json)


def read_mapping(file: Path, kind: str, parse: Callable[[str, str], Any]) -> dict[str, Any]:
    """Return the values by name in a file of a run folder; empty if there is no file.

    Args:
        file: in the run folder itself.
        kind: key of ``MAX_BYTES``.
        parse: ``parse_json`` or ``parse_yaml``.

    Raises:
        UserError: the file cannot be read, or holds something else.
    """
    if not os.path.lexists(file):
        return {}
    values = parse(read_text(file, kind, file.parent), str(file))
    if not isinstance(values, dict):
        raise UserError(f"cannot read {file}: it holds a {type(values).__name__}, not values by name.")
    return values


def config_differences(old: Any, new: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """List the differences of two config nodes as (path, old value, new value)."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        old, new = without_split(old), without_split(new)
        keys = dict.fromkeys([*old, *new])
        return [d for key in keys for d in config_differences(old.get(key), new.get(key), f"{path}.{key}")]
    return [] if old == new else [(path, old, new)]


def parse_record(values: Mapping[str, Any], file: Path | str) -> RunRecord:
    """Check the types of the content of ``file``. Raises ``UserError``."""
    from genai.core.instantiate import read_dataclass  # imports pydantic, for which --help has no time

    try:
        return read_dataclass(RunRecord, values)
    except UserError as error:
        raise UserError(f"cannot read {file} ({str(error)[:100].rstrip('.')}).") from error
