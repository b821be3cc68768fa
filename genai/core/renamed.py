"""Translate old names, which work for one more release: of modules, classes, arguments, values, keys, metrics, weights.

The functions here translate typed and recorded words, nodes of configs and checkpoints, metrics, names of weights, and
imports of plugins. The names themselves are in ``genai.core.old_names``. Old names that a person types or imports are
answered with a one-line note; those in files on disk are read silently.
"""

import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, TypeVar

from genai.core.old_names import (
    ARGUMENTS,
    FIGURES,
    KEYS,
    METRICS,
    MODULES,
    MOVED_ARGUMENTS,
    MOVED_OPTIONS,
    NAMES,
    NEWER_ARGUMENTS,
    NEWER_KEYS,
    STATE,
    VALUES,
)

V = TypeVar("V")

ROOTS = {
    "genai.modalities": "modality",
    "genai.data": "data",
    "genai.toy.data": "data",
    "genai.networks": "model",
    "genai.methods": "model",
    "genai.core.device": "trainer",
    "genai.training.optimizers": "optimizer",
    "genai.training.schedule": "schedule",
}
"""Key of ``configs/train.yaml`` below which the classes of a package stand."""

NETWORK_ARGUMENTS = ("context",)
"""Old arguments of methods that networks still have: ``model.network.context`` is no old name."""

MAX_NODES, MAX_DEPTH = 1_000, 50
"""Nodes of one config, and how deep they stand in each other."""

_noted: set[str] = set()


def note(old: str, new: str) -> None:
    """Say once, on standard error, that ``old`` is now ``new``."""
    if old not in _noted:
        _noted.add(old)
        print(f"note: {old} is now {new}. The old name works in this release, not in the next.", file=sys.stderr)


def current_target(target: str) -> str:
    """Current path of a class that an old or current ``_target_`` names."""
    if target in NAMES:
        return NAMES[target]
    module, _, name = target.rpartition(".")
    return f"{MODULES[module]}.{name}" if module in MODULES else target


def current_node(value: Any, fixed: Collection[str] = ()) -> Any:
    """A config node, and the nodes in it, with current targets and arguments.

    What is larger than any config comes back as it is: the checks after this one refuse it.

    Args:
        value: the node.
        fixed: names of arguments that it will have besides its own.
    """
    return _current_node(value, fixed, [MAX_NODES], MAX_DEPTH)


def _current_node(value: Any, fixed: Collection[str], budget: list[int], depth: int) -> Any:
    is_node = isinstance(value, Mapping) and isinstance(value.get("_target_"), str)
    if not is_node or budget[0] <= 0 or depth <= 0:
        return value
    budget[0] -= 1
    target = current_target(value["_target_"])
    subclass, moved = MOVED_ARGUMENTS.get(target, (target, ()))
    target = subclass if any(name in value or name in fixed for name in moved) else target
    arguments, values = ARGUMENTS.get(target, {}), VALUES.get(target, {})
    node = {arguments.get(name, name): _current_node(item, fixed, budget, depth - 1) for name, item in value.items()}
    node |= {name: _current_value(node[name], names) for name, names in values.items() if name in node}
    return NEWER_ARGUMENTS.get(target, {}) | node | {"_target_": target}


