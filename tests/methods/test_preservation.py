"""Differential output preservation: prompts without the new word, and their targets."""

from collections import Counter

import pytest
import torch
from torch import Tensor, nn

from genai.adapters.lora import LoRA, adapted_layers
from genai.core.batch import Batch
from genai.core.errors import UserError
from genai.methods.diffusion import Diffusion
from genai.methods.preservation import Preservation, has_words, remove_words
from genai.methods.regression import Regression
from genai.networks.text_encoder import PromptEncoder


class Linear(nn.Module):
    """A network of one layer, whose prompt shifts its output."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.shift = nn.Linear(4, 4), nn.Linear(8, 4)

    def forward(self, x: Tensor, time: Tensor, pooled: Tensor) -> Tensor:
        return self.layer(x) + self.shift(pooled)


def diffusion(preserve: float, prompts: list[str] | None = None) -> Diffusion:
    torch.manual_seed(0)
    method = Diffusion(Linear(), PromptEncoder(8, 6, rows=50), prompt_drop=0.0)
    LoRA(rank=2, words=["zwx"]).attach(method)
    if preserve:
        method.preserve_outputs(Preservation(preserve, ["zwx"], prompts or ["a dog"]))
    return method


def losses(method: Diffusion, seed: int = 1) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return method.loss(Batch(torch.ones(6, 4), ["zwx cat"] * 6))


@pytest.mark.parametrize(
    ("caption", "rest"),
    [
        ("zwx dog", "dog"),
        ("a ZWX dog", "a dog"),
        ("red apple, zwx", "red apple"),
        ("red, zwx, apple", "red, apple"),
        ("zwxy dog", "zwxy dog"),
        ("zwx", ""),
    ],
)
def test_a_caption_without_its_new_word(caption: str, rest: str) -> None:
    assert remove_words(caption, ["zwx"]) == rest
    assert has_words(caption, ["zwx"]) == (caption != rest)


def test_prompts_are_empty_the_captions_without_the_word_and_those_of_the_base() -> None:
    torch.manual_seed(0)
    counts = Counter(Preservation(1, ["zwx"], ["a", "b"]).draw(["zwx dog"] * 4000))
    assert counts.keys() == {"", "dog", "a", "b"}
    for prompt, share in {"": 0.125, "dog": 0.25, "a": 0.3125, "b": 0.3125}.items():
        assert counts[prompt] / 4000 == pytest.approx(share, abs=0.03)
    assert set(Preservation(1, ["zwx"], ["a"]).draw(["zwx"] * 200 + ["cat"] * 200)) == {"", "a"}


def test_an_adapter_that_changes_nothing_has_nothing_to_preserve() -> None:
    found = losses(diffusion(3.0))
    assert found["preservation_loss"] == 0
    assert found["loss"] == found["subject_loss"] > 0


def test_the_target_is_the_prediction_without_the_adapter() -> None:
    method = diffusion(3.0)
    for _, layer in adapted_layers(method):
        for parameter in layer.lora.parameters():
            nn.init.normal_(parameter)
    found = losses(method)
    assert found["preservation_loss"] > 0
    assert found["loss"] == found["subject_loss"] + 3 * found["preservation_loss"]
    optimizer = torch.optim.Adam([x for x in method.parameters() if x.requires_grad], 0.05)
    for step in range(300):
        optimizer.zero_grad()
        losses(method, step)["preservation_loss"].backward()
        optimizer.step()
    assert losses(method)["preservation_loss"] < found["preservation_loss"] / 20


def test_held_out_pictures_have_the_plain_loss() -> None:
    assert losses(diffusion(3.0).eval()).keys() == {"loss"}
    assert losses(diffusion(3.0).eval())["loss"] == losses(diffusion(0.0).eval())["loss"]


def test_other_methods_cannot() -> None:
    with pytest.raises(UserError, match="for diffusion models"):
        Regression.preserve_outputs(diffusion(0.0), Preservation(1, [], ["a"]))  # type: ignore[arg-type]


def test_masks_of_the_subject_do_not_weight_what_is_kept() -> None:
    method, batch = diffusion(1.0), Batch(torch.ones(6, 4), ["zwx cat"] * 6, loss_mask=torch.zeros(6, 4))
    for parameter in method.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter)
    torch.manual_seed(1)
    masked, plain = method.loss(batch, "model"), losses(method)
    assert masked["subject_loss"] == 0 < plain["subject_loss"]
    assert masked["preservation_loss"] == plain["preservation_loss"] > 0


def test_models_without_prompts_and_with_learned_steps_are_refused() -> None:
    with pytest.raises(UserError, match="takes none"):
        Diffusion(Linear()).preserve_outputs(Preservation(1, ["zwx"], ["a"]))
    method = diffusion(0.0)
    method.shortcut = True
    with pytest.raises(UserError, match="shortcut"):
        method.preserve_outputs(Preservation(1, ["zwx"], ["a"]))
