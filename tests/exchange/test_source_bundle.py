"""One file out of a module and all that it needs of genai."""

import ast

import torch

from genai.exchange.source_bundle import bundle
from genai.networks.unet import UNet


def test_a_bundle_computes_the_same_and_imports_nothing_of_ours() -> None:
    text = bundle("genai.networks.unet")
    imported = [node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
    assert not any(name and name.startswith(("genai", "annotated_types")) for name in imported)
    assert (
        "class Readout" not in text and "# before upsampling, where it is cheaper" in text
    )  # what is needed, as it is
    names: dict[str, type] = {}
    exec(compile(text, "bundle.py", "exec"), names)
    arguments = {"shape": (3, 16, 16), "width": 16, "context": 8}
    network, copy = UNet(**arguments), names["UNet"](**arguments)
    torch.nn.init.normal_(network.out.weight)
    copy.load_state_dict(network.state_dict())
    inputs = torch.randn(2, 3, 16, 16), torch.rand(2), torch.randn(2, 8)
    assert copy(*inputs).equal(network(*inputs)) and network(*inputs).std() > 0.1


def test_a_dataclass_keeps_its_decorator_and_a_constant_its_docstring() -> None:
    text = bundle("genai.methods.scaling")
    assert "@dataclass(frozen=True, eq=False)\nclass PatchScaling" in text
    assert bundle("genai.networks.layers").count('"""Query-key pairs up to which') == 1
