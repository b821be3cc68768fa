"""An image model as a folder of diffusers.

model_index.json                names of the parts
pipeline.py                     words to pictures, with the scheduler
scheduler/                      ``FlowMatchEulerDiscreteScheduler`` of diffusers: the same path and the same steps
denoiser/                       the network with its code: diffusers has no class for it

Code in a folder runs only if whoever opens it says ``trust_remote_code=True``.
"""

import inspect
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from genai.core.errors import UserError
from genai.core.files import make_folder, write_file
from genai.exchange.image_graphs import ImageModel, find_image_model
from genai.exchange.source_bundle import bundle
from genai.methods.base import Method
from genai.methods.diffusion import Diffusion, DiffusionOptions
from genai.methods.scaling import LearnedScaling, PatchScaling
from genai.modalities.base import Modality
from genai.networks.unet import UNet

PIPELINE = Path(__file__).with_name("diffusers_pipeline.py")
DENOISER = "genai.exchange.diffusers_denoiser"
VERSION = "0.42.1"
"""Of diffusers, with which the folder is tested."""
TIMESTEPS = 1000
"""Time of pure noise, as diffusers counts."""
UNSUPPORTED = ("guidance_from", "guidance_until", "guidance_rescale", "early_guidance")
"""Options of guidance that the pipeline does not have."""


def export_diffusers(modality: Modality, method: Method, node: Mapping[str, Any], folder: Path, card: str) -> str:
    """Write the folder of a model.

    Args:
        modality, method: of an image model.
        node: the config of its method.
        folder: an empty folder.
        card: content of ``README.md``.

    Returns:
        What was written, for people.

    Raises:
        UserError: it is no diffusion model with a U-Net, or samples in a way that the folder could not.
    """
    model = find_image_model(modality, method, "diffusers", allows_gan=False)
    assert isinstance(model.method, Diffusion)
    options = _check_options(model.method)
    config, tensors = describe_denoiser(model, node)
    for name in ("scheduler", "denoiser"):
        make_folder(folder / name)
    shift = math.exp(model.method.logit_mean) if options.shift is None else options.shift
    scheduler = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": TIMESTEPS, "shift": shift}
    index = {
        "_class_name": ["pipeline", "PicturePipeline"],
        "denoiser": ["denoiser", "PictureDenoiser"],
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "steps": options.steps,
        "guidance": options.guidance,
    }
    for path, values in (
        ("model_index.json", index),
        ("scheduler/scheduler_config.json", scheduler),
        ("denoiser/config.json", config),
    ):
        content = {"_diffusers_version": VERSION, **values}
        write_file(folder / path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    write_file(folder / "denoiser" / "diffusion_pytorch_model.safetensors", save(tensors, {"format": "pt"}))
    write_file(folder / "denoiser" / "denoiser.py", bundle(DENOISER))
    shutil.copyfile(PIPELINE, folder / "pipeline.py")
    write_file(folder / "README.md", card)
    return f"{type(modality).__name__} {type(method).__name__} for diffusers"


def describe_denoiser(model: ImageModel, node: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the config and the tensors of the component. Raises ``UserError`` for another network than ``UNet``."""
    method, image = model.method, model.image
    assert isinstance(method, Diffusion)
    network = method.ema_module.network
    if type(network) is not UNet:
        raise UserError(
            f"format=diffusers knows the network UNet alone, not {type(network).__name__}. Use format=onnx."
        )
    arguments = {name: x for name, x in image.interface.items() if name in inspect.signature(UNet).parameters}
    tensors = {name: x.detach().cpu().contiguous() for name, x in method.ema_module.state_dict().items()}
    scaling = method.scaling
    if isinstance(scaling, PatchScaling):
        tensors |= {name: image.codec_state[name].contiguous() for name in ("basis", "centers", "scales")}
    autoencoder = None
    if isinstance(scaling, LearnedScaling):
        tensors |= {f"autoencoder.{name}": x.contiguous() for name, x in scaling.network.state_dict().items()}
        autoencoder = {"color_channels": image.channels, **image.autoencoder}
    config = {
        "_class_name": "PictureDenoiser",
        "network_config": {**arguments, **_without_target(node["network"])},
        "prompt_config": _without_target(node["prompt"]) if model.prompt is not None else None,
        "objective": method.objective,
        "mean": scaling.mean,
        "std": scaling.std,
        "input_shape": list(model.input_shape),
        "codec_shape": list(image.codec_state["basis"].shape) if image.codec_state else None,
        "refiner_config": _without_target(image.interface["refiner"]) if image.codec_state else None,
        "autoencoder_config": autoencoder,
        "num_train_timesteps": TIMESTEPS,
    }
    return config, tensors


def _without_target(node: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in node.items() if name != "_target_"}


def _check_options(method: Diffusion) -> DiffusionOptions:
    """Return the model's own options. Raises ``UserError`` if the pipeline would sample otherwise."""
    options, plain = DiffusionOptions(**method.sampling), DiffusionOptions()
    others = [name for name in UNSUPPORTED if getattr(options, name) != getattr(plain, name)]
    others += ["sampler"] if options.sampler != "euler" else []
    if others:
        raise UserError(
            f"format=diffusers has no {others[0]}=, which this model samples with by default. Use format=onnx."
        )
    return options
