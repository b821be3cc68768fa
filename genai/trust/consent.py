"""Consent for voices: ``consent.yaml`` beside recordings says whose voice it is, who agreed, and to what.

What is checked is the paper: that it is complete, that it covers each recording by its sha256, that it was not revoked.
Whether it is true, nobody can see from a file.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from genai.core.errors import UserError, did_you_mean, join_names, short_repr, short_text
from genai.core.files import file_hash, read_text
from genai.core.plain_data import parse_yaml
from genai.trust.consent_template import consent_template
from genai.trust.notices import CONSENT
from genai.trust.revocations import CONSENT_ID, SHA256, check_not_revoked

Purpose = Literal["train", "clone", "publish"]
PURPOSES: tuple[Purpose, ...] = ("train", "clone", "publish")
PURPOSE_TEXTS: Mapping[Purpose, str] = {
    "train": "to train a model",
    "clone": "to clone the voice",
    "publish": "to publish it",
}
REQUIRED = ("id", "who", "given_by", "given_on", "to", "license", "withdrawal", "files")
PUBLIC_REQUIRED = ("source", "license", "statement")
OPTIONAL, PUBLIC_OPTIONAL = ("speakers",), ("id", "to", "speakers")
PUBLIC_PURPOSES: tuple[Purpose, ...] = ("train", "publish")
"""Of a public set by default: a license of recordings is no consent of a person to be imitated."""
MAX_CHARACTERS, MAX_SPEAKERS = 500, 1_000
"""Of a text of a record, and speakers of it."""
MAX_LISTED = 3
"""Recordings that a message names."""
HINTS: Mapping[str, str] = {
    "who": "whose voice it is, a name or a pseudonym",
    "given_by": "who agreed: the person, or who may agree for them",
    "given_on": "the date, such as 2026-11-30",
    "to": f"a list of {', '.join(PURPOSES)}",
    "license": "such as CC-BY-4.0",
    "withdrawal": "how to withdraw it, such as an address",
    "files": "the sha256 of each recording by its name",
    "source": "where the set is published",
    "statement": "the sentence in which the source states the license",
}


@dataclass(frozen=True)
class ConsentRecord:
    """Consent for a voice, or the license of a public set of recordings.

    Attributes:
        id: short name, which labels and cards say.
        to: what was agreed to; of a public set by default ``PUBLIC_PURPOSES``.
        license: of the recordings.
        folder: with the file of the record.
        who: whose voice it is: a name or a pseudonym; "" of a public set.
        given_by, given_on: who agreed, and when; "" and ``None`` of a public set.
        withdrawal: how to withdraw it; "" of a public set.
        speakers: names of the speakers in the table of the recordings, as far as they are stated.
        files: names of the recordings by their sha256; a public set covers all in its folder.
        source, statement: of a public set: where it is published, and how that states the license.
    """

    id: str
    to: tuple[Purpose, ...]
    license: str
    folder: Path
    who: str = ""
    given_by: str = ""
    given_on: date | None = None
    withdrawal: str = ""
    speakers: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    statement: str = ""

    @property
    def is_public(self) -> bool:
        """Whether it is the license of a public set."""
        return bool(self.source)


def check_recordings(
    folder: Path, files: Iterable[Path], purpose: Purpose = "train", needed_by: str = "this model"
) -> list[ConsentRecord]:
    """Return the records that cover recordings, if they cover all of them and none was revoked.

    Args:
        folder: which the recordings are in; each ``consent.yaml`` in it, or in a sub-folder on the way to a recording,
            counts.
        files: the recordings.
        purpose: what they are used for.
        needed_by: what asks, for messages.

    Raises:
        UserError: there is no record; a recording that none covers; a purpose that was not agreed to; a revocation; a
            file that cannot be read.
    """
    files = list(dict.fromkeys(files))
    records = find_records(folder, files)
    if not records:
        raise UserError(_missing_message(folder, needed_by))
    digests = {file: file_hash(file) for file in files}
    matching = {file: matching_records(file, digest, records) for file, digest in digests.items()}
    missing = [file for file in files if not matching[file]]
    if missing:
        raise UserError(_files_message(folder, missing, len(files), records))
    used = list({record.id: record for file in files for record in matching[file]}.values())
    check_not_revoked((record.id for record in used), {digest: file.name for file, digest in digests.items()})
    for record in used:
        check_purpose(record.id, record.to, purpose)
    return used


def check_reference(path: Path, records: Sequence[ConsentRecord], purpose: Purpose = "clone") -> list[ConsentRecord]:
    """Return the records that cover a recording whose voice is to be imitated.

    Args:
        path: the recording.
        records: those that are known, see ``find_records``.
        purpose: what it is used for.

    Raises:
        UserError: no record covers it, it was revoked, or the purpose was not agreed to.
    """
    digest = file_hash(path)
    used = matching_records(path, digest, records)
    if not used:
        raise UserError(
            f"{path} is refused: no record covers its sha256, {digest[:12]}... If the person agreed:\n"
            f"python -m genai consent data.path={_shell_path(path)} prints a record for a {CONSENT} beside it."
        )
    check_not_revoked((record.id for record in used), {digest: path.name})
    for record in used:
        check_purpose(record.id, record.to, purpose)
    return used


def check_purpose(consent_id: str, to: Sequence[str], purpose: Purpose) -> None:
    """Raise ``UserError`` if a purpose is not among those that were agreed to."""
    if purpose not in to:
        raise UserError(
            f"consent '{short_text(consent_id)}' was not given {PURPOSE_TEXTS[purpose]}: it says to: "
            f"[{', '.join(map(short_text, to))}], without {purpose}. Ask the person; only they can add it."
        )


def matching_records(file: Path, digest: str, records: Sequence[ConsentRecord]) -> list[ConsentRecord]:
    """Return the records that list the sha256 of a file; else the public set whose folder it is in, the nearest."""
    if listed := [record for record in records if digest in record.files]:
        return listed
    place = file.resolve()
    public = [each for each in records if each.is_public and place.is_relative_to(each.folder.resolve())]
    return sorted(public, key=lambda record: len(record.folder.resolve().parts))[-1:]


# ------------------------------------------------------------------------------------------------------------ reading


def find_records(folder: Path, files: Iterable[Path] = ()) -> list[ConsentRecord]:
    """Return the records of a folder, and of its sub-folders on the way to ``files``.

    Raises:
        UserError: a file cannot be read, is not complete, or two records have the same id.
    """
    folders = {folder: None}
    for parent in dict.fromkeys(file.parent for file in files):
        if parent.is_relative_to(folder):
            names = parent.relative_to(folder).parts
            folders |= {folder.joinpath(*names[: count + 1]): None for count in range(len(names))}
    records: list[ConsentRecord] = []
    for each in folders:
        records += read_consent(each)
    places = defaultdict(list)
    for record in records:
        places[record.id.lower()].append(str(record.folder / CONSENT))
    if twice := next((name for name, found in places.items() if len(found) > 1), None):
        raise UserError(f"two records have the id '{twice}': {' and '.join(dict.fromkeys(places[twice]))}.")
    return records


def read_consent(folder: Path) -> list[ConsentRecord]:
    """Return the records in the ``consent.yaml`` of a folder; none if there is none, or it is empty.

    Raises:
        UserError: it cannot be read, or is not complete.
    """
    file = folder / CONSENT
    if not file.is_symlink() and not file.exists():
        return []
    values = parse_yaml(read_text(file, "record", folder), str(file))
    if values is None:
        return []
    if not isinstance(values, dict) or not {"records", "public"} & set(map(str, values)):
        raise UserError(f"{file}: it has neither 'records' nor 'public'. python -m genai consent prints a template.")
    if unknown := [key for key in values if key not in ("records", "public")]:
        raise UserError(f"{file}: there is no {short_repr(unknown[0])}. There are: records, public.")
    entries = values.get("records") or []
    if not isinstance(entries, list):
        raise UserError(f"{file}: records should be a list, not a {type(entries).__name__}.")
    records = [_read_record(entry, f"{file}: record {number}", folder) for number, entry in enumerate(entries, 1)]
    if values.get("public") is not None:
        records.append(_read_public(values["public"], f"{file}: public", folder))
    return records


def _read_record(entry: Any, where: str, folder: Path) -> ConsentRecord:
    values = _checked_keys(entry, where, REQUIRED, OPTIONAL)
    consent_id = _id(values["id"], where)
    where = f"{where}, '{consent_id}'"
    return ConsentRecord(
        consent_id,
        _purposes(values["to"], where),
        _text(values, "license", where),
        folder,
        _text(values, "who", where),
        _text(values, "given_by", where),
        _date(values["given_on"], where),
        _text(values, "withdrawal", where),
        _speakers(values.get("speakers"), where),
        _digests(values["files"], where),
    )


def _read_public(entry: Any, where: str, folder: Path) -> ConsentRecord:
    values = _checked_keys(entry, where, PUBLIC_REQUIRED, PUBLIC_OPTIONAL)
    source, license, statement = (_text(values, name, where) for name in PUBLIC_REQUIRED)
    name = f"public-{hashlib.sha256(source.encode()).hexdigest()[:8]}"
    consent_id = _id(values["id"], where) if values.get("id") else name
    to = _purposes(values["to"], where) if values.get("to") else PUBLIC_PURPOSES
    speakers = _speakers(values.get("speakers"), where)
    return ConsentRecord(consent_id, to, license, folder, speakers=speakers, source=source, statement=statement)


def _checked_keys(entry: Any, where: str, required: Sequence[str], optional: Sequence[str]) -> dict[str, Any]:
    """Return the values of a record. Raises ``UserError`` for an unknown or missing one."""
    if not isinstance(entry, dict):
        raise UserError(f"{where} should have {join_names(required)}, and is a {type(entry).__name__}.")
    allowed = (*required, *optional)
    if unknown := [key for key in entry if key not in allowed]:
        hint = did_you_mean(unknown[0], allowed)
        raise UserError(f"{where} has no {short_repr(unknown[0])}.{hint} There are: {', '.join(allowed)}.")
    if missing := next((key for key in required if entry.get(key) in (None, "", [], {})), None):
        hint = f": {HINTS[missing]}" if missing in HINTS else ": a short name, such as anna-2026"
        raise UserError(f"{where}: {missing} is empty{hint}.")
    return entry


def _id(value: Any, where: str) -> str:
    if not isinstance(value, str) or not CONSENT_ID.fullmatch(value):
        allowed = "up to 64 letters, digits, '.', '-' and '_', such as anna-2026"
        raise UserError(f"{where}: id={short_repr(value)}: it should be {allowed}.")
    return value


def _text(values: Mapping[str, Any], name: str, where: str) -> str:
    value = values[name]
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_CHARACTERS:
        expected = f"a text of at most {MAX_CHARACTERS} characters: {HINTS[name]}"
        raise UserError(f"{where}: {name}={short_repr(value)}: it should be {expected}.")
    return value.strip()


def _date(value: Any, where: str) -> date:
    try:
        day = date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        day = None
    day = day.date() if isinstance(day, datetime) else day
    if not isinstance(day, date):
        raise UserError(f"{where}: given_on={short_repr(value)}: it should be {HINTS['given_on']}.")
    if day > date.today() + timedelta(days=1):  # days differ around the world
        raise UserError(f"{where}: given_on={day}: that is in the future.")
    return day


def _purposes(value: Any, where: str) -> tuple[Purpose, ...]:
    names = [value] if isinstance(value, str) else value
    if isinstance(names, list) and (wrong := next((name for name in names if name not in PURPOSES), None)) is None:
        return tuple(purpose for purpose in PURPOSES if purpose in names)
    wrong = wrong if isinstance(names, list) else value
    raise UserError(f"{where}: to: {short_repr(wrong)}: it should be {HINTS['to']}.{did_you_mean(wrong, PURPOSES)}")


def _speakers(value: Any, where: str) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value or []
    if not isinstance(names, list) or len(names) > MAX_SPEAKERS or not all(isinstance(name, str) for name in names):
        raise UserError(f"{where}: speakers={short_repr(value)}: it should be a list of at most {MAX_SPEAKERS} texts.")
    return tuple(short_text(name) for name in names)


def _digests(value: Any, where: str) -> dict[str, str]:
    """Return names of files by their sha256."""
    if not isinstance(value, dict):
        raise UserError(f"{where}: files={short_repr(value)}: it should be {HINTS['files']}.")
    for name, digest in value.items():
        if not isinstance(name, str) or not isinstance(digest, str) or not SHA256.fullmatch(digest.lower()):
            entry = f"{short_repr(name)}: {short_repr(digest)}"
            raise UserError(f"{where}: files: {entry}: it should be a name and 64 hexadecimal digits.")
    return {digest.lower(): name for name, digest in value.items()}


# ----------------------------------------------------------------------------------------------------------- messages


def _missing_message(folder: Path, needed_by: str) -> str:
    return (
        f"{folder} has no {CONSENT}, which {needed_by} needs: who agreed to what. This prints one with the hashes, to "
        f"fill in:\npython -m genai consent data.path={_shell_path(folder)} > {_shell_path(folder / CONSENT)}\n\n"
        f"{consent_template({})}"
    )


def _files_message(folder: Path, files: Sequence[Path], count: int, records: Sequence[ConsentRecord]) -> str:
    names = ", ".join(short_text(relative_name(file, folder)) for file in files[:MAX_LISTED])
    more = f" and {len(files) - MAX_LISTED:,} more" if len(files) > MAX_LISTED else ""
    listed = {name for record in records for name in record.files.values()}
    changed = " (changed since the record was written)" if relative_name(files[0], folder) in listed else ""
    return (
        f"no record of {folder / CONSENT} covers {names}{more}{changed}: {len(files):,} of {count:,} recordings.\n"
        f"python -m genai consent data.path={_shell_path(folder)} prints a record for them."
    )


def relative_name(file: Path, folder: Path) -> str:
    """Return the name of a file in a record: from its folder on, with ``/``."""
    return file.relative_to(folder).as_posix() if file.is_relative_to(folder) else file.name


def _shell_path(path: Path) -> str:
    text = str(path)
    return text if re.fullmatch(r"[\w./~-]+", text) else "'" + text.replace("'", "'\\''") + "'"
