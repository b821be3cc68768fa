"""The words of a run, taken up again: to go on with it, or to measure it on its own data."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genai.cli.compose import compose, key_of, known_keys
from genai.core.errors import UserError
from genai.core.paths import config_dir
from genai.runs.run import Run, all_runs, find_run

PATHS = ("data.path",)
"""Free-text keys that say where something is: recorded as absolute paths, so that a run is not tied to a folder."""
ONLY_TYPED = ("resume", "init_from", "plugins", "data.download", "workers")
"""What a strange run must not choose: which code runs, what is fetched, how many processes start."""


def located(words: Sequence[str]) -> list[str]:
    """``words`` with absolute paths."""
    split = [(word.partition("=")) for word in words]
    return [
        f"{key}={Path(value).expanduser().absolute()}" if key_of(key) in PATHS and value not in ("", "null") else word
        for word, (key, _, value) in zip(words, split, strict=True)
    ]


def words_of(run: Run, typed: Sequence[str] = ()) -> list[str]:
    """The words that ``run`` was made from, those ``typed`` now on top.

    A run folder can come from a stranger. So a recorded word may choose a member of a group by its name alone (a path
    would lead Hydra to any file), set what our own check knows, and say nothing that is in ``ONLY_TYPED``.
    """
    typed_keys = {key_of(word) for word in typed}
    if typed_keys & {"steps", "minutes"}:
        typed_keys |= {"steps", "minutes"}
    allowed = set(known_keys("train"))

    def taken(word: Any) -> bool:
        if not isinstance(word, str) or "@" in word.partition("=")[0]:
            return False
        key, value = key_of(word), word.partition("=")[2]
        members = {file.stem for file in (config_dir() / key).glob("*.yaml")} if key.isidentifier() else set()
        named = not members or value in members or (key == "experiment" and value == "null")
        root = key.split(".")[0]
        return root in allowed and not {key, root} & set(ONLY_TYPED) and key not in typed_keys and named

    return [*(word for word in run.record.get("overrides", []) if taken(word)), *typed]


def resumption(words: Sequence[str], wanted: str) -> tuple[list[str], Run | None]:
    """What ``resume=wanted`` means: the words to compose, and the run to go on with.

    ``auto`` is the newest unfinished run of the same configuration; where there is none, ``words`` start a new one.

    Raises:
        UserError: there is no such run.
    """
    others = [word for word in words if key_of(word) != "resume"]
    if any(key_of(word) == "init_from" and not word.endswith(("=", "=null")) for word in others):
        raise UserError("resume= goes on with a run, init_from= starts a new one: give one of them.")
    if {"-m", "--multirun"} & set(others):
        raise UserError("resume= goes on with one run: leave out -m.")
    if "GENAI_RUN" in os.environ:  # a process that a distributed run has started: the first one has decided
        folder = os.environ.get("GENAI_RESUMED")
        return (words_of(Run(Path(folder)), others), Run(Path(folder))) if folder else (others, None)
    if wanted != "auto":
        run = find_run(wanted)
        return words_of(run, others), run
    unfinished = _unfinished(compose("train", [word for word in others if "=" in word or word[0] == "~"]).values)
    if unfinished is None:
        print("resume=auto: no unfinished run of this configuration; starting a new one.", file=sys.stderr, flush=True)
        return others, None
    return words_of(unfinished, others), unfinished


def _unfinished(values: dict[str, Any]) -> Run | None:
    import yaml

    for run in all_runs(Path(values["runs"]).expanduser()):
        config, record = run.folder / "config.yaml", run.record
        done = record.get("finished") or record.get("steps", 0) >= (record.get("total_steps") or float("inf"))
        if not run.last.exists() or done or run.busy or not config.exists():
            continue
        if _compared(yaml.safe_load(config.read_text(encoding="utf-8"))) == _compared(values):
            return run
    return None


def _compared(values: Any) -> Any:
    """A config without what does not tell runs apart."""
    return {**values, "resume": None, "runs": None} if isinstance(values, dict) else values
