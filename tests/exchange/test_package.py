"""Models of every modality as a folder that opens here: the same samples, byte by byte."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

import genai
from genai.cli.compose import compose
from genai.commands.evaluate import measure
from genai.commands.export import FORMATS, export
from genai.commands.page import page
from genai.core.errors import UserError
from genai.exchange.manifest import check_manifest
from genai.exchange.package import is_package, read_package, write_package
from genai.inference.model import Model, load
from genai.modalities.image import Image
from genai.runs.run import Run, all_runs
from tests.conftest import copy_run
from tests.exchange.test_pretrained import source  # noqa: F401
from tests.stubs import decoded

Trained = Callable[[str], Path]
OPTIONS: dict[str, dict[str, Any]] = {
    "text": {"length": 8}, "llama": {"length": 8}, "image": {"steps": 2}, "gan": {}, "audio": {"seconds": 0.05},
    "video": {"frames": 4, "steps": 2},
}  # fmt: skip


def exported(ckpt: Path, out: Path, *words: str) -> Path:
    export(compose("export", [f"ckpt={ckpt}", f"out={out}", "format=genai", *words]))
    return out


def samples(model: Model, kind: str) -> list[bytes]:
    return [sample.to_bytes() for sample in model.sample("a red circle", n=2, seed=3, **OPTIONS[kind])]


@pytest.mark.parametrize("weights", ["ema", "raw"])
@pytest.mark.parametrize("kind", OPTIONS)
def test_samples_are_those_of_the_run(kind: str, weights: str, trained: Trained, tmp_path: Path) -> None:
    folder = exported(trained(kind), tmp_path / "out", f"weights={weights}")
    assert is_package(folder) and check_manifest(folder, folder, [file.name for file in folder.iterdir()])
    model, expected = load(folder, device="cpu"), load(trained(kind), device="cpu", weights=weights)
    assert model.weights == weights and model.step == expected.step
    assert samples(model, kind) == samples(expected, kind)
    assert {file.suffix for file in folder.iterdir()} <= {".safetensors", ".json", ".md"}


@pytest.mark.parametrize("kind", ["enhancer", "upscale", pytest.param("soundtrack", marks=pytest.mark.slow)])
def test_models_that_need_a_file_are_opened_too(kind: str, trained: Trained, tmp_path: Path) -> None:
    model = load(exported(trained(kind), tmp_path / "out"), device="cpu")
    state, expected = model.method.state_dict(), load(trained(kind), device="cpu").method.state_dict()
    assert all(state[name].equal(expected[name]) for name in expected)
    assert model.modality.state() == load(trained(kind), device="cpu").modality.state()


def test_it_has_the_weights_that_sample_and_no_others(trained: Trained, tmp_path: Path) -> None:
    folder = exported(trained("gan"), tmp_path / "out")
    method = load(trained("gan"), device="cpu").method
    tensors = load_file(folder / "model.safetensors")
    assert {name.removeprefix("ema_module.") for name in tensors} == set(method.ema_module.state_dict())


def test_a_discriminator_stays_if_the_model_would_be_too_large_for_its_file(trained: Trained, tmp_path: Path) -> None:
    model = load(trained("gan"), device="cpu")
    assert model.header and model.header.model
    model.method.discriminator = torch.nn.Linear(2000, 2000)  # more than three times the rest
    write_package(tmp_path, model.modality, model.method, model.header, "ema", {}, "")
    assert "discriminator.weight" in load_file(tmp_path / "model.safetensors")


def test_the_tokenizer_is_a_file_that_others_open(trained: Trained, tmp_path: Path) -> None:
    folder = exported(trained("llama"), tmp_path / "out")
    model, text = load(folder, device="cpu"), "the cat saw a dog"
    assert Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids == model.modality.encode(text).tolist()
    config = json.loads((folder / "config.json").read_text())
    assert config["modality_state"]["json"] == {"$file": "tokenizer.json"}
    assert not (exported(trained("text"), tmp_path / "characters") / "tokenizer.json").exists()


class Centered(Image):
    """Images whose state has tensors, a list and nothing."""

    def state(self) -> dict[str, Any]:
        return {**super().state(), "means": {"a": torch.arange(3.0), "b": [torch.ones(2, dtype=torch.int64), None]}}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore({name: state[name] for name in ("mean", "std")})
        self.means = state["means"]


def test_tensors_of_a_modality_go_into_the_weights(trained: Trained, tmp_path: Path) -> None:
    model = load(trained("image"), device="cpu")
    assert model.header and model.header.modality
    node = {**model.header.modality, "_target_": f"{__name__}.Centered"}
    modality = Centered(size=16)
    modality.restore({**model.modality.state(), "means": None})
    header = replace(model.header, modality=node)
    write_package(tmp_path, modality, model.method, header, "ema", {}, "")
    with pytest.raises(UserError, match="only classes of genai"):
        load(tmp_path)
    opened = load(tmp_path, device="cpu", plugins=["tests.exchange"]).modality
    assert isinstance(opened, Centered) and opened.means["b"][1] is None
    assert opened.means["a"].equal(torch.arange(3.0)) and opened.means["b"][0].equal(torch.ones(2, dtype=torch.int64))


@pytest.mark.parametrize("value", [{"a", "b"}, b"bytes", {1: 2}, {"$tensor": "a"}])
def test_a_state_that_json_lacks_is_refused(value: Any, trained: Trained, tmp_path: Path) -> None:
    model = load(trained("image"), device="cpu")
    model.modality.state = lambda: {"value": value}  # type: ignore[method-assign]
    with pytest.raises(UserError, match=r"format=genai: modality_state\.value"):
        write_package(tmp_path, model.modality, model.method, model.header, "ema", {}, "")


def test_it_is_trained_further_like_a_run(trained: Trained, tmp_path: Path, corpus: Path) -> None:
    from tests.conftest import WORDS

    folder = exported(trained("text"), tmp_path / "out")
    words = [word.format(corpus=corpus) for word in WORDS["text"]]
    models = [
        genai.fit(*words, f"runs={tmp_path / name}", f"init_from={init}", "steps=1")
        for name, init in (("a", trained("text")), ("b", folder))
    ]
    first, second = (model.method.state_dict() for model in models)
    assert all(first[name].equal(second[name]) for name in first)
    base = models[1].record["base"]
    assert base["name"] == "out" and base["digest"] == load(folder).digest


def test_raw_weights_are_not_in_a_folder_of_averaged_ones(trained: Trained, tmp_path: Path) -> None:
    folder = exported(trained("text"), tmp_path / "out")
    with pytest.raises(UserError, match="has the averaged weights only"):
        load(folder, weights="raw")


def test_it_is_exported_again(trained: Trained, tmp_path: Path) -> None:
    first = exported(trained("llama"), tmp_path / "first", "license=mit")
    second = exported(first, tmp_path / "second")
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    export(compose("export", [f"ckpt={second}", f"out={tmp_path / 'hf'}", "format=hf"]))
    assert load(tmp_path / "hf", device="cpu").sample("a", length=4) == load(first, device="cpu").sample("a", length=4)
    assert "license: mit\n" in (tmp_path / "hf" / "README.md").read_text()


def test_a_model_of_another_tool_goes_in_and_out(source: Path, tmp_path: Path) -> None:  # noqa: F811
    file, template = source / "generation_config.json", source / "chat_template.jinja"
    file.write_text(json.dumps({"do_sample": True, "temperature": 0.6}))
    template.write_text("{{ messages[0].content }}")
    expected = load(source, device="cpu")
    file.unlink()
    template.unlink()
    folder = tmp_path / "out"
    folder.mkdir()
    assert expected.header
    write_package(folder, expected.modality, expected.method, expected.header, "ema", expected.record, "")
    model = load(folder, device="cpu")
    assert model.method.sampling == {"temperature": 0.6} and model.record["license"] == "apache-2.0"
    assert model.sample("the cat", n=2, length=8) == expected.sample("the cat", n=2, length=8)
    assert model.modality.chat_template.source == "{{ messages[0].content }}"  # type: ignore[attr-defined]


def test_an_adapter_goes_out_in_the_weights_of_its_base(trained: Trained, tmp_path: Path, corpus: Path) -> None:
    words = ["data=text_folder", f"data.path={corpus}", "steps=3", "batch=2", "trainer=cpu", "val_items=2"]
    words += ["preview_every=100", "trainer.threads=1", f"runs={tmp_path / 'runs'}", "optimizer=adamw"]
    genai.fit("modality=text", "adapter=lora", f"init_from={trained('llama')}", *words)
    run = next(all_runs(tmp_path / "runs")).folder
    folder = exported(run, tmp_path / "out")
    assert samples(load(folder, device="cpu"), "llama") == samples(load(run, device="cpu"), "llama")
    record = json.loads((folder / "config.json").read_text())["record"]
    assert record["base"]["name"] == trained("llama").name and str(tmp_path) not in json.dumps(record)


def test_tied_weights_are_stored_once(trained: Trained, tmp_path: Path) -> None:
    model = load(trained("llama"), device="cpu")
    network: Any = model.method.network
    network.readout.weight = network.embedding.weight
    node = {**model.header.model, "network": {**model.header.model["network"], "tied": True}}  # type: ignore[union-attr, index]
    header = replace(model.header, model=node)  # type: ignore[type-var]
    write_package(tmp_path, model.modality, model.method, header, "ema", {}, "")
    assert "ema_module.readout.weight" not in load_file(tmp_path / "model.safetensors")
    opened: Any = load(tmp_path, device="cpu")
    assert opened.method.network.readout.weight is opened.method.network.embedding.weight
    assert opened.sample("a", length=4) == model.sample("a", length=4)


def test_a_page_shows_it_and_a_recipe_repeats_it(
    trained: Trained, tmp_path: Path, inside: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exported(trained("image"), tmp_path / "out")
    words = (f"ckpt={folder}", "prompt=a red circle", "steps=2", "out=samples/x", "device=cpu")
    assert inside("sample", *words, cwd=tmp_path).returncode == 0
    assert inside("sample", "from=samples/x/000.json", "out=again", "device=cpu", cwd=tmp_path).returncode == 0
    again, first = ((tmp_path / name / "000.png").read_bytes() for name in ("again", "samples/x"))
    assert decoded(again) == decoded(first)
    page(compose("page", [f"ckpt={folder}"]))
    html = (tmp_path / "page.html").read_text()
    assert "a red circle" in html and "data:image/png" in html and "Train it" not in html and "toy world" in html
    done = inside("sample", f"ckpt={folder}", "interpolate=true", "prompt=a", "n=2", "steps=1", "out=i", cwd=tmp_path)
    assert done.returncode == 0 and (tmp_path / "i" / "strip.png").exists()


def test_it_is_measured_on_the_data_of_its_run(trained: Trained, tmp_path: Path) -> None:
    folder = exported(trained("image"), tmp_path / "out")
    with pytest.raises(UserError, match="its data are unknown: give data="):
        measure(f"ckpt={folder}")
    words = ["device=cpu", "metrics=[val_loss]"]
    results = measure(f"ckpt={folder}", "data=world", "data.items=40", *words)
    assert results["data"]["own"] and results["checkpoint_sha256"] == load(folder).digest
    expected = measure(f"ckpt={trained('image')}", *words, f"out={tmp_path / 'metrics.json'}")
    assert results["metrics"]["val_loss"]["value"] == expected["metrics"]["val_loss"]["value"]


def test_what_is_private_stays(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = copy_run(trained("text"), tmp_path)
    Run(run).write_record(command=["/home/ada/train"], hardware={"processor": "CPU", "system": "Linux-secret"})
    folder = exported(run, tmp_path / "out")
    content = (folder / "config.json").read_text() + (folder / "README.md").read_text()
    assert "/home" not in content and "secret" not in content and str(tmp_path) not in content
    record = json.loads((folder / "config.json").read_text())["record"]
    assert (
        record["data"]["name"] == "corpus.txt" and record["data"]["hash"] and not {"started", "overrides"} & {*record}
    )


def test_a_record_cannot_turn_it_into_a_run(trained: Trained, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    model = load(trained("text"), device="cpu")
    write_package(folder, model.modality, model.method, model.header, "ema", model.record, "")
    config = json.loads((folder / "config.json").read_text())
    assert "started" in model.record and "started" not in config["record"] and load(folder).run is None


def test_nothing_stays_after_an_error_or_a_stop(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error in (KeyboardInterrupt(), UserError("no")):

        def fail(folder: Path, error: BaseException = error) -> None:
            assert (folder / "model.safetensors").exists()
            raise error

        monkeypatch.setattr("genai.exchange.package.write_manifest", fail)
        with pytest.raises(type(error)):
            exported(trained("text"), tmp_path / "above" / "out")
        assert not list(tmp_path.iterdir())


def test_an_empty_folder_is_filled_and_a_full_one_is_not(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    folder = exported(trained("text"), tmp_path / "out")
    with pytest.raises(UserError, match="is there already"):
        exported(trained("text"), folder)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_formats_are_those_of_the_settings() -> None:
    from typing import get_args, get_type_hints

    from genai.cli.settings import ExportSettings

    assert tuple(FORMATS) == get_args(get_type_hints(ExportSettings)["format"])


def test_a_link_into_the_cache_of_the_hub_is_followed(trained: Trained, tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "models--a--b" / "blobs", tmp_path / "models--a--b" / "snapshots" / "1a2b"
    shutil.copytree(exported(trained("text"), tmp_path / "out"), blobs)
    snapshot.mkdir(parents=True)
    for file in blobs.iterdir():
        (snapshot / file.name).symlink_to(file)
    (snapshot / ".gitattributes").touch()
    assert read_package(snapshot).digest == read_package(tmp_path / "out").digest
