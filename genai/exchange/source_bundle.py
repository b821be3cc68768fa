"""One file of Python out of a module and all that it imports from genai.

Definitions are copied as they are written, comments included, those alone that are needed. Ranges of arguments, which
nothing checks there, become words without effect, so that the package ``annotated_types`` is not needed.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

RANGES = "annotated_types"


@dataclass
class Module:
    """A file of Python: what each name at its top level stands for.

    Attributes:
        source: the file's text.
        definitions: by name, the lines of the definition, with the docstring of a constant.
        origins: by name, the module of genai that it is imported from.
        imports: by name, the package that it is imported from ("": it is one), and what stands in the statement.
    """

    source: str
    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Module":
        """Read a file of genai."""
        module = cls(path.read_text(encoding="utf-8"))
        last: list[ast.stmt] = []
        for node in ast.parse(module.source).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                package = getattr(node, "module", None) or ""
                for each in node.names:
                    if package.startswith("genai."):
                        module.origins[each.name] = package
                    else:
                        module.imports[each.asname or each.name] = (package, ast.unparse(each))
            elif isinstance(node, ast.Expr) and last:
                last.append(node)
            else:
                last = [node]
                module.definitions |= dict.fromkeys(_defined_names(node), last)
        return module

    def text(self, nodes: list[ast.stmt]) -> str:
        """Return the lines of a definition as they are written."""
        first = min(node.lineno for node in [nodes[0], *getattr(nodes[0], "decorator_list", [])])
        return "\n".join(self.source.splitlines()[first - 1 : nodes[-1].end_lineno])


def bundle(name: str) -> str:
    """Return the text of a module of genai, such as ``genai.networks.unet``, that imports nothing of genai.

    Raises:
        ValueError: two modules define different things of one name.
    """
    modules: dict[str, Module] = {}
    needed: dict[str, list[str]] = {}  # names of definitions by module, each module after those that it imports

    def need(module_name: str, names: Iterator[str]) -> None:
        module = modules.setdefault(module_name, Module.read(_path(module_name)))
        for each in names:
            if each in module.origins:
                need(module.origins[each], iter([each]))
            elif each in module.definitions and each not in needed.get(module_name, []):
                needed.setdefault(module_name, []).append(each)
                need(module_name, (used for node in module.definitions[each] for used in _used_names(node)))

    root = Module.read(_path(name))
    need(name, iter([*root.origins, *root.definitions]))
    order = _in_order(name, modules)
    parts, imports, owners = [], set[tuple[str, str]](), dict[str, str]()
    for module_name in order:
        module, names = modules[module_name], needed.get(module_name, [])
        for nodes in {id(nodes): nodes for each, nodes in module.definitions.items() if each in names}.values():
            owner = owners.setdefault(getattr(nodes[0], "name", ""), module_name)
            if owner != module_name and hasattr(nodes[0], "name"):
                raise ValueError(f"{nodes[0].name} is defined in {owner} and in {module_name}.")
            imports |= {module.imports[each] for node in nodes for each in _used_names(node) if each in module.imports}
            parts.append(module.text(nodes))
    docstring = ast.get_docstring(ast.parse(root.source)) or ""
    return "\n\n\n".join([f'"""{docstring}\n"""', "\n".join(_import_lines(imports)), *parts]) + "\n"


def _import_lines(imports: set[tuple[str, str]]) -> Iterator[str]:
    """Yield the statements, and what stands for ranges of arguments."""
    packages: dict[str, list[str]] = {}
    for package, name in sorted(imports):
        packages.setdefault(package, []).append(name)
    ranges = packages.pop(RANGES, [])
    yield from (f"import {name}" for name in packages.pop("", []))
    yield from (f"from {package} import {', '.join(names)}" for package, names in packages.items())
    if ranges:
        yield from ("", f"{' = '.join(ranges)} = lambda limit: limit  # ranges of arguments, which nothing checks here")


def _in_order(name: str, modules: dict[str, Module]) -> list[str]:
    """Return the modules, each after those that it imports."""
    order: list[str] = []

    def visit(module_name: str) -> None:
        for origin in dict.fromkeys(modules[module_name].origins.values()):
            if origin in modules and origin not in order:
                visit(origin)
        if module_name not in order:
            order.append(module_name)

    visit(name)
    return order


def _path(name: str) -> Path:
    return Path(__file__).parents[2].joinpath(*name.split(".")).with_suffix(".py")


def _defined_names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)]


def _used_names(node: ast.AST) -> Iterator[str]:
    return (each.id for each in ast.walk(node) if isinstance(each, ast.Name))
