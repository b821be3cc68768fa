"""Voices whose consent was revoked: a file of the user, which every door of genai reads before it uses a voice."""

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Annotated

from annotated_types import Len

from genai.core.errors import UserError, short_repr, short_text
from genai.core.files import make_folder, read_text, write_file
from genai.core.plain_data import parse_json
from genai.trust.certificates import certificate_folder

VARIABLE = "GENAI_CONSENT"
"""Environment variable with the path of the file."""
FILE_NAME = "revoked_voices.json"
CONSENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
"""Ids of consent records: labels, cards and file names can hold them."""
SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


class RevokedConsent(UserError):
    """A voice, or a recording, whose consent was revoked."""


@dataclass(frozen=True)
class Revocation:
    """A consent that was revoked.

    Attributes:
        id: of the consent record.
        revoked_on: the date, in ISO format.
        reason: for people; "": none is stated.
        files: sha256 of recordings that are refused under any id.
    """

    id: Annotated[str, Len(1, 64)]
    revoked_on: str = ""
    reason: str = ""
    files: list[str] = field(default_factory=list)


def revocations_file() -> Path:
    """Return the file of revocations: ``GENAI_CONSENT``, else one beside the certificates of this machine."""
    path = os.environ.get(VARIABLE)
    return Path(path).expanduser() if path else certificate_folder() / FILE_NAME


def check_id(text: str) -> str:
    """Return an id of a consent record if it can be one. Raises ``UserError``."""
    if not isinstance(text, str) or not CONSENT_ID.fullmatch(text):
        raise UserError(
            f"{short_repr(text)} cannot be the id of a consent: up to 64 letters, digits, '.', '-' and '_', such as "
            "anna-2026."
        )
    return text


def read_revocations() -> dict[str, Revocation]:
    """Return the revocations by their ids in lower case; none if there is no file. Raises ``UserError``."""
    from genai.core.instantiate import read_dataclass  # imports pydantic, for which --help has no time

    file = revocations_file()
    if not os.path.lexists(file):
        return {}
    values = parse_json(read_text(file, "record"), str(file))
    entries = values.get("revoked") if isinstance(values, dict) else None
    if not isinstance(entries, list):
        raise UserError(f"cannot read {file}: it has no list 'revoked'.")
    try:
        revocations = [read_dataclass(Revocation, entry) for entry in entries]
    except UserError as error:
        raise UserError(f"cannot read {file} ({short_text(str(error))}).") from error
    return {revocation.id.lower(): revocation for revocation in revocations}


def revoke(consent_id: str, files: Iterable[str] = (), reason: str = "") -> bool:
    """Add a revocation to the file, or recordings to one that is there; return whether the id is new.

    Several processes may write at once.

    Args:
        consent_id: of the consent record.
        files: sha256 of recordings that are refused under any id.
        reason: for people.

    Raises:
        UserError: the id cannot be one, or the file cannot be read or written.
    """
    from filelock import FileLock

    check_id(consent_id)
    file = revocations_file()
    try:
        make_folder(file.parent)
        with FileLock(file.with_name(f".{file.name}.lock")):
            revocations = read_revocations()
            before = revocations.get(consent_id.lower())
            known = before or Revocation(consent_id, date.today().isoformat())
            all_files = sorted({*known.files, *files})
            revocations[consent_id.lower()] = Revocation(known.id, known.revoked_on, reason or known.reason, all_files)
            content = {"revoked": [asdict(revocation) for revocation in revocations.values()]}
            write_file(file, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
            return before is None
    except OSError as error:
        raise UserError(f"cannot write {file}: {error.strerror}.") from error


def check_not_revoked(ids: Iterable[str], files: Mapping[str, str] | None = None) -> None:
    """Raise ``RevokedConsent`` if the consent for a voice, or for a recording, was revoked.

    Every door calls it: training, loading, sampling, serving, exporting, pages. If the file of revocations cannot be
    read, all voices are refused.

    Args:
        ids: of the consent records of the voices; if there are none, and no recordings, nothing is read.
        files: names of recordings by their sha256.
    """
    ids, files = list(ids), files or {}
    if not ids and not files:
        return
    revocations = read_revocations()
    for consent_id in ids:
        if revocation := revocations.get(consent_id.lower()):
            raise RevokedConsent(_describe(f"the voice of consent '{short_text(consent_id)}'", revocation))
    for revocation in revocations.values():
        if digest := next((digest for digest in revocation.files if digest in files), None):
            raise RevokedConsent(_describe(f"the recording {short_text(files[digest])}", revocation))


def _describe(what: str, revocation: Revocation) -> str:
    """Return why a voice is refused, and where that is written."""
    reason = f" ({short_text(revocation.reason)})" if revocation.reason else ""
    return (
        f"{what} is refused: '{short_text(revocation.id)}' was revoked on {short_text(revocation.revoked_on)}{reason}."
        "\npython -m genai consent list=true lists revocations."
    )
