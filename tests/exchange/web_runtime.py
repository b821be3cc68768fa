"""A stand-in for onnxruntime-web, whose files are too large for the tests."""

import hashlib
import json
from pathlib import Path

from genai.exchange.web_export import DATA, PACKAGE, RUNTIME, VERSION

WEB_RUNTIME = {name: hashlib.sha256(name.encode()).hexdigest() for name in (RUNTIME, *DATA.values())}
"""sha256 of its files."""


def write_web_runtime(modules: Path) -> None:
    """Write it into a folder ``node_modules``."""
    (package := modules / PACKAGE / "dist").mkdir(parents=True)
    for name in WEB_RUNTIME:
        (package / name).write_bytes(name.encode())
    (package.parent / "package.json").write_text(json.dumps({"name": PACKAGE, "version": VERSION}))
