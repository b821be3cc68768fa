"""An image model as a page that draws in the browser: a folder without a server, which also opens as a file.

A browser lets a page that is opened as a file load scripts, and nothing else. So all that onnxruntime-web needs stands
in scripts: compressed by gzip, in base64.
"""

import base64
import gzip
import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from genai.core.errors import UserError
from genai.core.files import MIB, make_folder, open_file, read_text, write_file
from genai.core.plain_data import parse_json
from genai.core.terminal import one_line
from genai.exchange.image_graphs import find_image_model
from genai.exchange.onnx_export import write_graphs
from genai.exchange.onnx_graph import check_packages
from genai.methods.base import Method
from genai.modalities.base import Modality
from genai.trust.label import Label

PAGE = Path(__file__).with_name("web_page")
VERSION = "1.30.0"
"""Of onnxruntime-web, with which the page is tested."""
RUNTIME = "ort.wasm.min.js"
DATA = {"glue": "ort-wasm-simd-threaded.mjs", "wasm": "ort-wasm-simd-threaded.wasm"}
"""Files of onnxruntime-web besides ``RUNTIME``, by their names in the folder ``data``."""
MAX_BYTES = 64 * MIB
"""Largest file of onnxruntime-web that is read; the largest of ``VERSION`` has 14 MB."""
NOTICE = """\
The page is a part of genai, MIT License, Copyright (c) genai contributors.

ort.wasm.min.js, data/glue.js and data/wasm.js are onnxruntime-web {version}, https://onnxruntime.ai

MIT License

Copyright (c) Microsoft Corporation

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


def export_web(
    modality: Modality,
    method: Method,
    folder: Path,
    label: Label,
    prompts: list[str],
    card: str,
    runtime: str | None = None,
) -> str:
    """Write the page of a model.

    Args:
        modality, method: of an image model.
        folder: an empty folder.
        label: what pictures say of the model.
        prompts: examples of what it knows.
        card: content of ``README.md``.
        runtime: folder of onnxruntime-web; ``None``: that in ``node_modules`` of the current folder or one above.

    Returns:
        What was written, for people.

    Raises:
        UserError: it is no such model, or something is missing that is needed.
    """
    model = find_image_model(modality, method, "web")
    source = find_runtime(runtime)
    check_packages("web")
    version = _version(source)
    make_folder(folder / "data")
    with TemporaryDirectory() as graphs:
        config = write_graphs(model, Path(graphs), label, prompts)
        files = sorted(Path(graphs).iterdir())
        for file in files:
            _write_data(folder, file.stem, file.read_bytes())
    for name, file_name in DATA.items():
        _write_data(folder, name, read_runtime(source / file_name))
    write_file(folder / RUNTIME, read_runtime(source / RUNTIME))
    shape = list(model.method.scaling.scaled_shape(model.image.shape))
    _write_config(folder, {**config, "data_shape": shape, "files": [file.stem for file in files]})
    for file in PAGE.iterdir():
        shutil.copyfile(file, folder / file.name)
    write_file(folder / "THIRD_PARTY.txt", NOTICE.format(version=version))
    write_file(folder / "README.md", card)
    return f"{config['name']} as a page"


def find_runtime(folder: str | None) -> Path:
    """Return the folder ``dist`` of onnxruntime-web.

    Args:
        folder: that folder, its package or a ``node_modules``; ``None``: that of the current folder or one above.

    Raises:
        UserError: it is not there.
    """
    here = Path.cwd()
    places = [Path(folder).expanduser()] if folder else [parent / "node_modules" for parent in (here, *here.parents)]
    for place in places:
        for candidate in (place, place / "dist", place / "onnxruntime-web" / "dist"):
            if all((candidate / name).is_file() for name in (RUNTIME, *DATA.values())):
                return candidate
    where = f"ort={one_line(folder)} does not have" if folder else "format=web needs"
    raise UserError(
        f"{where} onnxruntime-web, a package of npm: run npm install onnxruntime-web@{VERSION}, or name its folder, "
        "ort=FOLDER."
    )


def _version(source: Path) -> str:
    """Return the version of a package of npm, as it says; "" if it says nothing."""
    file = source.parent / "package.json"
    content = parse_json(read_text(file, "record"), str(file)) if file.is_file() else {}
    return one_line(str(content.get("version", ""))) if isinstance(content, dict) else ""


def read_runtime(path: Path) -> bytes:
    """Read a file of onnxruntime-web. Raises ``UserError`` if it is no regular file, or too large."""
    with open_file(path, MAX_BYTES) as file:
        return file.read()


def _write_data(folder: Path, name: str, content: bytes) -> None:
    """Write ``data/NAME.js``. Equal content has equal bytes."""
    text = base64.b64encode(gzip.compress(content, mtime=0)).decode()
    write_file(folder / "data" / f"{name}.js", f'FILES["{name}"]="{text}";\n')


def _write_config(folder: Path, config: dict[str, Any]) -> None:
    text = json.dumps(config, indent=2, ensure_ascii=True)
    write_file(folder / "config.js", f"globalThis.CONFIG = {text};\n")
