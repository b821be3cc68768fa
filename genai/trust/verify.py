"""What can be said of where a file comes from: its signature, its metadata, and whether its content has changed."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from genai.core.errors import UserError, short_text
from genai.core.files import open_file, read_bytes
from genai.core.plain_data import parse_json
from genai.core.terminal import one_line
from genai.media.signatures import guess_suffix
from genai.trust.certificates import has_c2pa, known_authorities
from genai.trust.credentials import EMBEDDED, Credentials, read_credentials
from genai.trust.label import EDITED, GENERATED, MANIFEST_SUFFIX, SOURCE_TYPES
from genai.trust.watermarks.files import Tokenizer, detect_in_file
from genai.trust.watermarks.key import find_key
from genai.trust.xmp import read_xmp

Status = Literal["verified", "tampered", "unsigned", "no evidence"]
EXIT_CODES: Mapping[Status, int] = {"verified": 0, "no evidence": 3, "tampered": 4, "unsigned": 5}
"""Exit codes of ``genai verify``; of several files the first of 4, 3, 5, 0 that one of them has."""
MAX_FILE_BYTES = 2**30
MARKS = (b"jumb", b"c2pa")
"""Bytes of which every manifest has one."""
SIDECAR_TYPES = (".txt", ".ogg", ".webm")
"""Types of files whose signed label is in a file beside them."""
SYNTHETIC = (GENERATED, EDITED, "algorithmicMedia", "compositeSynthetic")
"""Terms of IPTC that say that a model made the media, or a part of them."""


@dataclass(frozen=True)
class Provenance:
    """What a file tells of where it comes from.

    Attributes:
        file: its path.
        status: ``verified``: a known signer says it, and the content has not changed. ``unsigned``: it says that it is
            synthetic, but nobody known signed that. ``tampered``: it was changed after it was signed. ``no evidence``:
            nothing says anything, which does not make it real.
        text: the same for people.
        signer, tool: who signed, and with what; "": nobody.
        is_synthetic: whether it says that a model made it, or a part of it; ``None``: it says nothing.
        model, version, checkpoint_sha256: of the model, as far as they are told.
        voice, consent: ``synthetic`` of a voice; ids of the consent records of the model's voices, or ``not stated``.
        known_as: run here whose checkpoint has this hash; "": none is known.
        edited_from: what was edited.
        recipe: how it was made, as far as it is told.
        watermark: result of the search for the watermark of this machine's key, ``kind``, ``p`` and ``key``; ``None``:
            there is no key, or the file cannot hold a watermark.
        note: why no watermark was searched for, if there is a key; "": it was, or cannot be.
    """

    file: str
    status: Status
    text: str
    signer: str = ""
    tool: str = ""
    is_synthetic: bool | None = None
    model: str = ""
    version: str = ""
    checkpoint_sha256: str = ""
    voice: str = ""
    consent: str = ""
    known_as: str = ""
    edited_from: list[str] = field(default_factory=list)
    recipe: dict[str, Any] = field(default_factory=dict)
    watermark: dict[str, Any] | None = None
    note: str = ""

    @property
    def entries(self) -> dict[str, Any]:
        """What there is to say, as plain data."""
        return {name: value for name, value in asdict(self).items() if value not in ("", [], {}, None)}


def verify_file(
    path: Path,
    checkpoints: Mapping[str, str] | None = None,
    tokenizers: Callable[[], Iterable[Tokenizer]] = tuple,
) -> Provenance:
    """Say where a file comes from.

    Args:
        path: the file.
        checkpoints: runs that are known, by the sha256 of their checkpoints.
        tokenizers: returns those of the models that may have written a text.

    Raises:
        UserError: it cannot be read.
    """
    with open_file(path, MAX_FILE_BYTES) as file:
        content = file.read()
    suffix = guess_suffix(content[: 2**20])
    return _with_watermark(_read_labels(path, content, suffix, checkpoints), path, suffix, tokenizers)


def _with_watermark(
    found: Provenance, path: Path, suffix: str, tokenizers: Callable[[], Iterable[Tokenizer]]
) -> Provenance:
    """Return what is said of a file with what a search for the watermark of this machine's key has found."""
    try:
        key = find_key()
    except UserError as error:
        return replace(found, note=f"no watermark was searched for: {error}")
    texts = [*tokenizers()] if key and suffix == ".txt" else []
    if key and suffix == ".txt" and not texts:
        note = "no watermark was searched for, as no model of texts is known here: ckpt= or runs= name one"
        return replace(found, note=note)
    detection = key and detect_in_file(path, suffix, key, texts)
    if not detection:
        return found
    found = replace(found, watermark=detection.entries)
    if not detection.is_found:
        return found
    text = f"it has the watermark of the key {detection.key} of this machine (p = {detection.p:.0e})"
    if found.status == "no evidence":
        text = f"no label, but {text}, which says that a model made it, and which can be copied"
        return replace(found, status="unsigned", text=text, is_synthetic=True)
    return replace(found, text=f"{found.text}; {text}")


