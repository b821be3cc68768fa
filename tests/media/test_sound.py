import base64
import contextlib
import gc
import io
import os
import random
import subprocess
import sys
import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from genai.core.errors import UserError
from genai.media import sound as module
from genai.media.sound import Sound
from genai.media.wav_stream import WavWriter


def tone(sample_rate: int = 16_000, seconds: float = 0.5, pitch: float = 440) -> NDArray[np.float32]:
    return (0.5 * np.sin(2 * np.pi * pitch * np.arange(round(sample_rate * seconds)) / sample_rate)).astype(np.float32)


def with_ffmpeg(path: Path, codec: str | None, sample_rate: int = 16_000, video: bool = False) -> None:
    with av.open(str(path), "w") as container:
        streams: list[Any] = []
        if video:
            streams.append(container.add_stream("mpeg4", rate=10, width=32, height=32, pix_fmt="yuv420p"))
        if codec:
            streams.append(container.add_stream(codec, rate=sample_rate, layout="mono"))
            frame = av.AudioFrame.from_ndarray(tone(sample_rate)[None], "fltp", "mono")
            frame.sample_rate, frame.pts = sample_rate, 0
            container.mux(streams[-1].encode(frame))
        if video:
            container.mux(packet for _ in range(5) for packet in streams[0].encode(av.VideoFrame(32, 32, "yuv420p")))
        for stream in streams:
            container.mux(stream.encode(None))


# ------------------------------------------------------------------------------------------------- kinds of files

BY_LIBSNDFILE = [
    ("a.wav", "PCM_U8"),
    ("a.wav", "PCM_16"),
    ("a.wav", "PCM_24"),
    ("a.wav", "PCM_32"),
    ("a.wav", "FLOAT"),
    ("a.wav", "DOUBLE"),
    ("a.wav", "ALAW"),
    ("a.wav", "ULAW"),
    ("a.wav", "IMA_ADPCM"),
    ("a.flac", "PCM_16"),
    ("a.flac", "PCM_24"),
    ("a.ogg", "VORBIS"),
    ("a.opus", "OPUS"),
    ("a.mp3", "MPEG_LAYER_III"),
    ("a.aiff", "PCM_16"),
    ("a.caf", "PCM_16"),
    ("a.au", "ULAW"),
    ("a.w64", "PCM_16"),
    ("ümläut 音.wav", "PCM_16"),
]
BY_FFMPEG = [
    ("a.m4a", "aac", 16_000),
    ("a.mp4", "aac", 44_100),
    ("a.aac", "aac", 16_000),
    ("a.webm", "libopus", 48_000),
    ("a.mka", "ac3", 48_000),
    ("a.mov", "aac", 16_000),
    ("alac.m4a", "alac", 16_000),
    ("http:x#%d.m4a", "aac", 16_000),
]


def same(sound: Sound, pitch: float = 440) -> None:
    """Half a second of ``tone``: its pitch and loudness."""
    assert sound.samples.dtype == np.float32 and sound.samples.ndim == 1
    assert sound.seconds == pytest.approx(0.5, abs=0.1)
    spectrum = np.abs(np.fft.rfft(sound.samples))
    assert np.argmax(spectrum) / sound.seconds == pytest.approx(pitch, abs=4)
    assert np.sqrt((sound.samples**2).mean()) == pytest.approx(0.354, abs=0.04)


@pytest.mark.parametrize(("name", "subtype"), BY_LIBSNDFILE)
@pytest.mark.parametrize("sample_rate", [None, 24_000])
def test_what_libsndfile_writes_is_read(tmp_path: Path, name: str, subtype: str, sample_rate: int | None) -> None:
    path = tmp_path / name
    soundfile.write(path, tone(), 16_000, subtype, format="OGG" if subtype == "OPUS" else None)
    sound = Sound.read(path, sample_rate)
    assert sound.sample_rate == (sample_rate or 16_000)
    same(sound)


