"""The model that another one is trained from: its name, its hash and its license, for the record."""

from pathlib import Path

from genai.core.files import file_hash
from genai.inference.card import model_license
from genai.inference.stored_model import is_exported_path
from genai.runs.record import BaseRecord
from genai.runs.run import Run


def describe_base(source: str | Path, file: Path | None) -> BaseRecord:
    """Describe the run, checkpoint or exported folder that ``init_from=`` names.

    Args:
        source: value of ``init_from=``.
        file: the checkpoint that it stands for.

    Raises:
        UserError: a file cannot be read.
    """
    path = Path(source).expanduser().absolute()
    if is_exported_path(path):
        from genai.exchange.package import PackageRun

        folder = path.parent if path.suffix == ".safetensors" else path
        package = PackageRun.read(folder)
        return BaseRecord(folder.name, package.digest, model_license(package.record), str(path))
    file = file or path
    run = Run(file.parent.parent)
    return BaseRecord(run.folder.name, file_hash(file), model_license(run.record), str(file.absolute()))
