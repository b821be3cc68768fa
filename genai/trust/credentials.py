"""Content Credentials (C2PA 2): signed manifests in files, or beside those that cannot hold one."""

import io
import json
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from genai.core.errors import UserError, short_text
from genai.trust.certificates import Signer, known_authorities
from genai.trust.label import Label

EMBEDDED = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".flac": "audio/flac",
    ".mp4": "video/mp4",
}
"""Types of files that hold a manifest; others have it beside them."""
OTHER = "application/octet-stream"
NOTHING_EXTERNAL = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}


@dataclass(frozen=True)
class Credentials:
    """What a manifest says, and whether it holds.

    Attributes:
        state: ``trusted`` (a known signer), ``valid`` (an unknown one), or ``invalid`` (the content has changed).
        signer: organization in the certificate.
        tool: what made the claim.
        source_type: term of IPTC of the last action that has one, without its vocabulary.
        details: of the assertion of genai: ``model``, ``version``, ``checkpoint_sha256``, and of sounds ``consent`` and
            ``voice``; empty: it has none.
        ingredients: titles of the files that were edited.
    """

    state: str
    signer: str
    tool: str
    source_type: str
    details: dict[str, str]
    ingredients: list[str]


def sign(content: bytes, suffix: str, label: Label, signer: Signer) -> tuple[bytes, bytes]:
    """Return a signed file and b"", or the file as it is and the manifest to write beside it.

    Raises:
        UserError: the certificate or its key cannot be used.
    """
    import c2pa

    try:
        return _sign(content, suffix, label, signer)
    except c2pa.C2paError as error:
        if label.original is None:
            raise UserError(f"label=: the file cannot be signed ({short_text(str(error))}).") from error
    return sign(content, suffix, replace(label, original=None), signer)  # what it was made from cannot be described


def _sign(content: bytes, suffix: str, label: Label, signer: Signer) -> tuple[bytes, bytes]:
    import c2pa

    kind, output = EMBEDDED.get(suffix.lower()), io.BytesIO()
    builder = c2pa.Builder.from_json(_manifest(label, kind or OTHER), _builder_context())
    if label.original is not None:
        original = {"title": f"original{label.original_suffix}", "relationship": "parentOf", "label": "original"}
        original_kind = EMBEDDED.get(label.original_suffix.lower(), OTHER)
        builder.add_ingredient_from_stream(json.dumps(original), original_kind, io.BytesIO(label.original))
    if kind is None:
        builder.set_no_embed()
    manifest = builder.sign(_c2pa_signer(signer), kind or OTHER, io.BytesIO(content), output)
    return (output.getvalue(), b"") if kind else (content, bytes(manifest))


def read_credentials(content: bytes, suffix: str, manifest: bytes | None = None) -> Credentials | None:
    """Return the Content Credentials of a file; ``None`` if it has none.

    Args:
        content: of the file.
        suffix: of its type.
        manifest: what stands beside the file; ``None``: nothing does.

    Raises:
        UserError: there are some, which cannot be read.
    """
    import c2pa

    kind = EMBEDDED.get(suffix.lower()) or (OTHER if manifest is not None else None)
    if kind is None:
        return None
    sidecar = () if manifest is None else (manifest,)
    try:
        reader = c2pa.Reader(kind, io.BytesIO(content), *sidecar, context=_reader_context())
        values, state = json.loads(reader.json()), str(reader.get_validation_state())
    except c2pa.C2paError.ManifestNotFound:
        return None
    except (c2pa.C2paError, ValueError, RecursionError) as error:
        raise UserError(f"its Content Credentials cannot be read ({short_text(str(error))}).") from error
    return _describe(values, state.lower())


def _manifest(label: Label, kind: str) -> dict[str, Any]:
    tool = {"name": "genai", "version": label.version}
    action: dict[str, Any] = {"action": "c2pa.created", "digitalSourceType": label.source_type, "softwareAgent": tool}
    actions = [action]
    if label.original is not None:
        open_action = {"action": "c2pa.opened", "parameters": {"ingredientIds": ["original"]}}
        actions = [open_action, {**action, "action": "c2pa.edited"}]
    details = {"model": label.model, "version": label.version, "checkpoint_sha256": label.checkpoint_sha256}
    details |= {"consent": label.consent} if label.consent else {}
    details |= {"voice": "synthetic"} if label.is_voice else {}
    return {
        "claim_generator_info": [tool],
        "title": "sample",
        "format": kind,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": actions}},
            {"label": "invalid.genai.sample", "data": details},
        ],
    }


def _describe(values: dict[str, Any], state: str) -> Credentials:
    """Return what the active manifest says. It is a stranger's: its values may be of any type."""
    manifest = _mapping(_mapping(values.get("manifests")).get(str(values.get("active_manifest"))))
    data = {str(_mapping(each).get("label")): _mapping(each).get("data") for each in _list(manifest, "assertions")}
    actions = _list(_mapping(data.get("c2pa.actions.v2") or data.get("c2pa.actions")), "actions")
    types = [_mapping(action).get("digitalSourceType") for action in actions]
    details = _mapping(data.get("invalid.genai.sample"))
    tools = [_mapping(each).get("name") for each in _list(manifest, "claim_generator_info")]
    return Credentials(
        state,
        short_text(str(_mapping(manifest.get("signature_info")).get("issuer") or "unknown")),
        short_text(str(next(filter(None, tools), "unknown"))),
        short_text(next((each for each in reversed(types) if isinstance(each, str)), "").rpartition("/")[2]),
        {str(key): short_text(str(value)) for key, value in list(details.items())[:10]},
        [short_text(str(_mapping(each).get("title") or "unknown")) for each in _list(manifest, "ingredients")[:10]],
    )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: dict[str, Any], key: str) -> list[Any]:
    found = value.get(key)
    return found if isinstance(found, list) else []


@lru_cache(maxsize=4)
def _c2pa_signer(signer: Signer) -> Any:
    import c2pa

    return c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", signer.certificate, signer.key, None))


@lru_cache(maxsize=1)
def _builder_context() -> Any:
    import c2pa

    return c2pa.Context.from_dict({"builder": {"thumbnail": {"enabled": False}}, **NOTHING_EXTERNAL})


def _reader_context() -> Any:
    import c2pa

    anchors = known_authorities()
    settings: dict[str, Any] = {"verify": {**NOTHING_EXTERNAL["verify"], "verify_trust": True}}
    return c2pa.Context.from_dict(settings | ({"trust": {"user_anchors": anchors}} if anchors else {}))
