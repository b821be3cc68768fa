"""Names of files on a page that is passed on: without the folders of this machine."""

import re
from functools import lru_cache
from pathlib import Path

from genai.core.terminal import one_line

HOMES = ("home", "homes", "users")
"""Folders whose folders have the names of people."""
PATH = re.compile(
    r"""
    (?P<address>\b(?!(?:file|smb|nfs|sftp):)[a-z][a-z0-9+.-]+://\S*)
    | (?<![\w./\\~])(?:
        (?P<home>~[a-z_][\w-]*(?![\w/\\]) | [a-z]:[\\/]+users[\\/]+[^\\/:*?"<>|,;\n]+(?![^:*?"<>|,;\n]))
        | (?:(?:file|smb|nfs|sftp):/+ | /+ | ~(?:[a-z_][\w.-]*)?[\\/]+) (?P<posix>[^\s,;:"'<>|]*)
        | (?:[a-z]:[\\/]+ | \\{2,}) (?P<windows>(?:[^\\/:*?"<>|,;\n]+[\\/]+)*[^\s\\/:*?"<>|,;]*)
    )
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""An address of the web, or a path that is absolute or begins at a home folder; folders of Windows may have spaces."""


def public_path(path: str | Path) -> str:
    """Return a path relative to the working folder or, outside it, its last part."""
    absolute, folder = Path(path).absolute(), Path.cwd()
    return one_line(absolute.relative_to(folder).as_posix() if absolute.is_relative_to(folder) else absolute.name)


def public_word(word: str) -> str:
    """Return a word of the command line with ``public_path`` for a value that is an absolute path."""
    key, equals, value = word.partition("=")
    return f"{key}={public_path(value)}" if equals and Path(value).is_absolute() else word


def public_text(text: str, words: list[str]) -> str:
    """Return a text in which paths of ``words`` of the command line, and the working and home folder, are shortened."""
    for value in _absolute_values(tuple(words)):
        text = text.replace(value, public_path(value)) if value in text else text
    for folder, name in ((Path.cwd(), ""), (Path.home(), "~/")) if "/" in text else ():
        text = text if folder == folder.parent else text.replace(f"{folder}/", name)  # "//" is part of addresses
    return text


@lru_cache(maxsize=16)
def _absolute_values(words: tuple[str, ...]) -> list[str]:
    """Return the values that are absolute paths, the longest first."""
    values = {word.partition("=")[2] for word in words}
    return sorted((value for value in values if Path(value).is_absolute()), key=len, reverse=True)


def without_folders(text: str) -> str:
    """Return a text in which each path is its last part, and a home folder ``~``; addresses of the web stay."""
    return PATH.sub(_last_part, text)


def _last_part(match: re.Match[str]) -> str:
    """Return what is told of a path, or an address as it is."""
    path = match[0].rstrip("\\/.)]}")
    end = re.sub(r"[\\/]", "", match[0][len(path) :])
    parts = [part for part in re.split(r"[\\/]+", match["posix"] or match["windows"] or "") if part.strip(".)]}")]
    if match["address"] or not (parts or match["home"] or path.startswith("~")):
        return match[0]
    is_home = not parts or path == str(Path.home()) or "".join(parts[-2:-1]).lower() in HOMES
    if is_home:
        return f"~{end}"
    return match[0] if path == f"/{parts[0]}" else parts[-1].rstrip(".)]}") + end
