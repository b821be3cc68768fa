import itertools
import json
import random
import struct
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from genai.core.errors import UserError
from genai.media import picture, resample_frames, video_writer
from genai.media.clip import OUTPUT_SUFFIXES, SUFFIXES_WITH_SOUND, Clip, best_suffix
from genai.media.sound import Sound
from genai.toy.world.soundtrack import detect_onsets

PixelArray = NDArray[np.uint8]


def moving(count: int = 12, height: int = 32, width: int = 32) -> PixelArray:
    """A red square on dark blue that goes right, one pixel a frame, over a green corner."""
    frames = np.full((count, height, width, 3), (10, 20, 60), np.uint8)
    frames[:, height * 3 // 4 :, width * 3 // 4 :] = (30, 200, 40)
    for number, frame in enumerate(frames):
        at = number % max(1, width - 8)
        frame[height // 4 : height // 4 + 8, at : at + 8] = (220, 40, 30)
    return frames


def gray_frames(levels: Sequence[int], side: int = 32) -> PixelArray:
    """Frames that are of one brightness each, by which they can be told."""
    return np.array(levels, np.uint8)[:, None, None, None].repeat(side, 1).repeat(side, 2).repeat(3, 3)


def film(
    path: Path,
    frames: PixelArray,
    codec: str = "mpeg4",
    fps: Fraction = Fraction(8),
    times: Sequence[int] | None = None,
    layout: str = "yuv420p",
    **more: Any,
) -> Path:
    """Written by FFmpeg; ``times``: in milliseconds, where they are not even."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=fps, width=frames.shape[2], height=frames.shape[1])
        stream.pix_fmt = layout
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if "rotation" in more:
            stream.set_display_rotation(more["rotation"])
        if "shape" in more:
            stream.codec_context.sample_aspect_ratio = more["shape"]
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, "rgba" if pixels.shape[2] == 4 else "rgb24")
            frame.pts, frame.time_base = (number, 1 / fps) if times is None else (times[number], Fraction(1, 1000))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def psnr(one: PixelArray, other: PixelArray) -> float:
    assert one.shape == other.shape
    return float(10 * np.log10(255**2 / max(1e-9, np.square(one.astype(float) - other).mean())))


def levels(clip: Clip) -> list[int]:
    """Of each frame, to the ten that codecs leave."""
    return [round(float(frame.mean()) / 10) * 10 for frame in clip.frames]


# ------------------------------------------------------------------------------------------------- kinds of files

VIDEOS = [
    ("a.mp4", "libx264"),
    ("a.mov", "libx264"),
    ("a.m4v", "mpeg4"),
    ("a.mkv", "ffv1"),
    ("a.webm", "libvpx-vp9"),
    ("a.webm", "libvpx"),
    ("a.avi", "mpeg4"),
    ("a.mpg", "mpeg2video"),
    ("a.ts", "libx264"),
    ("a.flv", "flv"),
    ("a.wmv", "wmv2"),
    ("a.ogv", "libtheora"),
    ("ümläut 映画 #%d.mp4", "libx264"),
]


@pytest.mark.parametrize(("name", "codec"), VIDEOS)
def test_every_kind_of_video_is_read(tmp_path: Path, name: str, codec: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    frames = moving(25)
    film(tmp_path / f"plain{Path(name).suffix}", frames, codec, Fraction(25)).rename(tmp_path / name)
    clip = Clip.read(tmp_path / name)
    assert (clip.fps, clip.sound, clip.seconds) == (25, None, 1)
    assert psnr(clip.frames, frames) > 24


def test_titles_in_old_letters_do_no_harm(tmp_path: Path) -> None:
    clip = Clip(moving(8), 8, Sound(clicks(8_000, 1), 8_000))
    (tmp_path / "a.mp4").write_bytes(clip.to_bytes())
    with av.open(str(tmp_path / "a.mp4")) as source, av.open(str(tmp_path / "b.mkv"), "w") as target:
        target.metadata["title"] = "caf\u00e9"
        streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    (tmp_path / "b.mkv").write_bytes((tmp_path / "b.mkv").read_bytes().replace(b"caf\xc3\xa9", b"caf\xe9\xe9"))
    clip = Clip.read(tmp_path / "b.mkv", sound=True)
    assert len(clip.frames) == 8 and clip.sound is not None and clip.sound.seconds == pytest.approx(1, abs=0.05)


def test_a_name_is_no_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    film(Path("plain.mp4"), moving()).rename("http:x#%d.mp4")
    assert len(Clip.read(Path("http:x#%d.mp4")).frames) == 12


def animation(path: Path, frames: PixelArray, **options: Any) -> Path:
    images = [Pillow.fromarray(frame) for frame in frames]
    if path.suffix == ".gif":
        images = [image.convert("P", palette=Pillow.Palette.ADAPTIVE) for image in images]
    images[0].save(path, save_all=True, append_images=images[1:], **{"loop": 0, **options})
    return path


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_animations_are_read(tmp_path: Path, suffix: str) -> None:
    options = {"lossless": True} if suffix == ".webp" else {}
    clip = Clip.read(animation(tmp_path / f"a{suffix}", moving(), duration=80, **options))
    assert (clip.fps, clip.seconds) == (12.5, 0.96)
    assert np.array_equal(clip.frames, moving())


def test_a_gif_that_is_drawn_over_what_was_there(tmp_path: Path) -> None:
    dot = Pillow.new("RGBA", (8, 8))
    dot.putpixel((3, 3), (255, 0, 0, 255))
    other = Pillow.new("RGBA", (8, 8))
    other.putpixel((5, 5), (0, 0, 255, 255))
    for disposal, red in ((1, True), (2, False)):
        dot.save(tmp_path / "a.gif", save_all=True, append_images=[other], duration=100, disposal=disposal)
        last = Clip.read(tmp_path / "a.gif").frames[-1]
        assert last[0, 0].tolist() == [255, 255, 255] and last[5, 5].tolist() == [0, 0, 255]
        assert last[3, 3].tolist() == ([255, 0, 0] if red else [255, 255, 255])


@pytest.mark.parametrize(("duration", "fps"), [(0, 10), (10, 10), (20, 50)])
def test_a_gif_as_fast_as_it_can_be_is_as_slow_as_browsers_have_it(tmp_path: Path, duration: int, fps: float) -> None:
    assert Clip.read(animation(tmp_path / "a.gif", moving(), duration=duration)).fps == fps


def test_the_picture_for_those_who_see_no_animation_is_left_out(tmp_path: Path) -> None:
    animation(tmp_path / "a.png", moving(3), duration=100, default_image=True)
    assert np.array_equal(Clip.read(tmp_path / "a.png").frames, moving(3)[1:])


def test_a_still_is_one_frame(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    Pillow.fromarray(moving(1, 16, 24)[0]).save(tmp_path / "a.jpg", exif=exif)
    Pillow.new("RGBA", (8, 8)).save(tmp_path / "b.png")
    Pillow.new("L", (8, 8), 7).save(tmp_path / "c.webp", lossless=True)
    one = Clip.read(tmp_path / "a.jpg")
    assert (one.frames.shape, one.fps, one.seconds) == ((1, 24, 16, 3), 8, 0.125)
    assert Clip.read(tmp_path / "b.png", 24).fps == 24
    assert (Clip.read(tmp_path / "b.png").frames == 255).all()
    assert Clip.read(tmp_path / "c.webp", short_side=4).frames.shape[:3] == (1, 4, 4)


def test_a_folder_of_numbered_frames(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".hidden.png").touch()
    for number, frame in enumerate(moving(11, 16, 24)):
        Pillow.fromarray(frame).save(tmp_path / f"frame{number}.png")
    clip = Clip.read(tmp_path)
    assert np.array_equal(clip.frames, moving(11, 16, 24)) and clip.fps == 8
    assert Clip.read(tmp_path, fps=12, short_side=8).frames.shape == (11, 8, 12, 3)
    Pillow.new("L", (24, 16)).save(tmp_path / "frame11.png")
    assert Clip.read(tmp_path).frames.shape == (12, 16, 24, 3)
    Pillow.new("L", (24, 17)).save(tmp_path / "frame12.png")
    with pytest.raises(UserError, match=f"^{tmp_path} has pictures of different sizes"):
        Clip.read(tmp_path)
    (tmp_path / "frame12.png").write_bytes(b"x")
    with pytest.raises(UserError, match=r"frame12\.png is not an image"):
        Clip.read(tmp_path)


def test_gray_frames_stay_gray(tmp_path: Path) -> None:
    for number in range(3):
        Pillow.new("L", (8, 8), number).save(tmp_path / f"{number}.png")
    clip = Clip.read(tmp_path)
    assert clip.frames.shape == (3, 8, 8, 1)
    (tmp_path / "a.png").write_bytes(clip.to_bytes(".png"))
    assert np.array_equal(Clip.read(tmp_path / "a.png").frames, clip.frames)
    for suffix in OUTPUT_SUFFIXES:
        (tmp_path / f"b{suffix}").write_bytes(clip.to_bytes(suffix))
        assert len(Clip.read(tmp_path / f"b{suffix}", 8).frames) == 3


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_what_a_phone_filmed_on_its_side_is_upright(tmp_path: Path, rotation: int) -> None:
    plain = Clip.read(film(tmp_path / "a.mp4", moving(3, 32, 64)))
    rotated = Clip.read(film(tmp_path / "b.mp4", moving(3, 32, 64), rotation=rotation))
    assert np.array_equal(rotated.frames, np.rot90(plain.frames, rotation // 90, (1, 2)))
    assert min(Clip.read(tmp_path / "b.mp4", short_side=16).frames.shape[1:3]) == 16


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0, 1), "rgbw"),
        ((-1, 0, 0, 1), "grwb"),
        ((1, 0, 0, -1), "bwrg"),
        ((-1, 0, 0, -1), "wbgr"),
        ((0, 1, -1, 0), "brwg"),
        ((0, -1, 1, 0), "gwrb"),
        ((0, 1, 1, 0), "rbgw"),
        ((0, -1, -1, 0), "wgbr"),
    ],
)
def test_what_is_mirrored_in_the_file_is_shown_as_it_says(
    tmp_path: Path, matrix: tuple[int, ...], expected: str
) -> None:
    """The corners of four colors, row by row, after each matrix a, b, c, d of the header; as ffmpeg shows them."""
    colors = {"r": (255, 0, 0), "g": (0, 255, 0), "b": (0, 0, 255), "w": (255, 255, 255)}
    corners = np.array(list(colors.values()), np.uint8).reshape(2, 2, 3).repeat(16, 0).repeat(32, 1)
    content = bytearray(film(tmp_path / "a.mp4", np.stack([corners] * 3), "libx264").read_bytes())
    start = content.index(b"tkhd") + 44
    a, b, c, d = (value << 16 for value in matrix)
    content[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    (tmp_path / "a.mp4").write_bytes(content)
    frame = Clip.read(tmp_path / "a.mp4").frames[0]
    assert frame.shape == ((32, 64, 3) if matrix[0] else (64, 32, 3))
    shown = [frame[y, x].astype(int) for y in (4, -4) for x in (4, -4)]
    nearest = [min(colors, key=lambda name: np.abs(pixel - colors[name]).sum()) for pixel in shown]
    assert "".join(nearest) == expected


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mkv", "libx264"), ("a.webm", "libvpx"), ("a.mp4", "libx264"), ("a.wmv", "wmv2")]
)
def test_a_film_that_does_not_start_at_0_is_whole(tmp_path: Path, name: str, codec: str) -> None:
    film(tmp_path / name, moving(16, 32, 32), codec, times=[3000 + 125 * number for number in range(16)])
    assert len(Clip.read(tmp_path / name, 8).frames) == 16


def test_pixels_that_are_not_square_and_those_that_are_clear(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", moving(3, 32, 64), "libx264", shape=Fraction(3, 2))
    assert Clip.read(tmp_path / "a.mp4").frames.shape == (3, 32, 96, 3)
    clear = np.zeros((2, 32, 32, 4), np.uint8)
    clear[:, :16] = (255, 0, 0, 255)
    frame = Clip.read(film(tmp_path / "a.mov", clear, "png", layout="rgba")).frames[0]
    assert frame[0, 0].tolist() == [255, 0, 0] and frame[-1, -1].tolist() == [255, 255, 255]


# ------------------------------------------------------------------------------------------------ time, size, sound


def test_what_is_shown_at_a_time_is_the_last_that_has_begun(tmp_path: Path) -> None:
    film(tmp_path / "a.mkv", gray_frames([0, 50, 100, 200]), "ffv1", times=[0, 100, 400, 900])
    assert levels(Clip.read(tmp_path / "a.mkv", 10))[:10] == [0, 50, 50, 50, 100, 100, 100, 100, 100, 200]
    assert levels(Clip.read(tmp_path / "a.mkv", 4))[:4] == [0, 50, 100, 100]
    slow = Clip.read(tmp_path / "a.mkv")
    assert 3.5 < slow.fps < 4.5 and len(slow.frames) == 4


@pytest.mark.parametrize(
    ("source_fps", "target_fps", "expected"),
    [(24, 8, [0, 30, 60, 90]), (30, 10, [0, 30, 60, 90]), (8, 16, [0, 0, 10, 10, 20, 20]), (12, 12, [0, 10, 20, 30])],
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".gif", ".webp", ".png"])
def test_any_rate_is_made_another(
    tmp_path: Path, source_fps: int, target_fps: int, expected: list[int], suffix: str
) -> None:
    frames = gray_frames(range(0, 240, 10))
    if suffix in (".mp4", ".mkv"):
        film(tmp_path / f"a{suffix}", frames, "libx264" if suffix == ".mp4" else "ffv1", Fraction(source_fps))
    else:
        step = 10 if suffix == ".gif" else 1
        ends = (np.arange(25) * 1000 / source_fps / step).round() * step
        durations = [int(duration) for duration in np.diff(ends)]
        animation(
            tmp_path / f"a{suffix}", frames, duration=durations, **({"lossless": True} if suffix == ".webp" else {})
        )
    clip = Clip.read(tmp_path / f"a{suffix}", target_fps)
    assert levels(clip)[: len(expected)] == expected
    assert len(clip.frames) == 24 * target_fps // source_fps and clip.fps == target_fps
    whole = Clip.read(tmp_path / f"a{suffix}")
    assert np.array_equal(levels(whole), range(0, 240, 10)) and whole.fps == pytest.approx(source_fps, rel=0.01)


def test_a_large_film_comes_out_small(tmp_path: Path) -> None:
    frames = moving().repeat(4, 1).repeat(8, 2)
    film(tmp_path / "a.mp4", frames, "libx264")
    clip = Clip.read(tmp_path / "a.mp4", short_side=32)
    assert clip.frames.shape == (12, 32, 64, 3)
    assert psnr(clip.frames, moving().repeat(2, 2)) > 35
    assert Clip.read(tmp_path / "a.mp4", short_side=500).frames.shape == frames.shape
    animation(tmp_path / "a.gif", frames, duration=80)
    assert np.array_equal(Clip.read(tmp_path / "a.gif", short_side=32).frames, moving().repeat(2, 2))


def clicks(sample_rate: int, seconds: int = 2) -> NDArray[np.float32]:
    """Soft noises at the beginning of each half second."""
    draw = np.random.default_rng(0)
    samples = np.zeros(sample_rate * seconds, np.float32)
    for at in range(0, len(samples), sample_rate // 2):
        samples[at : at + sample_rate // 20] = draw.uniform(-0.5, 0.5, sample_rate // 20) * np.hanning(
            sample_rate // 20
        )
    return samples


@pytest.mark.parametrize("sample_rate", [8_000, 44_100])
@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_the_sound_is_in_time(tmp_path: Path, suffix: str, sample_rate: int) -> None:
    clip = Clip(moving(16), 8, Sound(clicks(sample_rate), sample_rate))
    (tmp_path / f"a{suffix}").write_bytes(clip.to_bytes(suffix))
    with av.open(str(tmp_path / f"a{suffix}")) as container:
        assert container.duration / 1e6 == pytest.approx(2, abs=0.01)
    assert Clip.read(tmp_path / f"a{suffix}").sound is None
    audio = Clip.read(tmp_path / f"a{suffix}", sound=True).sound
    assert audio is not None and audio.seconds == pytest.approx(2, abs=0.01)
    expected = clip.sound.resample(audio.sample_rate).samples  # type: ignore[union-attr]
    actual = audio.samples[: len(expected)]
    shifted = {lag: float(np.roll(actual, -lag) @ expected[: len(actual)]) for lag in range(-480, 481)}
    assert max(shifted, key=shifted.__getitem__) == 0
    assert len(Clip.read(tmp_path / f"a{suffix}").frames) == 16


@pytest.mark.parametrize("sample_rate", [8_000, 44_100])
@pytest.mark.parametrize(("frames", "fps"), [(16, 8), (128, 8), (31, 12.5), (5, 24)])
@pytest.mark.parametrize("suffix", SUFFIXES_WITH_SOUND)
def test_each_click_is_heard_at_its_time(
    tmp_path: Path, suffix: str, frames: int, fps: float, sample_rate: int
) -> None:
    seconds = frames / fps
    times = np.arange(0.1, seconds - 0.05, 0.37)
    samples = np.zeros(round(seconds * sample_rate), np.float32)
    for time in times:
        click = np.sin(np.arange(round(0.03 * sample_rate)) * (2 * np.pi * 1_000 / sample_rate))
        samples[round(time * sample_rate) :][: len(click)] = 0.8 * click[: len(samples) - round(time * sample_rate)]
    path = tmp_path / f"a{suffix}"
    path.write_bytes(Clip(moving(frames), fps).with_sound(Sound(samples, sample_rate)).to_bytes(suffix))
    with av.open(str(path)) as container:
        audio = list(container.decode(audio=0))
        container.seek(0)
        frame_times = [frame.time for frame in container.decode(video=0)]
    assert frame_times == pytest.approx(np.arange(frames) / fps, abs=0.001)
    begin, level = audio[0].time or 0.0, np.concatenate([frame.to_ndarray()[0] for frame in audio])
    assert begin == pytest.approx(0, abs=0.001)
    assert begin + len(level) / audio[0].sample_rate == pytest.approx(seconds, abs=0.025)  # the last packet is full
    assert begin + np.array(detect_onsets(level, audio[0].sample_rate)) == pytest.approx(times, abs=0.010)


# ---------------------------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize("fps", [8, 12, 24, 30_000 / 1001, 12.5, 0.5])
@pytest.mark.parametrize("suffix", OUTPUT_SUFFIXES)
def test_what_is_written_comes_back(tmp_path: Path, suffix: str, fps: float) -> None:
    clip = Clip(moving(24), fps, suffix=suffix)
    (tmp_path / f"a{suffix}").write_bytes(clip.to_bytes())
    back = Clip.read(tmp_path / f"a{suffix}", short_side=32)
    assert back.fps == pytest.approx(fps, rel=1e-3) and back.seconds == pytest.approx(clip.seconds, rel=1e-3)
    if suffix in (".png", ".webp"):
        assert np.array_equal(back.frames, clip.frames)
        return
    whole = Clip.read(tmp_path / f"a{suffix}").frames
    assert psnr(whole, clip.frames.repeat(8, 1).repeat(8, 2)) > 35
    assert psnr(back.frames, clip.frames) > 35
    assert np.abs(whole[0, -8:, -8:].mean((0, 1)) - (30, 200, 40)).max() < 4
    assert clip.to_bytes() == clip.to_bytes()


@pytest.mark.parametrize("suffix", OUTPUT_SUFFIXES)
@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 1, 1), (3, 31, 17), (2, 257, 301), (2, 2, 3000)])
def test_any_size_and_a_single_frame_are_written(tmp_path: Path, suffix: str, shape: tuple[int, int, int]) -> None:
    draw = np.random.default_rng(0)
    frames = draw.integers(0, 256, (*shape, 3), np.uint8)
    (tmp_path / f"a{suffix}").write_bytes(Clip(frames, 8).to_bytes(suffix.lstrip(".").upper()))
    back = Clip.read(tmp_path / f"a{suffix}", 8)
    assert len(back.frames) == len(frames)
    if suffix in (".png", ".webp"):
        assert np.array_equal(back.frames, frames)
    else:
        assert all(side % 2 == 0 for side in back.frames.shape[1:3])
        assert min(back.frames.shape[1:3]) >= 256 or max(back.frames.shape[1:3]) > 2048


@pytest.mark.parametrize("fps", [12, 24, 30])
def test_an_animation_does_not_drift_and_keeps_what_stands_still(tmp_path: Path, fps: int) -> None:
    frames = moving(60)
    frames[20:40] = frames[20]
    for suffix in (".png", ".webp"):
        (tmp_path / f"a{suffix}").write_bytes(Clip(frames, fps).to_bytes(suffix))
        clip = Clip.read(tmp_path / f"a{suffix}", fps)
        assert np.array_equal(clip.frames, frames)
    with Pillow.open(tmp_path / "a.png") as image:
        assert image.n_frames == 60 and image.info["duration"] == 1000 / fps and image.info["loop"] == 0


def test_what_cannot_be_written_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = Clip(moving(2), 8)
    with pytest.raises(UserError, match=r"cannot write a clip as \.gif\. There are: \.mp4, \.png, \.webm, \.webp\."):
        clip.to_bytes(".gif")
    with pytest.raises(UserError, match=r"cannot write 1 x 70000 pixels as \.webp"):
        Clip(np.zeros((2, 70_000, 1, 3), np.uint8), 8).to_bytes(".webp")
    with pytest.raises(UserError, match=r"cannot write 1 x 70000 pixels at 8 fps as \.mp4"):
        Clip(np.zeros((2, 70_000, 1, 3), np.uint8), 8).to_bytes(".mp4")
    assert best_suffix() == ".mp4" and "<video autoplay loop muted" in clip._repr_html_()
    lacking = {"libx264", "libvpx-vp9"}
    for missing, left in (({"libx264"}, ".webm"), (lacking, ".png")):
        monkeypatch.setattr(av, "codecs_available", av.codecs_available - missing)
        assert best_suffix() == left
    assert "<img src='data:image/png" in clip._repr_html_()
    with pytest.raises(UserError, match=r"this build of PyAV has no libx264\. Use \.png or \.webp\."):
        clip.to_bytes(".mp4")
    assert clip.on_terminal == ""


def test_nothing_is_said_while_writing(capfd: pytest.CaptureFixture[str]) -> None:
    for suffix in OUTPUT_SUFFIXES:
        Clip(moving(3), 8, Sound(clicks(8_000), 8_000)).to_bytes(suffix)
    assert capfd.readouterr() == ("", "")


# -------------------------------------------------------------------------------------------------------- bad files


def audio_only(path: Path) -> Path:
    path.write_bytes(Clip(moving(16), 8, Sound(clicks(8_000), 8_000)).to_bytes(".mp4"))
    with av.open(str(path)) as source, av.open(str(alone := path.with_stem("alone")), "w") as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return alone


def test_a_file_without_a_picture(tmp_path: Path) -> None:
    path = audio_only(tmp_path / "a.mp4")
    assert Sound.read(path).seconds > 1
    with pytest.raises(UserError, match=f"^{path} has no pictures, only sound"):
        Clip.read(path)


BAD = {
    "0 bytes": ("a.mp4", b"", "is an empty file"),
    "0 bytes gif": ("a.gif", b"", "is an empty file"),
    "text": ("a.mp4", b"hello " * 50, "is not a video or picture that can be read"),
    "random": ("a.mkv", random.Random(0).randbytes(9_999), "is not a video or picture that can be read"),
    "header alone": ("a.png", b"\x89PNG\r\n\x1a\n", "is not a video or picture"),
    "play list": ("a.mp4", b"#EXTM3U\n#EXTINF:10,\n/etc/hosts\n#EXT-X-ENDLIST\n", "is not a video"),
    "list of files": ("a.mp4", b"ffconcat version 1.0\nfile 'b.mp4'\n", "is not a video"),
    "DASH": ("a.mp4", b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>', "is not a video"),
    "subtitles": ("a.mkv", b"1\n00:00:01,000 --> 00:00:02,000\nhello\n\n", "is not a video"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_file_that_cannot_be_used_is_named_in_a_line(
    tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    name, content, message = BAD[kind]
    (tmp_path / name).write_bytes(content)
    film(tmp_path / "b.mp4", moving(3))
    with pytest.raises(UserError, match=f"^{tmp_path / name} {message}[^\n]*$"):
        Clip.read(tmp_path / name)
    assert capfd.readouterr() == ("", "")


def test_where_there_is_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^cannot read .*absent\.mp4: No such file or directory\.$"):
        Clip.read(tmp_path / "absent.mp4")
    with pytest.raises(UserError, match="is a folder without pictures"):
        Clip.read(tmp_path)
    with pytest.raises(UserError, match=r"cannot read .*: embedded null byte\.$"):
        Clip.read(Path("a\0b"))
    for fps in (0, -1, 2000, float("nan")):
        with pytest.raises(UserError, match="it should be above 0 and at most 1,000"):
            Clip.read(tmp_path, fps)


CUT = [("a.mp4", "libx264"), ("a.mkv", "ffv1"), ("a.webm", "libvpx-vp9"), ("a.avi", "mpeg4"), ("a.mov", "mjpeg")]


@pytest.mark.parametrize(("name", "codec"), CUT)
def test_a_film_that_is_cut_short_is_refused(tmp_path: Path, name: str, codec: str) -> None:
    draw = np.random.default_rng(0)
    frames = moving(24) // 2 + draw.integers(0, 99, (24, 32, 32, 3), np.uint8)
    content = film(tmp_path / name, frames, codec, layout="yuvj420p" if codec == "mjpeg" else "yuv420p").read_bytes()
    for share in (0.02, 0.2, 0.5, 0.7):
        (tmp_path / name).write_bytes(content[: round(share * len(content))])
        with pytest.raises(UserError, match=f"^{tmp_path / name} is (cut short|not a video or picture)"):
            Clip.read(tmp_path / name)


@pytest.mark.parametrize("suffix", OUTPUT_SUFFIXES)
def test_what_was_written_here_and_cut_is_refused(tmp_path: Path, suffix: str) -> None:
    content = Clip(moving(24), 8, Sound(clicks(8_000, 3), 8_000)).to_bytes(suffix)
    for share in (0.1, 0.3, 0.5, 0.8):
        (tmp_path / f"a{suffix}").write_bytes(content[: round(share * len(content))])
        with pytest.raises(UserError, match=rf"a{suffix}"):
            Clip.read(tmp_path / f"a{suffix}")


def test_a_recording_may_begin_and_end_anywhere(tmp_path: Path) -> None:
    """Without what its first frames build on."""
    content = 3 * film(tmp_path / "a.ts", moving(24), "libx264", Fraction(24)).read_bytes()
    packets = len(content) // 188
    (tmp_path / "a.ts").write_bytes(content[188 * 8 : 188 * (packets - 5)])
    assert 24 <= len(Clip.read(tmp_path / "a.ts").frames) < 72


def test_a_gif_that_is_cut_is_refused_or_ends_there(tmp_path: Path) -> None:
    content = animation(tmp_path / "a.gif", moving(24), duration=80).read_bytes()
    for length in range(1, len(content), 97):
        (tmp_path / "a.gif").write_bytes(content[:length])
        try:
            clip = Clip.read(tmp_path / "a.gif", 12.5)
        except UserError:
            continue
        assert np.array_equal(clip.frames, moving(24)[: len(clip.frames)])


def test_what_is_too_large_is_refused_before_it_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film(tmp_path / "a.mp4", moving(48))
    animation(tmp_path / "a.gif", moving(48), duration=80)
    monkeypatch.setattr(resample_frames, "MAX_BYTES", 100_000)
    for name in ("a.mp4", "a.gif"):
        with pytest.raises(UserError, match=rf"{name} has \d+ frames of 32 x 32, too large to read at once"):
            Clip.read(tmp_path / name)
        assert len(Clip.read(tmp_path / name, short_side=8).frames) == 48
        with pytest.raises(UserError, match="too large to read at once"):
            Clip.read(tmp_path / name, fps=900)
    monkeypatch.setattr(picture, "MAX_PIXELS", 1_000)
    for name in ("a.mp4", "a.gif"):
        with pytest.raises(UserError, match=rf"{name} has 32 x 32 pixels, more than 1,000"):
            Clip.read(tmp_path / name, short_side=8)


def test_mutated_files_crash_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    draw, small = random.Random(0), Clip(moving(6), 8, Sound(clicks(8_000, 1), 8_000))
    contents = [small.to_bytes(suffix) for suffix in OUTPUT_SUFFIXES]
    contents += [animation(tmp_path / "a.gif", moving(6)).read_bytes()]
    contents += [film(tmp_path / f"b{end}", moving(6), "mpeg4").read_bytes() for end in (".avi", ".mkv")]
    contents += [film(tmp_path / "c.ts", moving(6), "mpeg2video", Fraction(25)).read_bytes()]
    refused: list[str] = []
    for number, content in zip(range(200), itertools.cycle(contents), strict=False):
        mutated = bytearray(content)
        for _ in range(draw.randint(1, 30)):
            mutated[draw.randrange(len(mutated)) if number % 3 else draw.randrange(400)] = draw.randrange(256)
        (tmp_path / "x").write_bytes(mutated)
        try:
            clip = Clip.read(tmp_path / "x", draw.choice([None, 8, 30]), short_side=16, sound=True)
        except UserError as error:
            refused.append(str(error))
        else:
            assert clip.frames.ndim == 4 and len(clip.frames) and 0 < clip.fps < float("inf")
    assert 40 < len(refused) < 190
    assert all(f"{tmp_path / 'x'}" in line and "\n" not in line for line in refused)
    assert capfd.readouterr() == ("", "")


def test_every_kind_that_can_be_written_is_known() -> None:
    assert {*video_writer.FILE_FORMATS, ".webp"} == set(OUTPUT_SUFFIXES)


def test_at_another_rate_the_same_moments_are_shown() -> None:
    clip = Clip(np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8), 12)
    assert np.array_equal(clip.resample(6).frames, clip.frames[::2])
    assert np.array_equal(clip.resample(24).frames, clip.frames.repeat(2, 0))
    assert clip.resample(12).frames is clip.frames


@pytest.mark.system("ffprobe")
@pytest.mark.parametrize(
    ("suffix", "codecs"), [(".mp4", ["h264", "aac"]), (".webm", ["vp9", "opus"])], ids=["mp4", "webm"]
)
def test_ffprobe_finds_the_frames_and_the_sound(suffix: str, codecs: list[str], tmp_path: Path) -> None:
    sound = Sound(np.sin(np.arange(8000, dtype=np.float32) / 9), 8000)
    clip = Clip(np.random.default_rng(0).integers(0, 256, (12, 20, 24, 3), np.uint8), 12).with_sound(sound)
    (path := tmp_path / f"a{suffix}").write_bytes(clip.to_bytes(suffix))
    command = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-show_format", "-of", "json", path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    found = json.loads(done.stdout)
    video, audio = found["streams"]
    assert [video["codec_name"], audio["codec_name"]] == codecs and video["pix_fmt"] == "yuv420p"
    assert int(video["nb_read_frames"]) == 12 and video["avg_frame_rate"] == "12/1"
    assert min(video["width"], video["height"]) >= 256 and video["width"] * 20 == video["height"] * 24
    assert float(found["format"]["duration"]) == pytest.approx(1, abs=0.1)
