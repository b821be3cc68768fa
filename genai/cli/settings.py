"""Types and ranges of the keys of ``configs/NAME.yaml`` of the commands, but of ``train.yaml``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from annotated_types import Ge, Le, Len, Lt

from genai.cli.compose import CommandConfig
from genai.core.errors import UserError, did_you_mean, short_text
from genai.core.paths import config_dirs
from genai.inference.labels import LabelOptions

if TYPE_CHECKING:
    from genai.metrics.judge_options import JudgeOptions

Count = Annotated[int, Ge(1)]
FIELD_NAMES = {"from": "recipe_file"}
"""Fields of keys that are keywords of Python."""


@dataclass(frozen=True, kw_only=True)
class LoadSettings:
    """Settings that all commands have that load a model."""

    ckpt: str | None
    adapter: str | None
    weights: Literal["ema", "raw"]
    dtype: Literal["float32", "bfloat16"] | None
    quantize: Literal["int8", "int4"] | None
    device: Literal["auto", "cpu", "cuda", "mps"]
    seed: Annotated[int, Ge(0), Lt(2**62)]
    runs: str
    plugins: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class ChatSettings(LoadSettings):
    """Settings of ``genai chat``; ``configs/chat.yaml`` explains each key."""

    system: str
    length: Annotated[int, Ge(1), Le(1_000_000)]


@dataclass(frozen=True, kw_only=True)
class ModelSettings(LoadSettings):
    """Settings of the commands that sample; ``modality`` stands in no YAML file."""

    soundtrack: str | None
    vocoder: str | None
    n: Count
    batch: Count
    out: str | None
    yes: bool
    modality: str | None = None

    def __post_init__(self) -> None:
        folders = config_dirs(self.plugins)
        modalities = sorted({file.stem for folder in folders for file in (folder / "modality").glob("*.yaml")})
        if self.modality is not None and self.modality not in modalities:
            hint = f"{did_you_mean(self.modality, modalities)} There are: {', '.join(modalities)}."
            raise UserError(f"modality={self.modality}: there is no such modality.{hint}")


@dataclass(frozen=True, kw_only=True)
class SampleSettings(ModelSettings, LabelOptions):
    """Settings of ``genai.sample``; ``configs/sample.yaml`` explains each key."""

    prompt: str | None
    prompts_file: str | None
    messages: str | None
    system: str | None
    init: str | None
    then: str | None
    recipe_file: str | None
    animate: bool
    interpolate: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        keys = {"init": self.init, "soundtrack": self.soundtrack, "then": self.then, "from": self.recipe_file}
        conflicts = [key for key, value in (keys | {"animate": self.animate}).items() if value]
        if self.interpolate and conflicts:
            raise UserError(f"interpolate=true and {conflicts[0]}=: give one of them.")
        sources = [key for key in ("prompt", "prompts_file", "messages") if getattr(self, key) is not None]
        if len(sources) > 1:
            raise UserError(f"{sources[0]}= and {sources[1]}=: give one of them.")


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings(ModelSettings):
    """Settings of ``genai.evaluate``; ``configs/evaluate.yaml`` explains each key."""

    metrics: Sequence[str] | None
    problems: str | None
    references: str | None
    audit_group: str | int | Sequence[str | int] | None
    judge: Mapping[str, Any]

    @property
    def judge_options(self) -> "JudgeOptions":
        """``judge`` with its types checked. Raises ``UserError``."""
        from genai.core.instantiate import parse_dataclass
        from genai.metrics.judge_options import JudgeOptions

        return parse_dataclass(JudgeOptions, self.judge, "judge")

    @property
    def group_names(self) -> str | list[str] | None:
        """``audit_group`` as text or texts: names of classes may be numbers."""
        if self.audit_group is None or isinstance(self.audit_group, str | int):
            return None if self.audit_group is None else str(self.audit_group)
        return [str(name) for name in self.audit_group]

    @property
    def is_default(self) -> bool:
        """Whether the results may be written to ``metrics.json`` of the run."""
        others = (self.metrics, self.soundtrack, self.vocoder, self.adapter)
        return self.weights == "ema" and all(value is None for value in others)


@dataclass(frozen=True)
class PageSettings:
    """Settings of ``genai.page``; ``configs/page.yaml`` explains each key."""

    ckpt: str | None
    samples: str
    out: str
    runs: str
    plugins: Sequence[str]


@dataclass(frozen=True)
class HistorySettings:
    """Settings of ``genai history``; ``configs/history.yaml`` explains each key."""

    compare: str | None
    prune: bool | Sequence[str]
    yes: bool
    runs: str
    samples: str

    @property
    def run_names(self) -> list[str]:
        """The names of the two runs to compare; empty if none are. Raises ``UserError`` for another number of names."""
        names = [] if self.compare is None else [name.strip() for name in self.compare.strip("[]").split(",")]
        if self.compare is not None and (len(names) != 2 or not all(names)):
            raise UserError(f"compare={short_text(self.compare)}: give two runs, as compare=A,B.")
        return names


@dataclass(frozen=True)
class ExportSettings:
    """Settings of ``genai export``; ``configs/export.yaml`` explains each key."""

    ckpt: str | None
    adapter: str | None
    out: str
    format: Literal["genai", "hf", "gguf", "peft", "onnx", "web", "diffusers"]
    weights: Literal["ema", "raw"]
    license: str | None
    ort: str | None
    runs: str
    plugins: Sequence[str]


@dataclass(frozen=True)
class CardSettings:
    """Settings of ``genai card``; ``configs/card.yaml`` explains each key."""

    ckpt: str | None
    out: str | None
    json: bool
    weights: Literal["ema", "raw"]
    license: str | None
    runs: str
    plugins: Sequence[str]


@dataclass(frozen=True)
class AlignSettings:
    """Settings of ``genai align``; ``configs/align.yaml`` explains each key."""

    language: str
    phones: Literal["auto", "espeak", "letters"]
    lexicon: str | None
    out: str
    formats: Annotated[Sequence[Literal["json", "textgrid", "srt"]], Len(1)]
    plugins: Sequence[str]


S = TypeVar(
    "S",
    ModelSettings,
    SampleSettings,
    EvaluateSettings,
    PageSettings,
    HistorySettings,
    ExportSettings,
    CardSettings,
    ChatSettings,
    AlignSettings,
)


def parse_settings(cls: type[S], config: CommandConfig, **values: Any) -> S:
    """Build the settings of a command from its config and further ``values``. Raises ``UserError``."""
    from genai.core.instantiate import parse_dataclass

    return parse_dataclass(cls, {FIELD_NAMES.get(key, key): value for key, value in (config.values | values).items()})
