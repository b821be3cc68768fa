"""Between the command line and plain Python values: Hydra composes, free text survives it, mistakes are explained.

Only hydra is imported here, so that ``--help`` answers at once.
"""

import io
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
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

from genai.core.errors import RunError, UserError, did_you_mean
from genai.core.paths import config_dir

NODES = ("modality", "data", "model", "optimizer", "schedule", "trainer")
"""The keys whose values are built: below them our own check, not Hydra, knows which names are allowed."""

FREE_TEXT: dict[str, tuple[str, ...]] = {
    "train": ("data.path", "resume", "init_from", "runs"),
    "sample": ("prompt", "prompts_file", "ckpt", "init", "sound", "out", "from", "runs"),
    "evaluate": ("ckpt", "sound", "out", "runs"),
    "page": ("ckpt", "samples", "out", "runs"),
}
"""By command, the keys whose values are any text at all."""


@dataclass(frozen=True)
class CommandConfig:
    """What a command was asked for, in plain types.

    ``values`` is the config, ``choices`` the group members by group (``{"model": "gpt"}``), ``overrides`` the words
    that led here, ``folder`` where Hydra wants this job of a multirun (``None`` for a single run).
    """

    values: dict[str, Any]
    choices: dict[str, str]
    overrides: list[str]
    folder: Path | None = None


# ---------------------------------------------------------------------------------------------- words and free text

_PLAIN = re.compile(r"(?!(?:true|false|null|nan|inf)$)(?:\.{0,2}/)*[A-Za-z_][\w./-]*", re.ASCII | re.IGNORECASE)
_CARRIED = re.compile(r"text-in-hex:((?:[0-9a-f]{2})*)")


def key_of(word: str) -> str:
    """The key of an override: ``"prompt"`` for ``prompt=a=b``, ``+prompt=`` and ``~prompt``."""
    return word.partition("=")[0].lstrip("+~").partition("@")[0]


def carry(word: str, free_text: Iterable[str]) -> str:
    """The override as Hydra can read it.

    Hydra's grammar gives a meaning to commas, quotes, brackets, spaces and numbers, and OmegaConf one to ``${`` and
    ``???``; so a free-text value that is more than a plain word travels as ``text-in-hex:<its UTF-8>``. Names below a
    node (``model.network.width=64``) get Hydra's ``++``, because a YAML file does not list every argument.
    """
    key, equals, value = word.partition("=")
    if not equals:
        return word
    nothing = value == "null" and key.lstrip("+") != "prompt"  # only a prompt may be that very word
    if key.lstrip("+") in free_text and not nothing and not _PLAIN.fullmatch(value):
        value = f"text-in-hex:{value.encode('utf-8', 'surrogateescape').hex()}"
    if "." in key and key.lstrip("+").split(".")[0] in NODES:
        key = f"++{key.lstrip('+')}"
    return f"{key}={value}"


def put_down(word: str) -> str:
    """The inverse of ``carry``."""
    key, equals, value = word.partition("=")
    return f"{key.lstrip('+')}{equals}{plain(value)}"


def plain(value: Any) -> Any:
    """Hydra's containers as plain types, carried free text as text again."""
    if isinstance(value, DictConfig):
        value = OmegaConf.to_container(value, resolve=True, throw_on_missing=True)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, str) and (carried := _CARRIED.fullmatch(value)):
        return bytes.fromhex(carried[1]).decode("utf-8", "surrogateescape")
    return value


# ------------------------------------------------------------------------------------------------------- composing


def compose(config_name: str, words: Sequence[str]) -> CommandConfig:
    """Compose ``configs/<config_name>.yaml`` with ``words``, from Python. Raises ``UserError``."""
    GlobalHydra.instance().clear()
    _check_words(words)
    try:
        with hydra.initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
            overrides = [carry(word, FREE_TEXT[config_name]) for word in words]
            config = hydra.compose(config_name, overrides, return_hydra_config=True)
        choices = plain(config.hydra.runtime.choices)
        OmegaConf.set_readonly(config, False)
        OmegaConf.set_struct(config, False)
        del config["hydra"]
        return CommandConfig(plain(config), choices, list(words))
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise explain(error, config_name) from error


