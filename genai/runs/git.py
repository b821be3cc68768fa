"""The commit of the folder in which a command runs, read without running anything that the folder says."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from genai.core.errors import UserError
from genai.core.files import MIB, check_file, read_text

MAX_INDEX_BYTES = 64 * MIB
COMPARE_SETTINGS = ("filemode", "autocrlf", "symlinks", "ignorecase", "precomposeunicode")
"""Settings of a repository that say how files are compared with its commits; none names a program."""


def git_state(folder: Path) -> dict[str, Any] | None:
    """Return the commit that ``folder`` is at, and whether files have changed since; ``None`` without a repository.

    A repository's own settings name programs that git runs (``core.fsmonitor``, filters, hooks), and it may be a
    stranger's. So git gets a fresh settings folder, which borrows the repository's objects and a copy of its index.
    """
    try:
        root, repository = _find_repository(folder)
        commit = _read_commit(repository)
    except (UserError, OSError, RuntimeError):
        return None
    return {"commit": commit, "changed": _has_changes(root, repository, commit)}


def _find_repository(folder: Path) -> tuple[Path, Path]:
    """Return the top of the working tree, and the folder with git's files. Raises ``UserError`` if there is none."""
    for root in (folder.absolute(), *folder.absolute().parents):
        if (root / ".git").is_dir():
            return root, root / ".git"
        if (root / ".git").is_file():  # a worktree or submodule
            return root, root / read_text(root / ".git", "line").removeprefix("gitdir:").strip()
    raise UserError("there is no repository.")


def _read_commit(repository: Path) -> str:
    """Return the commit of ``HEAD``. Raises ``UserError``."""
    head = read_text(repository / "HEAD", "line").strip()
    if head.startswith("ref:"):
        name = head.removeprefix("ref:").strip()
        common = _common_folder(repository)
        if (common / name).is_file():
            head = read_text(common / name, "line", common).strip()
        else:
            lines = (line.split() for line in read_text(common / "packed-refs", "table").splitlines())
            head = next((words[0] for words in lines if words[1:] == [name]), "")
    if len(head) not in (40, 64) or not set(head) <= set("0123456789abcdef"):
        raise UserError("there is no commit.")
    return head


def _common_folder(repository: Path) -> Path:
    """Return the folder with objects and branches, which the worktrees of a repository share."""
    file = repository / "commondir"
    return repository / read_text(file, "line").strip() if file.is_file() else repository


def _plain_settings(file: Path) -> str:
    """Return the settings of a repository that say how files are compared, in git's format."""
    lines = ["[core]", "repositoryformatversion = 1"]
    command = ["git", "config", "--file", str(check_file(file, MIB)), "--no-includes", "--list", "-z"]
    listed = subprocess.run(command, capture_output=True, timeout=5, check=True).stdout.decode("utf-8", "replace")
    values = dict(entry.partition("\n")[::2] for entry in listed.split("\0"))
    for name in COMPARE_SETTINGS:
        if (value := values.get(f"core.{name}", "")).isalpha():
            lines.append(f"{name} = {value}")
    if (value := values.get("extensions.objectformat", "")).isalnum():
        lines += ["[extensions]", f"objectformat = {value}"]
    return "\n".join(lines) + "\n"


def _has_changes(root: Path, repository: Path, commit: str) -> bool | None:
    """Return whether tracked files differ from the commit or new ones are there; ``None`` if git cannot tell."""
    with tempfile.TemporaryDirectory(prefix="genai-git-") as name:
        own = Path(name)
        for part in ("objects/info", "refs"):
            (own / part).mkdir(parents=True)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        environment |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}
        command = ["git", f"--git-dir={own}", f"--work-tree={root}", "-c", "core.hooksPath=/dev/null"]
        command += ["-c", "core.fsmonitor=false", "status", "--porcelain", "--ignore-submodules=all"]
        try:
            (own / "HEAD").write_text(f"{commit}\n", encoding="utf-8")
            (own / "config").write_text(_plain_settings(_common_folder(repository) / "config"), encoding="utf-8")
            (own / "objects" / "info" / "alternates").write_text(
                f"{(_common_folder(repository) / 'objects').absolute()}\n", encoding="utf-8", errors="surrogateescape"
            )
            shutil.copy2(check_file(repository / "index", MAX_INDEX_BYTES), own / "index")
            if (excluded := _common_folder(repository) / "info" / "exclude").is_file():
                (own / "info").mkdir()
                shutil.copyfile(check_file(excluded, MIB), own / "info" / "exclude")
            status = subprocess.run(command, cwd=root, env=environment, capture_output=True, timeout=5, check=True)
        except (OSError, UserError, subprocess.SubprocessError):
            return None
    return bool(status.stdout.strip())
