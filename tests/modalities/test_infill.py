"""Infill: parts in another order in training, and gaps that are filled between two texts."""

import pickle
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import genai
from genai.core.data import Example, ItemRandom, Split
from genai.core.errors import UserError
from genai.core.loader import TrainBatches
from genai.inference.model import Model
from genai.media.text import Document
from genai.methods.autoregressive import Autoregressive
from genai.modalities.infill import InfillMarks, InfillWindows, find_marks, infill_context
from genai.modalities.text import Text, TextOptions
from genai.modalities.text_dataset import PackedText
from genai.networks.gpt import GPT

KINDS = ("bpe", "characters", "bytes")
TRAINING_TEXTS = ["def f(x):\n    return x  # naïve\n" * 9, "été 日本語 🙂 the cat and the dog"]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def split(texts: list[str], name: str = "train") -> Split:
    return Split(name, len(texts), lambda index: Example(Document(texts[index])), f"{name}{texts}")


def fitted_text(kind: str, cache: Path, infill: float = 0.5, block: int = 16) -> Text:
    text = Text(kind, 300 if kind == "bpe" else None, block, 3, infill)  # type: ignore[arg-type]
    text.fit(split(TRAINING_TEXTS), cache)
    return text


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Text]:
    return {kind: fitted_text(kind, tmp_path_factory.getbasetemp() / "fitted") for kind in KINDS}


def infill_windows(text: Text, rate: float = 1.0) -> InfillWindows:
    assert text.infill_marks
    return InfillWindows(text.tokenizer, text.end_token, text.infill_marks, rate)


def parts_of(text: Text, tokens: list[int]) -> tuple[str, str, list[int]]:
    """Prefix and middle, suffix, and the tokens from the end of the middle on."""
    marks = text.infill_marks
    assert marks and tokens[:2] == [marks.prefix, marks.suffix]
    middle = tokens.index(marks.middle)
    end = tokens.index(text.end_token, middle) if text.end_token in tokens[middle:] else len(tokens)
    content, suffix = (
        str(text.decode(torch.tensor(ids, dtype=torch.long))) for ids in (tokens[middle + 1 : end], tokens[2:middle])
    )
    return content, suffix, tokens[end:]


# ---------------------------------------------------------------------------------------------------------- windows


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_document_keeps_its_characters(kind: str, fitted: dict[str, Text]) -> None:
    """The cuts are between any two characters, the order is suffix, prefix, middle, and the end follows."""
    text = fitted[kind]
    windows = infill_windows(text)

    @given(TEXT.filter(bool), st.floats(0, 0.999), st.floats(0, 0.999))
    def check(content: str, first: float, second: float) -> None:
        document = [*text.encode(content).tolist(), text.end_token]
        after = text.encode("the dog " * 9).tolist()  # the next document is cut instead
        window, uniforms = np.array(document + after), np.array([0, 0, first, second, 0, 0, 1, 0, 0, 0, 0, 0])
        tokens, is_target = windows.reorder(window, uniforms)
        beginning, suffix, rest = parts_of(text, tokens.tolist())
        cuts = sorted(int(cut * (len(content) + 1)) for cut in (first, second))
        assert (beginning, suffix) == (content[: cuts[1]], content[cuts[1] :])
        prefix = tokens[len(text.encode(suffix)) + 3 :][: len(text.encode(content[: cuts[0]]))]
        assert text.decode(torch.from_numpy(prefix)) == content[: cuts[0]]  # no token is on both sides
        assert rest == [text.end_token, *after][: len(rest)] and len(tokens) == len(window)
        assert is_target.tolist() == [token not in (text.infill_marks or ()) for token in tokens.tolist()]

    check()


@pytest.mark.parametrize("kind", KINDS)
def test_a_window_inside_a_document_becomes_two_texts(kind: str, fitted: dict[str, Text]) -> None:
    """Their lengths vary; together they are the text of the window, except for its outer ends."""
    text = fitted[kind]
    windows = infill_windows(text)
    corpus = text.encode(" ".join(TRAINING_TEXTS)).numpy()

    @given(st.integers(0, len(corpus) - 40), st.lists(st.floats(0, 0.999), min_size=5, max_size=5))
    def check(start: int, places: list[float]) -> None:
        window = corpus[start : start + 40]
        content = text.decode_bytes(torch.from_numpy(window)).decode("utf-8", "ignore")
        tokens, is_target = windows.reorder(window, np.array([0, *places]))
        assert len(tokens) == len(is_target) == 40
        rest, found, position = tokens.tolist(), 0, 0
        while rest and rest[0] == windows.marks.prefix:
            beginning, suffix, rest = parts_of(text, rest)
            position = content.index((beginning + suffix).strip("\ufffd"), position)
            rest, found = rest[1:], found + 1
        padding = is_target[40 - len(rest) :]
        assert (0 < found <= 2 and not padding.any()) or tokens.tolist() == window.tolist()

    check()


