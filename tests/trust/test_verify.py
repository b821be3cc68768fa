"""What is said of files: own, foreign, changed, stripped, and photographs."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genai.core.errors import UserError
from genai.media.clip import Clip
from genai.media.picture import Picture
from genai.media.sound import Sound
from genai.trust.certificates import Signer
from genai.trust.embed import add_label
from genai.trust.verify import Provenance, exit_code, report, verify_file
from tests.trust.conftest import FILES, LABEL, make_file

Put = Callable[[dict[str, bytes]], Path]


@pytest.mark.parametrize("name", FILES)
def test_own_files_are_verified(name: str, signer: Signer, put: Put) -> None:
    suffix, content = make_file(name)
    found = verify_file(put(add_label(content, suffix, LABEL, signer)), {"a" * 64: "runs/mine"})
    assert (found.status, found.signer, found.is_synthetic) == ("verified", "genai local", True)
    assert (found.model, found.known_as) == (LABEL.model, "runs/mine")
    assert "content unchanged: made by a model (Image Diffusion, genai), that of runs/mine" in found.text
    assert found.recipe == ({} if suffix in (".txt", ".webm") else LABEL.recipe)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_of_the_media_is_noticed(name: str, signer: Signer, put: Put) -> None:
    suffix, content = make_file(name)
    files = add_label(content, suffix, LABEL, signer)
    for seed in range(2):
        changed = flip_bit(files[suffix], content, random.Random(seed))
        found = verify_file(put({**files, suffix: changed}))
        assert found.status == "tampered" and "was changed after genai local signed it" in found.text


def flip_bit(labeled: bytes, content: bytes, draw: random.Random) -> bytes:
    """The file with a bit of its media changed: one in the middle of ``content``, which has no label."""
    place = labeled.index(content[len(content) // 2 :][:12]) + draw.randrange(min(12, len(content) // 2))
    return labeled[:place] + bytes([labeled[place] ^ 1 << draw.randrange(8)]) + labeled[place + 1 :]


def test_an_unknown_signer_is_said_to_be_unknown(stranger: Signer, put: Put) -> None:
    found = verify_file(put(add_label(make_file(".png")[1], ".png", LABEL, stranger)))
    assert found.status == "unsigned" and "signed by a stranger, who is unknown here" in found.text


def test_metadata_alone_are_no_proof(put: Put) -> None:
    found = verify_file(put(add_label(make_file(".wav")[1], ".wav", LABEL, None)))
    assert found.status == "unsigned" and found.text.startswith("metadata alone, which anybody can write: made by")


def test_nothing_is_called_real(put: Put) -> None:
    for name in FILES:
        suffix, content = make_file(name)
        found = verify_file(put({suffix: content}))
        assert found.status == "no evidence" and "it may be real or not" in found.text


def test_what_is_saved_again_has_no_signature(signer: Signer, put: Put, tmp_path: Path) -> None:
    file = put(add_label(make_file(".png")[1], ".png", LABEL, signer))
    file.write_bytes(Picture.read(file).to_bytes())
    assert verify_file(file).status == "no evidence"


def test_a_signed_photograph_is_not_called_synthetic(signer: Signer, stranger: Signer, put: Put) -> None:
    import io
    import json

    import c2pa

    from genai.trust.credentials import _builder_context, _c2pa_signer

    manifest = {"claim_generator_info": [{"name": "camera"}], "assertions": [
        {"label": "c2pa.actions.v2", "data": {"actions": [{
            "action": "c2pa.created",
            "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture",
        }]}},
    ]}  # fmt: skip
    for own, expected in ((signer, ("verified", False)), (stranger, ("no evidence", None))):
        out = io.BytesIO()
        builder = c2pa.Builder.from_json(json.dumps(manifest), _builder_context())
        builder.sign(_c2pa_signer(own), "image/png", io.BytesIO(make_file(".png")[1]), out)
        found = verify_file(put({".png": out.getvalue()}))
        assert (found.status, found.is_synthetic) == expected


def test_the_exit_code_of_several_files() -> None:
    results = {status: Provenance("x", status, "") for status in ("verified", "no evidence", "tampered", "unsigned")}  # type: ignore[arg-type]
    assert exit_code([results["verified"]]) == 0
    assert exit_code([results["verified"], results["unsigned"]]) == 5
    assert exit_code([results["unsigned"], results["no evidence"], results["verified"]]) == 3
    assert exit_code(list(results.values())) == 4


def test_names_cannot_write_to_the_terminal(put: Put, tmp_path: Path) -> None:
    file = tmp_path / "a\x1b[31m\n.txt"
    file.write_text("hi")
    text = report([verify_file(file)], as_json=False)
    assert "\x1b" not in text and len(text.splitlines()) == 1
    with pytest.raises(UserError, match="cannot read"):
        verify_file(tmp_path / "nothing.png")


def test_without_the_package_signatures_are_not_looked_at(
    signer: Signer, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genai.trust.verify.has_c2pa", lambda: False)
    found = verify_file(put(add_label(make_file(".png")[1], ".png", LABEL, signer)))
    assert found.status == "unsigned" and found.text.startswith("metadata alone")


@pytest.mark.slow
def test_a_thousand_files(signer: Signer, stranger: Signer, tmp_path: Path) -> None:
    """Confusion table of files of eight origins and six types."""
    rng, draw = np.random.default_rng(1), random.Random(1)
    expected = {"own": "verified", "stranger": "unsigned", "metadata": "unsigned", "another tool": "unsigned"}
    expected |= {"flipped": "tampered", **dict.fromkeys(("stripped", "saved again", "photograph"), "no evidence")}
    table: dict[tuple[str, str], int] = {}
    for number, origin in enumerate(list(expected) * 125):
        suffix, media = random_media(rng, draw)
        content = media.to_bytes(suffix)
        used = {"metadata": None, "another tool": None, "stranger": stranger}.get(origin, signer)
        label = replace(LABEL, version="9", model="") if origin == "another tool" else LABEL
        data = add_label(content, suffix, label, used)[suffix]
        if origin == "flipped":
            data = flip_bit(data, content, draw)
        elif origin == "saved again":
            (tmp_path / f"x{suffix}").write_bytes(data)
            data = type(media).read(tmp_path / f"x{suffix}").to_bytes(suffix)
        elif origin in ("stripped", "photograph"):
            data = content
        file = tmp_path / f"{number}{suffix}"
        file.write_bytes(data)
        key = (origin, verify_file(file).status)
        table[key] = table.get(key, 0) + 1
    print(table)
    assert all(status == expected[origin] for origin, status in table), table


def random_media(rng: np.random.Generator, draw: random.Random) -> tuple[str, Any]:
    """A type of file, and a medium of a random size for it."""
    suffix = draw.choice((".png", ".jpg", ".webp", ".wav", ".flac", ".mp4"))
    if suffix in (".wav", ".flac"):
        return suffix, Sound(rng.normal(0, 0.1, draw.randrange(500, 5000)).astype(np.float32), 8000)
    shape = (16 * draw.randrange(1, 4), 16 * draw.randrange(1, 4), 3)
    if suffix == ".mp4":
        return suffix, Clip(rng.integers(0, 256, (draw.randrange(2, 6), *shape), np.uint8), 8)
    return suffix, Picture(rng.integers(0, 256, shape, np.uint8))


def test_a_recipe_is_not_judged_by_the_manifest_of_its_text(signer: Signer, tmp_path: Path) -> None:
    files = add_label(b"a text", ".txt", LABEL, signer)
    for suffix, content in {**files, ".json": b'{"prompt": ""}'}.items():
        (tmp_path / f"000{suffix}").write_bytes(content)
    assert verify_file(tmp_path / "000.txt").status == "verified"
    assert verify_file(tmp_path / "000.json").status == "no evidence"


def test_a_damaged_file_without_a_manifest_is_not_called_tampered(tmp_path: Path) -> None:
    for name in (".png", ".mp4", ".jpg"):
        (tmp_path / f"x{name}").write_bytes(make_file(name)[1][:200])
        assert verify_file(tmp_path / f"x{name}").status == "no evidence"


def test_an_original_of_another_type_than_its_name(signer: Signer, put: Put) -> None:
    label = replace(LABEL, has_original=True, original=b"\x89PNG\r\n\x1a\n no picture", original_suffix=".png")
    assert verify_file(put(add_label(make_file(".png")[1], ".png", label, signer))).status == "verified"
