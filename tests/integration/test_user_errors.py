"""A mistake is answered in a line or two: what was given, what is allowed; and it leaves nothing behind."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

import genai
from genai.core.errors import UserError
from genai.inference.model import Model
from genai.methods.diffusion import Diffusion
from genai.methods.scaling import PixelScaling
from genai.modalities.image import Image
from genai.networks.unet import UNet
from genai.runs.run import Run, all_runs
from tests.conftest import SMALL_IMAGE, copy_run

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["steps=abc"], "steps='abc': it should be a whole number"),
        (["minutes=inf"], "minutes=inf"),
        (["data.path="], "data.path= is empty"),
        (["~seed"], "option 'seed' is missing"),
        (["steps=0"], "steps=0: it should be greater than or equal to 1"),
        (["steps=5", "minutes=1"], "steps=5 and minutes=1: give one"),
        (["grad_clip=0"], "grad_clip=0: it should be greater than 0"),
        (["ema=1.0"], "ema=1.0: it should be less than 1"),
        (["batch=2", "accumulate=3"], "accumulate=3"),
        (["checkpoint_every=0s"], "checkpoint_every=0s.*such as 60s"),
        (["preview_every=soon"], "preview_every=soon"),
        (["minutes=nan"], "minutes=nan: it should be"),
        (["prompts=hello"], "prompts='hello': it should be a list"),
        (["data=null"], "data=null: data cannot be null. There are: .*stdlib"),
        (["modality=image", "data=text_folder"], "Image does not fit TextFolder.*Choose data= among .*world"),
        (
            ["data=world"],
            "data=world does not exist for modality=text. There are: chat, preferences, prepared, stdlib, tasks",
        ),
        (["data=image_folder"], "Text does not fit ImageFolder.*stdlib, tasks, text_folder"),
        (["data=stdlib"], "Stdlib has no such option.*data=text_folder has it"),
        (["resume="], "resume= is empty"),
        (["debug=null"], "debug=null: there is none by default. Leave it out"),
        (["model=gptt"], "Did you mean 'gpt'"),
        (["model.network.widht=3"], "Did you mean 'width'"),
        (["model=gan"], r"model\.network: Adversarial has no such option"),
        (["model.network.heads=3"], "width=16 has to be a multiple of 2 x heads=6"),
        (["model.sampling={temperature: -1}"], "model.sampling.temperature=-1"),
        (["optimizer.lr=-1"], "optimizer.lr=-1"),
        (["optimizer.betas=[0.9]"], "optimizer: betas=.0.9.: it should be two numbers"),
        (["modality.vocab_size=300"], "vocab_size belongs to tokenizer=bpe"),
        (["modality.tokenizer=bpee"], "it should be 'bpe', 'characters' or 'bytes'. Did you mean 'bpe'"),
        (["modality.block=1000000"], "fewer than a block of 1000000 needs"),
        (["data.path=nowhere/x.txt"], "nowhere/x.txt: there is no such file"),
        (["trainer.devices=99", "trainer.strategy=ddp"], r"trainer.devices=99: this machine has \d+"),
        (["trainer=fsdp"], "trainer=fsdp shards"),
        (["trainer.accelerator=tpu"], "trainer.accelerator='tpu'"),
        (["init_from=nowhere"], "there is no run folder or checkpoint .*nowhere"),
        (["runs=/dev/null/runs", "steps=1"], "cannot create the run folder /dev/null/runs"),
        (["model._target_=os.system"], "refused 'os.system'"),
        (["data._target_=genai.modalities.text.Text"], "refused 'genai.modalities.text.Text': it is not a Source"),
    ],
)
def test_wrong_words_are_explained_and_leave_nothing(
    words: list[str], message: str, small: list[str], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        genai.fit(*small, *words)
    assert len(str(caught.value).splitlines()) <= 2
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("word", "has"), [("data.path=x", "image_folder"), ("data.name=MNIST", "torchvision")])
def test_an_option_of_other_data_of_the_same_media_is_pointed_to(word: str, has: str) -> None:
    with pytest.raises(UserError, match=f"ToyImages has no such option.*data={has}.* has it"):
        genai.fit("modality=image", word, "trainer=cpu")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["modality.size=18"], "sides of 18 x 18 pixels have to be multiples of 4"),
        (["modality.channels=2"], "modality.channels=2: it should be 1 or 3"),
        (
            ["model=gpt"],
            "model=gpt does not fit modality=image. For it there are: autoencoder, diffusion, gan, upscale, "
            "video_diffusion.\nmodel",
        ),
        (["model.objective=x"], "model.objective='x': it should be 'x0' or 'velocity'"),
        (["model.sampling={guidance: -1}"], "model.sampling.guidance=-1"),
        (["model.network.widht=3"], "Did you mean 'width'"),
        (["data.things=3"], "data.things=3: it should be less than or equal to 2"),
        (["data.items=10000000", "modality.size=512"], "are more than 64 GiB"),
        (["data=image_folder", "data.path=nowhere"], "nowhere"),
        (["data=torchvision", "data.name=MNISTT", "data.path=."], "Did you mean 'MNIST'|'MNIST'"),
        (["batch=0"], "batch=0: it should be greater than or equal to 1"),
        (["init_from=nowhere"], "there is no run folder or checkpoint .*nowhere"),
    ],
)
def test_wrong_words_about_images(words: list[str], message: str, tmp_path: Path) -> None:
    small = [word for word in SMALL_IMAGE if not (words[0].startswith("d") and word.startswith("data."))]
    small = [word for word in small if not (words == ["model=gpt"] and word.startswith("model."))]
    with pytest.raises(UserError, match=message) as caught:
        genai.fit(*small, *words, f"runs={tmp_path / 'runs'}")
    assert len(str(caught.value).splitlines()) <= 2
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"guidance": -1}, "guidance=-1"),
        ({"sampler": "eulr"}, "Did you mean 'euler'"),
        ({"temperature": 1}, "There is no option 'temperature'.* There are: .*guidance"),
        ({"mask": "a.png"}, "give init= as well"),
        ({"outpaint": "east"}, "outpaint='east': it should be 'left', 'right', 'top', 'bottom' or 'around'"),
        ({"guidance_from": 0.1, "guidance_until": 0.9}, "guidance_from=0.1 comes after guidance_until=0.9"),
        ({"init": "nowhere.png"}, "cannot read nowhere.png"),
        ({"init": __file__}, "is not an image"),
    ],
)
def test_wrong_options_of_images(options: dict[str, object], message: str) -> None:
    modality = Image(16)
    model = Model(modality, Diffusion(UNet(modality.shape, width=16), scaling=PixelScaling()))
    with pytest.raises(UserError, match=message):
        model.sample("a", **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there(small: list[str]) -> None:
    with pytest.raises(UserError, match="'cuda' was requested, but torch finds no CUDA GPU"):
        genai.fit(*small, "trainer=gpu")


def test_an_impossible_pair_explains_itself(small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "square_plugin.py").write_text(
        "from genai.modalities.text import Text\nclass Square(Text):\n    interface = {'shape': (3, 8, 8)}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="GPT needs vocab_size; this modality gives shape"):
        genai.fit(*small, "plugins=[square_plugin]", "modality._target_=square_plugin.Square")


def test_a_model_that_does_not_fit_is_refused_before_data_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genai.data.text.TextFolder.files", lambda self: pytest.fail("data were read"))
    with pytest.raises(UserError, match="UNet needs shape; this modality gives block, vocab_size"):
        genai.fit("modality=text", "model=diffusion")


def test_a_checkpoint_of_another_modality(trained: Callable[[str], Path]) -> None:
    with pytest.raises(UserError, match="is a model of text, not of image"):
        genai.load(trained("text"), modality="image")


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_resume_that_does_not_fit(small: list[str], trained: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere is not a run folder"):
        genai.fit("resume=nowhere")
    run = Run(copy_run(trained("text"), tmp_path / "runs"))
    before = content(run.folder)
    with pytest.raises(UserError, match=r"model.network.width: 16 -> 32.*init_from"):
        genai.fit(f"resume={run.folder}", "model.network.width=32", "steps=8")
    with pytest.raises(UserError, match=r"done its 6 steps; extend it with steps="):
        genai.fit(f"resume={run.folder}")
    with pytest.raises(UserError, match="another optimizer"):
        genai.fit(f"resume={run.folder}", "steps=8", "optimizer=adamw")
    with pytest.raises(UserError, match="give one of them"):
        genai.fit(*small, f"init_from={run.folder}", f"resume={run.folder}", "steps=8")
    with pytest.raises(UserError, match=r"init_from=.* does not fit: its .* this model has"):
        genai.fit(*small, f"init_from={run.folder}", "model.network.width=32", "steps=8")
    with pytest.raises(UserError, match=r"does not fit: its modality.tokenizer is characters, not bytes"):
        genai.fit(*small, f"init_from={run.folder}", "modality.tokenizer=bytes", "steps=8")
    lock = run.lock()
    with pytest.raises(UserError, match="is being trained by another process"):
        genai.fit(f"resume={run.folder}", "steps=8")
    lock.release()
    assert content(run.folder) == before
    assert len(list(all_runs(tmp_path / "runs"))) == 1


def test_init_from_says_what_is_new(
    small: list[str], trained: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    genai.fit(*small, "steps=1", "model.network.layers=3", f"init_from={trained('text')}")
    assert "does not have 5 of " in capsys.readouterr().err
    run = next(all_runs(tmp_path / "runs"))
    assert run.record.steps == 1


def test_init_from_starts_with_the_weights_of_another_run(small: list[str], trained: Callable[[str], Path]) -> None:
    model = genai.load(trained("text"))
    new = genai.fit(*small, "steps=1", f"init_from={model.file}", "optimizer.lr=0.0", "optimizer.embedding_lr=0.0",
                    "optimizer.head_lr=0.0", "optimizer.matrix_lr=0.0", "seed=9")  # fmt: skip
    for parameter, other_value in zip(new.method.parameters(), model.method.parameters(), strict=True):
        assert torch.equal(parameter, other_value)


@pytest.mark.parametrize("words", [["stepz=3"], ["steps=0"], ["data=text_folder", "data.path=nowhere"]])
def test_the_command_exits_with_two_and_says_it_on_standard_error(
    words: list[str], tmp_path: Path, command: Command, inside: Command
) -> None:
    run = command if words == ["steps=0"] else inside
    done = run("train", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) <= 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_traceback_comes_back(tmp_path: Path, command: Command) -> None:
    done = command("train", "steps=0", cwd=tmp_path, env={"GENAI_DEBUG": "1"})
    assert done.returncode == 2
    assert "Traceback" in done.stderr


def test_names_and_types_are_checked_before_lightning_is_imported() -> None:
    code = (
        "import sys, genai\n"
        "for word in ('stepz=1', 'steps=0', 'model.network.width=0', 'data.path=x'):\n"
        "    try: genai.fit('data=text_folder', word)\n"
        "    except genai.core.errors.UserError: continue\n"
        "    raise SystemExit('no mistake')\n"
        "print('lightning' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize(("init", "count", "refused"), [("000", 1, True), ("003", 3, False), ("clip", 9, False)])
def test_samples_do_not_replace_what_they_are_made_of(init: str, count: int, refused: bool, tmp_path: Path) -> None:
    from genai.commands.sample import _check_input_files

    used = {"init": None, "clip": str(tmp_path / f"{init}.wav")}
    with pytest.raises(UserError, match="would be replaced") if refused else nullcontext():
        _check_input_files(used, str(tmp_path / "x" / ".."), count)