def test_each_part_of_a_window_is_a_text_of_its_own() -> None:
    text = Text("bytes", reserved=3, infill=1.0)
    marks, end = text.infill_marks, text.end_token
    assert marks == InfillMarks(257, 258, 259)
    window = np.array([*b"ab", end, *b"cd", end, *b"efghijklm"])
    uniforms = np.array([[0, 0, 0.4, 0.4, 0, 0], [0, 0, 0.9, 0, 0, 0], [1, 0, 0, 0, 0, 0]])
    tokens, is_target = infill_windows(text).reorder(window, uniforms)
    first = [257, 258, *b"b", 259, *b"a", end]
    second = [257, 258, 259, *b"cd", end]
    assert tokens.tolist() == [*first, *second, *b"efg"]
    assert (~is_target).sum() == 6
    unchanged, is_target = infill_windows(text, 0.5).reorder(window, np.full(18, 0.5))
    assert unchanged.tolist() == window.tolist() and is_target.all()


def test_what_does_not_fit_is_left_out() -> None:
    """First the end of the suffix, then the beginning of the prefix, then the text."""
    text = Text("bytes", reserved=3, infill=1.0)

    def reordered(window: bytes, place: float, *cuts: float) -> list[int]:
        tokens, is_target = infill_windows(text).reorder(np.array([*window]), np.array([0, place, *cuts]))
        size = len(is_target) - is_target[::-1].tolist().index(True)
        assert tokens[size:].tolist() == [256] * (len(tokens) - size)
        return tokens.tolist()[:size]

    assert reordered(b"abcdefghij", 0, 0, 0, 0.2, 0.4) == [257, 258, *b"ef", 259, *b"abcd", 256]
    assert reordered(b"abcdefghij", 0, 0, 0, 0.5, 0.9) == [257, 258, 259, *b"defghi", 256]
    assert reordered(b"abcdefghij", 0, 0, 0, 0, 0.9) == [*b"abcdefghij"]
    assert reordered(b"abcdefghij", 0.2, 0.4, 0.4, 0, 0.2) == [257, 258, *b"b", 259, *b"a", 256]
    assert len(reordered(b"abcdefghij", 0.2, 0.4, 0.4, 0.2, 0.2)) == 6


def test_incomplete_characters_at_the_ends_are_left_out() -> None:
    text = Text("bytes", reserved=3, infill=1.0)
    window = np.array([*"é".encode()[1:], *"日".encode()[1:], *"日".encode()[1:], *b"ab", *"日".encode()[:2]])
    tokens, is_target = infill_windows(text).reorder(window, np.array([0, 0, 0, 0, 0.5, 0.5]))
    assert parts_of(text, tokens.tolist())[:2] == ("a", "b")
    assert tokens.tolist()[5:] == [256] * 4
    assert is_target.tolist() == [False, False, True, False, True, True, False, False, False]


# ---------------------------------------------------------------------------------------------------------- batches


def packed_text(cache: Path, infill: float) -> PackedText:
    text = fitted_text("bpe", cache, infill)
    return text.pack(split(TRAINING_TEXTS * 9), cache)


def test_without_infill_nothing_changes(tmp_path: Path) -> None:
    plain, mixed = packed_text(tmp_path, 0.0), packed_text(tmp_path, 0.5)
    text = Text("bytes", reserved=16)
    assert text.state() == {"kind": "bytes", "vocab_size": 2048} and text.infill_marks is None
    assert plain.path == mixed.path  # the same tokens, cached once
    assert text.interface == Text("bytes", reserved=16, infill=0.5).interface
    random = ItemRandom(0, [0] * 30, range(30))
    batch, mixed_batch = plain.batch(range(30), random), mixed.batch(range(30), random)
    assert batch.valid is None and int(batch.x.max()) <= 300
    is_same = (batch.x == mixed_batch.x).all(1)
    assert 8 <= int(is_same.sum()) <= 22  # the same windows, about half of them in another order
    assert mixed.batch(range(30), None).x.equal(plain.batch(range(30), None).x)  # validation reads from left to right


def test_batches_depend_on_seed_and_step_alone(tmp_path: Path) -> None:
    packed = packed_text(tmp_path, 0.5)
    steps = TrainBatches(packed, 4, seed=3)
    again = TrainBatches(pickle.loads(pickle.dumps(packed)), 4, seed=3)
    for step in range(5):
        assert steps[step].x.equal(again[step].x)
    assert not steps[0].x.equal(TrainBatches(packed, 4, seed=4)[0].x)
    alone = packed.batch([7], ItemRandom(0, [2], [7]))
    assert packed.batch(range(30), ItemRandom(0, [2] * 30, range(30))).x[7].equal(alone.x[0])