def _read_labels(path: Path, content: bytes, suffix: str, checkpoints: Mapping[str, str] | None) -> Provenance:
    """Say where a file comes from by what is written in it and beside it."""
    fields, recipe = _read_fields(content)
    model = {
        "model": short_text(fields.get("Model", "")),
        "version": short_text(fields.get("CreatorTool", "")),
        "checkpoint_sha256": short_text(fields.get("Checkpoint", "")),
        "voice": short_text(fields.get("Voice", "")),
        "consent": short_text(fields.get("Consent", "")),
    }
    if has_c2pa():
        known_authorities()  # if they cannot be read, that says nothing of the file
    try:
        credentials = _credentials(path, content, suffix)
    except UserError as error:
        if not any(mark in content for mark in MARKS) and not path.with_suffix(MANIFEST_SUFFIX).is_file():
            text = "no evidence of where it comes from; it is damaged, or of no known type"
            return Provenance(str(path), "no evidence", text)
        return replace(Provenance(str(path), "tampered", str(error), recipe=recipe), **model)  # type: ignore[arg-type]
    if credentials is None:
        found = _unsigned(path, fields, model, recipe, checkpoints or {})
        return replace(found, text=f"{found.text}{_sidecar_hint(path, suffix)}")
    return _signed(path, credentials, model, recipe, checkpoints or {})


def exit_code(results: Sequence[Provenance]) -> int:
    """Return the exit code for several files."""
    codes = {EXIT_CODES[result.status] for result in results}
    return next((code for code in (4, 3, 5, 0) if code in codes), 0)


def _credentials(path: Path, content: bytes, suffix: str) -> Credentials | None:
    """Return the Content Credentials in a file or beside it. Raises ``UserError`` if they cannot be read."""
    if not has_c2pa():
        return None
    sidecar = path.with_suffix(MANIFEST_SUFFIX)
    credentials = read_credentials(content, suffix)
    has_sidecar = suffix not in EMBEDDED and path.suffix not in (".json", MANIFEST_SUFFIX)
    if credentials is None and has_sidecar and sidecar.is_file():
        return read_credentials(content, suffix, read_bytes(sidecar, "sample"))
    return credentials


def _sidecar_hint(path: Path, suffix: str) -> str:
    """Return what to add for a file whose credentials would stand beside it, and do not."""
    is_missing = suffix in SIDECAR_TYPES and path.suffix not in (".json", MANIFEST_SUFFIX)
    return f". Its label would be a {MANIFEST_SUFFIX} of the same name beside it, which is not there" * (
        is_missing and has_c2pa()
    )


def _read_fields(content: bytes) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the metadata of a file, and the recipe in it."""
    fields = read_xmp(content)
    try:
        recipe = parse_json(fields.get("Recipe") or "{}", "the recipe in the file")
    except UserError:
        recipe = {}
    return fields, recipe if isinstance(recipe, dict) else {}


def _signed(
    path: Path, credentials: Credentials, model: dict[str, str], recipe: dict[str, Any], checkpoints: Mapping[str, str]
) -> Provenance:
    is_synthetic = credentials.source_type in SYNTHETIC
    model = {name: credentials.details.get(name) or value for name, value in model.items()}
    known_as = checkpoints.get(model["checkpoint_sha256"], "")
    values: dict[str, Any] = {
        "signer": credentials.signer,
        "tool": credentials.tool,
        "is_synthetic": is_synthetic,
        "known_as": known_as,
        "edited_from": credentials.ingredients,
        "recipe": recipe,
        **model,
    }
    origin = _describe_origin(is_synthetic, credentials.source_type, model, credentials.tool, known_as)
    if credentials.state == "invalid":
        text = f"it was changed after {credentials.signer} signed it. The signed version said: {origin}"
        return Provenance(str(path), "tampered", text, **values)
    if credentials.state == "trusted":
        text = f"signed by {credentials.signer}, content unchanged: {origin}"
        return Provenance(str(path), "verified", text, **values)
    if not is_synthetic:
        text = f"signed by {credentials.signer}, who is unknown here, content unchanged; how it was made is not said"
        return Provenance(str(path), "no evidence", text, **values | {"is_synthetic": None})
    text = f"signed by {credentials.signer}, who is unknown here, content unchanged: {origin}"
    return Provenance(str(path), "unsigned", text, **values)


def _unsigned(
    path: Path, fields: Mapping[str, str], model: dict[str, str], recipe: dict[str, Any], checkpoints: Mapping[str, str]
) -> Provenance:
    term = fields.get("DigitalSourceType", "").removeprefix(SOURCE_TYPES)
    if term not in SYNTHETIC:
        return Provenance(str(path), "no evidence", "no evidence of where it comes from; it may be real or not")
    tool = model["version"]
    known_as = checkpoints.get(model["checkpoint_sha256"], "")
    origin = _describe_origin(True, term, model, tool, known_as)
    text = f"metadata alone, which anybody can write: {origin}"
    values: dict[str, Any] = {"tool": tool, "is_synthetic": True, "known_as": known_as, "recipe": recipe, **model}
    return Provenance(str(path), "unsigned", text, **values)


def _describe_origin(is_synthetic: bool, term: str, model: Mapping[str, str], tool: str, known_as: str) -> str:
    """Return what is said of how the media were made, for people."""
    if not is_synthetic:
        return "it does not say that a model made it"
    what = "edited by a model" if term == EDITED else "made by a model"
    name = f" ({', '.join(filter(None, (model['model'], tool)))})" if model["model"] or tool else ""
    consent = model["consent"] or "not stated"
    voice = f", a synthetic voice, consent {consent}" if model["voice"] == "synthetic" else ""
    return f"{what}{name}{f', that of {known_as}' if known_as else ''}{voice}"


def report(results: Sequence[Provenance], as_json: bool) -> str:
    """Return what was found, a line for each file, or as JSON."""
    if as_json:
        return json.dumps([result.entries for result in results], indent=1, ensure_ascii=False)
    return "\n".join(
        one_line(f"{result.status:<12}{result.file}: {result.text}{result.note and f' ({result.note})'}")
        for result in results
    )
