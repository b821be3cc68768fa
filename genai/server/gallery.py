"""The samples in the folder of samples: found, described, searched, marked with stars, deleted."""

import hashlib
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from genai.core.errors import RunError, UserError
from genai.core.files import check_file, is_inside, make_folder, open_file, read_text, write_file
from genai.core.plain_data import parse_json
from genai.inference.provenance import SampleRecipe, read_recipe
from genai.inference.sample_files import find_sample_files, sample_files
from genai.server.job_recipes import public_recipe
from genai.server.media_files import file_kind
from genai.server.models import ModelStore
from genai.server.openai_errors import APIError

SCAN_SECONDS, MIN_SCAN_SECONDS = 2.0, 0.2
"""Time after which the folder of samples is read again, and if a sample is missing."""
MAX_FOUND, MAX_SAMPLES = 50_000, 5_000
"""Recipes that are looked for, and the newest of them that are listed."""
TEXT_LENGTH = 2_000
"""Characters of a text in the list."""
STARS_FILE, MAX_STARS = "stars.json", 10_000


@dataclass(frozen=True)
class StoredSample:
    """A sample on disk.

    Attributes:
        id: of the sample.
        recipe_file, file: its files.
        recipe: of the sample.
        created: time in seconds.
        kind: ``text``, ``image``, ``audio`` or ``video``.
        text: the beginning of a text; "" for others.
        summary: its size or length, for people; "" if that is not known.
        inputs: files in the folder of samples that it was made from, by name.
    """

    id: str
    recipe_file: Path
    file: Path
    recipe: SampleRecipe
    created: float
    kind: str
    text: str
    summary: str
    inputs: dict[str, Path]

    def has_words(self, words: Sequence[str]) -> bool:
        """Return whether its prompt or text has all ``words``, which are in lower case."""
        text = f"{self.recipe.batch[self.recipe.item].prompt}\n{self.text}".lower()
        return all(word in text for word in words)


def sample_id(recipe_file: Path, root: Path) -> str:
    """Return the id of the sample in ``root`` with that recipe: a hash, in which no path can be hidden."""
    return hashlib.sha256(recipe_file.relative_to(root).as_posix().encode("utf-8", "surrogateescape")).hexdigest()[:24]


