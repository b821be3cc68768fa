"""The section of a model card that says how to use the model."""

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from genai.core.errors import short_text
from genai.exchange.diffusers_export import VERSION as DIFFUSERS_VERSION
from genai.inference.card_record import card_record
from genai.inference.card_training import FILES
from genai.inference.known_prompts import prompt_encoder
from genai.inference.model import Model
from genai.modalities.optional import required_option
from genai.runs.record import RunRecord

TRANSFORMERS = {"model": "ModelForCausalLM", "tokenizer": "Tokenizer"}
LOAD_ARGUMENTS = {
    "gguf": f'"{FILES}/model.gguf"',
    "peft": f'"path/to/the/base", adapter="{FILES}"',
}
"""Arguments of ``genai.load`` by the library of a card; of the others it is the folder."""
LOAD_WORDS = {"gguf": f"ckpt={FILES}/model.gguf", "peft": f"ckpt=path/to/the/base adapter={FILES}"}
"""The same for the command line."""
LISTED_PROMPTS = 6


def usage_lines(model: Model, record: RunRecord, library_name: str) -> Iterator[str]:
    """Yield how to open the folder, and how to sample."""
    if library_name in OTHER_USAGES:
        yield from OTHER_USAGES[library_name](example_prompt(model, record))
        return
    nodes = [model.header.model, model.header.modality] if model.header else []
    packages = sorted({name for node in nodes for name in _packages(node)})
    plugins = f", plugins={packages}" if packages else ""
    option, prompt = required_option(model.modality), example_prompt(model, record)
    arguments = f'{option}="FILE"' if option else json.dumps(prompt, ensure_ascii=False) if prompt else ""
    words = [LOAD_WORDS.get(library_name, f"ckpt={FILES}")]
    words += [f"plugins='[{','.join(packages)}]'"] * bool(packages)
    words += [f"{option}=FILE" if option else f"prompt={shlex.quote(prompt)}"] * bool(option or prompt)
    place = LOAD_ARGUMENTS.get(library_name, f'"{FILES}"')
    yield from ("```python", "import genai", "")
    yield from (f"model = genai.load({place}{plugins})", f"sample = model.sample({arguments})[0]", "```")
    yield from ("", "```sh", f"python -m genai.sample {' '.join(words)}", "```")
    if library_name == "transformers":
        yield from ("", "```python", "from transformers import AutoModelForCausalLM, AutoTokenizer", "")
        yield from (f'{name} = Auto{cls}.from_pretrained("{FILES}")' for name, cls in TRANSFORMERS.items())
        yield "```"


def example_prompt(model: Model, record: RunRecord) -> str:
    """Return a prompt that the model knows; "" if prompts change nothing."""
    known = record.known_prompts
    prompts = known.prompts if known and known.prompts and prompt_encoder(model) else record.prompts
    has_prompts = prompt_encoder(model) is None or known is None or known.count > 0
    return short_text(next(filter(None, prompts), "")) if has_prompts else ""


def example_prompts(model: Model) -> list[str]:
    """Return a few prompts that the model knows; none if they are not recorded, or change nothing."""
    known = card_record(model).known_prompts
    return known.prompts[:LISTED_PROMPTS] if known and prompt_encoder(model) else []


def _onnx_lines(prompt: str) -> Iterator[str]:
    words = f" {shlex.quote(prompt)}" * bool(prompt)
    yield from ("It needs neither genai nor torch:", "", "```sh", "pip install numpy onnxruntime pillow")
    yield from (f"python {FILES}/sample.py{words} --n 4", "```", "")
    yield "`python sample.py --help` shows the options. `config.json` and `sample.py` say how words become"
    yield "ids, and how noise becomes a picture."


def _web_lines(prompt: str) -> Iterator[str]:
    yield "Open `index.html` in a browser: it draws there, and sends nothing anywhere. Any server of files can show it,"
    yield "such as this one, at http://localhost:8000:"
    yield from ("", "```sh", f"python -m http.server --directory {FILES}", "```")


def _diffusers_lines(prompt: str) -> Iterator[str]:
    yield "**This folder has program code** (`pipeline.py`, `denoiser/denoiser.py`), because diffusers has no class"
    yield "for this network. Read it, or trust who made it, before you pass `trust_remote_code=True`: that runs it."
    yield from ("", "```python", "from diffusers import DiffusionPipeline", "")
    yield f'pipeline = DiffusionPipeline.from_pretrained("{FILES}", trust_remote_code=True)'
    yield from (f"picture = pipeline({json.dumps(prompt, ensure_ascii=False)}).images[0]", "```", "")
    yield f"Tested with diffusers {DIFFUSERS_VERSION}, which refuses the folder without that argument."
    yield "Older versions may not ask."


OTHER_USAGES = {"onnx": _onnx_lines, "web": _web_lines, "diffusers": _diffusers_lines}
"""How to sample from folders that genai does not open, from a prompt that the model knows."""


def _packages(node: Any) -> Iterator[str]:
    """Yield the packages besides genai of the classes that a config node names."""
    if isinstance(node, Mapping):
        target = str(node.get("_target_", "genai."))
        if not target.startswith("genai."):
            yield target.rsplit(".", 2)[0]
        for part in node.values():
            yield from _packages(part)
