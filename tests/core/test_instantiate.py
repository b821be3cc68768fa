"""Nodes become objects only if they may."""

from pathlib import Path
from typing import Any, Literal

import pytest
from torch import nn

from genai.core.errors import UserError
from genai.core.instantiate import Factory, import_class, instantiate, validate_value
from genai.methods.base import Method

GPT = "genai.networks.gpt.GPT"
NODE = {
    "_target_": "genai.methods.autoregressive.Autoregressive",
    "network": {"_target_": GPT, "width": 16, "heads": 2},
}
SIZES = {"vocab_size": 10, "block": 8}


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "torch.load",
        "torch.nn.Linear",
        "builtins.open",
        "pathlib.Path.write_text",
        "torch.hub.load",
        "genai.x.Path.write_text",
        "genai.x.Path",
        "genai.runs.run.Path",
        "genai.inference.model.Path",
        "genai.data.text.Stdlib",
        "genai.networks.gpt.KVCache",
        "genai.runs.run.Run",
        "genai.core.instantiate.import_module",
        "genai.networks.gpt.nn.Module",
        "genaix.networks.gpt.GPT",
        "genai",
        "",
        "genai" + ".a" * 1000,
        "genai.no.such.Module",
        "genai.networks.gpt.",
        ".GPT",
    ],
)
def test_foreign_targets_are_refused_by_name(target: str) -> None:
    with pytest.raises(UserError, match=f"model.network: refused '{target[:50]}"):
        import_class(target, nn.Module, "model.network")


def test_an_argument_without_annotation_takes_any_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bare_plugin.py").write_text(
        "from torch import nn\nclass Bare(nn.Module):\n    def __init__(self, size=None):\n"
        "        super().__init__()\n        self.size = size\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    node: dict[str, Any] = {"_target_": "bare_plugin.Bare", "size": 3}
    Factory.parse(node, nn.Module, "model", ["bare_plugin"])
    assert instantiate(node, nn.Module, "model", plugins=["bare_plugin"]).size == 3
    with pytest.raises(UserError, match=r"Bare\.size has no annotation, so it takes no _target_"):
        instantiate({**node, "size": NODE}, nn.Module, "model", plugins=["bare_plugin"])


def test_a_plugin_is_built_only_when_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_plugin.py").write_text("from torch import nn\nclass Mine(nn.Module):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"refused 'my_plugin.Mine'.*plugins="):
        import_class("my_plugin.Mine", nn.Module, "model")
    assert import_class("my_plugin.Mine", nn.Module, "model", ["my_plugin"]).__name__ == "Mine"
    with pytest.raises(UserError, match="not a Module defined in my_plugin"):
        import_class("my_plugin.nn", nn.Module, "model", ["my_plugin"])


def test_sizes_come_from_what_is_given() -> None:
    method = instantiate(NODE, Method, "model", SIZES)  # type: ignore[type-abstract]
    assert method.ema_module.vocab_size == 10


@pytest.mark.parametrize(
    ("network", "given", "message"),
    [
        ({}, {"shape": (3, 8, 8)}, "model.network: GPT needs vocab_size; this modality gives shape"),
        ({"vocab_size": 3}, SIZES, "model.network.vocab_size=3 cannot be set"),
        ({"widht": 3}, SIZES, "model.network.widht.*Did you mean 'width'"),
        ({"width": 0}, SIZES, "model.network.width=0: it should be greater than or equal to 1"),
        ({"width": True}, SIZES, "model.network.width=True"),
        ({"width": 16.0}, SIZES, "model.network.width=16.0: it should be a whole number"),
        ({"width": float("nan")}, SIZES, "model.network.width=nan"),
        ({"dropout": float("nan")}, SIZES, "model.network.dropout=nan: it should be a finite number"),
        ({"width": "a" * 10**6}, SIZES, r"model.network.width='aa.{1,250}aa': it should be a whole number"),
        ({"a\n" * 10**6: 3}, SIZES, "model.network.a.*GPT has no such option"),
        ({5: 3}, SIZES, "model.network.5: GPT has no such option"),
        ({"width": {"_target_": GPT}}, SIZES, "GPT.width takes a value of type <class 'int'>, not a _target_"),
        ({"width": "5"}, SIZES, "model.network.width='5': it should be a whole number"),
        ({"width": 7}, SIZES, "model.network: width=7 has to be a multiple"),
        ({"ngrams": 9}, SIZES, "model.network.ngrams=9: it should be less than or equal to 3"),
    ],
)
def test_what_does_not_fit_is_named(network: dict[str, Any], given: dict[str, Any], message: str) -> None:
    node = {**NODE, "network": {**NODE["network"], **network}}  # type: ignore[dict-item]
    with pytest.raises(UserError, match=message) as caught:
        instantiate(node, Method, "model", given)  # type: ignore[type-abstract]
    assert len(str(caught.value)) < 800


def test_open_ended_arguments_are_no_missing_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "open_plugin.py").write_text(
        "from torch import nn\nclass Bare(nn.Module): pass\n"
        "class Sized(nn.Module):\n    def __init__(self, block: int, **options):\n"
        "        super().__init__()\n        self.block, self.options = block, options\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("Bare", "Sized"):
        network = instantiate({"_target_": f"open_plugin.{name}"}, nn.Module, "model", SIZES, ["open_plugin"])
        assert (getattr(network, "block", 8), getattr(network, "options", {})) == (8, {})
        with pytest.raises(UserError, match="has no such option"):
            Factory.parse({"_target_": f"open_plugin.{name}", "args": 3}, nn.Module, "model", ["open_plugin"])


@pytest.mark.parametrize("target", ["genai.data.text.Stdlib", "genai.methods.base.Piece", "os.system"])
def test_a_node_of_the_wrong_kind_is_refused_before_it_is_built(target: str) -> None:
    with pytest.raises(UserError, match="refused"):
        Factory.parse({**NODE, "network": {"_target_": target}}, Method, "model")
    with pytest.raises(UserError, match="a _target_ is missing"):
        Factory.parse({}, Method, "model")


def test_choices_are_listed_in_their_own_order() -> None:
    for hint, listed in ((Literal["a", "b"], "'a' or 'b'"), (Literal["b", "a"], "'b' or 'a'")):
        with pytest.raises(UserError, match=listed):
            validate_value("x", hint, "key")
