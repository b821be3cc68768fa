"""``python -m genai export``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import genai
from genai.runs.checkpoint import load_checkpoint
from tests.exchange.test_pretrained import CONFIG, source  # noqa: F401
from tests.sharded import save_sharded


@pytest.fixture
def run(inside: Callable[..., Any], tmp_path: Path) -> Callable[..., tuple[int, str]]:
    def run(*words: str) -> tuple[int, str]:
        done = inside("export", *words, cwd=tmp_path)
        return done.returncode, done.stdout + done.stderr

    return run


def test_a_folder_of_transformers_goes_out_as_it_came_in(
    source: Path,  # noqa: F811
    run: Callable[..., tuple[int, str]],
    tmp_path: Path,
) -> None:
    (source / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    code, text = run(f"ckpt={source}", "out=copy")
    assert code == 0 and "llama in copy/" in text
    assert (tmp_path / "copy" / "tokenizer_config.json").read_text() == '{"chat_template": "{{ messages }}"}'
    assert "license: apache-2.0" in (tmp_path / "copy" / "README.md").read_text()
    assert genai.load(tmp_path / "copy").sample("a", length=3) == genai.load(source).sample("a", length=3)


def test_base_and_license_stay_through_every_format(
    source: Path,  # noqa: F811
    run: Callable[..., tuple[int, str]],
    tmp_path: Path,
) -> None:
    folder, formats = source, ("hf", "genai", "genai", "hf", "hf", "genai")
    for number, name in enumerate(formats):
        assert run(f"ckpt={folder}", f"out=copy{number}", f"format={name}")[0] == 0
        folder = tmp_path / f"copy{number}"
        card = (folder / "README.md").read_text()
        assert "license: apache-2.0\n" in card and f"genai_base: {source.name}\n" in card
        assert f"library_name: {'transformers' if name == 'hf' else 'genai'}\n" in card
    model = genai.load(folder, device="cpu")
    assert model.record["base"]["name"] == source.name
    assert model.sample("a", length=3) == genai.load(source, device="cpu").sample("a", length=3)


def test_a_checkpoint_of_shards_goes_out_whole(
    trained: Callable[[str], Path], run: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    whole = trained("text") / "checkpoints" / "best.ckpt"
    save_sharded(load_checkpoint(whole), tmp_path / "run" / "checkpoints" / "best.ckpt", processes=3)
    assert run(f"ckpt={tmp_path / 'run' / 'checkpoints' / 'best.ckpt'}", "out=copy", "format=genai")[0] == 0
    assert not list((tmp_path / "copy").glob("*shard*"))
    weights, others = (genai.load(path, device="cpu").method.state_dict() for path in (whole, tmp_path / "copy"))
    assert all(weights[name].equal(tensor) for name, tensor in others.items()) and weights.keys() == others.keys()


def test_a_license_is_any_text(source: Path, run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:  # noqa: F811
    assert run(f"ckpt={source}", "out=copy", "license=my own (2.0), for a=b")[0] == 0
    assert "license_name: my own (2.0), for a=b\n" in (tmp_path / "copy" / "README.md").read_text()


def test_nothing_is_overwritten(source: Path, run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    code, text = run(f"ckpt={source}", "out=out")
    assert code == 2 and "out=out is there already" in text
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["mine.txt"] and CONFIG


def test_a_model_without_a_class_there_is_exit_code_2(
    trained: Callable[[str], Path], run: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    code, text = run(f"ckpt={trained('image')}")
    assert code == 2 and "format=hf is for text models" in text and not (tmp_path / "exported").exists()
    assert run("format=onxx")[0] == 2


@pytest.mark.peers
def test_a_folder_of_transformers_becomes_a_file_of_llama_cpp(
    source: Path,  # noqa: F811
    run: Callable[..., tuple[int, str]],
    tmp_path: Path,
) -> None:
    pytest.importorskip("gguf")
    code, text = run(f"ckpt={source}", "out=out", "format=gguf")
    assert code == 0 and "llama in out/" in text and f"llama-cli -m {Path('out') / 'model.gguf'}" in text
    model, again = genai.load(source, device="cpu"), genai.load(tmp_path / "out" / "model.gguf", device="cpu")
    assert again.record["license"] == "apache-2.0" and again.modality.encode("a b").equal(model.modality.encode("a b"))
    for name, weight in model.method.network.state_dict().items():
        assert (again.method.network.state_dict()[name] - weight).abs().max() < 1e-3


@pytest.mark.peers
def test_what_to_train_with_for_llama_cpp(
    trained: Callable[[str], Path], run: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    pytest.importorskip("gguf")
    code, text = run(f"ckpt={trained('text')}", "format=gguf")
    assert code == 2 and "Train with model=llama" in text and not (tmp_path / "exported").exists()
