import math
from pathlib import Path

import pytest

from genai.data.text import TextFolder
from genai.media.text import Document
from genai.metrics.base import EvalContext
from genai.metrics.loss import HeldOutLoss
from genai.metrics.text.text import BitsPerByte, LongestCopy, Parses, continuations, parses, places
from genai.modalities.text import Text
from tests.metrics.stubs import Model

FUNCTION = "def f{0}(x):\n    y = x + {0}\n    return y * {0}\n\n\n"


@pytest.fixture
def code(tmp_path: Path) -> TextFolder:
    for number in range(20):
        (tmp_path / f"{number}.py").write_text("".join(FUNCTION.format(number * 100 + i) for i in range(40)))
    return TextFolder(str(tmp_path), val_fraction=0.2)


def test_a_uniform_model_of_bytes_needs_eight_bits_a_byte(code: TextFolder) -> None:
    study = EvalContext(Model(Text("bytes", block=16), loss=math.log(256)), code)  # type: ignore[arg-type]
    figures = BitsPerByte().compute(study)
    size = sum(len(example.media.encode()) for example in code.val)
    ends = len(code.val)  # predicted, without bytes; the first byte of all has nothing before it
    assert figures["bits_per_byte"].value == pytest.approx(8 * (size - 1 + ends) / (size - 1), rel=1e-6)
    assert figures["perplexity"].value == pytest.approx(256)
    assert HeldOutLoss().compute(study)["val_loss"].value == pytest.approx(math.log(256))


def test_bits_do_not_depend_on_the_tokenizer(code: TextFolder, tmp_path: Path) -> None:
    """A model that pays 3 nats a byte, in tokens of any size, has the same bits a byte."""
    found = []
    for kind, size in (("bytes", None), ("bpe", 300), ("characters", None)):
        modality = Text(kind, size, block=16)  # type: ignore[arg-type]
        modality.fit(code.train, tmp_path / "cache")
        study = EvalContext(Model(modality), code)  # type: ignore[arg-type]
        tokens = len(study.val.tokens) - 1  # type: ignore[attr-defined]
        size = sum(len(example.media.encode()) for example in code.val)
        study.__dict__["losses"] = {"loss": 3 * size / tokens}
        found.append(BitsPerByte().compute(study)["bits_per_byte"].value)
    assert found == pytest.approx([3 / math.log(2)] * 3, rel=2e-3)


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("x = 1\n", True),
        ("x = 1\ny = (", True),  # the last line is not complete
        ("def f():\n    return 1\n", True),
        ("def f():\n", False),
        ("x = (1,\n2", False),
        ("to be or not to be\n", False),
        ("", False),
        ("# nothing\n\n", False),  # says nothing
        ("x = '\\d'\n", True),
        ("x\0\n", False),
        ("(" * 5000 + "\n", False),
    ],
)
def test_what_parses(text: str, fine: bool) -> None:
    assert parses(text) is fine


def test_places_are_beginnings_drawn_from_the_seed(code: TextFolder) -> None:
    found = places(code.val, 30, 0)
    assert found == places(code.val, 30, 0) != places(code.val, 30, 1)
    assert len(set(found)) == 30
    assert all(prompt.startswith("def f") and rest.startswith("\n    y =") for prompt, rest in found)
    assert len(places(code.val, 1000, 0)) == 1000


def test_a_prompt_is_whole_words_of_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a long line whose words go on and on and on for ever\n" * 99)
    assert places(TextFolder(str(tmp_path / "a.txt")).train, 1, 0)[0][0] == "a long line whose words go on and on and"


def oracle(source: TextFolder, wrong: str = "") -> Model:
    """Writes what really stands there, or ``wrong``."""
    text = "".join(str(example.media) for example in source.val)

    def answer(prompts: list[str]) -> list[Document]:
        return [Document(prompt + (wrong or text.partition(prompt)[2][:100])) for prompt in prompts]

    return Model(Text("bytes"), answer)


def test_a_model_that_writes_held_out_text_is_as_good_as_it(code: TextFolder) -> None:
    study = EvalContext(oracle(code), code, n=20)  # type: ignore[arg-type]
    figure = Parses().compute(study)["parses"]
    assert figure.value == figure.beside == 1.0 and figure.error == 0
    copies = LongestCopy().compute(study)
    assert copies["longest_copy"].value == copies["longest_copy"].beside
    assert copies["mean_copy"].value == copies["mean_copy"].beside
    assert study.model.asked == 20  # type: ignore[attr-defined]  # drawn once for both


def test_nonsense_does_not_parse_and_a_copy_is_found(code: TextFolder) -> None:
    nonsense = EvalContext(oracle(code, wrong="\n)" * 60), code, n=20)  # type: ignore[arg-type]
    figure = Parses().compute(nonsense)["parses"]
    assert figure.value == 0 and (figure.beside or 0) > 0.5
    copied = EvalContext(oracle(code, wrong=str(code.train[0].media)[:150]), code, n=20)  # type: ignore[arg-type]
    figures = LongestCopy().compute(copied)
    assert figures["longest_copy"].value == figures["mean_copy"].value == 150
    assert figures["longest_copy"].beside is not None and figures["longest_copy"].beside < 100


def test_both_sides_are_equally_long(code: TextFolder) -> None:
    for pair in continuations(EvalContext(oracle(code, wrong="x" * 33), code, n=9)):  # type: ignore[arg-type]
        assert len(pair.made) == len(pair.real) == 33