def launch(task: Callable[[CommandConfig], Any], config_name: str, words: list[str]) -> None:
    """Run ``task`` under Hydra's own command line (``--help``, ``--cfg job``, ``-m``, tab completion), then exit.

    Exit codes: 0 done, 1 the run failed, 2 a user's mistake, 128 + n ended by signal n.
    """
    asked = sys.argv[1:]
    composed = False

    def job(config: DictConfig) -> None:
        nonlocal composed
        composed = True
        hydra_config = HydraConfig.get()
        sys.argv[1:] = asked  # what a distributed strategy starts again in its other processes
        many = hydra_config.mode == RunMode.MULTIRUN
        choices = plain(hydra_config.runtime.choices)
        overrides = [put_down(word) for word in hydra_config.overrides.task] if many else words
        folder = Path(hydra_config.runtime.output_dir) if many else None
        guarded(lambda: task(CommandConfig(plain(config), choices, overrides, folder)))

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal may not have every character of a sample or a path
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to us as they are, not printed by Hydra
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin stall where other programs are running
    OmegaConf.register_new_resolver("groups", _offered, replace=True)
    sys.argv[1:] = [carry(word, FREE_TEXT[config_name]) for word in words]

    def run() -> None:
        _check_words(words)
        try:
            hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=config_name)(job)()
        except (HydraException, OmegaConfBaseException) as error:
            raise explain(error, config_name) from error
        except ValueError as error:  # Hydra's answer to model=null
            if composed:
                raise
            raise explain(error, config_name) from error

    guarded(run)


def _check_words(words: Sequence[str]) -> None:
    """Raises ``UserError`` for a flag that Hydra does not have, and for a group without a member."""
    flags = set(get_args_parser()._option_string_actions)
    for word in words:
        key, _, value = word.partition("=")
        if word.startswith("--") and key not in flags:
            raise UserError(f"There is no flag {key}. Options are key=value, as in {key.lstrip('-')}=...; see --help.")
        if {"-m", "--multirun"} & set(words) and key == "runs" and not _PLAIN.fullmatch(value):
            raise UserError(f"{word}: with -m it has to be a plain path, of letters, digits and ._-/ alone.")
        if value == "null" and key in NODES and (members := sorted((config_dir() / key).glob("*.yaml"))):
            raise UserError(f"{word}: one has to be chosen. There are: {', '.join(file.stem for file in members)}.")


def guarded(task: Callable[[], Any]) -> None:
    """Run ``task``; a mistake or a failure becomes one or two lines on standard error and an exit code.

    ``GENAI_DEBUG=1`` brings the traceback back.
    """
    try:
        task()
    except (UserError, RunError) as error:
        if os.environ.get("GENAI_DEBUG") == "1":
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UserError) else 1)
    except SystemExit as ended:
        if isinstance(ended.code, int) and ended.code > 128:  # what there was is saved: nothing interrupts the way out
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output went away, as in `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def explain(error: Exception, config_name: str) -> UserError:
    """Hydra's error as a mistake: what was given, what is allowed, the nearest name."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MissingConfigException) and cause.missing_cfg_file and cause.options is not None:
            group, _, name = cause.missing_cfg_file.rpartition("/")
            members = [option.removesuffix(".yaml") for option in cause.options]
            if "/" in group:
                return _formless(group, name)
            return UserError(
                f"{group}={name}: there is no such {group}.{did_you_mean(name, members)} There are: {', '.join(members)}."
            )
        cause = cause.__cause__
    if isinstance(error, OverrideParseException):
        return UserError(
            f"Cannot read '{error.override}'; write key=value, and quote a value that has spaces or commas."
        )
    unknown = re.search(r"(?:Could not (?:override|append to config)|find match for) '([^']+)'", str(error))
    if isinstance(error, ConfigCompositionException) and unknown:
        key = key_of(unknown[1])
        keys = known_keys(config_name)
        if key in NODES and key in keys:  # a model that brings its optimizer does so for one modality
            return UserError("the model and the modality do not go together: choose another model=, or leave it out.")
        return UserError(f"There is no option '{key}'.{did_you_mean(key, keys)} There are: {', '.join(keys)}.")
    return UserError(str(error).strip().splitlines()[0])


def _formless(member: str, modality: str) -> UserError:
    """For a group member such as ``data/world`` that has a form for each of some modalities, but not for this one."""
    from genai.data.registry import fitting, modalities

    allowed = fitting(modalities()[modality])
    chosen = member.replace("/", "=")
    return UserError(f"{chosen} has nothing for modality={modality}. For it there are: {', '.join(allowed)}.")


def known_keys(config_name: str) -> list[str]:
    """The top-level names that can be set."""
    return sorted({*compose(config_name, []).values, *(_groups() if config_name == "train" else ())})


def _groups() -> dict[str, list[str]]:
    """The members of each config group that a person chooses from."""
    folders = [child for child in sorted(config_dir().iterdir()) if child.is_dir() and child.name != "hydra"]
    return {folder.name: sorted(file.stem for file in folder.glob("*.yaml")) for folder in folders}


def _offered() -> str:
    """``_groups`` as lines of ``--help``: Hydra's own would also list the forms that a member has."""
    return "\n".join(f"{group}: {', '.join(members)}" for group, members in _groups().items())
