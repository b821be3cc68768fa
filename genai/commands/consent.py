"""``python -m genai consent``: records of consent for voices: print one to fill in, check them, revoke, list."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from genai.cli.exit_codes import exit_on_error
from genai.core.errors import UserError, did_you_mean
from genai.core.terminal import one_line, terminal_text

if TYPE_CHECKING:
    from genai.trust.consent import ConsentRecord
    from genai.trust.revocations import Revocation

OPTIONS = {"data.path": "", "revoke": "", "reason": "", "list": "false", "runs": "runs"}
HELP = """Records of consent for voices, which model=tts needs: who agreed to what. They stand in consent.yaml beside the recordings.

Examples:
python -m genai consent data.path=my_voice > my_voice/consent.yaml   a template with the sha256 of each recording
python -m genai consent data.path=my_voice                           check the one that is there
python -m genai consent revoke=anna-2026 data.path=my_voice          no genai of this user uses the voice any more
python -m genai consent list=true                                    records that are known here, and revocations

  data.path=FOLDER  folder of recordings, a glob, or a single recording. With revoke=, the recordings of the record are
                    refused under any other id too
  revoke=ID         revoke the consent with this id: training on it, loading a model that has it, sampling, serving,
                    exporting and pages then refuse. To undo it, remove the entry from the file that is named
  reason=TEXT       for people, with revoke=
  list=true         list the records of the runs and of data.path, and what was revoked
  runs=FOLDER       folder of the runs that are known here; default: runs

