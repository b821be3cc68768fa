"""Objects from config nodes such as ``{_target_: ..., width: 64}``: checked first, then built, inner nodes first.

Types and ranges are declared once, in the signatures of the classes (``width: Annotated[int, Ge(1)]``). A node may be
from an untrusted checkpoint, so a target must be a class *defined* in genai or in a package that the user named, and
a subclass of the class that the argument requires.
"""

import inspect
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, is_dataclass
from dataclasses import fields as dataclass_fields
from functools import cache
from importlib import import_module
from types import UnionType
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from genai.core.errors import UserError, did_you_mean, join_names, short_repr, short_text
from genai.core.plain_data import AllowInfNan
from genai.core.renamed import current_node, current_target

T = TypeVar("T")
PLAIN_TYPES = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    "string_type": "a text",
    "sequence_str": "a list",
}
"""What is allowed, by the type of an error of pydantic."""

Node = Mapping[str, Any]


@dataclass(frozen=True)
class Factory(Generic[T]):
    """Builds the object of a config node, whose names, types and ranges have been checked down to the inner nodes.

    Attributes:
        cls: the class that it describes.
        arguments: by name; inner nodes are factories.
        path: of the node in the config, for messages: ``"model"``.
        plugins: packages besides genai whose classes are allowed.
    """

    cls: type[T]
    arguments: dict[str, Any]
    path: str
    plugins: Sequence[str] = ()

    @classmethod
    def parse(
        cls, node: Node, base: type[T], path: str, plugins: Sequence[str] = (), fixed: Collection[str] = ()
    ) -> "Factory[T]":
        """Check a node without building. Raises ``UserError``; the arguments are those of ``instantiate``."""
        target, values = _check_arguments(node, base, path, plugins, fixed)
        for name, value in values.items():
            if _is_node(value):
                values[name] = Factory.parse(value, _argument_class(target, name), f"{path}.{name}", plugins, fixed)
        return Factory(target, values, path, plugins)

    def build(self, fixed: Mapping[str, Any] | None = None) -> T:
        """Build the object, inner objects first. Raises ``UserError``.

        Args:
            fixed: arguments that the node must not set, by name, such as ``modality.interface``; a value may be a node.
        """
        fixed, values = fixed or {}, dict(self.arguments)
        parameters, hints = _named_parameters(self.cls), _type_hints(self.cls)
        for name, value in values.items():
            if name in fixed:
                value_text = value.cls.__name__ if isinstance(value, Factory) else short_repr(value)
                always = f"it is always {short_repr(fixed[name])} here"
                raise UserError(f"{self.path}.{name}={value_text} cannot be set: {always}. Leave it out.")
        for name in parameters:
            if name in fixed:
                values[name] = _check_value(fixed[name], hints, name, self.path)
        for name, parameter in parameters.items():
            if name not in values and parameter.default is parameter.empty:
                sizes = f"this modality gives {join_names(fixed)}. Give {name} a default, or " if fixed else ""
                raise UserError(f"{self.path}: {self.cls.__name__} needs {name}; {sizes}set {self.path}.{name}=.")
        for name, value in values.items():
            if _is_node(value):  # a fixed argument
                value = Factory.parse(
                    value, _argument_class(self.cls, name), f"{self.path}.{name}", self.plugins, fixed
                )
            values[name] = value.build(fixed) if isinstance(value, Factory) else value
        try:
            return self.cls(**values)
        except ValueError as error:
            raise UserError(f"{self.path}: {error}") from error


def instantiate(
    node: Node, base: type[T], path: str, fixed: Mapping[str, Any] | None = None, plugins: Sequence[str] = ()
) -> T:
    """Build the object that ``node`` describes.

    Args:
        node: ``_target_`` and arguments; an argument may be a node itself.
        base: required base class of the target.
        path: of the node in the config, for messages: ``"model"``.
        fixed: arguments that nodes must not set, by name, such as ``modality.interface``.
        plugins: packages besides genai whose classes are allowed.

    Raises:
        UserError: an unknown target or name, a wrong type, a value out of range, a fixed argument that the node sets,
            a missing argument.
    """
    return Factory.parse(node, base, path, plugins, fixed or ()).build(fixed)


