"""Search of files: each type in its way; what cannot be read, or is too small, says nothing."""

from pathlib import Path

import pytest

from genai.trust.watermarks.files import detect_in_file
from genai.trust.watermarks.key import WatermarkKey
from genai.trust.watermarks.pictures import add_to_picture
from genai.trust.watermarks.sounds import add_to_sound
from tests.trust.conftest import FILES, make_file
from tests.trust.watermarks.conftest import make_picture, make_sound
from tests.trust.watermarks.test_texts import sample_tokens


@pytest.mark.parametrize("name", FILES)
def test_files_without_it(key: WatermarkKey, name: str, tmp_path: Path) -> None:
    suffix, content = make_file(name)
    (tmp_path / "file").write_bytes(content)
    found = detect_in_file(tmp_path / "file", suffix, key, [lambda text: list(text.encode())])
    assert found is None or found.p > 1e-3
    (tmp_path / "file").write_bytes(content[: len(content) // 2])
    cut = detect_in_file(tmp_path / "file", suffix, key)
    assert cut is None or cut.p > 1e-3


def test_pictures_and_sounds(key: WatermarkKey, tmp_path: Path) -> None:
    path = tmp_path / "file"
    for media, suffix in ((add_to_picture(make_picture(), key), ".jpg"), (add_to_sound(make_sound(), key), ".ogg")):
        path.write_bytes(media.to_bytes(suffix))
        found = detect_in_file(path, suffix, key)
        assert found and found.is_found


def test_texts_with_the_best_of_several_tokenizers(key: WatermarkKey, tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(bytes(token + 40 for token in sample_tokens(key, 300, 0)))
    tokenizers = [lambda text: [1, 2], lambda text: [byte - 40 for byte in text.encode()]]
    alone, one_of_two = (detect_in_file(path, ".txt", key, tokenizers[start:]) for start in (1, 0))
    assert alone and one_of_two and alone.is_found and one_of_two.p == pytest.approx(2 * alone.p)
    assert detect_in_file(path, ".txt", key) is None
