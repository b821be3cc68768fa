"""Pictures in OpenAI's shape: generations, edits with its mask, variations."""

import base64
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

SIZE = 16


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "png")
    return file.getvalue()


def mask(size: int = SIZE, alpha: int = 0) -> bytes:
    """A mask whose left half has ``alpha``, and whose right half is opaque."""
    image = Image.new("RGBA", (size, size), (0, 0, 0, 255))
    image.paste((0, 0, 0, alpha), (0, 0, size // 2, size))
    return png(image)


def picture(size: int = SIZE) -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (size, size, 3), np.uint8))


def decoded(response: Any, number: int = 0) -> Any:
    assert response.status_code == 200, response.text
    content = base64.b64decode(response.json()["data"][number]["b64_json"])
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def edit(client: TestClient, files: dict[str, bytes], **values: Any) -> Any:
    form = {"model": "image", "prompt": "a red circle", "seed": "5", "steps": "2", **values}
    return client.post("/v1/images/edits", data=form, files=files)


def test_pictures_are_what_the_model_samples(client: TestClient, loaded: Callable[[str], Any]) -> None:
    request = {"model": "image", "prompt": "a red circle", "n": 2, "seed": 5, "steps": 3}
    response = client.post("/v1/images/generations", json=request)
    expected = loaded("image").sample("a red circle", n=2, seed=5, steps=3)
    assert [decoded(response, number).tobytes() for number in range(2)] == [x.pixels.tobytes() for x in expected]


def test_a_picture_can_be_fetched_by_its_address(client: TestClient) -> None:
    request = {"model": "image", "prompt": "", "seed": 5, "steps": 1, "response_format": "url", "size": "16x16"}
    url = client.post("/v1/images/generations", json=request).json()["data"][0]["url"]
    assert client.get(url).content.startswith(b"\x89PNG")


def test_what_is_transparent_is_painted_and_the_rest_kept(
    client: TestClient, loaded: Callable[[str], Any], tmp_path: Any
) -> None:
    original = picture()
    response = edit(client, {"image": png(original), "mask": mask()})
    pixels = decoded(response)
    assert (pixels[:, SIZE // 2 :] == np.asarray(original)[:, SIZE // 2 :]).all()
    assert (pixels[:, : SIZE // 2] != np.asarray(original)[:, : SIZE // 2]).any()
    (tmp_path / "init.png").write_bytes(png(original))
    ours = Image.new("L", (SIZE, SIZE), 0)  # white is painted
    ours.paste(255, (0, 0, SIZE // 2, SIZE))
    ours.save(tmp_path / "mask.png")
    options: dict[str, Any] = {"init": tmp_path / "init.png", "mask": str(tmp_path / "mask.png"), "steps": 2}
    expected = loaded("image").sample("a red circle", seed=5, **options)
    assert (pixels == expected[0].pixels).all()


def test_a_picture_with_holes_needs_no_mask(client: TestClient) -> None:
    holed = picture().convert("RGBA")
    holed.paste((0, 0, 0, 0), (0, 0, SIZE // 2, SIZE))
    pixels = decoded(edit(client, {"image": png(holed)}))
    assert (pixels[:, SIZE // 2 :] == np.asarray(holed.convert("RGB"))[:, SIZE // 2 :]).all()


def test_a_variation_starts_from_the_picture(client: TestClient, loaded: Callable[[str], Any], tmp_path: Any) -> None:
    form = {"model": "image", "seed": "1", "steps": "4", "strength": "0.5"}
    response = client.post("/v1/images/variations", data=form, files={"image": png(picture())})
    (tmp_path / "init.png").write_bytes(png(picture()))
    expected = loaded("image").sample("", seed=1, steps=4, strength=0.5, init=tmp_path / "init.png")
    assert (decoded(response) == expected[0].pixels).all()


@pytest.mark.parametrize(
    ("files", "values", "words"),
    [
        ({"image": png(picture()), "mask": mask(8)}, {}, "the same size"),
        ({"image": png(picture()), "mask": mask(alpha=255)}, {}, "no transparent area"),
        ({"image": png(picture()), "mask": png(picture())}, {}, "no transparent area"),
        ({"image": b"not a picture"}, {}, "image= is not an image"),
        ({"image": png(picture()), "mask": b"no"}, {}, "mask= is not an image"),
        ({"mask": mask()}, {}, "image="),
        ({"image": png(picture()), "other": b"x"}, {}, "no other file"),
        ({"image": png(picture())}, {"steps": "many"}, "steps='many'"),
        ({"image": png(picture())}, {"steps": "251"}, "allows 250"),
        ({"image": png(picture())}, {"size": "1024x1024"}, "16x16"),
        ({"image": png(picture())}, {"mask": "/etc/passwd"}, "uploaded"),
        ({"image": png(picture())}, {"model": "text"}, "makes a document"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(
    client: TestClient, files: dict[str, bytes], values: dict[str, str], words: str
) -> None:
    response = edit(client, files, **values)
    assert response.status_code == 400 and words in response.json()["error"]["message"], response.text
    assert "/tmp" not in response.text


def test_parts_of_a_picture_come_from_jobs(client: TestClient) -> None:
    response = client.post("/v1/images/generations", json={"model": "image", "prompt": "", "stream": True})
    assert response.status_code == 400 and "/api/jobs" in response.text