def _current_value(value: Any, names: Mapping[str, str]) -> Any:
    """A value, or a list of values, by their current ``names``."""
    if isinstance(value, list):
        return [_current_value(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value


def current_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The recorded config of a training run with current keys, targets and arguments."""
    values = {KEYS["train"].get(key, key): current_node(value) for key, value in config.items()}
    return NEWER_KEYS | values


def current_words(command: str, words: Iterable[str], quiet: bool = False) -> list[str]:
    """Words of a command (``clip=0.5``, ``modality.rate=16000``) with their current keys.

    Arguments of a class that the words themselves name (``model.network._target_=mine.Net``) stay as they are.
    """
    words = list(words)
    keys = [word.partition("=")[0].lstrip("+~") for word in words]
    own = tuple(f"{key.removesuffix('_target_')}" for key in keys if key.endswith("._target_"))
    return [_current_word(command, word, own, quiet) for word in words]


def _current_word(command: str, word: str, own_prefixes: tuple[str, ...], quiet: bool) -> str:
    key, equals, value = word.partition("=")
    prefix = key[: len(key) - len(key.lstrip("+~"))]
    path = key.lstrip("+~").split(".")
    is_own = len(path) < 2 or key.lstrip("+~").startswith(own_prefixes)
    arguments = {} if is_own else _below(path[0], ARGUMENTS)
    if len(path) > 2:  # below a network
        arguments = {old: new for old, new in arguments.items() if old not in NETWORK_ARGUMENTS}
    new = [KEYS.get(command, {}).get(path[0], path[0]), *(arguments.get(part, part) for part in path[1:])]
    if path[-1] == "_target_":
        value = current_target(value)
    if new != path and not quiet:
        note(".".join(path), ".".join(new))
    for old_value, new_value in ({} if is_own else _below(path[0], VALUES).get(new[-1], {})).items():
        value, count = re.subn(rf"\b{old_value}\b", new_value, value)
        if count and not quiet:
            note(f"{'.'.join(new)}={old_value}", f"{'.'.join(new)}={new_value}")
    return f"{prefix}{'.'.join(new)}{equals}{value}"


def without_split(node: Any) -> Any:
    """A node whose class is, for a subclass to which arguments have moved, the class that had them before."""
    bases = {subclass: base for base, (subclass, _) in MOVED_ARGUMENTS.items()}
    is_subclass = isinstance(node, Mapping) and node.get("_target_") in bases
    return {**node, "_target_": bases[node["_target_"]]} if is_subclass else node


def current_options(options: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Options of a recipe; those that samples of this kind had before, without effect, are left out.

    Args:
        options: by name.
        names: of the options that there are.
    """
    return {name: value for name, value in options.items() if name in names or name not in MOVED_OPTIONS}


def current_metrics(names: Iterable[str]) -> list[str]:
    """Metrics by their current names."""
    names = list(names)
    for old in METRICS.keys() & set(names):
        note(f"the metric '{old}'", f"'{METRICS[old]}'")
    return [METRICS.get(name, name) for name in names]


def with_old_results(results: Mapping[str, Mapping[str, Any]], media: str) -> dict[str, dict[str, Any]]:
    """Results of samples of the type ``media``, also by the old names of figures and of their fields."""
    fields = {"about": "description", "error": "standard_error", "beside": "reference"}
    both = {name: {**result, **{old: result[new] for old, new in fields.items()}} for name, result in results.items()}
    old_names = FIGURES.get(media, {})
    return both | {old: both[new] for old, new in old_names.items() if new in both and old not in both}


def current_weights(weights: Mapping[str, Any]) -> dict[str, Any]:
    """A state dict with the current names of a method's own modules, ``method.NAME....``."""

    def current(name: str) -> str:
        first, *rest = name.split(".")
        return ".".join([first, STATE.get(rest[0], rest[0]), *rest[1:]]) if first == "method" and rest else name

    return {current(name): value for name, value in weights.items()}


def module_getattr(module: str) -> Callable[[str], Any]:
    """A module's ``__getattr__`` that finds what has moved away from it."""

    def find(name: str) -> Any:
        old = f"{module}.{name}"
        new = current_target(old)
        if name.startswith("__") or new == old:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        try:
            found = getattr(import_module(new.rpartition(".")[0]), new.rpartition(".")[2])
        except AttributeError:
            raise AttributeError(f"module {module!r} has no attribute {name!r}") from None
        note(old, new)
        return found

    return find


class OldModules(MetaPathFinder, Loader):
    """Finds modules by their old paths, after everything else has failed to."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, is_package=True) if fullname in MODULES else None

    def exec_module(self, module: ModuleType) -> None:
        module.__getattr__ = module_getattr(module.__name__)  # type: ignore[method-assign]


def install() -> None:
    """Let imports of old modules work."""
    if not any(isinstance(finder, OldModules) for finder in sys.meta_path):
        sys.meta_path.append(OldModules())


def _below(root: str, table: Mapping[str, dict[str, V]]) -> dict[str, V]:
    """The rows of a table by class, for all classes below a key such as ``modality``."""
    found: dict[str, V] = {}
    for target, arguments in table.items():
        if any(target.startswith(f"{package}.") and key == root for package, key in ROOTS.items()):
            found |= arguments
    return found
