"""A memory of what Hydra has composed from the project's own YAML files, as most tests compose the same ones."""

import copy
import pickle
from types import SimpleNamespace
from typing import Any

from hydra._internal import config_loader_impl, config_repository
from hydra._internal.defaults_list import DefaultsList
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins

from genai.core.paths import config_dir


def remember_compositions(patch: Any) -> None:
    """Let Hydra merge the same files once. Values of the command line are set on a copy, by Hydra, as ever.

    Only members of groups (``modality=text``) decide what is merged. Configs of plugins are read each time.
    """
    remember_files(patch)
    remember_words(patch)
    loader = config_loader_impl.ConfigLoaderImpl
    find, merge = config_loader_impl.create_defaults_list, loader._compose_config_from_defaults_list
    found: dict[Any, DefaultsList] = {}
    merged: dict[int, bytes | None] = {}

    def create_defaults_list(repo: Any, config_name: str, overrides_list: list[Override], **options: Any) -> Any:
        paths = [source.path for source in repo.get_sources() if source.scheme() == "file"]
        is_group = [repo.group_exists(override.key_or_group) for override in overrides_list]
        if paths != [str(config_dir())] or any(override.is_sweep_override() for override in overrides_list):
            return find(repo=repo, config_name=config_name, overrides_list=overrides_list, **options)
        groups = [each.input_line for each, group in zip(overrides_list, is_group, strict=True) if group]
        key = (config_name, *groups, *options.items())
        if key not in found:
            found[key] = find(repo=repo, config_name=config_name, overrides_list=overrides_list, **options)
            merged[id(found[key].defaults)] = None  # not yet
        defaults = copy.copy(found[key])
        defaults.config_overrides = [
            each
            for each, group in zip(overrides_list, is_group, strict=True)
            if not group or isinstance(each.value(), dict)
        ]
        return defaults

    def compose_config(self: Any, defaults: list[Any], repo: Any) -> Any:
        if id(defaults) not in merged:
            return merge(self, defaults, repo)
        merged[id(defaults)] = content = merged[id(defaults)] or pickle.dumps(merge(self, defaults, repo))
        return pickle.loads(content)  # faster than a deep copy, by much

    patch.setattr(config_loader_impl, "create_defaults_list", create_defaults_list)
    patch.setattr(loader, "_compose_config_from_defaults_list", compose_config)


def remember_files(patch: Any) -> None:
    """Let Hydra read each of the project's own YAML files once, and use a copy."""
    Plugins.instance()  # reads the classes of plugins anew: those that were imported before are others
    source_class = SourcesRegistry.instance().resolve("file")
    load, results = source_class.load_config, dict[str, bytes]()

    def load_config(source: Any, config_path: str) -> Any:
        if source.path != str(config_dir()):
            return load(source, config_path)
        if config_path not in results:
            results[config_path] = pickle.dumps(load(source, config_path))
        result = pickle.loads(results[config_path])
        result.provider = source.provider
        return result

    patch.setattr(source_class, "load_config", load_config)
    # only the list of sources of this copy is ever changed, as a whole
    patch.setattr(config_repository, "copy", SimpleNamespace(deepcopy=copy.copy))


def remember_words(patch: Any) -> None:
    """Let Hydra parse the same word of a command line once, and use a copy."""
    parse, parsed = OverridesParser.parse_rule, dict[str, Override]()

    def parse_rule(parser: OverridesParser, s: str, rule_name: str) -> Any:
        if rule_name != "override":
            return parse(parser, s, rule_name)
        if s not in parsed:
            parsed[s] = parse(parser, s, rule_name)
        return copy.copy(parsed[s])

    patch.setattr(OverridesParser, "parse_rule", parse_rule)
