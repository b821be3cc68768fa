"""Parts of an image model whose inputs and outputs are tensors alone: prompts come as ids, pictures leave as pixels."""

from dataclasses import dataclass

from torch import Tensor, nn

from genai.core.errors import UserError
from genai.methods.adversarial import Adversarial, GANNetwork
from genai.methods.base import Method
from genai.methods.denoiser import Denoiser
from genai.methods.diffusion import Diffusion
from genai.modalities.base import Modality
from genai.modalities.image import Image
from genai.networks.layers import PromptEmbedding
from genai.networks.text_encoder import PromptEncoder


@dataclass(frozen=True)
class ImageModel:
    """An image model whose parts are known.

    Attributes:
        image: the modality.
        method: ``Diffusion`` or ``Adversarial``.
        prompt: its prompt encoder; ``None``: it takes no prompts.
    """

    image: Image
    method: Diffusion | Adversarial
    prompt: PromptEncoder | None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the noise that a picture is made from."""
        if isinstance(self.method, Adversarial):
            return (self.method.latent,)
        return self.method.scaling.scaled_shape(self.image.shape)

    @property
    def has_word_attention(self) -> bool:
        """Whether the network attends to the words of a prompt, besides its pooled vector."""
        network = self.method.ema_module.network
        return self.prompt is not None and bool(getattr(network, "word_width", 0))


def find_image_model(modality: Modality, method: Method, name: str, allows_gan: bool = True) -> ImageModel:
    """Return an image model.

    Args:
        modality, method: of the model.
        name: of the format, for errors.
        allows_gan: whether a GAN can be exported.

    Raises:
        UserError: it is of another kind, or its prompt encoder is of a class of somebody else.
    """
    kinds: tuple[type[Method], ...] = (Diffusion, Adversarial) if allows_gan else (Diffusion,)
    if not isinstance(modality, Image) or type(method) not in kinds:
        models = "model=diffusion or model=gan" if allows_gan else "model=diffusion"
        raise UserError(
            f"format={name} is for image models of {models}, and this one is "
            f"{type(modality).__name__} {type(method).__name__}. Use format=genai."
        )
    assert isinstance(method, Diffusion | Adversarial)
    if isinstance(method, Diffusion) and method.shortcut:
        raise UserError(f"format={name} has no learned steps (model.shortcut=true). Use format=genai.")
    part = method.ema_module
    assert isinstance(part, Denoiser | GANNetwork)
    prompt = part.prompt if type(part.prompt) is PromptEncoder else None
    if part.prompt is not prompt:
        raise UserError(f"format={name} knows PromptEncoder alone, not {type(part.prompt).__name__}. Use format=genai.")
    return ImageModel(modality, method, prompt)


class TextEncoderGraph(nn.Module):
    """Ids of words (batch, words, 2) -> pooled vectors; with ``has_words`` also the words' vectors and their mask."""

    def __init__(self, encoder: PromptEncoder, has_words: bool) -> None:
        super().__init__()
        self.encoder, self.has_words = encoder, has_words

    def forward(self, ids: Tensor) -> tuple[Tensor, ...]:
        """Encode prompts as ``PromptEncoder.tokenize`` gives them."""
        embedding = self.encoder.encode(ids)
        if self.has_words:
            return embedding.pooled, embedding.tokens, embedding.mask
        return (embedding.pooled,)


class DenoiserGraph(nn.Module):
    """x_t (batch, ...), times (batch,) and what ``TextEncoderGraph`` returns -> predicted data."""

    def __init__(self, method: Diffusion) -> None:
        super().__init__()
        self.method = method

    def forward(
        self,
        x: Tensor,
        time: Tensor,
        pooled: Tensor | None = None,
        words: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Predict the data."""
        if pooled is None:
            return self.method.denoise_embedded(x, time, None)
        tokens = pooled[:, None] if words is None else words
        mask = tokens[..., 0].isfinite() if mask is None else mask
        return self.method.denoise_embedded(x, time, PromptEmbedding(pooled, tokens, mask))


class GeneratorGraph(nn.Module):
    """Latents (batch, latent) and pooled vectors -> scaled images."""

    def __init__(self, method: Adversarial) -> None:
        super().__init__()
        self.network = method.generator.network

    def forward(self, x: Tensor, pooled: Tensor | None = None) -> Tensor:
        """Generate images."""
        images: Tensor = self.network(x, pooled)
        return images.float()


class DecoderGraph(nn.Module):
    """Scaled data, pixels or coefficients of patches -> pixels (batch, channels, height, width), uint8."""

    def __init__(self, method: Diffusion | Adversarial) -> None:
        super().__init__()
        self.method = method

    def forward(self, x: Tensor) -> Tensor:
        """Decode a picture."""
        return self.method.decode(x) if isinstance(self.method, Diffusion) else self.method.scaling.unscale(x)
