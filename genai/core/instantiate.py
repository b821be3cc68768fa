"""From a config node ``{_target_: ..., width: 64}`` to an object: checked first, then built inside out.

Types and ranges live in the signatures of the classes (``width: Annotated[int, Ge(1)]``); nothing else repeats them.
A node may come out of a stranger's checkpoint, so a target must be a class *defined* in genai, or in a package that the
user named, and a subclass of what the place wants.
"""

import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import MISSING
from dataclasses import fields as dataclass_fields
from importlib import import_module
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from genai.core.errors import UserError, did_you_mean, join_names, short_repr

T = TypeVar("T")
Node = Mapping[str, Any]


def instantiate(
    node: Node, base: type[T], path: str, given: Mapping[str, Any] | None = None, plugins: Sequence[str] = ()
) -> T:
    """The object that ``node`` describes.

    Args:
        node: ``_target_`` and arguments; an argument may be such a node itself.
        base: the class that the target has to be a subclass of.
        path: where the node stands in the config, for messages: ``"model"``.
        given: arguments that nodes leave out, by name, such as ``modality.interface``.
        plugins: packages besides genai whose classes are allowed.

    Raises:
        UserError: an unknown target, name, type or range; a size that is given twice, or not at all.
    """
    given = given or {}
    cls, values = _checked(node, base, path, plugins)
    parameters = inspect.signature(cls).parameters
    for name, value in values.items():
        if name in given:
            raise UserError(
                f"{path}.{name}={short_repr(value)} is not yours to set: here it is always {given[name]!r}. Leave it out."
            )
        if _is_node(value):
            values[name] = instantiate(value, _wanted(cls, name), f"{path}.{name}", given, plugins)
    for name, parameter in parameters.items():
        if name not in values and name in given:
            values[name] = given[name]
        elif name not in values and parameter.default is parameter.empty:
            advice = f"this modality gives {join_names(given)}" if given else f"set {path}.{name}=, as in --help"
            raise UserError(f"{path}: {cls.__name__} needs {name}; {advice}.")
    try:
        return cls(**values)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def check_node(node: Node, base: type[Any], path: str, plugins: Sequence[str] = ()) -> None:
    """Check the names, types and ranges of ``node`` and of the nodes in it; build nothing. Raises ``UserError``."""
    cls, values = _checked(node, base, path, plugins)
    for name, value in values.items():
        if _is_node(value):
            check_node(value, _wanted(cls, name), f"{path}.{name}", plugins)


def validate_value(value: Any, hint: Any, path: str, strict: bool = True) -> Any:
    """``value`` as ``hint`` wants it. ``strict=False`` also reads numbers and booleans out of strings.

    Raises:
        UserError: naming what was given at ``path`` and what is allowed.
    """
    config = None if isinstance(hint, type) and hasattr(hint, "__pydantic_config__") else _CONFIG
    try:
        return TypeAdapter(hint, config=config).validate_python(value, strict=strict)
    except ValidationError as error:
        kinds = ("_type", "_parsing")  # of what may be this or that, the one counts whose kind it is
        first = min(error.errors(), key=lambda each: each["type"].endswith(kinds))
        where = ".".join([path, *(str(part) for part in first["loc"] if isinstance(part, int))])
        choices = [str(part) for part in get_args(hint) if isinstance(part, str)]
        near = did_you_mean(value, choices) if choices and isinstance(value, str) else ""
        allowed = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
        allowed = "a list" if first["type"] == "sequence_str" else allowed
        if first["type"] in ("too_short", "too_long"):
            about = first["ctx"]
            allowed = f"{about.get('min_length', about.get('max_length'))} values, not {about['actual_length']}"
        raise UserError(f"{where}={short_repr(value)}: it should be {allowed}.{near}") from None


def parse_dataclass(cls: type, values: Mapping[str, Any], path: str = "", strict: bool = True) -> Any:
    """The dataclass ``cls`` from ``values``, whose names, types and ranges are checked. Raises ``UserError``."""
    prefix = f"{path}." if path else ""
    hints = get_type_hints(cls, include_extras=True)
    unknown = next((name for name in values if name not in hints), None)
    if unknown is not None:
        raise UserError(
            f"There is no option '{prefix}{unknown}'.{did_you_mean(unknown, hints)} There are: {join_names(hints)}."
        )
    needed = [field.name for field in dataclass_fields(cls) if field.default is MISSING]
    if missing := next((name for name in needed if name not in values), None):
        raise UserError(f"The option '{prefix}{missing}' is missing.")
    checked = {name: validate_value(value, hints[name], prefix + name, strict) for name, value in values.items()}
    try:
        return cls(**checked)
    except ValueError as error:
        raise UserError(f"{prefix}{error}.") from error


def import_class(target: str, base: type[T], path: str, plugins: Sequence[str] = ()) -> type[T]:
    """The class that ``target`` names, if it may stand at ``path``: see the head of this file. Raises ``UserError``."""
    module_name, _, class_name = target.rpartition(".")
    refused = f"{path}: refused {short_repr(target)}"
    allowed = any(f"{module_name}.".startswith(f"{package}.") for package in ("genai", *plugins))
    if not allowed or len(target) > 200:
        raise UserError(f"{refused}: only classes of genai, or of a package in plugins=[...], are built.")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if not module_name.startswith(missing):  # the module is there; what it imports is not
            raise UserError(f"{path}: {module_name} needs the package '{missing}', which is not installed.") from error
        raise UserError(f"{refused}: there is no module '{missing}'.") from error
    cls = getattr(module, class_name, None)
    if not (isinstance(cls, type) and cls.__module__ == module_name and issubclass(cls, base)):
        raise UserError(f"{refused}: it is not a {base.__name__} defined in {module_name}.")
    return cls


_CONFIG = ConfigDict(arbitrary_types_allowed=True)


def _is_node(value: Any) -> bool:
    return isinstance(value, Mapping) and "_target_" in value


def _wanted(cls: type, name: str) -> type:
    """The class that argument ``name`` of ``cls`` has to be: ``Encoder`` for the hint ``Encoder | None``."""
    hint = get_type_hints(cls.__init__)[name]  # type: ignore[misc]
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    wanted = [option for option in options if isinstance(option, type) and option is not type(None)]
    if len(wanted) != 1 or wanted[0].__module__ == "builtins":
        raise UserError(f"{cls.__name__}.{name} takes a value of type {hint}, not a _target_.")
    return wanted[0]


def _checked(node: Node, base: type[T], path: str, plugins: Sequence[str]) -> tuple[type[T], dict[str, Any]]:
    if not _is_node(node) or not isinstance(node["_target_"], str):
        raise UserError(f"{path}: a _target_ is missing; choose one of the configs in configs/{path.split('.')[0]}.")
    cls = import_class(node["_target_"], base, path, plugins)
    values = {name: value for name, value in node.items() if name != "_target_"}
    parameters = inspect.signature(cls).parameters
    hints = get_type_hints(cls.__init__, vars(sys.modules[cls.__module__]), include_extras=True)
    for name, value in values.items():
        if name not in parameters:
            near, name = did_you_mean(str(name), parameters), short_repr(str(name)).strip("'")
            raise UserError(
                f"{path}.{name}: {cls.__name__} has no such option.{near} It has: {join_names(parameters)}."
            )
        if not _is_node(value):
            values[name] = validate_value(value, hints[name], f"{path}.{name}")
    return cls, values
