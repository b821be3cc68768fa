import errno
import os
from pathlib import Path
from typing import Any

import pytest

from genai.data.find_files import expand_glob


@pytest.mark.parametrize("pattern", ["*/*.txt", "*/**/*.txt", "[a-z]*/?.txt"])
def test_a_glob_names_the_folders_that_it_cannot_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    for name in ("open", "closed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").touch()
    (tmp_path / "file").touch()
    (tmp_path / "linked").symlink_to(tmp_path / "open")
    real = os.scandir

    def refusing(path: Any) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing)
    files, errors = expand_glob(tmp_path / pattern)
    assert {file.parent.name for file in files} >= {"open"} and "closed" not in {file.parent.name for file in files}
    assert errors == [f"cannot read folder {tmp_path / 'closed'}: Permission denied."]
