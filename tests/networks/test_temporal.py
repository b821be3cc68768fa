import pytest
import torch
from torch import Tensor, nn

from genai.networks.temporal import TemporalPyramid, frames_in_windows
from genai.networks.unet import UNet

FRAMES, SHAPE = 6, (3, 16, 16)


def network(frames: int = FRAMES, randomized: bool = True) -> UNet:
    torch.manual_seed(0)
    unet = UNet(SHAPE, frames=frames, context=8, width=16, patch=4)
    for parameter in unet.parameters() if randomized else []:
        nn.init.normal_(parameter, std=0.1)
    return unet


def inputs(frames: int = FRAMES, batch: int = 2) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    seconds = torch.arange(frames).expand(batch, frames) / 8
    return torch.randn(batch, frames, *SHAPE), torch.rand(batch, frames), torch.randn(batch, 8), seconds


def image_and_video_networks() -> tuple[UNet, UNet]:
    """A network of images that has learned something, and one of clips that has taken it over."""
    images, clips = network(frames=1), network(randomized=False)
    missing = clips.load_state_dict(images.state_dict(), strict=False)
    assert missing.missing_keys
    assert not missing.unexpected_keys
    return images, clips


def test_a_single_frame_equals_an_image() -> None:
    images, clips = image_and_video_networks()
    x, time, pooled, seconds = inputs(1)
    assert torch.equal(clips(x, time, pooled, seconds)[:, 0], images(x[:, 0], time[:, 0], pooled))


def test_an_untrained_video_network_processes_frames_independently() -> None:
    images, clips = image_and_video_networks()
    x, time, pooled, seconds = inputs()
    each = torch.stack([images(x[:, at], time[:, at], pooled) for at in range(FRAMES)], 1)
    torch.testing.assert_close(clips(x, time, pooled, seconds), each)


def test_each_frame_depends_on_every_other() -> None:
    unet = network()
    x, time, pooled, seconds = inputs(batch=1)
    before = unet(x, time, pooled, seconds)
    for at in range(FRAMES):
        changed = x.clone()
        changed[:, at] += 1
        assert ((unet(changed, time, pooled, seconds) - before).abs().amax((0, 2, 3, 4)) > 1e-6).all()


def test_frames_are_ordered_by_time() -> None:
    unet = network()
    x, time, pooled, seconds = inputs()
    order = torch.randperm(FRAMES)
    made = unet(x[:, order], time[:, order], pooled, seconds[:, order])
    torch.testing.assert_close(made, unet(x, time, pooled, seconds)[:, order], rtol=1e-4, atol=1e-4)


def test_the_output_depends_on_the_frame_rate() -> None:
    unet = network()
    x, time, pooled, seconds = inputs()
    assert (unet(x, time, pooled, seconds) - unet(x, time, pooled, 2 * seconds)).abs().max() > 1e-3


def test_a_mean_over_a_window_is_weighted_by_precision() -> None:
    pyramid = TemporalPyramid(1, 2, 6)
    with torch.no_grad():
        pyramid.out.weight.zero_()
        for at in range(6):
            pyramid.out.weight[at, at, 1, 1] = 1
    raw = torch.tensor([1.0, 5.0, 9.0]).view(1, 3, 1, 1, 1).expand(1, 3, 1, 2, 2).contiguous()
    precision = torch.tensor([[1.0, 3.0, 1.0]])
    made = pyramid(raw, precision, frames_in_windows(torch.arange(3)[None] / 8)).view(3, 6)
    alone, both = 5.0 / (0.4 + 1 / 12) ** 0.5, (1 + 15 + 9) / 5 / (0.4 + 1 / 20) ** 0.5
    assert made[1, 0].item() == pytest.approx(alone)
    assert made[1, 1].item() == pytest.approx(both)
    assert made[0, 3].item() == pytest.approx(1.0 / (0.4 + 1 / 4) ** 0.5)  # the first frame's past is itself


def test_distant_frames_share_only_the_largest_window() -> None:
    windows = frames_in_windows(torch.tensor([[0.0, 0.125, 1.0]]))[0]
    assert windows[0].tolist() == torch.eye(3).tolist()
    assert windows[1].tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert windows[5].min() == 1


def test_windows_are_constant_in_seconds() -> None:
    windows = frames_in_windows(torch.arange(5)[None] / 24)[0]
    assert windows[0].tolist() == torch.eye(5).tolist()
    assert windows[1][0].tolist() == [1, 1, 1, 1, 0]  # an eighth of a second, three frames
