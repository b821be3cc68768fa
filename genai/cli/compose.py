"""From the command line to plain Python values: composition by Hydra, free-text values, error messages.

Only hydra is imported here, so that ``--help`` is fast.
"""

import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from genai.cli.exit_codes import SIGNAL_BASE, exit_on_error
from genai.cli.other_names import other_name_hint
from genai.core.errors import UserError, did_you_mean
from genai.core.files import unique_folder
from genai.core.paths import config_dir, config_dirs
from genai.core.renamed import current_words
from genai.core.terminal import one_line

NODE_KEYS = ("modality", "data", "model", "optimizer", "schedule", "trainer", "logger", "adapter", "method")
"""Keys whose values are instantiated. Names below them are checked by ``instantiate``, not by Hydra."""

MULTIRUN_FLAGS = ("-m", "--multirun")

FREE_TEXT_KEYS: dict[str, tuple[str, ...]] = {
    "train": (
        *("data.path", "data.val_path", "data.license", "data.default_caption"),
        *("resume", "init_from", "codec", "runs", "name", "adapter.speaker"),
    ),
    "sample": (
        *("prompt", "prompts_file", "ckpt", "adapter", "init", "soundtrack", "then", "vocoder"),
        *("out", "from", "runs"),
    ),
    "evaluate": (
        *("ckpt", "adapter", "soundtrack", "vocoder", "problems", "references", "out", "runs"),
        *("judge.weights", "judge.sentences"),
    ),
    "page": ("ckpt", "samples", "out", "runs"),
    "align": ("data.path", "data.license", "data.default_caption", "language", "lexicon", "out"),
    "export": ("ckpt", "adapter", "out", "license", "ort", "runs"),
    "history": ("compare", "runs", "samples"),
    "serve": ("runs", "models", "samples", "data_root", "memory", "key_file", "tls_cert", "tls_key", "max_body"),
}
"""Keys whose values may be any text, by command."""


@dataclass(frozen=True)
class CommandConfig:
    """The config of a command in plain types.

    Attributes:
        values: the config.
        choices: the selected member of each config group (``{"model": "gpt"}``).
        overrides: the words of the command line.
        folder: the folder of this job in a multirun; ``None`` for a single run.
        examples: data that were given in Python; ``None`` if words name the data.
    """

    values: dict[str, Any]
    choices: dict[str, str]
    overrides: list[str]
    folder: Path | None = None
    examples: Any = None

    @property
    def nodes(self) -> dict[str, Any]:
        """The values that are instantiated, by key."""
        return {key: value for key, value in self.values.items() if key in NODE_KEYS}

    @property
    def settings(self) -> dict[str, Any]:
        """The other values: the fields of the command's settings."""
        return {key: value for key, value in self.values.items() if key not in NODE_KEYS}


# ------------------------------------------------------------------------------------------ overrides and free text

_PLAIN = re.compile(r"(?!(?:true|false|null|nan|inf)$)(?:\.{0,2}/)*[A-Za-z_][\w./-]*", re.ASCII | re.IGNORECASE)
_ENCODED = re.compile(r"text-in-hex\\?:((?:[0-9a-f]{2})*)")
_TEXT_KEY = "text_in_hex"
"""Key of a text whose own key is that of a group, for which Hydra would look for a member."""


def override_key(word: str) -> str:
    """Return the key of an override: ``"prompt"`` for ``prompt=a=b``, ``+prompt=`` and ``~prompt``."""
    return word.partition("=")[0].lstrip("+~").partition("@")[0]


def encode_override(word: str, free_text: Iterable[str]) -> str:
    """Encode an override so that Hydra can parse it.

    Hydra interprets commas, quotes, brackets, spaces and numbers, and OmegaConf ``${`` and ``???``. So a free-text
    value that is not a plain word is encoded as ``text-in-hex:<its UTF-8>``. Names below a node
    (``model.network.width=64``) get Hydra's ``++``, because a YAML file does not list every argument.
    """
    key, equals, value = word.partition("=")
    if not equals:
        return word
    is_null = value == "null" and key.lstrip("+") != "prompt"  # a prompt may be the text "null"
    if key.lstrip("+") in free_text and (config_dir() / key.lstrip("+")).is_dir():
        encoded = "null" if is_null else f"x{value.encode('utf-8', 'surrogateescape').hex()}"
        return f"++{key.lstrip('+')}={{{_TEXT_KEY}: {encoded}}}"
    if key.lstrip("+") in free_text and not is_null and not _PLAIN.fullmatch(value):
        value = f"text-in-hex:{value.encode('utf-8', 'surrogateescape').hex()}"
    if "." in key and key.lstrip("+").split(".")[0] in NODE_KEYS:
        key = f"++{key.lstrip('+')}"
    return f"{key}={value}"


