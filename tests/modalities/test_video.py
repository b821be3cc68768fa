from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from genai.core.data import Example, ItemRandom, Split
from genai.core.errors import UserError
from genai.media.clip import Clip
from genai.modalities.audio import Audio
from genai.modalities.image import Image
from genai.modalities.optional import check_soundtrack
from genai.modalities.text import Text
from genai.modalities.video import Video, VideoOptions
from genai.modalities.video_dataset import MAX_ITEM_WINDOWS, PackedVideo
from genai.toy.data.video import ToyVideo


def numbered(count: int, fps: float = 8, first: int = 0) -> Clip:
    """Frames whose every pixel is the number of the frame."""
    frames = np.arange(first, first + count, dtype=np.uint8)[:, None, None, None]
    return Clip(np.broadcast_to(frames, (count, 8, 8, 3)).copy(), fps)


def packed(tmp_path: Path, clips: list[Clip], **fractions: Any) -> PackedVideo:
    video = Video(size=8, frames=8, **fractions)
    examples = [Example(clip, f"clip {number}") for number, clip in enumerate(clips)]
    return video.pack(Split("train", len(clips), examples.__getitem__, str(len(clips))), tmp_path)


def random(indices: list[int], epoch: int = 0) -> ItemRandom:
    return ItemRandom(0, [epoch] * len(indices), indices)


@pytest.mark.parametrize("channels", [1, 3])
def test_encode_and_decode_are_inverse(channels: Any) -> None:
    video = Video(size=8, frames=4, channels=channels)
    x = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (5, channels, 8, 8), np.uint8))
    clip = video.decode(x)
    assert clip.frames.shape == (5, 8, 8, channels) and clip.fps == 8
    assert torch.equal(video.encode(clip), x)


def test_encode_resamples_frame_rate_and_size() -> None:
    clip = Clip(np.random.default_rng(0).integers(0, 256, (24, 30, 40, 3), np.uint8), 24)
    assert Video(size=16, fps=8).encode(clip).shape == (8, 3, 16, 16)


def test_long_clips_are_split_into_items(tmp_path: Path) -> None:
    item_length = MAX_ITEM_WINDOWS * 8
    split = packed(tmp_path, [numbered(10), numbered(item_length + 5, first=100)])
    assert split.prompts == ["clip 0", "clip 1", "clip 1"]
    assert split.lengths.tolist() == [10, item_length, 5]
    assert split.clip(0)[:, 0, 0, 0].tolist() == list(range(10))
    assert split.clip(2)[0, 0, 0, 0] == 100 + item_length


def test_validation_uses_the_first_window_and_masks_padding(tmp_path: Path) -> None:
    batch = packed(tmp_path, [numbered(10), numbered(5)]).batch([0, 1], None)
    assert batch.x.shape == (2, 8, 3, 8, 8)
    assert batch.x[:, :, 0, 0, 0].tolist() == [list(range(8)), [0, 1, 2, 3, 4, 4, 4, 4]]
    assert batch.valid is not None and batch.valid.tolist() == [[True] * 8, [True] * 5 + [False] * 3]
    assert batch.local is not None
    assert batch.local[0, :, 0].tolist() == [at / 8 for at in range(8)]


def test_windows_are_within_a_clip_and_start_at_zero_more_often(tmp_path: Path) -> None:
    split = packed(tmp_path, [numbered(20), numbered(20, first=100)], stills=0, sparse=0)
    starts = []
    for epoch in range(60):
        batch = split.batch([0, 1], random([0, 1], epoch))
        first = batch.x[:, :, 0, 0, 0].long()
        assert batch.valid is None
        assert (first.diff(dim=1) == 1).all()
        assert batch.local is not None
        starts += (batch.local[:, 0, 0] * 8).round().int().tolist()
        assert first[:, 0].tolist() == [starts[-2], 100 + starts[-1]]
    assert min(starts) == 0 and max(starts) == 12
    assert 0.25 < starts.count(0) / len(starts) < 0.6


@pytest.mark.parametrize(("fractions", "frames"), [({"stills": 1, "sparse": 0}, 1), ({"stills": 0, "sparse": 1}, 4)])
def test_still_and_sparse_batches_have_the_same_number_of_frames(
    fractions: dict[str, float], frames: int, tmp_path: Path
) -> None:
    split = packed(tmp_path, [numbered(8, first=20 * number) for number in range(6)], **fractions)
    first_frames = set()
    for epoch in range(20):
        batch = split.batch([3, 4], random([3, 4], epoch))
        examples_per_item = 8 // frames
        assert batch.x.shape[:2] == (2 * examples_per_item, frames)
        assert batch.kind == {1: "single_frames", 8: "samples"}.get(frames, "sparse_clips")
        assert batch.prompts[0] == "clip 3" and batch.prompts[examples_per_item] == "clip 4"
        assert batch.local is not None
        at = (batch.local[..., 0] * 8).round().int()
        assert (at.diff(dim=1) > 0).all()
        clips = [int(prompt.split()[1]) for prompt in batch.prompts]
        assert batch.x[:, :, 0, 0, 0].int().tolist() == (at + 20 * torch.tensor(clips)[:, None]).tolist()
        first_frames |= set(at[:, 0].tolist())
    assert len(first_frames) > 3