This checks paperwork, not truth: that a record is complete, covers each recording by its sha256 and was not revoked.
Whether somebody really agreed, genai cannot see. Models that others have copied are not reached by a revocation."""  # noqa: E501


def main() -> None:
    """Run the command."""
    words = sys.argv[1:]
    if {"-h", "--help"} & set(words):
        print(HELP)
        return
    exit_on_error(lambda: consent(words))


def consent(words: list[str]) -> None:
    """Print, check, revoke or list records. Raises ``UserError``."""
    values = _parse_words(words)
    if values["revoke"]:
        _revoke(values["revoke"], values["data.path"], values["reason"], Path(values["runs"]).expanduser())
    elif values["list"] == "true":
        _print_list(values["data.path"], Path(values["runs"]).expanduser())
    elif values["data.path"]:
        _check_folder(values["data.path"])
    else:
        raise UserError("give data.path=FOLDER, revoke=ID or list=true; python -m genai consent --help explains them.")


def _parse_words(words: Sequence[str]) -> dict[str, str]:
    values = dict(OPTIONS)
    for word in words:
        key, sign, text = word.partition("=")
        if not sign or key not in OPTIONS:
            raise UserError(f"There is no option '{word}'.{did_you_mean(key, OPTIONS)} Options: {', '.join(OPTIONS)}.")
        if not text:
            raise UserError(f"{key}= is empty.")
        values[key] = text
    if values["list"] not in ("true", "false"):
        raise UserError(f"list={values['list']}: it should be true or false.")
    if values["reason"] and not values["revoke"]:
        raise UserError("reason= is for revoke=. Leave it out.")
    return values


def _find_recordings(path: str) -> tuple[Path, list[Path]]:
    """Return the folder of recordings, and them. Raises ``UserError`` if there are none."""
    from genai.data.audio_folder import AudioFolder

    files, _, _ = AudioFolder(path).files()
    place = Path(path).expanduser()
    if place.is_dir():
        return place, files
    shared = [set(file.parents) for file in files]
    return max(set.intersection(*shared), key=lambda folder: len(folder.parts)), files


def _hashes(files: Iterable[Path], folder: Path) -> dict[str, str]:
    """Return the sha256 of files by their names in a record."""
    from genai.core.files import file_hash
    from genai.core.progress import ProgressBar
    from genai.trust.consent import relative_name

    files, hashes = list(files), {}
    with ProgressBar("recordings", len(files)) as bar:
        for file in files:
            hashes[relative_name(file, folder)] = file_hash(file)
            bar.step()
    return hashes


def _check_folder(path: str) -> None:
    """Check the records of recordings; print a record for those that none covers. Raises ``UserError``."""
    from genai.trust.consent import check_recordings, find_records, matching_records, relative_name
    from genai.trust.consent_template import consent_template

    folder, files = _find_recordings(path)
    records, hashes = find_records(folder, files), _hashes(files, folder)
    digests = {file: hashes[relative_name(file, folder)] for file in files}
    missing = [file for file, digest in digests.items() if not matching_records(file, digest, records)]
    if missing:
        names = [relative_name(file, folder) for file in missing]
        print(terminal_text(consent_template({name: hashes[name] for name in names})), end="", flush=True)
    if not records:
        print(f"a record for {len(files):,} recording{'s' * (len(files) > 1)}, to fill in", file=sys.stderr, flush=True)
        return
    used = check_recordings(folder, files, needed_by="a model of voices")
    for record in used:
        print(one_line(_describe(record)), flush=True)
    print(f"{len(files):,} recordings are covered. Whether the records are true, genai cannot see.", file=sys.stderr)


def _describe(record: "ConsentRecord") -> str:
    if record.is_public:
        return f"{record.id}: public set, {record.license}, {record.source}"
    terms = f"given by {record.given_by} on {record.given_on} to {', '.join(record.to)}"
    return f"{record.id}: {record.who}, {terms}, {record.license}, {len(record.files):,} recordings"


def _revoke(consent_id: str, path: str, reason: str, runs: Path) -> None:
    """Revoke a consent, and say what is not known of it. Raises ``UserError``."""
    from genai.trust.consent import find_records
    from genai.trust.revocations import check_id, revocations_file, revoke

    check_id(consent_id)
    records = find_records(*_find_recordings(path)) if path else []
    known = {*(record.id for record in records), *_run_voices(runs)}
    files = [digest for record in records if record.id.lower() == consent_id.lower() for digest in record.files]
    if path and consent_id.lower() not in {record.id.lower() for record in records}:
        raise UserError(
            f"data.path={path} has no record '{consent_id}'.{did_you_mean(consent_id, [each.id for each in records])}"
        )
    is_new = revoke(consent_id, files, reason)
    if consent_id.lower() not in {name.lower() for name in known}:
        hint = did_you_mean(consent_id, known)
        print(one_line(f"note: no run in {runs} has a voice of this id.{hint}"), file=sys.stderr, flush=True)
    state = "revoked" if is_new else "was revoked already"
    description = f", with {len(files):,} recordings" if files else ""
    print(one_line(f"{consent_id} {state}{description}, in {revocations_file()}"), flush=True)


def _run_voices(runs: Path) -> dict[str, str]:
    """Return descriptions of the voices in the runs below a folder, by the ids of their consent."""
    from genai.runs.run import all_runs

    return {voice.id: f"{voice}, in {run.folder}" for run in all_runs(runs) for voice in run.record.consent}


def _print_list(path: str, runs: Path) -> None:
    """Print the records that are known, and what was revoked. Raises ``UserError``."""
    from genai.trust.consent import find_records
    from genai.trust.revocations import read_revocations

    rows = _run_voices(runs)
    rows |= {record.id: _describe(record) for record in (find_records(*_find_recordings(path)) if path else [])}
    revocations = read_revocations()
    for name, text in rows.items():
        state = "revoked" if name.lower() in revocations else "valid"
        print(one_line(f"{state:<9}{text}"), flush=True)
    others = [each for name, each in revocations.items() if name not in {known.lower() for known in rows}]
    for revocation in others:
        print(one_line(f"revoked  {_describe_revocation(revocation)}"), flush=True)
    if not rows and not others:
        print(f"no record in {one_line(str(runs))}, and nothing was revoked", flush=True)


def _describe_revocation(revocation: "Revocation") -> str:
    reason = f": {revocation.reason}" if revocation.reason else ""
    return f"{revocation.id}, on {revocation.revoked_on}{reason}"


if __name__ == "__main__":
    main()