def decode_override(word: str) -> str:
    """Decode an override; the inverse of ``encode_override``."""
    key, equals, value = word.partition("=")
    text = value.removeprefix(f"{{{_TEXT_KEY}:").strip(" }'") if _TEXT_KEY in value else ""
    return f"{key.lstrip('+')}{equals}{to_plain({_TEXT_KEY: text} if text else value)}"


def to_plain(value: Any) -> Any:
    """Convert Hydra's containers to plain types and decode free text."""
    if isinstance(value, DictConfig):
        value = OmegaConf.to_container(value, resolve=True, throw_on_missing=True)
    if isinstance(value, dict) and value.keys() == {_TEXT_KEY}:
        text = value[_TEXT_KEY]
        return None if text is None else bytes.fromhex(str(text)[1:]).decode("utf-8", "surrogateescape")
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [to_plain(item) for item in value]
    if isinstance(value, str) and (match := _ENCODED.fullmatch(value)):
        return bytes.fromhex(match[1]).decode("utf-8", "surrogateescape")
    return value


# ------------------------------------------------------------------------------------------------------- composing


def compose(config_name: str, words: Sequence[str]) -> CommandConfig:
    """Compose ``configs/<config_name>.yaml`` with the overrides ``words``, from Python. Raises ``UserError``."""
    GlobalHydra.instance().clear()
    words = current_words(config_name, words)
    _check_words(config_name, words)
    try:
        with hydra.initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
            overrides = [encode_override(word, FREE_TEXT_KEYS.get(config_name, ())) for word in words]
            overrides += _search_path(words)
            config = hydra.compose(config_name, overrides, return_hydra_config=True)
        choices = to_plain(config.hydra.runtime.choices)
        OmegaConf.set_readonly(config, False)
        OmegaConf.set_struct(config, False)
        del config["hydra"]
        values = _without_replaced_arguments(to_plain(config), words, choices)
        return CommandConfig(values, choices, list(words))
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise explain_hydra_error(error, config_name) from error


def launch(task: Callable[[CommandConfig], Any], config_name: str, words: list[str]) -> None:
    """Run ``task`` under Hydra's own command line (``--help``, ``--cfg job``, ``-m``, tab completion), then exit.

    Exit codes: 0 done, 1 the run failed, 2 a user's mistake, 128 + n ended by signal n.
    """
    original_argv = sys.argv[1:]
    words = _flags_first(current_words(config_name, words))
    is_composed, failed = False, dict[str, int]()

    def job(config: DictConfig) -> None:
        nonlocal is_composed
        is_composed = True
        job_config = HydraConfig.get()
        sys.argv[1:] = original_argv  # a distributed strategy starts its other processes with them
        is_multirun = job_config.mode == RunMode.MULTIRUN
        choices = to_plain(job_config.runtime.choices)
        overrides = [decode_override(word) for word in job_config.overrides.task] if is_multirun else words
        folder = Path(job_config.runtime.output_dir) if is_multirun else None

        def run_task() -> None:
            values = _without_replaced_arguments(to_plain(config), overrides, choices)
            task(CommandConfig(values, choices, overrides, folder))

        try:
            exit_on_error(run_task)
        except SystemExit as error:
            if not is_multirun or not isinstance(error.code, int) or error.code > SIGNAL_BASE:
                raise
            own_words = " ".join(word for word in overrides if word not in words)
            failed[f"{job_config.job.num} ({own_words})"] = error.code
            _remove_if_empty(Path(job_config.runtime.output_dir))

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal may lack some characters of a sample or a path
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises errors instead of printing them
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads stall when other programs are running
    OmegaConf.register_new_resolver("groups", _format_groups, replace=True)
    OmegaConf.register_new_resolver("sweep_folder", cache(_create_sweep_folder), replace=True)
    sys.argv[1:] = [encode_override(word, FREE_TEXT_KEYS.get(config_name, ())) for word in words] + _search_path(words)

    def run() -> None:
        _check_words(config_name, words)
        try:
            hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=config_name)(job)()
        except (HydraException, OmegaConfBaseException) as error:
            raise explain_hydra_error(error, config_name) from error
        except ValueError as error:  # Hydra raises it for model=null
            if is_composed:
                raise
            raise explain_hydra_error(error, config_name) from error
        if failed:
            print(one_line(f"{len(failed)} of the runs failed: {', '.join(failed)}"), file=sys.stderr, flush=True)
            sys.exit(next(iter(failed.values())))

    exit_on_error(run)


