"""``python -m genai export``: write a trained model as a folder for others. See ``--help``."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from genai.cli.compose import CommandConfig, launch
from genai.cli.exit_codes import exit_on_error
from genai.core.errors import RunError, UserError, short_text
from genai.core.files import new_folder, write_file
from genai.core.terminal import one_line

if TYPE_CHECKING:
    from genai.cli.settings import ExportSettings
    from genai.inference.model import Model
    from genai.trust.label import Label


def main() -> None:
    """Run the command."""
    launch(export, "export", sys.argv[1:])


def export(config: CommandConfig) -> None:
    """Write the folder, whole or not at all. Raises ``UserError``, ``RunError``."""
    from genai.cli.settings import ExportSettings, parse_settings
    from genai.inference.model import load
    from genai.runs.voices import check_publish

    settings = parse_settings(ExportSettings, config)
    if settings.format == "peft" and settings.adapter:
        raise UserError("format=peft writes the adapter of one run: name the run with ckpt=, and leave out adapter=.")
    out = Path(settings.out).expanduser()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):  # before the model is read
        raise UserError(f"out={out} is there already: name a new folder.")
    model = load(
        settings.ckpt,
        weights=settings.weights,
        device="cpu",
        runs_folder=settings.runs,
        plugins=settings.plugins,
        adapter=settings.adapter,
    )
    check_publish(model.voices)
    if settings.license:
        model.record["license"] = settings.license
    try:
        with new_folder(out) as folder:
            description = FORMATS[settings.format](model, folder, settings)
    except OSError as error:
        raise RunError(f"cannot write {out}: {error.strerror}.") from error
    print(one_line(f"{description} in {out}/"), file=sys.stderr, flush=True)
    print(one_line(f"open it   {USAGES[settings.format].format(out)}"), flush=True)


def _write_package(model: "Model", folder: Path, settings: "ExportSettings") -> str:
    from genai.exchange.package import read_package, write_package
    from genai.inference.build import check_description
    from genai.inference.card import model_card, public_record
    from genai.runs.checkpoint import CheckpointHeader

    if model.header is None:
        raise UserError("format=genai needs the model of a run, of a checkpoint or of another tool.")
    record, card = public_record(model), model_card(model)
    write_package(folder, model.modality, model.method, model.header, model.weights, record, card)
    package = read_package(folder)  # what cannot be opened again is not exported
    num_bytes = package.file.stat().st_size
    header = CheckpointHeader.read(package.state)
    check_description(header, package.state["state_dict"], num_bytes, settings.plugins, partial=True)
    kind = "averaged" if model.weights == "ema" else "raw"
    return f"{type(model.modality).__name__.lower()} model, {kind} weights,"


def _write_transformers(model: "Model", folder: Path, settings: "ExportSettings") -> str:
    from genai.exchange.hf_export import export_folder
    from genai.exchange.pretrained import is_pretrained_folder
    from genai.inference.card import model_card

    source = Path(settings.ckpt).expanduser() if settings.ckpt else None
    source = source if source and is_pretrained_folder(source) else None
    return export_folder(model.modality, model.method, folder, source, model_card(model, "transformers"))


def _write_gguf(model: "Model", folder: Path, settings: "ExportSettings") -> str:
    from genai.exchange.gguf_export import export_gguf
    from genai.inference.card import model_card, model_license
    from genai.runs.record import parse_record

    record = parse_record(model.record, "record.json")
    base = record.base.name if record.base else ""
    return export_gguf(
        model.modality, model.method, folder, model_card(model, "gguf"), model_license(record), short_text(base)
    )


def _write_peft(model: "Model", folder: Path, settings: "ExportSettings") -> str:
    from genai.exchange.peft_folder import write_peft
    from genai.inference.card import model_card
    from genai.inference.stored_model import open_checkpoint
    from genai.runs.checkpoint import CheckpointHeader

    _, state, _ = open_checkpoint(settings.ckpt, root=Path(settings.runs))
    header = CheckpointHeader.read(state)
    if header.adapter is None:
        raise UserError("format=peft is for runs with adapter=lora: this one has trained all weights.")
    prefix = {"ema": "ema.module.", "raw": "method.ema_module."}[model.weights]
    tensors = {name.removeprefix(prefix): x for name, x in state["state_dict"].items() if name.startswith(prefix)}
    write_peft(model.method, tensors, header.adapter, (header.base or {}).get("name", ""), folder)
    write_file(folder / "README.md", model_card(model, "peft"))
    return "adapter"


def _write_onnx(model: "Model", folder: Path, settings: "ExportSettings") -> str:
    from genai.exchange.onnx_export import export_onnx
    from genai.inference.card import model_card
    from genai.inference.card_usage import example_prompts

    prompts = example_prompts(model)
    return export_onnx(model.modality, model.method, folder, _label(model), prompts, model_card(model, "onnx"))


def _write_web(model: "Model", folder: Path, settings: "ExportSettings") -> str:
    from genai.exchange.web_export import export_web
    from genai.inference.card import model_card
    from genai.inference.card_usage import example_prompts

    prompts, card = example_prompts(model), model_card(model, "web")
    return export_web(model.modality, model.method, folder, _label(model), prompts, card, settings.ort)


def _write_diffusers(model: "Model", folder: Path, settings: "ExportSettings") -> str:
    from genai.exchange.diffusers_export import export_diffusers
    from genai.inference.card import model_card

    node = model.header.model if model.header else None
    return export_diffusers(model.modality, model.method, node or {}, folder, model_card(model, "diffusers"))


def _label(model: "Model") -> "Label":
    """Return what pictures say that others make with the model."""
    from genai.inference.labels import describe_consent, model_name
    from genai.trust.label import Label
    from genai.version import __version__

    consent = describe_consent(model)
    return Label(model_name(model), __version__, model.digest, consent=consent, is_voice=model.makes_voices)


FORMATS: Mapping[str, Callable[["Model", Path, "ExportSettings"], str]] = {
    "genai": _write_package,
    "hf": _write_transformers,
    "gguf": _write_gguf,
    "peft": _write_peft,
    "onnx": _write_onnx,
    "web": _write_web,
    "diffusers": _write_diffusers,
}
"""What writes each ``format=`` into an empty folder, and describes it for people."""
USAGES = {
    "genai": "python -m genai.sample ckpt={0}",
    "hf": "AutoModelForCausalLM.from_pretrained('{0}')",
    "gguf": "llama-cli -m {0}/model.gguf",
    "peft": "PeftModel.from_pretrained(base, '{0}')",
    "onnx": "python {0}/sample.py",
    "web": "{0}/index.html in a browser",
    "diffusers": "DiffusionPipeline.from_pretrained('{0}', trust_remote_code=True), which runs the code in it",
}
"""How each is opened."""


if __name__ == "__main__":
    exit_on_error(main)
