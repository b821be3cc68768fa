"""Labels change no decoded value, and other tools read them."""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from genai.trust.certificates import Signer
from genai.trust.credentials import EMBEDDED, read_credentials
from genai.trust.embed import add_label
from genai.trust.label import MANIFEST_SUFFIX
from genai.trust.xmp import read_xmp
from tests.stubs import decoded
from tests.trust.conftest import FILES, LABEL, make_file

WITHOUT_XMP = (".txt", ".webm")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("is_signed", [True, False])
def test_values_do_not_change(name: str, is_signed: bool, signer: Signer) -> None:
    suffix, content = make_file(name)
    files = add_label(content, suffix, LABEL, signer if is_signed else None)
    assert decoded(files[suffix]) == decoded(content)
    assert read_xmp(files[suffix]) == ({} if suffix in WITHOUT_XMP else LABEL.fields)
    assert (MANIFEST_SUFFIX in files) == (is_signed and suffix not in EMBEDDED)
    assert sum(map(len, files.values())) - len(content) < 4096 + 200  # a GIF needs 258 bytes more


@pytest.mark.parametrize("name", FILES)
def test_what_is_signed_is_read_back(name: str, signer: Signer) -> None:
    suffix, content = make_file(name)
    files = add_label(content, suffix, LABEL, signer)
    found = read_credentials(files[suffix], suffix, files.get(MANIFEST_SUFFIX))
    assert found is not None and found.state == "trusted"
    assert (found.signer, found.tool, found.source_type) == ("genai local", "genai", "trainedAlgorithmicMedia")
    assert found.details == {"model": LABEL.model, "version": "1.0", "checkpoint_sha256": "a" * 64}


def test_the_file_that_was_edited_is_an_ingredient(signer: Signer) -> None:
    _, original = make_file(".jpg")
    first = add_label(original, ".jpg", LABEL, signer)[".jpg"]
    label = replace(LABEL, has_original=True, original=first, original_suffix=".jpg")
    content = add_label(make_file(".png")[1], ".png", label, signer)[".png"]
    found = read_credentials(content, ".png")
    assert found is not None and found.state == "trusted"
    assert (found.source_type, found.ingredients) == ("compositeWithTrainedAlgorithmicMedia", ["original.jpg"])
    gone = replace(label, original=None)
    found = read_credentials(add_label(make_file(".png")[1], ".png", gone, signer)[".png"], ".png")
    assert found is not None and found.source_type == "compositeWithTrainedAlgorithmicMedia"


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
@pytest.mark.parametrize("name", [name for name in FILES if name not in WITHOUT_XMP])
def test_exiftool_reads_it(name: str, signer: Signer, put: Callable[[dict[str, bytes]], Path]) -> None:
    suffix, content = make_file(name)
    file = put(add_label(content, suffix, LABEL, signer))
    found = subprocess.run(["exiftool", "-a", "-G", str(file)], capture_output=True, text=True).stdout
    assert "trainedAlgorithmicMedia" in found and "genai 1.0" in found and "Error" not in found
