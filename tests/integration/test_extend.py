"""docs/extend.md: its files and commands work as they stand, in order; its messages are what people get."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import genai
from genai.runs.run import all_runs
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "extend.md").read_text()
BLOCKS = re.findall(r"(?:`([\w/.]+)`:\n\n)?```(\w+)\n(.*?)```", PAGE, re.DOTALL)
"""(file name or "", language, content) of each block of code, in order."""
FEW = ["minutes=null", "steps=2", "batch=2", "val_items=4", "trainer=cpu", "trainer.threads=1"]
MORE = {"train": FEW, "sample": ["steps=2"], "evaluate": ["steps=2", "n=4"]}
NETWORK, DATA = "model.network._target_=", "data._target_="
WORDS = ["plugins=[mypackage, wrong]", "modality=image", "modality.size=16", *FEW]
WORDS += [f"{NETWORK}mypackage.network.ConvNet", f"{DATA}mypackage.source.RectangleSource"]
WRONG = """
import torch
from genai.core.data import Source, Split
from mypackage.network import ConvNet
from mypackage.source import RectangleSource

class Hidden(torch.nn.Module):
    def __init__(self, shape: tuple[int, int, int], hidden: int) -> None:
        super().__init__()

class TwoInputs(torch.nn.Module):
    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 3, 3)

    def forward(self, x, time):
        return self.layer(x)

class Smaller(TwoInputs):
    def forward(self, x, time, pooled):
        return self.layer(x)

class Counts(torch.nn.Module):
    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.rates = [rate.item() for rate in torch.linspace(0, 1, 3)]

class OneHash(RectangleSource):
    def _split(self, name: str, indices: range) -> Split:
        return Split(name, len(indices), self.dataset.__getitem__, "rectangles")

class Floats(RectangleSource):
    def _split(self, name: str, indices: range) -> Split:
        from genai.media.picture import Picture

        return Split(name, 9, lambda i: Picture(self.dataset[i][0].numpy() / 255), name)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the files of the page, in which Python looks for packages."""
    folder = tmp_path_factory.mktemp("extend")
    for name, _, content in BLOCKS:
        if name:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)
    (folder / "wrong.py").write_text(WRONG)
    (folder / "tests").symlink_to(ROOT / "tests")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.chdir(folder)
        yield folder
    for name in [name for name in sys.modules if name.split(".")[0] in ("mypackage", "mymodality", "wrong")]:
        del sys.modules[name]


def test_the_page_runs_from_top_to_bottom(
    place: Path, inside: Callable[..., subprocess.CompletedProcess[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    commands = []
    for name, language, content in BLOCKS:
        if name == "train.py":
            small = {"steps=300": "**dict(word.split('=') for word in FEW)", "measure(model,": "measure(model, n=4,"}
            for words, fewer in small.items():
                content = content.replace(words, fewer)
            scope: dict[str, object] = {"FEW": FEW}
            exec(content, scope)
            assert scope["results"]["val_loss"]["value"] > 0 and len(scope["pictures"]) == 8  # type: ignore[index, arg-type]
        for line in content.splitlines() if language == "console" else ():
            if found := re.match(r"\$ python -m genai\.(\w+) (.*)", line):
                command, words = found[1], shlex.split(found[2])
                more = (
                    ["data.items=16"] if command == "train" and "data=" not in line and "modality=" not in line else []
                )
                done = inside(command, *words, *MORE[command], *more, cwd=place)
                assert done.returncode == 0, done.stderr
            else:
                subprocess.run(line.removeprefix("$ "), shell=True, check=True, cwd=place)
            commands.append(line)
    assert len(commands) == 9
    samples = sorted(path.suffix for path in place.glob("samples/*/*/*"))
    assert samples.count(".npy") == 1 and samples.count(".png") == 6  # four pictures, two sheets
    assert_results_are_where_the_page_says(place)


def assert_results_are_where_the_page_says(place: Path) -> None:
    run = next(run for run in all_runs(place / "runs") if (run.folder / "metrics.json").exists())
    figures = json.loads((run.folder / "metrics.json").read_text())["metrics"]
    assert figures.keys() == {"val_loss", "right_color"}
    assert 0 <= figures["right_color"]["value"] <= 1 == figures["right_color"]["reference"]
    assert figures["right_color"]["standard_error"] is not None
    (chosen,) = run.folder.glob("metrics-*.json")
    assert json.loads(chosen.read_text())["metrics"].keys() == figures.keys()


def test_the_parts_of_the_page_resume_exactly(place: Path) -> None:
    words = [*WORDS, "schedule.cooldown=0"]
    stopped = genai.fit(words, f"runs={place / 'stopped'}")
    assert stopped.file
    run = stopped.file.parent.parent
    genai.fit(f"resume={run}", "plugins=[mypackage, wrong]", "steps=4")
    whole = genai.fit(words, "steps=4", f"runs={place / 'whole'}")
    assert whole.file
    states = [torch.load(folder / "checkpoints" / "last.ckpt") for folder in (run, whole.file.parent.parent)]
    assert all(torch.equal(states[0]["state_dict"][name], value) for name, value in states[1]["state_dict"].items())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["plugins=[wrong]", DATA + "wrong.Floats"],
            "refused 'mypackage.network.ConvNet': only classes of genai, or of a package in plugins=",
        ),
        (["plugins=[wrong]", "model=convnet"], "model=convnet: there is no such model."),
        ([NETWORK + "mypackage.ConvNet"], "refused 'mypackage.ConvNet': it is not a Module defined in mypackage."),
        ([NETWORK + "wrong.ConvNet"], "it is not a Module defined in"),
        (
            ["plugins=[mypackage, mypackge]", NETWORK + "mypackge.Net"],
            "refused 'mypackge.Net': there is no module 'mypackge'.",
        ),
        ([NETWORK + "wrong.Hidden"], "needs hidden; this modality gives color_channels, mean, scaling, shape, std."),
        (["model.network=mypackage.network.ConvNet"], "it should be an instance of Module."),
        ([NETWORK + "wrong.TwoInputs"], "forward() takes 3 positional arguments but 4 were given"),
        ([NETWORK + "wrong.Smaller"], "The size of tensor a (16) must match the size of tensor b (14)"),
        ([NETWORK + "wrong.Counts"], "Tensor.item() cannot be called on meta tensors"),
        (["model.prompt=null"], "Error trying to access model.prompt.width"),
        ([DATA + "wrong.Floats"], "a picture of float64 (16, 16, 3): pixels should be a NumPy array"),
        ([DATA + "wrong.OneHash"], "have the content_hash"),
        ([DATA + "genai.data.in_memory.InMemory"], "the data of this run were given in Python"),
    ],
)
def test_the_messages_of_the_page_are_what_people_get(words: list[str], message: str, place: Path) -> None:
    with pytest.raises(Exception, match=re.escape(message)):
        genai.fit([*WORDS, f"runs={place / 'wrong'}", *words])
    assert message in PAGE


def test_the_table_of_the_modality_names_what_there_is() -> None:
    folder = ROOT / "tests" / "plugins" / "point_clouds"
    text = "\n".join(path.read_text() for path in folder.rglob("*.py"))
    table = PAGE[PAGE.index("| file | what is in it |") : PAGE.index("## What every part has to do")]
    names = re.findall(r"`([\w/.]+)`", table)
    assert len(names) > 10
    assert not [
        name for name in names if not (folder / name).exists() and not re.search(rf"(class|def) {name}\b", text)
    ]
