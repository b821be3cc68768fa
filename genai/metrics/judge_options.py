"""Options of metrics that judge speech: weights, sentences and language."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class JudgeOptions:
    """Keys below ``judge`` of ``configs/evaluate.yaml``.

    Attributes:
        weights: folder of Whisper's weights, in the format of CTranslate2.
        sentences: JSON file of named lists of sentences; ``None``: the texts of held-out clips.
        language: code of the language that is spoken, such as ``en``.
    """

    weights: str | None = None
    sentences: str | None = None
    language: str = "en"

    @property
    def is_default(self) -> bool:
        """Whether none of them was set."""
        return self == JudgeOptions()