def test_marks_are_no_targets_but_the_end_of_the_middle_is(tmp_path: Path) -> None:
    batch = packed_text(tmp_path, 1.0).batch(range(8), ItemRandom(0, [0] * 8, range(8)))
    assert batch.valid is not None
    targets = batch.x[:, 1:]
    assert not batch.valid[targets > 300].any() and batch.valid[targets < 300].all()
    assert (targets[batch.valid] == 300).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reserved": 2}, "infill=0.5 needs 3 reserved tokens for its marks: set modality.reserved=3 or more"),
        ({"reserved": 3, "block": 7}, "infill=0.5 needs a context of 8 tokens"),
    ],
)
def test_settings_without_room_are_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Text("bytes", infill=0.5, **arguments)


def test_other_marks_are_refused() -> None:
    text = Text("bytes", reserved=4, infill=0.5)
    assert text.state()["infill_marks"] == [257, 258, 259]
    text.restore(Text("bytes", reserved=4, infill=0.1).state())
    text.restore(Text("bytes", reserved=4).state())  # a model that learns it now
    for marks in ([258, 259, 260], "marks", 5, []):
        with pytest.raises(ValueError, match=r"its infill_marks are .*, not \[257, 258, 259\]"):
            text.restore({**text.state(), "infill_marks": marks})


# --------------------------------------------------------------------------------------------------------- sampling


def test_the_context_keeps_the_marks_and_room_for_the_middle() -> None:
    marks, ids = InfillMarks(90, 91, 92), torch.arange(50)
    begin = ids[:0]

    def laid_out(num_prefix: int, num_suffix: int, length: int = 256, suffix_first: bool = True) -> tuple[Any, int]:
        context = infill_context(begin, ids[:num_prefix], ids[:num_suffix], marks, 16, length, suffix_first)
        return context.tokens.tolist(), context.max_middle

    assert laid_out(2, 3) == ([90, 91, 0, 1, 2, 92, 0, 1], 8)
    assert laid_out(2, 3, suffix_first=False) == ([90, 0, 1, 91, 0, 1, 2, 92], 8)
    assert laid_out(2, 3, length=5)[1] == 5
    assert laid_out(50, 50) == ([90, 91, 0, 1, 2, 3, 92, 45, 46, 47, 48, 49], 4)
    assert laid_out(50, 2)[0] == [90, 91, 0, 1, 92, *range(43, 50)]
    assert laid_out(1, 50)[0] == [90, 91, *range(8), 92, 0]
    assert laid_out(0, 0) == ([90, 91, 92], 13)


def filled(text: Text, prompt: str, middle: list[int], options: TextOptions, size: int = 1) -> tuple[list[str], str]:
    """The streamed parts and the result if the model writes ``middle``, ``size`` tokens at a time."""
    request = text.request([prompt], [0], None, options)
    assert request.prefix is not None
    decoder = text.decoder(request.prefix[0], options)
    assert decoder.initial == prompt
    parts = []
    for start in range(0, len(middle), size):
        if not decoder.done:
            parts.append(str(decoder.push(start, torch.tensor(middle[start : start + size]))))
    return parts, str(decoder.result())


@pytest.mark.parametrize("size", [1, 2, 100])
def test_the_suffix_follows_the_middle(size: int) -> None:
    text, end = Text("bytes", block=64, reserved=3, infill=0.5), 256
    for middle, options, expected in (
        ([*b"wxy", end, *b"z"], TextOptions(suffix=[");"]), "f(wxy);"),
        ([*"é".encode(), end], TextOptions(suffix=["\n"]), "f(é\n"),
        ([*b"wx, yz"], TextOptions(suffix=[")"], stop=[", "]), "f(wx)"),
        ([*b"wxyz"], TextOptions(suffix=[")"], length=3), "f(wxy)"),
        ([*b"wx,"], TextOptions(suffix=[")"], length=3, stop=[",,"]), "f(wx,)"),
        ([*b"w" * 100], TextOptions(suffix=[")"]), f"f({'w' * (64 - 6)})"),  # no room in the context
        ([*b"wx", 258, *b"y"], TextOptions(suffix=[")"]), "f(wx)"),
        ([end], TextOptions(suffix=[""]), "f("),
        ([*b"w", end], TextOptions(suffix=["\udc80"]), "f(w?"),
    ):
        parts, result = filled(text, "f(", middle, options, size)
        assert result == expected
        assert f"f({''.join(parts)}" == expected  # people see the suffix at once