def validate_value(value: Any, hint: Any, path: str, strict: bool = True) -> Any:
    """Check ``value`` against a type hint and return it. ``strict=False`` parses numbers and booleans from strings.

    Raises:
        UserError: names ``path``, the value and what is allowed.
    """
    try:
        adapter = _type_adapter(hint, repr(hint))
    except TypeError:  # metadata of a plugin that have no hash
        adapter = _type_adapter.__wrapped__(hint, "")
    try:
        return adapter.validate_python(value, strict=strict)
    except ValidationError as error:
        type_errors = ("_type", "_parsing")  # for a union, report the error of the member whose type fits
        first = min(error.errors(), key=lambda details: details["type"].endswith(type_errors))
        location = ".".join([path, *(str(part) for part in first["loc"] if isinstance(part, int))])
        choices = [str(part) for part in get_args(hint) if isinstance(part, str)]
        hint_text = did_you_mean(value, choices) if choices and isinstance(value, str) else ""
        allowed = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
        allowed = PLAIN_TYPES.get(first["type"], allowed)
        if first["type"] in ("too_short", "too_long"):
            context = first["ctx"]
            allowed = f"{context.get('min_length', context.get('max_length'))} values, not {context['actual_length']}"
        raise UserError(f"{location}={short_repr(value)}: it should be {allowed}.{hint_text}") from None


def parse_dataclass(cls: type[T], values: Mapping[str, Any], path: str = "", strict: bool = True) -> T:
    """Build the dataclass ``cls`` from ``values``; check names, types and ranges. Raises ``UserError``."""
    prefix = f"{path}." if path else ""
    hints = get_type_hints(cls, include_extras=True)
    unknown = next((name for name in values if name not in hints), None)
    if unknown is not None:
        raise UserError(
            f"There is no option '{prefix}{short_text(unknown)}'.{did_you_mean(unknown, hints)} "
            f"There are: {join_names(hints)}."
        )
    fields = dataclass_fields(cls)  # type: ignore[arg-type]
    required = [field.name for field in fields if field.default is MISSING and field.default_factory is MISSING]
    if missing := next((name for name in required if name not in values), None):
        raise UserError(f"The option '{prefix}{missing}' is missing.")
    arguments = {name: validate_value(value, hints[name], prefix + name, strict) for name, value in values.items()}
    try:
        return cls(**arguments)
    except ValueError as error:
        raise UserError(f"{prefix}{error}.") from error


def read_dataclass(cls: type[T], values: Mapping[str, Any]) -> T:
    """Build the dataclass ``cls``, and those in it, from values of a file: unknown names are left out.

    Raises:
        UserError: a wrong type, a value out of range, a missing value.
    """
    if not isinstance(values, Mapping):
        raise UserError(f"{short_repr(values)} is not a mapping.")
    hints = get_type_hints(cls, include_extras=True)
    return parse_dataclass(cls, {name: _read_value(values[name], hints[name]) for name in hints if name in values})


def _read_value(value: Any, hint: Any) -> Any:
    """Convert mappings to the dataclass that ``hint`` is, allows (``Part | None``) or lists (``list[Part]``)."""
    cls = next((member for member in (hint, *get_args(hint)) if is_dataclass(member)), None)
    if cls is None or not isinstance(value, Mapping | list):
        return value
    read = lambda item: read_dataclass(cls, item)  # type: ignore[arg-type]  # noqa: E731
    return [read(item) for item in value] if isinstance(value, list) else read(value)


