"""The model card of an exported model: what it is, what it was trained on, how good it is."""

from genai.core.errors import short_text
from genai.inference.model import Model, count_parameters
from genai.runs.record import parse_record
from genai.runs.run import Run


def model_card(model: Model) -> str:
    """Return the card as Markdown, with the license of a base in its front matter."""
    folder = model.file.parent.parent if model.file else None
    record = parse_record(model.record, Run(folder).record_file) if folder else None
    license_name = model.record.get("license")
    rows = {
        "model": f"{type(model.method).__name__}, {count_parameters(model.method):,} parameters",
        "samples": model.modality.description,
        "data": record.data.description if record else "",
        "data, sha256": record.data.hash if record else "",
        "steps": f"{model.step:,}" if model.step else "",
        "best validation loss": f"{record.best.val_loss:.4f}" if record and record.best else "",
        "weights, sha256": model.digest,
    }
    front = ["---", f"license: {short_text(license_name)}", "---", ""] if license_name else []
    lines = [f"| {name} | {short_text(value).replace('|', '/')} |" for name, value in rows.items() if value]
    license_line = (
        [] if license_name else ["", "The license of the data is not known here: state it before you share this model."]
    )
    return "\n".join([*front, "# A model of genai", "", "| | |", "|---|---|", *lines, *license_line, ""])
