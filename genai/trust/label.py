"""Labels: what a file that a model made says of itself."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
"""Vocabulary of IPTC: where media come from."""
GENERATED, EDITED = "trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"
MANIFEST_SUFFIX = ".c2pa"
"""Of the file of the same name beside one that cannot hold Content Credentials, such as a text."""


@dataclass(frozen=True)
class Label:
    """What is said of a file.

    Attributes:
        model: name of the model.
        version: of genai.
        checkpoint_sha256: of the model's checkpoint.
        recipe: plain values with which the media can be made again.
        has_original: whether the media began with a file of a person.
        consent: ids of the consent records of the voices in the model, ``not stated``, or "": it makes no voices.
        is_voice: whether the media are a synthetic voice of a person.
        original, original_suffix: content and type of that file; ``None``: it is not there any more.
    """

    model: str
    version: str
    checkpoint_sha256: str = ""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    has_original: bool = False
    original: bytes | None = None
    original_suffix: str = ""
    consent: str = ""
    is_voice: bool = False

    @property
    def source_type(self) -> str:
        """Term of IPTC."""
        return SOURCE_TYPES + (EDITED if self.has_original else GENERATED)

    @property
    def fields(self) -> dict[str, str]:
        """The properties of the packet of XMP, by their names in ``genai.trust.xmp``."""
        values = {
            "DigitalSourceType": self.source_type,
            "CreatorTool": f"genai {self.version}",
            "Model": self.model,
            "Checkpoint": self.checkpoint_sha256,
            "Voice": "synthetic" if self.is_voice else "",
            "Consent": self.consent,
            "Recipe": json.dumps(self.recipe, ensure_ascii=False, separators=(",", ":")) if self.recipe else "",
        }
        return {name: value for name, value in values.items() if value}


def comment(fields: Mapping[str, str]) -> str:
    """Return what a comment in a file of sound says, which every player shows, from the fields of a label."""
    term, consent = fields.get("DigitalSourceType", "").rpartition("/")[2], fields.get("Consent", "")
    voice = ["synthetic voice", term, f"model {fields.get('Model', '')}"] if fields.get("Voice") else [term]
    return "; ".join([*voice, *([f"consent {consent}"] if consent else [])])


def media_hash(content: bytes) -> str:
    """Return the sha256 of a file before it is labeled: what the same recipe gives again."""
    return hashlib.sha256(content).hexdigest()
