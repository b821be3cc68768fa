"""A stranger's repository around the working folder: its settings name programs, and none of them runs."""

import os
import subprocess
from pathlib import Path

import pytest

from genai.runs.git import git_state

RUN = "touch {place}/EXECUTED; false"
SETTINGS = {
    "fsmonitor": ("core.fsmonitor",), "hooks": ("core.hooksPath",), "pager": ("core.pager", "pager.status"),
    "editor": ("core.editor",), "ssh": ("core.sshCommand",), "askpass": ("core.askPass",),
    "gitproxy": ("core.gitProxy",),
    "clean": ("filter.x.clean",), "smudge": ("filter.x.smudge",), "process": ("filter.x.process",),
    "textconv": ("diff.x.textconv",), "diff": ("diff.external",), "command": ("diff.x.command",),
    "alias": ("alias.status",), "alias rev-parse": ("alias.rev-parse",), "credential": ("credential.helper",),
    "include": ("include.path",), "merge": ("merge.x.driver",), "upload": ("uploadpack.packObjectsHook",),
    "remote": ("remote.origin.uploadpack",), "sequence": ("sequence.editor",),
    "alternate": ("core.alternateRefsCommand",),
}  # fmt: skip


def git(place: Path, *words: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *identity, *words], cwd=place, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit, and a file that has changed since."""
    place = tmp_path / "data"
    place.mkdir()
    (place / "file").write_text("one")
    (place / ".gitattributes").write_text("* filter=x diff=x merge=x\n")
    git(place, "init", "-q")
    git(place, "add", ".")
    git(place, "commit", "-qm", "first")
    (place / "file").write_text("two")
    return place


@pytest.mark.parametrize("kind", SETTINGS)
def test_no_program_of_a_repository_runs(kind: str, repository: Path) -> None:
    place = repository.parent
    (hooks := place / "hooks").mkdir()
    for name in ("post-index-change", "pre-commit", "post-checkout", "reference-transaction"):
        for folder in (hooks, repository / ".git" / "hooks"):
            folder.mkdir(exist_ok=True)
            (folder / name).write_text(f"#!/bin/sh\n{RUN.format(place=place)}\n")
            (folder / name).chmod(0o755)
    for name in SETTINGS[kind]:
        value = str(hooks) if kind == "hooks" else RUN.format(place=place)
        if kind == "include":
            value = str(place / "more")
            (place / "more").write_text(f'[core]\n\tfsmonitor = "{RUN.format(place=place)}"\n')
        git(repository, "config", name, f"!{value}" if kind.startswith("alias") else value)
    state = git_state(repository)
    assert state is not None and state["changed"] is True and len(state["commit"]) == 40
    assert not (place / "EXECUTED").exists()


@pytest.mark.parametrize("name", ["core.fsmonitor", "filter.x.clean", "filter.x.process"])
def test_git_itself_runs_such_programs(name: str, repository: Path) -> None:
    """Otherwise the test above would say nothing."""
    git(repository, "config", name, RUN.format(place=repository.parent))
    subprocess.run(["git", "status"], cwd=repository, capture_output=True)
    assert (repository.parent / "EXECUTED").exists()


def test_the_state_is_that_of_git(repository: Path) -> None:
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=repository, capture_output=True, text=True).stdout.strip()
    assert git_state(repository) == {"commit": head, "changed": True}
    git(repository, "checkout", "-q", "--", "file")
    assert git_state(repository) == {"commit": head, "changed": False}
    (repository / ".git" / "info" / "exclude").write_text("ignored\n")
    (repository / "ignored").touch()
    assert git_state(repository) == {"commit": head, "changed": False}
    (repository / "new").touch()
    assert git_state(repository) == {"commit": head, "changed": True}


def test_settings_that_say_how_files_compare_are_kept(repository: Path) -> None:
    git(repository, "checkout", "-q", "--", "file")
    (repository / "file").chmod(0o755)
    assert git_state(repository)["changed"] is True
    git(repository, "config", "core.fileMode", "false")
    assert git_state(repository)["changed"] is False


def test_worktrees_packed_branches_and_detached_heads(repository: Path, tmp_path: Path) -> None:
    git(repository, "checkout", "-q", "--", "file")
    expected = git_state(repository)
    git(repository, "pack-refs", "--all")
    assert git_state(repository) == expected
    git(repository, "worktree", "add", "-q", str(tmp_path / "tree"))
    (tmp_path / "tree" / "sub").mkdir()
    assert git_state(tmp_path / "tree" / "sub") == expected
    git(repository, "checkout", "-q", "--detach")
    assert git_state(repository) == expected


@pytest.mark.parametrize(
    "head", ["", "ref: refs/heads/none", "ref: ../../../etc/passwd", "x" * 40, "ref: " + "a/" * 500]
)
def test_a_repository_without_a_commit_has_no_state(head: str, repository: Path) -> None:
    (repository / ".git" / "HEAD").write_text(head)
    assert git_state(repository) is None
    os.remove(repository / ".git" / "HEAD")
    os.mkfifo(repository / ".git" / "HEAD")
    assert git_state(repository) is None


def test_a_folder_without_a_repository_has_no_state(tmp_path: Path) -> None:
    assert git_state(tmp_path) is None
