"""The codec of a run: the name that ``auto`` stands for, or an autoencoder, whose arguments go into the config."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from genai.cli.compose import CommandConfig, override_key
from genai.cli.overrides import NAMES
from genai.core.cache import track_progress
from genai.core.data import PackedDataset
from genai.core.errors import UserError, short_text
from genai.core.instantiate import instantiate
from genai.inference.model import load
from genai.methods.base import Method
from genai.modalities.base import Modality
from genai.networks.autoencoder import MIN_STD, Autoencoder
from genai.runs.run import Run
from genai.training.config import TrainSettings

AUTO = "auto"
MAX_PICTURES = 512
"""Training pictures whose latents are measured."""
PICTURES_AT_ONCE = 16


@dataclass(frozen=True)
class Codec:
    """A trained autoencoder.

    Attributes:
        source: the word that names it.
        network: its averaged weights.
        is_normalized: whether its latents are normalized, because it is from a diffusion model.
    """

    source: str
    network: Autoencoder
    is_normalized: bool

    def assign(self, method: Method, train: PackedDataset) -> None:
        """Copy the weights into the codec of ``method``, and normalize latents by those of training data.

        Raises:
            UserError: the method has none, or it is for pictures of other channels.
        """
        codec = getattr(method, "codec", None)
        if not isinstance(codec, Autoencoder):
            raise UserError(f"codec={self.source}: this model works on pixels. Leave codec= out.")
        channels, own_channels = self.network.color_channels, codec.color_channels
        if channels != own_channels:
            raise UserError(f"codec={self.source} is for pictures of {channels} channels; these have {own_channels}.")
        codec.load_state_dict(self.network.state_dict())
        if not self.is_normalized:
            measure_latents(codec, train)


@torch.no_grad()
def measure_latents(codec: Autoencoder, train: PackedDataset) -> None:
    """Set mean and standard deviation of the latents of ``codec`` from up to ``MAX_PICTURES`` training pictures."""
    count = min(len(train), MAX_PICTURES)
    indices = [number * len(train) // count for number in range(count)]
    starts = track_progress(range(0, count, PICTURES_AT_ONCE), "measuring latents", -(-count // PICTURES_AT_ONCE))
    codec.means.zero_()
    codec.stds.fill_(1.0)
    batches = (train.batch(indices[start : start + PICTURES_AT_ONCE], None).x for start in starts)
    latents = torch.cat([codec.encode(x.float() / 127.5 - 1) for x in batches])
    std, mean = torch.std_mean(latents, (0, 2, 3), correction=0)
    codec.means.copy_(mean)
    codec.stds.copy_(std.clamp(min=MIN_STD))


def with_codec(config: CommandConfig, resumed: Run | None) -> tuple[CommandConfig, Codec | None]:
    """Return the config with a name in place of ``auto``, or the autoencoder's arguments in place of a run, and it.

    A resumed run has both already: the arguments in its ``config.yaml``, the weights in its checkpoint. The patch size
    of a network in a YAML file is for pixels, so it is left out where there is a codec.

    Raises:
        UserError: ``codec=`` names no autoencoder.
    """
    config, codec = _with_named_codec(config, resumed)
    model = config.values.get("model") or {}
    network = model.get("network") or {}
    is_typed = any(override_key(word).startswith("model.network.patch") for word in config.overrides)
    if "patch" not in network or is_typed or not (config.values.get("modality") or {}).get("codec"):
        return config, codec
    network = {name: value for name, value in network.items() if name != "patch"}
    return replace(config, values={**config.values, "model": {**model, "network": network}}), codec


def _with_named_codec(config: CommandConfig, resumed: Run | None) -> tuple[CommandConfig, Codec | None]:
    modality = config.values.get("modality") or {}
    source = modality.get("codec")
    is_typed = any(override_key(word).startswith("modality.codec") for word in config.overrides)
    if isinstance(source, Mapping) and is_typed:
        raise UserError("modality.codec= takes no arguments: codec= is null, auto, pca, or a run of model=autoencoder.")
    if source == AUTO:
        return _with_value(config, automatic_codec(modality)), None
    if not isinstance(source, str) or source in NAMES["codec"]:
        return config, None
    if resumed:
        run_config = resumed.read_config()
        arguments = (run_config.get("modality") or {}).get("codec")
        if not isinstance(arguments, Mapping) or run_config.get("codec") != source:
            raise UserError(f"codec={source}: a resumed run keeps its codec. Leave codec= out.")
        return _with_value(config, dict(arguments)), None
    codec = find_codec(source, TrainSettings.parse(config.settings))
    return _with_value(config, dict(codec.network.settings)), codec


def automatic_codec(node: Mapping[str, Any]) -> str | None:
    """Return the name that ``auto`` stands for in the config of a modality; a wrong config keeps ``auto``."""
    try:
        modality: Modality = instantiate(node, Modality, "modality")  # type: ignore[type-abstract]
    except UserError:
        return AUTO  # what is wrong is said where the config is checked
    codec: str | None = getattr(modality, "codec", None)
    return codec


def _with_value(config: CommandConfig, codec: Any) -> CommandConfig:
    modality = {**config.values["modality"], "codec": codec}
    return replace(config, values={**config.values, "modality": modality})


def find_codec(source: str, settings: TrainSettings) -> Codec:
    """Load the autoencoder of a run, or of a diffusion model that works on one. Raises ``UserError``."""
    try:
        model = load(source, device="cpu", runs_folder=settings.runs, plugins=settings.plugins)
    except UserError as error:
        raise type(error)(f"codec={source}: {error} It is null, auto, pca, or a run of model=autoencoder.") from error
    network = getattr(model.method, "codec", None)
    network = getattr(model.method, "network", None) if network is None else network
    if not isinstance(network, Autoencoder):
        kind = short_text(f"{type(model.modality).__name__} {type(model.method).__name__}")
        raise UserError(f"codec={source} is {kind}: give a run of model=autoencoder.")
    return Codec(source, network, network.is_frozen)
