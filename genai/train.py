"""``python -m genai.train``: train a model, or go on with a run. ``--help`` says how."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from genai.config import Composed, compose, guarded, key_of, known_keys, launch
from genai.errors import Mistake

if TYPE_CHECKING:
    from genai.model import Model
    from genai.runs import Run

FREE_TEXT = ("data.path", "resume", "init_from", "runs")


def main() -> None:
    """The command."""
    words = sys.argv[1:]
    asked = {key_of(word): word.partition("=")[2] for word in words if "=" in word}
    if asked.get("resume", "null") in ("", "null"):
        launch(_train, "train", words, FREE_TEXT)
        return

    def resume() -> None:
        merged, run = resumption(words, asked["resume"])
        launch(lambda composed: _train(composed, run), "train", merged, FREE_TEXT)

    guarded(resume)


def fit(*words: str) -> "Model":
    """Train with the words of the command line, ``fit("modality=text", "steps=200")``, and load the result.

    Raises:
        Mistake: a word that does not fit. Failure: the run could not go on.
    """
    from genai.model import load

    asked = {key_of(word): word.partition("=")[2] for word in words if "=" in word}
    run = None
    if asked.get("resume", "null") not in ("", "null"):
        words, run = resumption(words, asked["resume"])  # type: ignore[assignment]
    composed = compose("train", words, FREE_TEXT)
    return load(_train(composed, run).folder, plugins=composed.values["plugins"])


def resumption(words: Sequence[str], wanted: str) -> tuple[list[str], "Run | None"]:
    """What ``resume=wanted`` means: the words of that run with ``words`` on top, and the run.

    ``auto`` is the newest unfinished run of the same configuration; where there is none, ``words`` start a new one.

    Raises:
        Mistake: there is no such run.
    """
    from genai import runs

    others = [word for word in words if key_of(word) != "resume"]
    if any(key_of(word) == "init_from" and not word.endswith(("=", "=null")) for word in others):
        raise Mistake("resume= goes on with a run, init_from= starts a new one: give one of them.")
    if wanted == "auto":
        run = _unfinished(compose("train", others, FREE_TEXT).values)
        if run is None:
            print("resume=auto: no unfinished run of this configuration; starting a new one.", flush=True)
            return others, None
    else:
        run = runs.find(wanted)
    keys = {key_of(word) for word in others}
    if keys & {"steps", "minutes"}:
        keys |= {"steps", "minutes"}
    recorded = [word for word in run.record.get("overrides", []) if _ours(word) and key_of(word) not in keys]
    return [*recorded, *others], run


def _ours(word: Any) -> bool:
    """Whether a recorded word may be taken over. What Hydra builds for itself could run code out of a strange run."""
    name = key_of(word).split(".")[0] if isinstance(word, str) else ""
    return name in known_keys("train") and "@" not in word.partition("=")[0] and name not in ("resume", "init_from")


def _unfinished(values: dict[str, Any]) -> "Run | None":
    from pathlib import Path

    import yaml

    from genai import runs

    for run in runs.all_runs(Path(values["runs"]).expanduser()):
        config, there = run.folder / "config.yaml", run.last.exists()
        record = run.record
        done = record.get("finished") or record.get("steps", 0) >= (record.get("total_steps") or float("inf"))
        if not there or done or run.busy or not config.exists():
            continue
        if {**yaml.safe_load(config.read_text(encoding="utf-8")), "resume": None} == {**values, "resume": None}:
            return run
    return None


def _train(composed: Composed, run: "Run | None" = None) -> "Run":
    from genai.training.fit import train

    return train(composed, run)


if __name__ == "__main__":
    main()
