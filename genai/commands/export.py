"""``python -m genai export``: write a trained model as a folder that other tools open. See ``--help``."""

import sys
from pathlib import Path

from genai.cli.compose import CommandConfig, launch
from genai.cli.exit_codes import exit_on_error
from genai.core.errors import RunError, UserError
from genai.core.terminal import one_line


def main() -> None:
    """Run the command."""
    launch(export, "export", sys.argv[1:])


def export(config: CommandConfig) -> None:
    """Write the folder. Raises ``UserError``, ``RunError``."""
    import shutil

    from genai.cli.settings import ExportSettings, parse_settings
    from genai.exchange.gguf_export import FILE, export_gguf
    from genai.exchange.hf_export import export_folder
    from genai.exchange.pretrained import is_pretrained_folder
    from genai.inference.card import model_card
    from genai.inference.model import load

    settings = parse_settings(ExportSettings, config)
    out = Path(settings.out).expanduser()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"out={out} is there already: name a new folder.")
    model = load(
        settings.ckpt, weights=settings.weights, device="cpu", runs_folder=settings.runs, plugins=settings.plugins
    )
    source = Path(settings.ckpt).expanduser() if settings.ckpt else None
    source = source if source and is_pretrained_folder(source) else None
    try:
        if settings.format == "gguf":
            license = str(model.record.get("license") or "")
            family = export_gguf(model.modality, model.method, out, model_card(model), license)
        else:
            family = export_folder(model.modality, model.method, out, source, model_card(model))
    except OSError as error:
        shutil.rmtree(out, ignore_errors=True)  # it did not exist, or was empty
        raise RunError(f"cannot write {out}: {error.strerror}.") from error
    print(one_line(f"{family} in {out}/"), file=sys.stderr, flush=True)
    call = f"AutoModelForCausalLM.from_pretrained({str(out)!r})"
    call = f"llama-cli -m {out / FILE}" if settings.format == "gguf" else call
    print(one_line(f"open it   {call}"), flush=True)


if __name__ == "__main__":
    exit_on_error(main)