@cache
def _type_adapter(hint: Any, name: str) -> TypeAdapter[Any]:
    """Return the adapter of a type hint; ``name`` tells ``Literal["a", "b"]`` from ``Literal["b", "a"]``."""
    config = ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=AllowInfNan in getattr(hint, "__metadata__", ()))
    return TypeAdapter(hint, config=None if hasattr(hint, "__pydantic_config__") or is_dataclass(hint) else config)


def import_class(target: str, base: type[T], path: str, plugins: Sequence[str] = ()) -> type[T]:
    """Import the class that ``target`` names, if it is allowed (see the module docstring). Raises ``UserError``."""
    module_name, _, class_name = current_target(target).rpartition(".")
    refusal = f"{path}: refused {short_repr(target)}"
    allowed = any(f"{module_name}.".startswith(f"{package}.") for package in ("genai", *plugins))
    if not allowed or len(target) > 200:
        raise UserError(f"{refusal}: only classes of genai, or of a package in plugins=[...], are built.")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if not module_name.startswith(missing):  # the module exists, but not a package that it imports
            raise UserError(f"{path}: {module_name} needs the package '{missing}', which is not installed.") from error
        raise UserError(f"{refusal}: there is no module '{short_text(missing)}'.") from error
    cls = getattr(module, class_name, None)
    if not (isinstance(cls, type) and cls.__module__ == module_name and issubclass(cls, base)):
        raise UserError(f"{refusal}: it is not a {base.__name__} defined in {module_name}.")
    return cls


def _is_node(value: Any) -> bool:
    return isinstance(value, Mapping) and "_target_" in value


def _named_parameters(cls: type) -> dict[str, inspect.Parameter]:
    """Return the parameters of a class by name, without ``*args`` and ``**kwargs``."""
    parameters = inspect.signature(cls).parameters.items()
    return {name: p for name, p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}


def _argument_class(cls: type, name: str) -> type:
    """Return the class that argument ``name`` of ``cls`` requires: ``Encoder`` for the hint ``Encoder | None``."""
    hint = get_type_hints(cls.__init__).get(name)  # type: ignore[misc]
    if hint is None:
        raise UserError(f"{cls.__name__}.{name} has no annotation, so it takes no _target_: annotate its class.")
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    classes = [member for member in members if isinstance(member, type) and member is not type(None)]
    if len(classes) != 1 or classes[0].__module__ == "builtins":
        raise UserError(f"{cls.__name__}.{name} takes a value of type {hint}, not a _target_.")
    return classes[0]


def _check_arguments(
    node: Node, base: type[T], path: str, plugins: Sequence[str], fixed: Collection[str] = ()
) -> tuple[type[T], dict[str, Any]]:
    """Return the class of ``node`` and its checked arguments; inner nodes stay unchecked."""
    node = current_node(node, fixed)
    if not _is_node(node) or not isinstance(node["_target_"], str):
        raise UserError(f"{path}: a _target_ is missing; choose one of the configs in configs/{path.split('.')[0]}.")
    cls = import_class(node["_target_"], base, path, plugins)
    values = {name: value for name, value in node.items() if name != "_target_"}
    parameters = _named_parameters(cls)
    hints = _type_hints(cls)
    for name, value in values.items():
        if name not in parameters:
            hint_text, name = did_you_mean(name, parameters), short_repr(str(name)).strip("'")
            raise UserError(
                f"{path}.{name}: {cls.__name__} has no such option.{hint_text} It has: {join_names(parameters)}."
            )
        values[name] = _check_value(value, hints, name, path)
    return cls, values


def _type_hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls.__init__, vars(sys.modules[cls.__module__]), include_extras=True)  # type: ignore[misc]


def _check_value(value: Any, hints: Mapping[str, Any], name: str, path: str) -> Any:
    """Return the checked value of an argument; inner nodes, and arguments without annotation, stay unchecked."""
    return value if _is_node(value) or name not in hints else validate_value(value, hints[name], f"{path}.{name}")
