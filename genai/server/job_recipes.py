"""Recipes of jobs: files and checkpoints at other places, or by their names alone."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from genai.inference.provenance import SampleRecipe


def with_file_paths(recipe: SampleRecipe, paths: Mapping[str, str]) -> SampleRecipe:
    """Return a recipe whose input files are elsewhere: ``paths`` gives their new paths by the old ones."""
    options = {
        name: paths.get(value, value) if isinstance(value, str) else value for name, value in recipe.options.items()
    }
    files = {paths.get(path, path): digest for path, digest in recipe.files.items()}
    return replace(recipe, options=options, init=paths.get(recipe.init or "", recipe.init), files=files)


def public_recipe(recipe: SampleRecipe, names: Mapping[str, str]) -> SampleRecipe:
    """Return a recipe that tells no folders of this machine.

    Args:
        recipe: of a sample.
        names: names of files by their paths; others have the last part of their paths.
    """
    others = {"sound": recipe.sound, "then": recipe.then, "vocoder": recipe.vocoder}
    others = {key: each and replace(each, checkpoint=Path(each.checkpoint).name) for key, each in others.items()}
    adapters = [replace(each, checkpoint=Path(each.checkpoint).name) for each in recipe.adapters]
    names = {path: names.get(path, Path(path).name) for path in recipe.files}
    return replace(
        with_file_paths(recipe, names),
        checkpoint=Path(recipe.checkpoint).name,
        adapters=adapters,
        **others,  # type: ignore[arg-type]
    )