def test_requests_have_the_marks_and_are_never_answered_with_them() -> None:
    text = Text("bytes", block=64, reserved=3, infill=0.5)
    request = text.request(["ab", ""], [0, 1], Document("c"), TextOptions(suffix=["d"]))
    assert [tokens.tolist() for tokens in request.init or []] == [
        [257, 258, *b"d", 259, *b"cab"],
        [257, 258, *b"d", 259, *b"c"],
    ]
    assert request.num_classes == 257 and request.end_tokens == (256,)


def test_what_cannot_be_filled_is_refused() -> None:
    with pytest.raises(UserError, match=r"suffix=: this model was not trained to fill gaps.*modality\.infill=0\.5"):
        Text("bytes", reserved=3).request(["a"], [0], None, TextOptions(suffix=["b"]))
    with pytest.raises(UserError, match="suffix= is one text for all prompts, not 2"):
        Text("bytes", reserved=3, infill=0.5).request(["a"], [0], None, TextOptions(suffix=["b", "c"]))


def test_long_texts_are_noted() -> None:
    text = Text("bytes", block=64, reserved=3, infill=0.5)
    assert text.prompt_notes(["a" * 20], TextOptions(suffix=["b" * 20])) == []
    assert text.prompt_notes([], TextOptions(suffix=["b"])) == []
    (note,) = text.prompt_notes(["a", "a" * 100], TextOptions(suffix=["b" * 20]))
    assert note == (
        "prompt and suffix= have 120 tokens, too many for the context of 64: the model reads the last 25 of the prompt "
        "and the first 20 of the suffix"
    )
    assert text.request_notes(None, TextOptions(suffix=[r"\n"]))[0].startswith("suffix= has the two characters \\n")


def test_known_marks() -> None:
    names = ["<fim_prefix>", "<fim_middle>", "<fim_suffix>"]
    assert find_marks({name: index for index, name in enumerate(names)}) == InfillMarks(0, 2, 1)
    assert find_marks({"<fim_prefix>": 1, "<|fim_suffix|>": 2, "<|fim_middle|>": 3}) is None


# ------------------------------------------------------------------------------------------------------- whole runs


def test_a_small_model_learns_to_fill(tmp_path: Path) -> None:
    """The text is the alphabet again and again, so the suffix alone says where the middle ends."""
    alphabet, num_steps = "abcdefghijkl", 200
    text = Text("characters", None, 16, 3, 1.0)
    text.fit(split([alphabet * 400]), tmp_path)
    batches = TrainBatches(text.pack(split([alphabet * 400]), tmp_path), 16, seed=0)
    torch.manual_seed(0)
    method = Autoregressive(GPT(**text.interface, layers=2, heads=2, width=32, ngrams=2, ngram_rows=512))
    optimizer = torch.optim.AdamW(method.parameters(), 1e-2)
    for step in range(num_steps):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / num_steps)
        optimizer.zero_grad()
        method.loss(batches[step])["loss"].backward()
        optimizer.step()
    model = Model(text, method)
    places = [(first, first + size) for first in range(4) for size in range(3, 7)]
    samples = [
        model.sample(alphabet[i : i + 2], suffix=alphabet[j : j + 2], temperature=0.0, length=12)[0] for i, j in places
    ]
    right = [sample == alphabet[i : j + 2] for sample, (i, j) in zip(samples, places, strict=True)]
    assert sum(right) >= 0.6 * len(right), samples  # an end at random would be right once in 12 times


def test_a_recipe_repeats_the_suffix(
    trained: Callable[[str], Path], inside: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    words = [f"ckpt={trained('infill')}", "prompt=the cat ", 'suffix=["\\nthe dog"]', "length=5", "n=2"]
    done = inside("sample", *words, "out=a", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    content = (tmp_path / "a" / "001.txt").read_text()
    assert content.startswith("the cat ") and content.endswith("\nthe dog") and len(content) <= 8 + 5 + 8
    assert done.stdout.count("the cat ") == done.stdout.count("\nthe dog\n") == 2  # each is shown whole
    assert inside("sample", "from=a/001.json", "out=b", cwd=tmp_path).returncode == 0
    assert (tmp_path / "b" / "001.txt").read_text() == content
    model: Any = genai.load(trained("infill"))
    assert model.sample("the cat ", suffix="\nthe dog", length=5, seed=1) == [content]


def test_other_models_refuse_a_suffix(
    trained: Callable[[str], Path], inside: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    done = inside("sample", f"ckpt={trained('text')}", "suffix=a", "out=a", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.splitlines()[-1].startswith(
        "error: suffix=: this model was not trained"
    )
    assert not (tmp_path / "a").exists()
