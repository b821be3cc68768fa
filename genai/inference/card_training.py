"""Sections of a model card about its making: training, energy, licenses, adapters, labels."""

from collections.abc import Iterator

from genai.core.energy import Energy
from genai.inference.card_record import model_license
from genai.inference.model import Model
from genai.report.markdown import markdown_table, markdown_text
from genai.runs.record import AdapterRecord, RunRecord, SamplingEnergyRecord

FILES = "path/to/this/folder"
"""Place of the model in commands of a card."""
WEIGHTS = {"ema": "averaged over training", "raw": "of the last step"}
UNKNOWN = "not recorded"
MAX_VOICES = 20
"""Consent records that a card names."""
VERSIONS = ("genai", "torch", "python")


def training_lines(model: Model, record: RunRecord) -> Iterator[str]:
    """Yield the section on training."""
    hardware, energy = record.hardware, record.energy
    names = ", ".join(filter(None, (hardware.get("processor", ""), hardware.get("system", ""))))
    count = "1 process" if record.devices == 1 else f"{record.devices} processes" if record.devices else ""
    threads = (
        f"{record.threads} threads" if record.threads and record.threads > 1 else "1 thread" * bool(record.threads)
    )
    versions = ", ".join(f"{name} {record.versions[name]}" for name in VERSIONS if name in record.versions)
    rows = {
        "step of this checkpoint": f"{model.step:,}" if model.step else UNKNOWN,
        "time of the whole run": f"{record.seconds:,.0f} s" if record.seconds else UNKNOWN,
        "hardware": ", ".join(filter(None, (record.device or "", names, count, threads))) or UNKNOWN,
        "precision": record.precision or UNKNOWN,
        "energy": f"{_describe_energy(energy)}; without data preparation" if energy else UNKNOWN,
        "energy of 1,000 samples": _sampling_energy(record.sampling_energy),
        "seed": UNKNOWN if record.seed is None else str(record.seed),
        "versions": versions or UNKNOWN,
        "weights": WEIGHTS.get(model.weights, model.weights),
        "sha256 of the checkpoint": model.digest or UNKNOWN,
    }
    is_code = lambda value: "`" in value  # noqa: E731
    cells = ((name, value if is_code(value) else markdown_text(value)) for name, value in rows.items())
    yield from markdown_table(("", ""), cells)


def _sampling_energy(record: SamplingEnergyRecord | None) -> str:
    if record is None:
        return "not recorded; `python -m genai.evaluate` on the run records it"
    energy = Energy(record.kwh_per_1000_samples, record.how, record.co2e_kg, record.kg_per_kwh)
    return f"{_describe_energy(energy)}; measured with {record.samples:,} samples"


def _describe_energy(energy: Energy) -> str:
    return f"{energy} = {energy.co2e_kg * 1000:.3g} g of CO2e at {energy.kg_per_kwh:g} kg/kWh"


def license_lines(record: RunRecord, hint: str) -> Iterator[str]:
    """Yield the section on licenses. ``hint``: what to do if that of the model is unknown."""
    base, license_name, data = record.base, model_license(record), record.data
    rows = [
        ("this model", markdown_text(license_name) if license_name else f"not stated; {hint}"),
        ("its data", markdown_text(data.license) or "not stated"),
    ]
    if base:
        digest = f", sha256 {markdown_text(base.digest)}" if base.digest else ""
        terms = markdown_text(base.license) or "not stated"
        rows.append(("its base", f"{terms}: {markdown_text(base.name)}{digest}"))
    else:
        rows.append(("its base", "it has none: its training began from random weights"))
    adapters = [(f"adapter {number}", _describe_adapter(adapter)) for number, adapter in enumerate(record.adapters, 1)]
    yield from markdown_table(("", ""), [*rows, *(adapters or [("adapters", "none")])])


def _describe_adapter(adapter: AdapterRecord) -> str:
    data = ", ".join(filter(None, (adapter.data, adapter.license)))
    learned = f"; data: {data}" if data else "; its data and license are not stated"
    return markdown_text(
        f"{adapter.checkpoint} x {adapter.factor:g} (sha256 {adapter.checkpoint_sha256[:12]}{learned})"
    )


def voice_lines(model: Model) -> Iterator[str]:
    """Yield what is known of the consent for the voices in a model."""
    if not model.voices:
        yield "- **Voices:** consent not stated: nothing records whether the people in its data agreed."
        return
    names = "; ".join(markdown_text(str(voice)) for voice in model.voices[:MAX_VOICES])
    more = f" and {len(model.voices) - MAX_VOICES:,} more" * (len(model.voices) > MAX_VOICES)
    yield f"- **Voices:** synthetic voices, with consent {names}{more}. genai checked the records, not their truth."


def label_lines(model: Model) -> Iterator[str]:
    """Yield the section on labels."""
    yield "- By default, files of `genai.sample` and `genai serve` say in their metadata that a model made them:"
    yield "  Content Credentials, signed if c2pa-python is installed, and XMP. `python -m genai verify` reads them."
    if model.makes_voices:
        yield "- Each file says `synthetic voice`, the model and the ids of the consent; `label=false` is refused."
        yield "- Saving a file again removes the label. Other tools write none."
    else:
        yield "- `label=false` leaves them out. Saving a file again removes them. Other tools write none."
    yield "- `watermark=true` puts a mark into texts, sounds, clips and large pictures; by default there is none."