@pytest.mark.parametrize(("name", "codec", "sample_rate"), BY_FFMPEG)
def test_what_ffmpeg_writes_is_read(
    tmp_path: Path, name: str, codec: str, sample_rate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with_ffmpeg(plain := Path(name).with_stem("plain"), codec, sample_rate)
    plain.rename(name)
    same(Sound.read(Path(name)))
    assert Sound.read(Path(name), 8_000).sample_rate == 8_000


def test_the_sound_of_a_video_is_read(tmp_path: Path) -> None:
    with_ffmpeg(tmp_path / "a.mp4", "aac", video=True)
    same(Sound.read(tmp_path / "a.mp4"))


@pytest.mark.parametrize("channels", [2, 6])
@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_channels_become_their_mean(tmp_path: Path, channels: int, kind: str) -> None:
    every = np.random.default_rng(0).uniform(-0.9, 0.9, (1000, channels))
    soundfile.write(tmp_path / f"a.{kind}", every, 48_000, "PCM_24")
    assert np.allclose(Sound.read(tmp_path / f"a.{kind}").samples, every.mean(1), atol=1e-6)


@pytest.mark.parametrize("codec", ["pcm_u8", "pcm_s16le", "pcm_s32le", "pcm_f32le", "pcm_f64le"])
def test_frames_of_ffmpeg_of_every_width_are_scaled_and_averaged(tmp_path: Path, codec: str) -> None:
    every = np.stack([tone(), -0.5 * tone()])
    with av.open(str(tmp_path / "a.mov" if codec == "pcm_u8" else tmp_path / "a.mkv"), "w") as container:
        stream: Any = container.add_stream(codec, rate=16_000, layout="stereo")
        frame = av.AudioFrame.from_ndarray(every, "fltp", "stereo")
        frame.sample_rate, frame.pts = 16_000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (path,) = tmp_path.iterdir()
    assert np.allclose(Sound.read(path).samples, tone() / 4, atol=1 / 64 if codec == "pcm_u8" else 1 / 16_000)


@pytest.mark.parametrize(
    ("source_rate", "target_rate"), [(96_000, 16_000), (8_000, 44_100), (44_100, 16_001), (47_999, 48_000)]
)
def test_a_sound_is_resampled(tmp_path: Path, source_rate: int, target_rate: int) -> None:
    soundfile.write(tmp_path / "a.wav", tone(source_rate), source_rate)
    sound = Sound.read(tmp_path / "a.wav", target_rate)
    middle = slice(target_rate // 10, target_rate // 3)
    assert np.allclose(sound.samples[middle], tone(target_rate)[middle], atol=0.02)
    assert sound.resample(target_rate) is sound
    nothing = Sound(np.zeros(0, np.float32), source_rate).resample(target_rate)
    assert nothing.sample_rate == target_rate and not len(nothing.samples)


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_samples_beyond_one_are_scaled_down(tmp_path: Path, subtype: str) -> None:
    soundfile.write(tmp_path / "a.wav", 8 * tone(), 16_000, subtype)
    assert np.allclose(Sound.read(tmp_path / "a.wav").samples, 2 * tone(), atol=1e-3)
    click = np.sign(tone(seconds=0.1))
    soundfile.write(tmp_path / "b.wav", click, 16_000, subtype)
    assert np.abs(Sound.read(tmp_path / "b.wav", 12_000).samples).max() <= 1  # the filter overshoots


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mka"])
@pytest.mark.parametrize("loss", [1.0, 0.99])
def test_channels_that_cancel_out_are_not_silence(tmp_path: Path, name: str, loss: float) -> None:
    stereo = np.stack([-loss * tone(48_000), tone(48_000)], 1)
    if name == "a.mka":
        with av.open(str(tmp_path / name), "w") as container:
            stream: Any = container.add_stream("pcm_s16le", rate=48_000, layout="stereo")
            frame = av.AudioFrame.from_ndarray((stereo * 32_767).astype(np.int16).reshape(1, -1), "s16", "stereo")
            frame.sample_rate, frame.pts = 48_000, 0
            container.mux([*stream.encode(frame), *stream.encode(None)])
    else:
        soundfile.write(tmp_path / name, stereo, 48_000)
    sound = Sound.read(tmp_path / name)
    same(sound)
    channels = (1, 2) if loss == 1 else (2,)  # equally loud ones differ by rounding
    assert sound.note in [f"its channels cancel each other out: only channel {number} is used" for number in channels]
    assert Sound.read(tmp_path / name).samples.tobytes() == sound.samples.tobytes()


def test_channels_that_differ_become_their_mean_without_a_note(tmp_path: Path) -> None:
    for index, other in enumerate((np.zeros(8000), -0.8 * tone(), tone(pitch=660))):
        soundfile.write(tmp_path / f"{index}.wav", np.stack([tone(), other], 1), 16_000, "FLOAT")
        sound = Sound.read(tmp_path / f"{index}.wav")
        assert not sound.note and np.allclose(sound.samples, (tone() + other) / 2, atol=1e-6)


@pytest.mark.parametrize(("scale", "full_scale"), [(2**15, 2**15), (1000, 2**15), (2**23, 2**23), (2**31, 2**31)])
def test_floats_on_the_scale_of_integers_are_divided_by_it(tmp_path: Path, scale: int, full_scale: int) -> None:
    soundfile.write(tmp_path / "a.wav", tone() * scale, 16_000, "FLOAT")
    sound = Sound.read(tmp_path / "a.wav")
    expected = full_scale if scale / 2 > full_scale // 256 else 2**15
    assert np.allclose(sound.samples, tone() * scale / expected, atol=1e-6)
    assert f"divided by {expected:,}" in sound.note


def test_silence_is_told() -> None:
    assert Sound(np.zeros(9, np.float32), 8000).is_silence
    assert Sound(np.full(9, 1e-5, np.float32), 8000).is_silence
    assert not Sound(np.array([0, -1 / 32_768], np.float32), 8000).is_silence


# ------------------------------------------------------------------------------------------------------ bad files


def sound_file(samples: Any, sample_rate: int = 8_000, kind: str = "WAV", subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate, subtype, format=kind)
    return file.getvalue()


def broken(value: float) -> bytes:
    return sound_file(np.array([0, value, 0], np.float32), subtype="FLOAT")


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 16_000)
BAD = {
    "0 bytes": ("a.wav", b"", "is an empty file"),
    "0 bytes mp3": ("a.mp3", b"", "is an empty file"),
    "no samples": ("a.wav", sound_file(np.zeros(0)), "has no samples"),
    "no samples ogg": ("a.ogg", sound_file(np.zeros(0), kind="OGG"), "has no samples"),
    "text": ("a.wav", b"hello " * 50, "is not a sound that can be read"),
    "text mp3": ("a.mp3", b"\xff\xfbhello " * 50, "is not a sound that can be read"),
    "random": ("a.m4a", random.Random(0).randbytes(9_999), "is not a sound that can be read"),
    "NaN": ("a.wav", broken(float("nan")), "has samples that are not finite numbers"),
    "inf": ("a.wav", broken(float("inf")), "has samples that are not finite numbers"),
    "beyond float32": ("a.wav", sound_file([0, 1e300], subtype="DOUBLE"), "has samples that are not finite numbers"),
    "1 Hz": ("a.wav", sound_file(NOISE, 1), "has a sample rate of 1 Hz: it should be from 1,000 to 768,000"),
    "1 GHz": ("a.wav", sound_file(NOISE, 10**9), "has a sample rate of 1,000,000,000 Hz"),
    "cut wav": ("a.wav", half(sound_file(NOISE)), "is cut short"),
    "cut aiff": ("a.aiff", half(sound_file(NOISE, kind="AIFF")), "is cut short"),
    "cut flac": ("a.flac", half(sound_file(NOISE, kind="FLAC")), "is damaged"),
    "cut ogg": ("a.ogg", half(sound_file(NOISE, kind="OGG")), "has no samples"),
    "cut mp3": ("a.mp3", half(sound_file(NOISE, kind="MP3")), "is cut short"),
    "play list": ("a.mp3", b"#EXTM3U\n#EXTINF:10,\n/etc/hosts\n#EXT-X-ENDLIST\n", "is not a sound"),
    "list of files": ("a.mp3", b"ffconcat version 1.0\nfile 'b.wav'\n", "is not a sound"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_file_that_cannot_be_used_is_named_in_a_line(
    tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    name, content, message = BAD[kind]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"^{tmp_path / name} {message}[^\n]*$"):
        Sound.read(tmp_path / name)
    assert capfd.readouterr() == ("", "")


def test_a_video_without_sound(tmp_path: Path) -> None:
    with_ffmpeg(tmp_path / "a.mp4", None, video=True)
    with pytest.raises(UserError, match=r"a\.mp4 has no sound"):
        Sound.read(tmp_path / "a.mp4")


@pytest.mark.parametrize("name", ["a.m4a", "a.webm"])
def test_what_ffmpeg_wrote_and_somebody_cut(tmp_path: Path, name: str) -> None:
    with_ffmpeg(tmp_path / name, {"a.m4a": "aac", "a.webm": "libopus"}[name], 48_000)
    (tmp_path / name).write_bytes(half((tmp_path / name).read_bytes()))
    with pytest.raises(UserError, match=r"is cut short|or is damaged"):
        Sound.read(tmp_path / name)


def test_where_there_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*absent\.wav: No such file or directory\.$"):
        Sound.read(tmp_path / "absent.wav")
    with pytest.raises(UserError, match=r"is a folder, not a file\.$"):
        Sound.read(tmp_path)
    with pytest.raises(UserError, match="sample_rate=1: it should be from"):
        Sound.read(tmp_path, 1)


@pytest.mark.parametrize("kind", ["WAV", "MP3", "OGG"])
def test_a_sound_that_is_too_long_is_refused_before_it_is_decoded(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_SAMPLES", 10_000)
    monkeypatch.setattr(module, "_to_channels", lambda frame: pytest.fail("decoded"))
    (tmp_path / "a").write_bytes(sound_file(NOISE, kind=kind))
    with pytest.raises(UserError, match=r"has 0\.0 hours of sound at 8,000 Hz: too long to read"):
        Sound.read(tmp_path / "a")


def test_a_recorder_that_never_knew_the_end_is_read(tmp_path: Path) -> None:
    content = bytearray(sound_file(NOISE))
    content[4:8] = content[40:44] = b"\xff" * 4
    (tmp_path / "a.wav").write_bytes(content)
    assert Sound.read(tmp_path / "a.wav").seconds == 2
    content = bytearray(sound_file(NOISE, kind="FLAC"))
    content[22:26] = bytes(4)
    (tmp_path / "a.flac").write_bytes(content)
    assert Sound.read(tmp_path / "a.flac").seconds == 2


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("riff_size", [0, 2**32 - 1, None])
@pytest.mark.parametrize("data_size", [0, 2**31 - 1, 2**32 - 1])
def test_a_wav_from_a_pipe_is_read_to_its_end(
    tmp_path: Path, subtype: str, riff_size: int | None, data_size: int
) -> None:
    content = bytearray(sound_file(np.concatenate([np.zeros(9), NOISE]), subtype=subtype))
    data = content.index(b"data")
    if riff_size is not None:
        content[4:8] = riff_size.to_bytes(4, "little")
    content[data + 4 : data + 8] = data_size.to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(content)
    samples = Sound.read(tmp_path / "a.wav").samples
    assert len(samples) == 16_009 and np.allclose(samples[9:], NOISE, atol=1e-4)


def test_a_wav_without_samples_is_refused_whatever_follows_them(tmp_path: Path) -> None:
    content = bytearray(sound_file(np.zeros(0)) + b"LIST" + (8).to_bytes(4, "little") + b"INFOxxxx")
    content[4:8] = (len(content) - 8).to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(UserError, match="has no samples"):
        Sound.read(tmp_path / "a.wav")


@pytest.mark.parametrize("name", ["a.mka", "a.webm", "a.m4a", "a.wma"])
def test_a_sound_that_does_not_start_at_0_is_whole(tmp_path: Path, name: str) -> None:
    codec = {"a.mka": "aac", "a.webm": "libopus", "a.m4a": "aac", "a.wma": "wmav2"}[name]
    with av.open(str(tmp_path / name), "w") as container:
        stream: Any = container.add_stream(codec, rate=48_000, layout="mono")
        stream.bit_rate = 96_000
        frame = av.AudioFrame.from_ndarray(tone(48_000)[None], "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, 3 * 48_000, Fraction(1, 48_000)
        container.mux([*stream.encode(frame), *stream.encode(None)])
    same(Sound.read(tmp_path / name))


def test_mutated_files_crash_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    draw = random.Random(0)
    with_ffmpeg(tmp_path / "a.m4a", "aac")
    with_ffmpeg(tmp_path / "a.webm", "libopus", 48_000)
    contents = [sound_file(tone(), 16_000, kind) for kind in ("WAV", "FLAC", "OGG", "MP3", "AIFF", "CAF")]
    contents += [(tmp_path / name).read_bytes() for name in ("a.m4a", "a.webm")]
    read = 0
    for number in range(400):
        content = bytearray(contents[number % len(contents)])
        for _ in range(draw.randint(1, 8)):
            content[draw.randrange(draw.choice([200, len(content)]))] = draw.randrange(256)
        (tmp_path / "x").write_bytes(content[: draw.choice([len(content), draw.randrange(len(content))])])
        with contextlib.suppress(UserError):
            samples = Sound.read(tmp_path / "x").samples
            assert len(samples) and np.abs(samples).max() <= 1
            read += 1
    assert 50 < read < 350
    assert capfd.readouterr() == ("", "")


def test_an_ogg_which_does_not_say_its_length_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    (tmp_path / "a.ogg").write_bytes(half(sound_file(np.tile(NOISE, 10), kind="OGG")))
    assert Sound.read(tmp_path / "a.ogg").seconds == pytest.approx(10, abs=2)


# -------------------------------------------------------------------------------------------------------- written


@pytest.mark.parametrize("suffix", [None, "wav", ".flac", ".OGG"])
def test_a_round_trip(tmp_path: Path, suffix: str | None) -> None:
    exact = np.random.default_rng(0).integers(-32_768, 32_768, 5_000).astype(np.int16)
    sound = Sound((exact / np.float32(32_768)).astype(np.float32), 22_050)
    (tmp_path / "a").write_bytes(content := sound.to_bytes(suffix))
    reloaded = Sound.read(tmp_path / "a")
    assert reloaded.sample_rate == 22_050
    if suffix == ".OGG":
        assert content.startswith(b"OggS") and len(reloaded.samples) == 5_000
    else:
        assert np.array_equal(reloaded.samples, sound.samples) and np.array_equal(reloaded.pcm, exact)
        assert soundfile.info(tmp_path / "a").subtype == "PCM_16"


def test_its_own_suffix_and_one_that_nobody_knows() -> None:
    sound = Sound(tone(), 16_000, ".flac")
    assert sound.to_bytes().startswith(b"fLaC")
    with pytest.raises(UserError, match=r"cannot write a sound as \.mp5\. There are: \.flac, \.ogg, \.wav\."):
        sound.to_bytes("mp5")
    with pytest.raises(UserError, match=r"cannot write 700,000 Hz as \.flac"):
        Sound(tone(), 700_000).to_bytes("flac")
    assert len(Sound(tone(seconds=300), 16_000).to_bytes("ogg")) > 100_000


def test_a_notebook_plays_it_and_a_terminal_shows_nothing() -> None:
    sound = Sound(tone(), 16_000)
    data = sound._repr_html_().partition("base64,")[2].partition("'")[0]
    assert base64.b64decode(data) == sound.to_bytes() and "<audio controls" in sound._repr_html_()
    assert sound.on_terminal == ""


# -------------------------------------------------------------------------------------------------------- growing


def test_a_growing_file_is_whole_after_each_part(tmp_path: Path) -> None:
    samples, path = tone(seconds=1), tmp_path / "a.wav"
    with WavWriter(path, 16_000) as writer:
        for count in range(0, 16_000, 4_000):
            with wave.open(str(path)) as file:
                assert (file.getnframes(), file.getframerate()) == (count, 16_000)
            writer.append(Sound(samples[count : count + 4_000], 16_000))
            assert np.array_equal(Sound.read(path).pcm, Sound(samples[: count + 4_000], 16_000).pcm)
    assert path.read_bytes() == Sound(samples, 16_000).to_bytes()


@pytest.mark.parametrize("where", ["between", "within"])
def test_a_kill_leaves_a_file_that_is_whole(tmp_path: Path, where: str) -> None:
    """The second case dies after the samples and before the header: the file is that of the first append."""
    path = tmp_path / "a.wav"
    code = (
        "import os, numpy, pathlib; from genai.media import wav_stream; from genai.media.sound import Sound\n"
        f"writer = wav_stream.WavWriter(pathlib.Path({str(path)!r}), 8000)\n"
        "writer.append(Sound(numpy.full(3000, 0.5, numpy.float32), 8000))\n"
        f"if {where == 'within'}:\n"
        "    header, calls = wav_stream._wav_header, iter([True])\n"  # the second call is for the new header
        "    wav_stream._wav_header = lambda *size: header(*size) if next(calls, False) else os.kill(os.getpid(), 9)\n"
        "    writer.append(Sound(numpy.full(3000, 0.5, numpy.float32), 8000))\n"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code])
    assert done.returncode == -9
    assert path.stat().st_size == 44 + 2 * (6000 if where == "within" else 3000)
    sound = Sound.read(path)
    assert len(sound.samples) == 3000 and (sound.samples == 0.5).all()


def test_names_that_are_no_text(tmp_path: Path) -> None:
    with_ffmpeg(tmp_path / "a.m4a", "aac")
    for name, make in {b"\xff.m4a": (tmp_path / "a.m4a").read_bytes(), b"\xfe.wav": sound_file(NOISE)}.items():
        (tmp_path / os.fsdecode(name)).write_bytes(make)
        assert Sound.read(tmp_path / os.fsdecode(name)).seconds > 0.4


def test_its_libraries_are_imported_when_they_are_needed() -> None:
    code = "import sys, genai.media.sound, genai.media.clip, genai.media.wav_stream, genai.data.torchaudio_sets as t\n"
    code += "print([name for name in ('av', 'soundfile', 'torchaudio') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_growing_file_on_a_full_disk_says_so_and_no_more(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError, match="No space"):
        WavWriter(Path("/dev/full"), 8_000)
    writer = WavWriter(tmp_path / "a.wav", 8_000)
    os.dup2(os.open("/dev/full", os.O_WRONLY), writer._file.fileno())
    with pytest.raises(OSError, match="No space"), writer:
        writer.append(Sound(np.zeros(8_000, np.float32), 8_000))
    del writer
    gc.collect()
    assert capfd.readouterr().err == ""


@pytest.mark.system("espeak-ng")
def test_speech_of_espeak_is_read(tmp_path: Path) -> None:
    """Its WAV file has a header that was written before its length was known."""
    seconds = []
    for text in ("one", "one two three four five"):
        with (path := tmp_path / "a.wav").open("wb") as file:
            subprocess.run(["espeak-ng", "--stdout", text], stdout=file, check=True)
        sound = Sound.read(path)
        assert sound.sample_rate == 22_050 and 0.05 < np.abs(sound.samples).max() <= 1
        seconds.append(sound.seconds)
    assert 0.2 < seconds[0] < seconds[1] / 2


def test_a_sound_that_can_hardly_be_heard() -> None:
    assert Sound(np.full(9, 0.005, np.float32), 8000).is_quiet and Sound(np.zeros(0, np.float32), 8000).is_quiet
    assert not Sound(np.full(9, -0.02, np.float32), 8000).is_quiet
    assert repr(Sound(np.zeros(80, np.float32), 8000)) == "Sound(0.01 s of 8,000 Hz)"
