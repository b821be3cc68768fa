"""An image model as a page that draws in the browser: a folder without a server, which also opens as a file.

A browser lets a page that is opened as a file load scripts, and nothing else. So all that onnxruntime-web needs stands
in scripts: compressed by gzip, in base64.
"""

import base64
import gzip
import hashlib
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
PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
"""The package of npm with which the page is tested."""
RUNTIME = "ort.wasm.min.js"
DATA = {"glue": "ort-wasm-simd-threaded.mjs", "wasm": "ort-wasm-simd-threaded.wasm"}
"""Files of onnxruntime-web besides ``RUNTIME``, by their names in the folder ``data``."""
SHA256 = {
    RUNTIME: "faece07e84faa9001f5104bbe4e5c70861d06cb2376a0dea1fa0ad33a67adc81",
    DATA["glue"]: "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    DATA["wasm"]: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""Of the files of ``VERSION``: others are not handed on."""
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
        runtime: folder of onnxruntime-web; ``None``: that in ``node_modules`` of the current folder.

    Returns:
        What was written, for people.

    Raises:
        UserError: it is no such model, or something is missing that is needed or is not what was tested.
    """
    model = find_image_model(modality, method, "web")
    source = find_runtime(runtime)
    scripts = read_runtime(source)
    check_packages("web")
    make_folder(folder / "data")
    with TemporaryDirectory() as graphs:
        config = write_graphs(model, Path(graphs), label, prompts)
        files = sorted(Path(graphs).iterdir())
        for file in files:
            _write_data(folder, file.stem, file.read_bytes())
    for name, file_name in DATA.items():
        _write_data(folder, name, scripts[file_name])
    write_file(folder / RUNTIME, scripts[RUNTIME])
    shape = list(model.method.scaling.scaled_shape(model.image.shape))
    _write_config(folder, {**config, "data_shape": shape, "files": [file.stem for file in files]})
    for file in PAGE.iterdir():
        shutil.copyfile(file, folder / file.name)
    write_file(folder / "THIRD_PARTY.txt", NOTICE.format(version=VERSION))
    write_file(folder / "README.md", card)
    return f"{config['name']} as a page, with {PACKAGE} {VERSION} of {one_line(str(source))}"


def find_runtime(folder: str | None) -> Path:
    """Return the folder ``dist`` of onnxruntime-web. No other folder is looked into, since its code is handed on.

    Args:
        folder: that folder, its package or a ``node_modules``; ``None``: that of the current folder.

    Raises:
        UserError: it is not there.
    """
    place = Path(folder).expanduser() if folder else Path.cwd() / "node_modules"
    for candidate in (place, place / "dist", place / PACKAGE / "dist"):
        if all((candidate / name).is_file() for name in SHA256):
            return candidate
    where = f"ort={one_line(folder)} does not have" if folder else "format=web needs"
    raise UserError(
        f"{where} {PACKAGE}, a package of npm: run npm install {PACKAGE}@{VERSION} in this folder, or name its folder, "
        "ort=FOLDER."
    )


def read_runtime(source: Path) -> dict[str, bytes]:
    """Read the files of onnxruntime-web that the page needs, by their names.

    Args:
        source: its folder ``dist``.

    Raises:
        UserError: it is another package or version, or a file is not the one of that version.
    """
    record = source.parent / "package.json"
    content = parse_json(read_text(record, "record"), str(record)) if record.is_file() else {}
    found = [content.get(key) for key in ("name", "version")] if isinstance(content, dict) else []
    hint = f"format=web is tested with {PACKAGE} {VERSION} alone: run npm install {PACKAGE}@{VERSION}."
    if found != [PACKAGE, VERSION]:
        description = " ".join(one_line(str(each)) for each in found if each) or "nothing"
        raise UserError(f"{one_line(str(record))} says {description}. {hint}")
    contents = {}
    for name, digest in SHA256.items():
        with open_file(source / name, MAX_BYTES) as file:
            contents[name] = file.read()
        if hashlib.sha256(contents[name]).hexdigest() != digest:
            raise UserError(f"{one_line(str(source / name))} is not the file of {PACKAGE} {VERSION}. {hint}")
    return contents


def _write_data(folder: Path, name: str, content: bytes) -> None:
    """Write ``data/NAME.js``. Equal content has equal bytes."""
    text = base64.b64encode(gzip.compress(content, mtime=0)).decode()
    write_file(folder / "data" / f"{name}.js", f'FILES["{name}"]="{text}";\n')


def _write_config(folder: Path, config: dict[str, Any]) -> None:
    text = json.dumps(config, indent=2, ensure_ascii=True)
    write_file(folder / "config.js", f"globalThis.CONFIG = {text};\n")