class Gallery:
    """The samples in a folder.

    Args:
        root: the folder.
        models: the models of the server, which may have made them.
    """

    def __init__(self, root: Path, models: ModelStore) -> None:
        self.root, self.models = root, models
        self._files: dict[str, tuple[Path, list[Path]]] = {}
        self._samples: dict[str, tuple[tuple[Any, ...], StoredSample | None]] = {}
        self._is_truncated, self._scan_time = False, -SCAN_SECONDS
        self._lock = threading.RLock()

    def reset(self) -> None:
        """Read the folder again at the next request: samples have been added."""
        self._scan_time = -SCAN_SECONDS

    def search(self, text: str, modality: str, model: str, has_star: bool, limit: int, before: str) -> dict[str, Any]:
        """Return the newest samples that fit, as plain data. Raises ``APIError``.

        Args:
            text: words that the prompt or the text has; "": any.
            modality, model: name of the modality, id of the model; "": any.
            has_star: only those with a star.
            limit: number of samples.
            before: id of the sample after which the list goes on; "": from the newest.
        """
        words, stars = text.lower().split(), self.stars()
        found: list[dict[str, Any]] = []
        with self._lock:
            self._scan()
            ids = [*self._files]
            is_truncated = self._is_truncated
        if before:
            if before not in ids:
                raise APIError(404, "before=: there is no such sample any more.")
            ids = ids[ids.index(before) + 1 :]
        for each in ids:
            if has_star and each not in stars:
                continue
            sample = self._read(each)
            if sample is None or not sample.has_words(words):
                continue
            entry = self.describe(sample, stars)
            if (modality and entry["modality"] != modality) or (model and entry["model"] != model):
                continue
            if len(found) == limit:
                return {"object": "list", "data": found, "has_more": True, "truncated": is_truncated}
            found.append(entry)
        return {"object": "list", "data": found, "has_more": False, "truncated": is_truncated}

    def find(self, identifier: str) -> StoredSample:
        """Return a sample. Raises ``APIError``."""
        with self._lock:
            self._scan(is_missing=identifier not in self._files)
        sample = self._read(identifier)
        if sample is None:
            raise APIError(404, "there is no such sample.")
        return sample

    def describe(self, sample: StoredSample, stars: set[str] | None = None) -> dict[str, Any]:
        """Return a sample as plain data, without folders of this machine."""
        origin = self.models.origins().get(sample.recipe.checkpoint_sha256)
        recipe = public_recipe(sample.recipe, {})
        item = recipe.batch[recipe.item]
        return {
            "id": sample.id,
            "created": int(sample.created),
            "prompt": item.prompt,
            "seed": item.seed,
            "model": origin.model_id if origin else None,
            "checkpoint": recipe.checkpoint,
            "modality": (origin.modality if origin else "") or modality_of_kind(sample.kind),
            "kind": sample.kind,
            "suffix": sample.file.suffix,
            "options": recipe.options,
            "init": recipe.init,
            "inputs": [*sample.inputs],
            "text": sample.text or None,
            "summary": sample.summary or None,
            "starred": sample.id in (self.stars() if stars is None else stars),
        }

    def answer(self, identifier: str) -> str:
        """Return what a sample answers to its prompt: of a text, what follows it; of others, the name of the file."""
        sample = self.find(identifier)
        if sample.kind != "text":
            return sample.file.relative_to(self.root).as_posix()
        return read_text(sample.file, "text").removeprefix(sample.recipe.batch[sample.recipe.item].prompt)

    def recipe(self, sample: StoredSample) -> dict[str, Any]:
        """Return the whole recipe of a sample as plain data, without folders of this machine. Raises ``UserError``."""
        return asdict(public_recipe(read_recipe(sample.recipe_file, self.root), {}))

    def delete(self, sample: StoredSample) -> None:
        """Delete a sample with its recipe and side files; what it was made from, if no other sample needs it.

        Raises:
            RunError: a file cannot be deleted.
        """
        folder = sample.recipe_file.parent
        with self._lock:
            try:
                for path in sample_files(sample.recipe_file):
                    path.unlink(missing_ok=True)
                others = [recipe_file for recipe_file, _ in find_sample_files(folder)]
                if not others:
                    own = [path for path in sample.inputs.values() if path.parent == folder]
                    for path in [*own, *folder.glob("sheet.*")]:
                        path.unlink(missing_ok=True)
            except OSError as error:
                raise RunError(f"the sample cannot be deleted: {error.strerror}.") from error
            for parent in (folder, *folder.parents):
                if parent == self.root or not is_inside(parent, self.root):
                    break
                with suppress(OSError):
                    parent.rmdir()  # only if nothing is in it
            self.reset()
        self.set_star(sample.id, False)

    def stars(self) -> set[str]:
        """Return the ids of the samples that have a star; none if their file cannot be read."""
        with suppress(UserError):
            return self._read_stars()
        return set()

    def set_star(self, identifier: str, has_star: bool) -> None:
        """Give a sample a star, or take it. Raises ``UserError`` if that cannot be written."""
        with self._lock:
            stars = self._read_stars()
            if (identifier in stars) == has_star:
                return
            stars = stars | {identifier} if has_star else stars - {identifier}
            if len(stars) > MAX_STARS:
                raise UserError(f"{MAX_STARS:,} samples have stars: take some away first.")
            make_folder(self.root)
            write_file(self.root / STARS_FILE, json.dumps({"starred": sorted(stars)}, indent=1) + "\n", self.root)

    def _read_stars(self) -> set[str]:
        path = self.root / STARS_FILE
        if not path.is_file():
            return set()
        values = parse_json(read_text(path, "recipe", self.root), STARS_FILE)
        ids = values.get("starred") if isinstance(values, dict) else None
        if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
            raise UserError(f"{STARS_FILE} is not what this server writes: delete it.")
        return set(ids)

    def _scan(self, is_missing: bool = False) -> None:
        """Read the names of the newest samples, if that was a while ago, or one is missing."""
        if time.monotonic() - self._scan_time < (MIN_SCAN_SECONDS if is_missing else SCAN_SECONDS):
            return
        found = []
        for recipe_file, files in islice(find_sample_files(self.root, newest_first=True), MAX_FOUND + 1):
            with suppress(OSError):
                found.append((recipe_file.lstat().st_mtime_ns, recipe_file, files))
        found.sort(key=lambda each: each[:2], reverse=True)
        self._is_truncated = len(found) > MAX_SAMPLES
        self._files = {sample_id(path, self.root): (path, files) for _, path, files in found[:MAX_SAMPLES]}
        self._samples = {name: each for name, each in self._samples.items() if name in self._files}
        self._scan_time = time.monotonic()

    def _read(self, identifier: str) -> StoredSample | None:
        """Return a sample, which is read again if its files have changed; ``None``: it is broken or gone."""
        with self._lock:
            recipe_file, files = self._files.get(identifier, (None, []))
            if recipe_file is None:
                return None
            try:
                state = tuple((path, (s := path.lstat()).st_mtime_ns, s.st_size) for path in (recipe_file, *files))
                if identifier in self._samples and self._samples[identifier][0] == state:
                    return self._samples[identifier][1]
                sample = self._read_files(identifier, recipe_file, files)
            except OSError:
                return None
            except UserError:
                sample = None
            self._samples[identifier] = state, sample
            return sample

    def _read_files(self, identifier: str, recipe_file: Path, files: Sequence[Path]) -> StoredSample | None:
        media = [file for file in files if file_kind(file)]
        if not media:
            return None
        file = check_file(max(media, key=lambda path: path.stat().st_mtime), folder=self.root)
        recipe = _without_batch(read_recipe(recipe_file, self.root))
        kind = str(file_kind(file))
        text = _read_start(file, self.root) if kind == "text" else ""
        return StoredSample(
            identifier,
            recipe_file,
            file,
            recipe,
            recipe_file.lstat().st_mtime,
            kind,
            text,
            f"{file.stat().st_size:,} bytes",
            dict(self._inputs(recipe)),
        )

    def _inputs(self, recipe: SampleRecipe) -> Iterator[tuple[str, Path]]:
        for name in recipe.files:
            path = Path(name)
            if path.is_absolute() and file_kind(path) and is_inside(path, self.root) and path.is_file():
                yield path.name, path


def modality_of_kind(kind: str) -> str | None:
    """Return the first modality whose samples are files of a kind."""
    from genai.data.registry import modality_classes

    return next(
        (name for name, cls in modality_classes().items() if file_kind(Path(f"x{cls.media.suffix}")) == kind), None
    )


def _without_batch(recipe: SampleRecipe) -> SampleRecipe:
    """Return a recipe without the other samples of its batch, which nothing here needs."""
    return replace(recipe, batch=[recipe.batch[recipe.item]], item=0)


def _read_start(path: Path, root: Path) -> str:
    """Return the first characters of a text. Raises ``UserError``."""
    with open_file(path, folder=root) as file:
        return file.read(4 * TEXT_LENGTH).decode("utf-8", "replace")[:TEXT_LENGTH]
