import io
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from genai.errors import Mistake
from genai.modalities import film_reader, film_writer
from genai.modalities.clip import Clip
from genai.modalities.filmstrip import animated, filmstrip
from genai.modalities.sound import Sound

Frames = NDArray[np.uint8]


def moving(count: int = 12, height: int = 32, width: int = 32, channels: int = 3) -> Frames:
    """A square of six pixels that goes to the right, one pixel a frame, over a grey ground."""
    frames = np.full((count, height, width, channels), 60, np.uint8)
    for at in range(count):
        frames[at, 4:10, at : at + 6] = 220
    return frames


def film(
    path: Path, pictures: Frames, fps: float = 10, times: list[float] | None = None, codec: str = "libx264"
) -> Path:
    """Written by FFmpeg; with time stamps in seconds where they are given."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=Fraction(fps).limit_denominator(1000), options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = pictures.shape[2], pictures.shape[1], "yuv420p"
        if times:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for at, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if times:
                frame.pts, frame.time_base = round(times[at] * 1000), Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


def written(path: Path, clip: Clip) -> Path:
    path.write_bytes(clip.to_bytes(path.suffix))
    return path


def psnr(a: Frames, b: Frames) -> float:
    return float(10 * np.log10(255**2 / max(1e-9, np.square(a.astype(float) - b).mean())))


@pytest.mark.parametrize("suffix", [".png", ".webp"])
@pytest.mark.parametrize("shape", [(12, 32, 32, 3), (5, 17, 23, 3), (2, 4, 4, 3)])
def test_animations_keep_every_pixel(suffix: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    back = Clip.read(written(tmp_path / f"a{suffix}", Clip(frames, 8)))
    assert np.array_equal(back.frames, frames)
    assert back.fps == pytest.approx(8)


@pytest.mark.parametrize("fps", [12, 24, 29.97, 30])
def test_the_times_of_an_animation_do_not_drift(fps: float, tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), np.uint8)
    back = Clip.read(written(tmp_path / "a.png", Clip(frames, fps)))
    assert back.seconds == pytest.approx(60 / fps, abs=0.002)


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
@pytest.mark.parametrize("shape", [(12, 32, 32, 3), (12, 33, 47, 3), (12, 32, 32, 1), (1, 32, 32, 3)])
def test_films_are_enlarged_and_look_the_same(suffix: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    frames = moving(*shape)
    back = Clip.read(written(tmp_path / f"a{suffix}", Clip(frames, 8)))
    assert len(back.frames) == len(frames)
    large = film_writer.enlarged(frames.repeat(3 // shape[-1], -1))
    assert min(back.frames.shape[1:3]) >= 256
    assert psnr(back.frames, large) > 30


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_sound_is_in_time(suffix: str, tmp_path: Path) -> None:
    samples = np.zeros(16_000, np.float32)
    samples[8_000:8_200] = np.sin(np.arange(200) * 0.6) * 0.8
    clip = Clip(moving(20), 10, Sound(samples, 8_000))
    back = Clip.read(written(tmp_path / f"a{suffix}", clip), sound=True)
    assert back.sound is not None
    assert np.abs(back.sound.samples).argmax() / back.sound.rate == pytest.approx(1.0, abs=0.03)
    assert back.sound.seconds == pytest.approx(2.0, abs=0.08)
    assert back.seconds == pytest.approx(2.0, abs=0.06)
    assert Clip.read(tmp_path / f"a{suffix}").sound is None


@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mkv", "libx264"), (".avi", "mpeg4"), (".mov", "libx264"), (".webm", "libvpx-vp9")]
)
def test_films_of_many_kinds_are_read(suffix: str, codec: str, tmp_path: Path) -> None:
    pictures = moving(10, 64, 64)
    back = Clip.read(film(tmp_path / f"ä b{suffix}", pictures, codec=codec))
    assert back.frames.shape == pictures.shape
    assert back.fps == pytest.approx(10)
    assert psnr(back.frames, pictures) > 25


def test_frames_stand_there_by_their_time_stamps(tmp_path: Path) -> None:
    pictures = np.stack([np.full((32, 32, 3), 40 * at, np.uint8) for at in range(5)])
    path = film(tmp_path / "a.mkv", pictures, times=[0, 0.1, 0.5, 0.6, 1.0])
    shown = Clip.read(path, fps=10).frames[:, 0, 0, 0].astype(float) / 40
    assert shown.round()[:11].tolist() == [0, 1, 1, 1, 1, 2, 3, 3, 3, 3, 4]


def test_a_gif_is_shown_as_long_as_it_says(tmp_path: Path) -> None:
    pictures = [Pillow.new("RGB", (16, 16), (250 * (at % 2), 20 * at, 0)) for at in range(4)]
    pictures[0].save(
        tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=[100, 300, 100, 100], loop=0
    )
    clip = Clip.read(tmp_path / "a.gif", fps=10)
    assert (clip.frames[:, 0, 0, 0] > 125).tolist() == [False, True, True, True, False, True]
    assert Clip.read(tmp_path / "a.gif").seconds == pytest.approx(0.6)


def test_a_folder_of_pictures_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        Pillow.new("L", (16, 16), number * 10).save(tmp_path / f"frame{number}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    clip = Clip.read(tmp_path)
    assert clip.frames[:, 0, 0, 0].tolist() == [10, 20, 100]
    assert clip.fps == 8
    Pillow.new("L", (20, 16)).save(tmp_path / "frame11.png")
    with pytest.raises(Mistake, match="different sizes"):
        Clip.read(tmp_path)


def test_a_picture_is_a_single_frame(tmp_path: Path) -> None:
    Pillow.new("RGB", (40, 30), "red").save(tmp_path / "a.jpg")
    clip = Clip.read(tmp_path / "a.jpg", fps=12)
    assert clip.frames.shape == (1, 30, 40, 3) and clip.fps == 12


def test_it_is_made_smaller_while_it_is_read(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", moving(4, 96, 128))
    assert Clip.read(path, about=48).frames.shape == (4, 48, 64, 3)
    assert Clip.read(path, about=500).frames.shape == (4, 96, 128, 3)


def test_at_another_rate_the_same_moments_are_shown() -> None:
    clip = Clip(moving(12), 12)
    assert np.array_equal(clip.at(6).frames, clip.frames[::2])
    assert np.array_equal(clip.at(24).frames, clip.frames.repeat(2, 0))
    assert clip.at(12).frames is clip.frames


def test_what_is_no_clip_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "sound.wav").write_bytes(Sound(np.zeros(800, np.float32), 8000).to_bytes())
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")
    for name, said in {
        "empty.mp4": "empty file", "noise.mp4": "not a clip", "sound.wav": "no picture", "list.m3u8": "not a clip",
        "none.mp4": "No such file",
    }.items():  # fmt: skip
        with pytest.raises(Mistake, match=said) as caught:
            Clip.read(tmp_path / name)
        assert name in str(caught.value)
    with pytest.raises(Mistake, match=r"as \.gif"):
        Clip(moving(), 8).to_bytes(".gif")


def test_a_film_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data = film(tmp_path / "a.mp4", rng.integers(0, 256, (60, 32, 32, 3), np.uint8)).read_bytes()
    for share in (0.1, 0.5, 0.9):
        (tmp_path / "b.mp4").write_bytes(data[: int(len(data) * share)])
        with pytest.raises(Mistake, match=r"b\.mp4"):
            Clip.read(tmp_path / "b.mp4")


def test_damage_crashes_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for suffix in (".mp4", ".webm", ".png", ".webp"):
        whole = np.frombuffer(Clip(moving(4), 8).to_bytes(suffix), np.uint8)
        for _ in range(15):
            data = whole.copy()
            data[rng.integers(len(data), size=5)] = rng.integers(256, size=5)
            (tmp_path / f"a{suffix}").write_bytes(data.tobytes())
            with suppress(Mistake):
                assert Clip.read(tmp_path / f"a{suffix}").frames.dtype == np.uint8


def test_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.png", Clip(moving(), 8))
    monkeypatch.setattr(film_reader, "LARGEST", 5000)
    with pytest.raises(Mistake, match="more than"):
        Clip.read(path)


def test_what_a_build_cannot_write_is_done_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert film_writer.best() == ".mp4"
    monkeypatch.setattr(av, "codecs_available", {"libvpx-vp9", "libopus"})
    assert film_writer.best() == ".webm"
    with pytest.raises(Mistake, match="format=apng"):
        Clip(moving(), 8).to_bytes(".mp4")
    monkeypatch.setattr(av, "codecs_available", set())
    assert film_writer.best() == ".png"


def test_strips_and_moving_sheets() -> None:
    samples = [("a square", Clip(moving(12), 8)), ("a grey one", Clip(moving(5, channels=1), 8))]
    assert filmstrip(samples, most=4).pixels.shape[0] > 2 * 96
    data, height, width = animated(samples)
    with Pillow.open(io.BytesIO(data)) as image:
        assert (image.height, image.width) == (height, width)
        assert getattr(image, "n_frames", 1) == 12
