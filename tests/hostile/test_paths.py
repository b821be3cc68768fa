"""Paths that cannot be looked up, the output that cannot be written: one line, and the right one."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from genai.cli.exit_codes import exit_on_error
from genai.core.errors import RunError, UserError
from tests.conftest import ROOT
from tests.hostile.attempts import attempt

Command = Callable[..., subprocess.CompletedProcess[str]]
Capture = pytest.CaptureFixture[str]
LONG = "a" * 300
PLACES = {
    "sample": ("ckpt={}", "init={}", "out={}", "out={}/x", "from={}", "prompts_file={}", "runs={}", "soundtrack={}"),
    "evaluate": ("ckpt={}", "out={}", "runs={}", "data=text_folder data.path={}"),
    "page": ("ckpt={}", "samples={}", "out={}", "runs={}"),
    "train": (
        "resume={}", "init_from={}", "runs={}", "data=text_folder data.path={} modality=text",
        "data=image_folder data.path={}",
        "data=audio_folder data.path={} modality=audio", "data=video_folder data.path={} modality=video",
        "data=arrays data.path={}", "data=torchvision data.name=MNIST data.path={}",
    ),
}  # fmt: skip
NAMES = {"long": LONG, "home": "~nobody-here/x", "middle": f"x/{LONG}/y", "loop": "loop/x"}


def paths() -> list[Any]:
    """Each word with each name; the quick ones have two names for each word."""
    all_words = [f"{command} {word}" for command, words in PLACES.items() for word in words]
    pairs = product(enumerate(all_words), enumerate(NAMES.items()))
    return [
        pytest.param(word, name, id=f"{word}-{kind}", marks=pytest.mark.slow if (number - place) % 2 else ())
        for (number, word), (place, (kind, name)) in pairs
    ]


@pytest.mark.parametrize(("word", "name"), paths())
def test_a_path_that_cannot_be_looked_up_is_one_line(
    word: str, name: str, inside: Command, trained: Callable[[str], Path], tmp_path: Path
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    command, *words = word.format(name).split()
    if command in ("sample", "evaluate") and "runs=" not in word and "ckpt=" not in word:
        words.append(f"ckpt={trained('text')}")
    words += {"sample": ["length=2", "prompt=a"], "evaluate": ["n=1", "metrics=[val_loss]"]}.get(command, [])
    if command == "page":
        (tmp_path / "samples").mkdir()
        words += [] if "ckpt=" in word or "runs=" in word else [f"ckpt={trained('text')}"]
    if command == "train":
        words += [
            "steps=1",
            "model.network.width=8",
            "trainer.threads=1",
            "batch=2",
            "val_items=2",
            "preview_every=100",
        ]
    done = inside(command, *words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith(("model ", "note: "))]
    assert "Traceback" not in done.stderr and 1 <= len([line for line in lines if line.startswith("error: ")]) <= 2
    assert len(max(lines, key=len)) < 900
    assert [path.name for path in tmp_path.iterdir() if path.name != "loop"] in ([], ["samples"])


@pytest.mark.parametrize(
    "words",
    [
        ("sample", "~n"), ("sample", "~prompt"), ("train", "hydra/launcher=nope"),
        ("train", "hydra/sweeper=nope"),
        ("train", "~nothing"), ("train", "=3"), ("train", "a b=3"), ("train", "seed"), ("train", "++"),
        ("page", "~out"),
        ("train", "hydra.run.dir=${x}"), ("evaluate", "~metrics"), ("train", "seed=${oc.env:NOTHING}"), ("train", "@"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_an_odd_word_is_one_line(words: tuple[str, ...], inside: Command, tmp_path: Path) -> None:
    done = inside(*words, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") <= 2, done.stderr
    assert "Traceback" not in done.stderr and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/root/x"), 2, "error: /root/x: Permission denied."),
        (OSError(errno.ENAMETOOLONG, "File name too long", "a" * 999), 2, "..."),
        (OSError(errno.ENOSPC, "No space left on device", "b"), 1, "error: b: No space left on device."),
        (OSError(errno.EACCES, "Permission denied", b"\xff\x1b[1m"), 2, "error: ??[1m: Permission denied."),
        (RuntimeError("Could not determine home directory."), 2, "whole path"),
        (UserError("a\x1b]0;title\x07b"), 2, "error: a?]0;title?b"),
        (UserError("one\ntwo"), 2, "two"),
        (RunError("full\r"), 1, "error: full"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 141, ""),
    ],
    ids=str,
)
def test_each_error_of_the_system_has_its_line_and_code(
    error: Exception, code: int, message: str, capfd: Capture
) -> None:
    def task() -> None:
        raise error

    answer = attempt(task, capfd) if code != 141 else None
    if answer is None:
        with pytest.raises(SystemExit) as ended:
            exit_on_error(task)
        assert ended.value.code == 141
    else:
        assert answer.code == code and message in answer.lines[-1]


def test_an_error_of_the_program_stays_a_traceback() -> None:
    def task() -> None:
        raise RuntimeError("a fault")

    with pytest.raises(RuntimeError, match="a fault"):
        exit_on_error(task)


SCRIPT = """
import sys
from genai.cli.exit_codes import exit_on_error
def task():
    for number in range({lines}):
        print("a line", flush={flush})
    sys.stdout.flush()
exit_on_error(task)
"""


@pytest.mark.parametrize(("lines", "flush"), [(1, True), (1, False), (20_000, True), (20_000, False)])
def test_a_full_output_is_named(lines: int, flush: bool) -> None:
    done = run_script(lines, flush, "> /dev/full")
    assert done.stderr.splitlines() == ["error: cannot write to the standard output: No space left on device."]
    assert done.returncode == 1


@pytest.mark.parametrize("both", ["", "2>&1 "])
def test_a_reader_that_has_gone_ends_the_command_with_141(both: str) -> None:
    done = run_script(200_000, True, f"{both}| head -n 1", "; exit ${PIPESTATUS[0]}")
    assert done.returncode == 128 + signal.SIGPIPE and done.stdout == "a line\n" and not done.stderr


@pytest.mark.parametrize(("closed", "code"), [("> /dev/full 2> /dev/full", 1), ("> /dev/null 2>&-", 0)])
def test_without_any_output_a_command_still_ends(closed: str, code: int) -> None:
    assert run_script(3, True, closed).returncode == code


def run_script(lines: int, flush: bool, redirection: str, after: str = "") -> subprocess.CompletedProcess[str]:
    """Run ``SCRIPT`` in bash, with a redirection of its output."""
    script = SCRIPT.format(lines=lines, flush=flush)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = f'"$PY" -c "$SCRIPT" {redirection}{after}'
    return subprocess.run(
        ["bash", "-c", line],
        env=environment | {"PY": sys.executable, "SCRIPT": script},
        capture_output=True,
        text=True,
        timeout=60,
    )