def _flags_first(words: Sequence[str]) -> list[str]:
    """Return the words with ``-m`` at the front: Hydra's parser takes it for an error after other words."""
    flags = [word for word in words if word in MULTIRUN_FLAGS]
    return flags[:1] + [word for word in words if word not in MULTIRUN_FLAGS]


def _create_sweep_folder(runs: str, date: str, time: str) -> str:
    """Create a folder for the runs of one multirun, which no other one has. Raises ``UserError``."""
    folder = Path(to_plain(runs)).expanduser() / date / f"{time}-multirun"
    try:
        return str(unique_folder(folder))
    except OSError as error:
        raise UserError(f"cannot create the folder {folder}: {error.strerror}.") from error


def _remove_if_empty(folder: Path) -> None:
    """Remove a folder that Hydra has made for a run that was never started."""
    with suppress(OSError):
        folder.rmdir()


def _without_replaced_arguments(
    values: dict[str, Any], words: Sequence[str], choices: Mapping[str, Any]
) -> dict[str, Any]:
    """Return ``values`` without arguments that YAML files list for a class which another one replaces.

    A word replaces it, or the file of the model, as that of ``model=tts`` does with the modality. Arguments that words
    set stay, and those that the other class has, too.
    """
    words = [word for word in words if "=" in word]
    plugins = values.get("plugins") or ()
    paths = [override_key(word).split(".")[:-1] for word in words if override_key(word).endswith("._target_")]
    if choices.get("model") and "_target_" in _modality_changes(str(choices["model"]), plugin_names(words)):
        paths.append(["modality"])
    for path in paths:
        node = _node_at(values, path)
        keys = [override_key(other).split(".") for other in words]
        set_names = {key[len(path)] for key in keys if key[: len(path)] == path and len(key) > len(path)}
        for name in node.keys() - set_names - fitting_arguments(node, plugins).keys():
            del node[name]
    return values


def _modality_changes(model: str, plugins: Sequence[str]) -> set[str]:
    """Return the names of what the file of a model changes of the modality."""
    for folder in config_dirs(plugins):
        if (file := folder / "model" / f"{model}.yaml").is_file():
            content: Any = OmegaConf.load(file)
            return {str(name) for name in content.get("modality") or {}}
    return set()


def fitting_arguments(node: Mapping[str, Any], plugins: Sequence[str] = ()) -> dict[str, Any]:
    """Return a node without the arguments that its class does not have; all of it if the class may not be built."""
    names = _argument_names(node.get("_target_"), plugins)
    return {name: value for name, value in node.items() if names is None or name in ("_target_", *names)}


