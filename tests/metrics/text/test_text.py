import math
from pathlib import Path

import pytest

from genai.data.text import TextFolder
from genai.media.text import Document
from genai.metrics.base import EvalContext
from genai.metrics.loss import ValidationLoss
from genai.metrics.text.text import BitsPerByte, LongestCopy, ParseRate, is_python, random_prompts, sample_completions
from genai.modalities.text import Text
from tests.stubs import StubModel

FUNCTION = "def f{0}(x):\n    y = x + {0}\n    return y * {0}\n\n\n"


@pytest.fixture
def code(tmp_path: Path) -> TextFolder:
    for number in range(20):
        (tmp_path / f"{number}.py").write_text("".join(FUNCTION.format(number * 100 + i) for i in range(40)))
    return TextFolder(str(tmp_path), val_fraction=0.2)


def test_uniform_byte_model_has_8_bits_per_byte(code: TextFolder) -> None:
    context = EvalContext(StubModel(Text("bytes", block=16), loss=math.log(256)), code)  # type: ignore[arg-type]
    results = BitsPerByte().compute(context)
    size = sum(len(example.media.encode()) for example in code.val)
    ends = len(code.val)  # predicted, without bytes; the first byte of all has nothing before it
    assert results["bits_per_byte"].value == pytest.approx(8 * (size - 1 + ends) / (size - 1), rel=1e-6)
    assert results["perplexity"].value == pytest.approx(256)
    assert ValidationLoss().compute(context)["val_loss"].value == pytest.approx(math.log(256))


def test_bits_are_independent_of_the_tokenizer(code: TextFolder, tmp_path: Path) -> None:
    """A model with 3 nats per byte has the same bits per byte with tokens of any size."""
    found = []
    for kind, size in (("bytes", None), ("bpe", 300), ("characters", None)):
        modality = Text(kind, size, block=16)  # type: ignore[arg-type]
        modality.fit(code.train, tmp_path / "cache")
        context = EvalContext(StubModel(modality), code)  # type: ignore[arg-type]
        tokens = len(context.val.tokens) - 1  # type: ignore[attr-defined]
        size = sum(len(example.media.encode()) for example in code.val)
        context.__dict__["losses"] = {"loss": 3 * size / tokens}
        found.append(BitsPerByte().compute(context)["bits_per_byte"].value)
    assert found == pytest.approx([3 / math.log(2)] * 3, rel=2e-3)


@pytest.mark.parametrize(
    ("text", "expected"),
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
def test_is_python(text: str, expected: bool) -> None:
    assert is_python(text) is expected


def test_random_prompts_depend_on_the_seed(code: TextFolder) -> None:
    found = random_prompts(code.val, 30, 0)
    assert found == random_prompts(code.val, 30, 0) != random_prompts(code.val, 30, 1)
    assert len(set(found)) == 30
    assert all(prompt.startswith("def f") and rest.startswith("\n    y =") for prompt, rest in found)
    assert len(random_prompts(code.val, 1000, 0)) == 1000


def test_prompts_are_whole_words_of_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a long line whose words go on and on and on for ever\n" * 99)
    assert (
        random_prompts(TextFolder(str(tmp_path / "a.txt")).train, 1, 0)[0][0]
        == "a long line whose words go on and on and"
    )


def text_model(source: TextFolder, wrong: str = "") -> StubModel:
    """Model that writes the real text after a prompt, or ``wrong``."""
    text = "".join(str(example.media) for example in source.val)

    def answer(prompts: list[str]) -> list[Document]:
        return [Document(prompt + (wrong or text.partition(prompt)[2][:100])) for prompt in prompts]

    return StubModel(Text("bytes"), answer)


def test_held_out_text_equals_the_reference(code: TextFolder) -> None:
    context = EvalContext(text_model(code), code, n=20)  # type: ignore[arg-type]
    result = ParseRate().compute(context)["parses"]
    assert result.value == result.reference == 1.0 and result.standard_error == 0
    copies = LongestCopy().compute(context)
    assert copies["longest_copy"].value == copies["longest_copy"].reference
    assert copies["mean_copy"].value == copies["mean_copy"].reference
    assert context.model.num_prompts == 20  # type: ignore[attr-defined]  # drawn once for both


def test_invalid_code_and_copies(code: TextFolder) -> None:
    invalid = EvalContext(text_model(code, wrong="\n)" * 60), code, n=20)  # type: ignore[arg-type]
    result = ParseRate().compute(invalid)["parses"]
    assert result.value == 0 and (result.reference or 0) > 0.5
    copies_of_training = EvalContext(text_model(code, wrong=str(code.train[0].media)[:150]), code, n=20)  # type: ignore[arg-type]
    results = LongestCopy().compute(copies_of_training)
    assert results["longest_copy"].value == results["mean_copy"].value == 150
    assert results["longest_copy"].reference is not None and results["longest_copy"].reference < 100


def test_completions_and_real_text_have_equal_length(code: TextFolder) -> None:
    context = EvalContext(text_model(code, wrong="x" * 33), code, n=9)  # type: ignore[arg-type]
    for completion in sample_completions(context):
        assert len(completion.sample) == len(completion.real) == 33
