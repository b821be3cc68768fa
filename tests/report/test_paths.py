"""Texts that are passed on name no folder of this machine."""

from pathlib import Path

import pytest

from genai.report.paths import without_folders


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("file:///home/anna/secret/pets.npz", "pets.npz"),
        ("file:/home/anna", "~"),
        ("file://nas/home/anna", "~"),
        (r"C:\Users\anna\pets, x", "pets, x"),
        (r"in 'c:\\Users\\anna\\pets'", "in 'pets'"),
        (r"C:\Users\Anna Smith\my pets\a.npz", "a.npz"),
        (r"C:\Users\Anna Smith", "~"),
        ("D:/data of anna/pets", "pets"),
        ("//nas/anna/pets", "pets"),
        (r"\\nas\anna\pets", "pets"),
        ("/home/anna", "~"),
        ("(/home/anna/).", "(~)."),
        ("[/Users/anna,/mnt/c/Users/ben]", "[~,~]"),
        ("data:/srv/anna/a:/srv/anna/b", "data:a:b"),
        ("~/secret/pets", "pets"),
        ("~anna/secret/pets", "pets"),
        ("of ~anna, ~/", "of ~, ~"),
        (str(Path.home()), "~"),
    ],
)
def test_paths_lose_their_folders(text: str, public: str) -> None:
    assert without_folders(text) == public


@pytest.mark.parametrize(
    "text",
    [
        "see https://a.b/home/anna",
        "hf://a/b/c",
        "and/or 1/2",
        "a // b / c",
        "~5 items",
        "x ~ y",
        "./a/b",
        "/etc",
        "12:30",
    ],
)
def test_other_texts_stay(text: str) -> None:
    assert without_folders(text) == text