def _node_at(values: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
    """Return the mapping at ``path``; empty if there is none."""
    node: Any = values
    for name in path:
        node = node.get(name) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else {}


def _argument_names(target: Any, plugins: Sequence[str]) -> set[str] | None:
    """Return the names of a class's arguments; ``None`` if it may not be built."""
    from inspect import signature

    from genai.core.instantiate import import_class

    try:
        return set(signature(import_class(str(target), object, "", plugins)).parameters)
    except UserError:
        return None


def plugin_names(words: Sequence[str]) -> list[str]:
    """Return the packages of the last ``plugins=[...]`` among ``words``."""
    values = [word.partition("=")[2] for word in words if override_key(word) == "plugins"]
    return re.findall(r"[A-Za-z_][\w.]*", values[-1]) if values else []


def _search_path(words: Sequence[str]) -> list[str]:
    """Return the override that lets Hydra find the configs of plugins, if they have any."""
    folders = ["'file://{}'".format(str(folder).replace("'", "\\'")) for folder in config_dirs(plugin_names(words))[1:]]
    return [f"hydra.searchpath=[{','.join(folders)}]"] if folders else []


def _check_words(config_name: str, words: Sequence[str]) -> None:
    """Check flags and config groups. Raises ``UserError`` for an unknown flag or a group that is null."""
    flags = set(get_args_parser()._option_string_actions)
    for word in words:
        key, _, value = word.partition("=")
        if word.startswith("--") and key not in flags:
            raise UserError(f"There is no flag {key}. Options are key=value, as in {key.lstrip('-')}=...; see --help.")
        if key == "hydra.sweep.dir" and (Path(value.strip("'\"")).expanduser() / "multirun.yaml").exists():
            raise UserError(f"{word}: the runs of another -m are there. Give a new folder, or leave it out.")
        if config_name == "train" and word in ("debug=null", "experiment=null", "adapter=null", "method=null"):
            raise UserError(f"{word}: there is none by default. Leave it out.")
        is_group = config_name == "train" and key in NODE_KEYS  # elsewhere adapter= is a text
        if value == "null" and is_group and (members := sorted((config_dir() / key).glob("*.yaml"))):
            raise UserError(f"{word}: {key} cannot be null. There are: {', '.join(file.stem for file in members)}.")


def explain_hydra_error(error: Exception, config_name: str) -> UserError:
    """Translate an error of Hydra: the value, what is allowed, the nearest name."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MissingConfigException) and cause.missing_cfg_file and cause.options is not None:
            group, _, name = cause.missing_cfg_file.rpartition("/")
            members = [option.removesuffix(".yaml") for option in cause.options]
            if group.split("/")[0] in NODE_KEYS and "/" in group:
                return _missing_variant_error(group, name)
            hint = f"{did_you_mean(name, members)} There are: {', '.join(members)}."
            return UserError(f"{group}={name}: there is no such {group}.{hint}")
        cause = cause.__cause__
    if isinstance(error, OverrideParseException):
        return UserError(
            f"Cannot read '{error.override}'; write key=value, and quote a value that has spaces or commas."
        )
    unknown = re.search(r"(?:Could not (?:override|append to config)|find match for) '([^']+)'", str(error))
    if isinstance(error, ConfigCompositionException) and unknown:
        key = override_key(unknown[1])
        keys = known_keys(config_name)
        hint = (config_name == "train" and other_name_hint(key, NODE_KEYS)) or did_you_mean(key, keys)
        return UserError(f"There is no option '{key}'.{hint} There are: {', '.join(keys)}.")
    return UserError(str(error).strip().splitlines()[0])


def _missing_variant_error(member: str, modality: str) -> UserError:
    """Return the error for a group member such as ``data/world`` that has no variant for this modality."""
    from genai.data.registry import compatible_data, modality_classes

    allowed = compatible_data(modality_classes()[modality])
    override = member.replace("/", "=")
    return UserError(f"{override} does not exist for modality={modality}. There are: {', '.join(allowed)}.")


def known_keys(config_name: str) -> list[str]:
    """Return the top-level keys that can be set."""
    return sorted({*compose(config_name, []).values, *(_groups() if config_name == "train" else ())})


def _groups() -> dict[str, list[str]]:
    """Return the members of each config group that users choose from."""
    folders = [child for child in sorted(config_dir().iterdir()) if child.is_dir() and child.name != "hydra"]
    return {folder.name: sorted(file.stem for file in folder.glob("*.yaml")) for folder in folders}


def model_nodes(plugins: Sequence[str] = ()) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Return the node of each model in ``configs/model`` and in plugins, and its changes of the modality, by name."""
    nodes = {}
    for file in (file for folder in config_dirs(plugins) for file in sorted((folder / "model").glob("*.yaml"))):
        content = OmegaConf.load(file)
        whole = content if "model" in content else {"model": content}  # some also set other keys
        values = to_plain(OmegaConf.merge({"data": {}, "modality": {}}, whole))
        nodes[file.stem] = (values["model"], values["modality"])
    return nodes


def _format_groups() -> str:
    """Format ``_groups`` for ``--help``; Hydra's own list would include the variants of each member."""
    return "\n".join(f"{group}: {', '.join(members)}" for group, members in _groups().items())
