"""Records of consent: complete, covering each recording, for the purpose, not revoked."""

from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
import yaml

from genai.core.errors import UserError
from genai.trust.consent import check_recordings, check_reference, find_records, read_consent
from genai.trust.consent_template import consent_template
from genai.trust.revocations import check_not_revoked, read_revocations, revocations_file, revoke

RECORD = {
    "id": "anna-2026",
    "who": "Anna",
    "given_by": "Anna Example",
    "given_on": "2026-01-30",
    "to": ["train", "clone"],
    "license": "CC-BY-4.0",
    "withdrawal": "anna@example.org",
}
PUBLIC = {"source": "https://example.org/set", "license": "CC0-1.0", "statement": "Released under CC0."}


@pytest.fixture(autouse=True)
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of revocations of the test's own."""
    monkeypatch.setenv("GENAI_CONSENT", str(tmp_path / "registry" / "revoked.json"))
    return tmp_path / "registry" / "revoked.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three recordings, two of them in a sub-folder."""
    (place := tmp_path / "voices").mkdir()
    (place / "b").mkdir()
    for name in ("a.wav", "b/1.wav", "b/2.wav"):
        (place / name).write_bytes(name.encode() * 9)
    return place


def recordings(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.wav"))


def record(folder: Path, *names: str, **values: object) -> dict[str, object]:
    files = {name: sha256((folder / name).read_bytes()).hexdigest() for name in names}
    return {**RECORD, "files": files, **values}


def write(folder: Path, *records: dict[str, object], **others: object) -> Path:
    values = {**({"records": list(records)} if records else {}), **others}
    (folder / "consent.yaml").write_text(yaml.safe_dump(values))
    return folder


def ids(folder: Path, purpose: str = "train") -> list[str]:
    return [each.id for each in check_recordings(folder, recordings(folder), purpose)]  # type: ignore[arg-type]


def refused(folder: Path, purpose: str = "train") -> str:
    with pytest.raises(UserError) as error:
        ids(folder, purpose)
    return str(error.value)


def test_records_cover_recordings_by_content(folder: Path) -> None:
    write(folder, record(folder, "a.wav", "b/1.wav"), record(folder, "b/2.wav", id="ben", speakers="Ben"))
    assert ids(folder) == ["anna-2026", "ben"]
    (folder / "a.wav").rename(folder / "renamed.wav")
    assert ids(folder) == ["anna-2026", "ben"]
    found = read_consent(folder)
    assert found[0].given_on == date(2026, 1, 30) and found[0].to == ("train", "clone") and not found[0].is_public
    assert found[1].speakers == ("Ben",)


def test_a_record_can_stand_in_a_sub_folder(folder: Path) -> None:
    write(folder, record(folder, "a.wav"))
    write(folder / "b", public=PUBLIC)
    found = check_recordings(folder, recordings(folder))
    assert [each.is_public for each in found] == [False, True]
    assert found[1].id.startswith("public-") and found[1].to == ("train", "publish")
    write(folder / "b", record(folder / "b", "1.wav", "2.wav"))
    assert "two records have the id 'anna-2026'" in refused(folder)


def test_what_is_missing_is_said(folder: Path) -> None:
    text = refused(folder)
    assert "has no consent.yaml" in text and "python -m genai consent data.path=" in text
    assert consent_template({}) in text
    write(folder, record(folder, "a.wav"))
    assert "covers b/1.wav, b/2.wav: 2 of 3 recordings" in refused(folder)
    write(folder, record(folder, "a.wav", "b/1.wav", "b/2.wav"))
    assert ids(folder) and "was not given to publish it" in refused(folder, "publish")
    (folder / "a.wav").write_bytes(b"another take")
    assert "covers a.wav (changed since the record was written)" in refused(folder)
    write(folder, record(folder, "a.wav", "b/1.wav", "b/2.wav", to="clone"))
    assert "was not given to train a model" in refused(folder)


CHANGES = {
    "license": ({"licence": "MIT"}, "has no 'licence'. Did you mean 'license'?"),
    "no who": ({"who": " "}, "who=' ': it should be a text"),
    "empty": ({"withdrawal": None}, "withdrawal is empty: how to withdraw it"),
    "no purposes": ({"to": []}, "to is empty: a list of train, clone, publish"),
    "purpose": ({"to": ["train", "sing"]}, "to: 'sing': it should be a list of train, clone, publish"),
    "date": ({"given_on": "yesterday"}, "given_on='yesterday': it should be the date"),
    "future": ({"given_on": date.today() + timedelta(days=9)}, "in the future"),
    "number": ({"id": 7}, "id=7: it should be up to 64 letters"),
    "path": ({"id": "../anna"}, "it should be up to 64 letters"),
    "hash": ({"files": {"a.wav": "abc"}}, "64 hexadecimal digits"),
    "list": ({"files": ["a.wav"]}, "it should be the sha256 of each recording"),
    "speakers": ({"speakers": [1]}, "a list of at most"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_record_is_complete_and_of_the_right_types(name: str, folder: Path) -> None:
    values, message = CHANGES[name]
    assert message in refused(write(folder, record(folder, "a.wav", **values)))


def test_a_template_is_no_record_until_it_is_filled_in(folder: Path) -> None:
    files = {path.name: sha256(path.read_bytes()).hexdigest() for path in recordings(folder)}
    (folder / "consent.yaml").write_text(consent_template(files))
    assert "record 1: id is empty" in refused(folder)
    (folder / "consent.yaml").write_text("")
    assert "has no consent.yaml" in refused(folder)
    assert "neither 'records' nor 'public'" in refused(write(folder, other=1))
    assert "there is no 'publik'" in refused(write(folder, record(folder, "a.wav"), publik=PUBLIC))
    assert "public: statement is empty" in refused(write(folder, public={**PUBLIC, "statement": ""}))


def test_a_reference_needs_a_record(folder: Path) -> None:
    write(folder, record(folder, "a.wav"))
    records = find_records(folder)
    assert [each.id for each in check_reference(folder / "a.wav", records)] == ["anna-2026"]
    with pytest.raises(UserError, match=r"2\.wav is refused: no record covers its sha256"):
        check_reference(folder / "b" / "2.wav", records)
    write(folder, public=PUBLIC)
    with pytest.raises(UserError, match="was not given to clone the voice"):
        check_reference(folder / "a.wav", find_records(folder))
    write(folder, public={**PUBLIC, "to": ["clone"]})
    assert check_reference(folder / "a.wav", find_records(folder))[0].is_public
    write(folder, record(folder, "a.wav", to=["train"]))
    with pytest.raises(UserError, match="was not given to clone the voice"):
        check_reference(folder / "a.wav", find_records(folder))


def test_a_revoked_voice_is_refused_under_any_id(folder: Path, registry: Path) -> None:
    write(folder, record(folder, *(path.relative_to(folder).as_posix() for path in recordings(folder))))
    assert ids(folder) and not registry.exists() and revocations_file() == registry
    assert revoke("Anna-2026", reason="she asked") and not revoke("anna-2026")
    assert "revoked on" in refused(folder) and "(she asked)" in refused(folder)
    write(folder, record(folder, *(path.relative_to(folder).as_posix() for path in recordings(folder)), id="other"))
    assert ids(folder) == ["other"]
    revoke("anna-2026", [sha256((folder / "a.wav").read_bytes()).hexdigest()])
    assert "the recording a.wav is refused: 'Anna-2026' was revoked" in refused(folder)
    with pytest.raises(UserError, match=r"a\.wav is refused"):
        check_reference(folder / "a.wav", find_records(folder))
    assert list(read_revocations()) == ["anna-2026"] and read_revocations()["anna-2026"].reason == "she asked"


@pytest.mark.parametrize("content", ["", "[]", "{", '{"revoked": 3}', '{"revoked": [{"id": 3}]}', "\udcff"])
def test_all_voices_are_refused_if_revocations_cannot_be_read(content: str, registry: Path) -> None:
    registry.parent.mkdir()
    registry.write_bytes(content.encode("utf-8", "surrogateescape"))
    check_not_revoked([])
    with pytest.raises(UserError, match="cannot read"):
        check_not_revoked(["anna"])
    with pytest.raises(UserError, match="cannot read"):
        revoke("ben")
    with pytest.raises(UserError, match="cannot be the id"):
        revoke("../anna")
