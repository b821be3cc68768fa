"""Labels of samples: what their files say of the model that made them, see ``genai.trust``."""

import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genai.core.errors import UserError
from genai.core.files import read_bytes
from genai.core.terminal import one_line
from genai.inference.provenance import SampleRecipe
from genai.media.signatures import guess_suffix
from genai.trust.certificates import (
    CERTIFICATE_FILE,
    Signer,
    certificate_folder,
    ensure_certificates,
    has_c2pa,
    read_signer,
)
from genai.trust.embed import add_label
from genai.trust.label import Label, media_hash
from genai.trust.xmp import wav_info
from genai.version import __version__

if TYPE_CHECKING:
    from genai.inference.model import Model

VARIABLE = "GENAI_LABEL"
"""Environment variable with the default of ``label=``."""
MAX_VOICES = 20
"""Consent records that a label names."""
PROMPT_FIELDS = ("prompt", "batch")
OTHER_FIELDS = (
    "checkpoint",
    "files",
    "init",
    "sound",
    "then",
    "vocoder",
    "adapters",
    "checkpoint_sha256",
    "version",
    "media_sha256",
    "label",
)
"""Fields of a recipe with prompts; and with paths, or what a label tells elsewhere."""


@dataclass(frozen=True)
class LabelOptions:
    """How files are labeled.

    Attributes:
        label: whether they are; ``None``: unless ``GENAI_LABEL`` is ``false``.
        label_prompt: whether a label tells the prompt, and other texts of a person.
        label_cert, label_key: files of a certificate and its key; ``None``: those of this machine.
    """

    label: bool | None = None
    label_prompt: bool = False
    label_cert: str | None = None
    label_key: str | None = None

    @property
    def is_on(self) -> bool:
        """Whether files are labeled."""
        return os.environ.get(VARIABLE, "").lower() not in ("false", "0") if self.label is None else self.label


@dataclass(frozen=True)
class Labeler:
    """Writes the label of one model.

    Attributes:
        kind: ``signed``, ``metadata`` alone, or ``none``.
        signer: of signed labels.
        model: name of the model.
        checkpoint_sha256: of its checkpoint.
        with_prompt: whether a label tells the prompt.
        consent: for the voices of the model, see ``genai.trust.label.Label``.
        is_voice: whether the model makes synthetic voices, whose files always have a label.
        is_off: whether a person has refused labels, rather than the environment.
    """

    kind: Literal["signed", "metadata", "none"] = "none"
    signer: Signer | None = None
    model: str = ""
    checkpoint_sha256: str = ""
    with_prompt: bool = False
    consent: str = ""
    is_voice: bool = False
    is_off: bool = False

    def of(self, model: "Model") -> "Labeler":
        """Return one for a model. Raises ``UserError`` for ``label=false`` of a model that makes voices."""
        own = replace(
            self,
            model=model_name(model),
            checkpoint_sha256=model.digest,
            consent=describe_consent(model),
            is_voice=model.makes_voices,
        )
        if not own.is_voice or self.kind != "none":
            return own
        if self.is_off:
            raise UserError("label=false: each file of this model says that its voice is synthetic. Leave it out.")
        return replace(own, kind="metadata")

    def wav_info(self) -> bytes:
        """Return the chunk that says in a WAV, before it is complete, that a voice is synthetic; empty for others."""
        return wav_info(self._label({}).fields) if self.is_voice else b""

    def _label(self, recipe: Mapping[str, Any]) -> Label:
        return Label(
            self.model, __version__, self.checkpoint_sha256, recipe, consent=self.consent, is_voice=self.is_voice
        )

    def encode(self, media: Any, suffix: str | None = None, recipe: SampleRecipe | None = None) -> dict[str, bytes]:
        """Return the labeled file of media, and what stands beside it: contents by suffix.

        Args:
            media: the sample.
            suffix: of the type of the file; ``None``: that of the media.
            recipe: of the sample, if it has one.

        Raises:
            UserError: the certificate cannot be used.
        """
        content, suffix = media.to_bytes(suffix) if suffix else media.to_bytes(), suffix or media.suffix
        if self.kind == "none":
            return {suffix: content}
        values = {} if recipe is None else public_values(asdict(recipe), self.with_prompt)
        has_original, original, original_suffix = _original(recipe)
        label = replace(
            self._label(values), has_original=has_original, original=original, original_suffix=original_suffix
        )
        return add_label(content, suffix, label, self.signer)

    def try_encode(self, media: Any) -> dict[str, bytes]:
        """Return the labeled file of media; without a label, and with a line once, if it cannot be signed.

        Of a voice it then has the metadata alone.
        """
        try:
            return self.encode(media)
        except UserError as error:
            _print_once(one_line(f"previews are not {'signed' if self.is_voice else 'labeled'}: {error}"))
            return (replace(self, kind="metadata", signer=None) if self.is_voice else Labeler()).encode(media)

    def describe(self, media: Any, recipe: SampleRecipe) -> SampleRecipe:
        """Return the recipe of a sample with the hash of its file before it is labeled, and the kind of label."""
        return replace(recipe, media_sha256=media_hash(media.to_bytes()), label=self.kind)