def test_random_windows_depend_on_item_and_epoch(tmp_path: Path) -> None:
    split = packed(tmp_path, [numbered(20, first=20 * number) for number in range(6)])
    one, two, other = (split.batch([3, 4], random([3, 4], epoch)) for epoch in (5, 5, 6))
    assert torch.equal(one.x, two.x) and one.prompts == two.prompts
    assert one.x.shape != other.x.shape or not torch.equal(one.x, other.x)


def test_fit_computes_mean_std_and_horizon(tmp_path: Path) -> None:
    video = Video(size=8, frames=8)
    examples = [Example(numbered(20), "a"), Example(numbered(10), "b")]
    video.fit(Split("train", 2, examples.__getitem__, "fit"), tmp_path)
    assert video.interface["horizon"] == 19 / 8
    assert video.interface["mean"] == pytest.approx(9 / 127.5 - 1, abs=0.03)
    other = Video(size=8, frames=8)
    other.restore(video.state())
    assert other.interface == video.interface


def test_long_toy_clips_give_windows_before_and_after_bounces(tmp_path: Path) -> None:
    """``experiment=world_long``: captions say how a clip begins, and the time of each frame how far it is."""
    source = ToyVideo(items=16, frames=48)
    video = Video(size=32)
    video.fit(source.train, tmp_path)
    assert video.interface["horizon"] == 47 / 8
    split, starts = video.pack(source.train, tmp_path), set[int]()
    for epoch in range(40):
        batch = split.batch([0, 1, 2, 3], random([0, 1, 2, 3], epoch))
        assert batch.local is not None
        starts |= set((batch.local[:, 0, 0] * 8).int().tolist())
    assert min(starts) == 0 and max(starts) > 24


def test_fit_computes_a_codec_of_the_patches_of_frames(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), np.uint8)
    video = Video(size=16, frames=8, codec="pca")
    video.fit(Split("train", 1, [Example(Clip(noise, 8.0), "a")].__getitem__, "codec"), tmp_path)
    assert video.interface["shape"] == (32, 2, 2) and video.interface["patch"] == 1
    assert video.interface["scaling"]["basis"] != Video(size=16, codec="pca").interface["scaling"]["basis"]
    other = Video(size=16, frames=8, codec="pca")
    other.restore(video.state())
    assert other.interface == video.interface
    assert Video(size=16, codec="auto").codec is None
    with pytest.raises(ValueError, match="multiples of 8"):
        Video(size=20, codec="pca")


def test_fractions_above_one_are_rejected() -> None:
    with pytest.raises(ValueError, match="more than 1 in sum"):
        Video(stills=0.7, sparse=0.7)


def test_a_request_without_init() -> None:
    request = Video(size=8, frames=8).request(["a", "b"], [0, 1], None, VideoOptions())
    assert request.size == (8, 3, 8, 8) and request.init is None and request.init_mask is None
    assert request.local is not None and request.local[1][:, 0].tolist() == [at / 8 for at in range(8)]


def test_a_request_with_first_and_last_frames(tmp_path: Path) -> None:
    Pillow.new("RGB", (8, 8), (9, 9, 9)).save(tmp_path / "last.png")
    options = VideoOptions(frames=12, fps=4, last=str(tmp_path / "last.png"))
    request = Video(size=8, frames=8).request(["a"], [0], numbered(6, fps=8, first=1), options)
    assert request.size[0] == 12 and request.init and request.init_mask and request.local
    assert request.init[0][:, 0, 0, 0].tolist() == [1, 3, 5, *[0] * 8, 9]  # every other one, at half the rate
    assert request.init_mask[0][:, 0, 0, 0].tolist() == [True] * 3 + [False] * 8 + [True]
    assert request.local[0][1].item() == 0.25


def test_a_long_init_is_extended_by_half_a_window() -> None:
    request = Video(size=8, frames=8).request(["a"], [0], numbered(30), VideoOptions())
    assert request.size[0] == 34
    with pytest.raises(UserError, match=r"frames=30 includes the 30 frames of init= and last=: give a larger number"):
        Video(size=8, frames=8).request(["a"], [0], numbered(30), VideoOptions(frames=30))


def test_the_format_option_sets_the_suffix() -> None:
    video = Video(size=8, frames=8)
    x = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    for kind, suffix in ((None, ".mp4"), ("webm", ".webm"), ("apng", ".png"), ("webp", ".webp")):
        decoder = video.decoder(None, VideoOptions(fps=5, format=kind))  # type: ignore[arg-type]
        pushed = decoder.push(0, x)
        assert (pushed.suffix, pushed.fps, decoder.result()) == (suffix, 5, pushed)
        assert len(decoder.initial.frames) == 0


@pytest.mark.parametrize("modality", [Text(), Image(16), Audio()])
def test_only_clips_can_have_a_soundtrack(modality: Any) -> None:
    with pytest.raises(
        UserError, match=f"^soundtrack=: only clips can have a soundtrack, not {type(modality).__name__.lower()}"
    ):
        check_soundtrack(modality, modality.Options())
    check_soundtrack(Video(), VideoOptions(format="webm"))
    with pytest.raises(UserError, match="cannot hold sound"):
        check_soundtrack(Video(), VideoOptions(format="webp"))
