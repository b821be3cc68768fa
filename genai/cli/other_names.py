"""Names of options that people type first: without the group they stand in, or as other tools call them."""

from collections.abc import Sequence

OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "path": ("data.path",),
    "folder": ("data.path",),
    "data_dir": ("data.path",),
    "dataset": ("data",),
    "lr": ("optimizer.lr",),
    "learning_rate": ("optimizer.lr",),
    "size": ("modality.size",),
    "resolution": ("modality.size",),
    "image_size": ("modality.size",),
    "fps": ("modality.fps",),
    "sample_rate": ("modality.sample_rate",),
    "block": ("modality.block",),
    "block_size": ("modality.block",),
    "tokenizer": ("modality.tokenizer",),
    "width": ("model.network.width",),
    "layers": ("model.network.layers",),
    "precision": ("trainer.precision",),
    "threads": ("trainer.threads",),
    "device": ("trainer",),
    "devices": ("trainer.devices",),
    "gpus": ("trainer.devices",),
    "epochs": ("steps", "minutes"),
    "max_steps": ("steps",),
    "max_iters": ("steps",),
    "max_epochs": ("steps", "minutes"),
    "batch_size": ("batch",),
    "gradient_accumulation_steps": ("accumulate",),
    "num_workers": ("workers",),
    "output_dir": ("runs",),
    "out_dir": ("runs",),
    "run_name": ("name",),
    "exp_name": ("name",),
    "checkpoint": ("resume", "init_from"),
    "ckpt": ("resume", "init_from"),
}
"""Options of ``genai.train`` by other names."""


def other_name_hint(name: str, groups: Sequence[str]) -> str:
    """Return ``" Did you mean 'data.path'?"`` for ``path`` of ``genai.train``; empty for names that are not listed.

    Args:
        name: an unknown option.
        groups: options that have others below them.
    """
    group, _, rest = name.partition("_")  # data_path, as in Python
    nested = (f"{group}.{rest}",) if rest and group in groups else ()
    names = OTHER_NAMES.get(name, nested)
    return f" Did you mean {' or '.join(map(repr, names))}?" if names else ""