NO_LABEL = Labeler()


def create_labeler(options: LabelOptions) -> Labeler:
    """Return what writes labels; a line on standard error says what is new or missing.

    Raises:
        UserError: a certificate cannot be read.
    """
    if not options.is_on:
        return Labeler(is_off=options.label is False)
    if not has_c2pa():
        if options.label_cert is not None:
            raise UserError("label_cert= signs labels, which needs c2pa-python: pip install 'genai[label]'.")
        print("labels are not signed: pip install 'genai[label]' signs them", file=sys.stderr, flush=True)
        return Labeler("metadata", with_prompt=options.label_prompt)
    try:
        is_new = options.label_cert is None and ensure_certificates(certificate_folder())
        signer = read_signer(options.label_cert, options.label_key)
    except UserError as error:
        if options.label or options.label_cert is not None:
            raise
        print(one_line(f"labels are not signed: {error}"), file=sys.stderr, flush=True)
        return Labeler("metadata", with_prompt=options.label_prompt)
    if is_new:
        file = one_line(str(certificate_folder() / CERTIFICATE_FILE))
        print(f"labels are signed with a new certificate of this machine: {file}", file=sys.stderr, flush=True)
    return Labeler("signed", signer, with_prompt=options.label_prompt)


@cache
def _print_once(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def model_name(model: "Model") -> str:
    """Return the name of a model that labels tell: modality and method of its parts, no name that a person chose."""
    names = (f"{type(part.modality).__name__} {type(part.method).__name__}" for part in model.parts.values())
    return ", ".join(names)


def describe_consent(model: "Model") -> str:
    """Return the ids of the consent records of the voices in a model; ``not stated`` if it may have voices of which
    nothing is known; "" for other media."""
    ids = [voice.id for voice in model.voices]
    if ids:
        return ", ".join(ids[:MAX_VOICES]) + f" and {len(ids) - MAX_VOICES:,} more" * (len(ids) > MAX_VOICES)
    return "not stated" if any(part.modality.has_voices for part in model.parts.values()) else ""


def public_values(recipe: Mapping[str, Any], with_prompt: bool) -> dict[str, Any]:
    """Return what a label tells of a recipe: no paths, and texts of a person only ``with_prompt``."""
    left_out = {*OTHER_FIELDS, *(() if with_prompt else PROMPT_FIELDS)}
    values = {name: value for name, value in recipe.items() if name not in left_out and value not in (None, "", [], {})}
    options = {name: value for name, value in recipe.get("options", {}).items() if value not in (None, "", [], ())}
    files = {str(path) for path in recipe.get("files", {})}
    is_plain = lambda value: (  # noqa: E731
        isinstance(value, bool | int | float) or (with_prompt and not (isinstance(value, str) and value in files))
    )
    return {**values, "options": {name: value for name, value in options.items() if is_plain(value)}}


def _original(recipe: SampleRecipe | None) -> tuple[bool, bytes | None, str]:
    """Return whether a sample began with a file of a person; its content, if it is still there, and its suffix."""
    if recipe is None or recipe.init is None:
        return False, None, ""
    path = Path(recipe.init)
    try:
        content = read_bytes(path, "sample")
        return True, content, guess_suffix(content)
    except UserError:
        return True, None, ""
