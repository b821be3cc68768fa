import html
import pickle
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from genai.core.data import Example, ItemRandom, Split
from genai.core.errors import UserError
from genai.media.text import Document
from genai.modalities.text import Text, TextOptions
from genai.modalities.text_dataset import PackedText
from genai.modalities.text_preview import escape_cell

KINDS = ("bpe", "characters", "bytes")
TRAINING_TEXTS = ["def f(x):\n    return x  # naïve\n" * 3, "été 日本語 🙂 the cat and the dog"]


def split(texts: list[str], name: str = "train") -> Split:
    return Split(name, len(texts), lambda index: Example(Document(texts[index])), f"{name}{texts}")


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Text]:
    texts = {kind: Text(kind, 300 if kind == "bpe" else None, block=4) for kind in KINDS}  # type: ignore[arg-type]
    for text in texts.values():
        text.fit(split(TRAINING_TEXTS), tmp_path_factory.getbasetemp() / "fitted")
    return texts


def stream_tokens(text: Text, tokens: Tensor, sizes: list[int], stop: list[str]) -> tuple[list[str], str, bool]:
    """The pieces of ``tokens`` pushed in parts of those sizes, the result, and whether the decoder asked to end."""
    decoder = text.decoder(None, TextOptions(stop=stop))
    parts, start = [], 0
    for size in [*sizes, len(tokens)]:
        if decoder.done or start >= len(tokens):
            break
        parts.append(str(decoder.push(start, tokens[start : start + size])))
        start += size
    done = decoder.done
    return parts, str(decoder.result()), done


SIZES = st.lists(st.integers(1, 4), max_size=30)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@pytest.mark.parametrize("kind", KINDS)
def test_encode_and_decode_are_inverse_and_never_use_the_end(kind: str, fitted: dict[str, Text]) -> None:
    text = fitted[kind]

    @given(TEXT)
    def check(content: str) -> None:
        tokens = text.encode(Document(content))
        assert tokens.dtype == torch.int64
        assert text.decode(tokens) == content
        assert text.end_token not in tokens.tolist()
        assert not len(tokens) or int(tokens.max()) < text.interface["vocab_size"]

    check()


@pytest.mark.parametrize("kind", KINDS)
def test_a_restored_modality_encodes_the_same(kind: str, fitted: dict[str, Text]) -> None:
    restored = Text(kind, 300 if kind == "bpe" else None, block=4)  # type: ignore[arg-type]
    restored.restore(fitted[kind].state())
    assert restored.interface == fitted[kind].interface
    assert restored.encode(Document("naïve 日 ∑")).equal(fitted[kind].encode(Document("naïve 日 ∑")))


def test_lone_surrogates_are_replaced() -> None:
    assert Text("bytes").decode(Text("bytes").encode("a\udc80")) == "a?"


@pytest.mark.parametrize("tokens", [[], [256], [65, 256, 66], [65, 256, 256]])
def test_decoding_ends_at_the_end_token(tokens: list[int]) -> None:
    assert Text("bytes").decode(torch.tensor(tokens, dtype=torch.int64)) == ("A" if 65 in tokens else "")


# ------------------------------------------------------------ decoding streams


@given(st.lists(st.integers(0, 256), max_size=40), SIZES)
def test_streamed_parts_join_to_the_result(tokens: list[int], sizes: list[int]) -> None:
    text, x = Text("bytes"), torch.tensor(tokens, dtype=torch.int64)
    parts, result, done = stream_tokens(text, x, sizes, [])
    assert result == text.decode(x)
    assert result.startswith("".join(parts))
    assert done == (256 in tokens)


@given(TEXT, SIZES)
def test_incomplete_characters_are_held_back(content: str, sizes: list[int]) -> None:
    text = Text("bytes")
    parts, result, _ = stream_tokens(text, text.encode(content), sizes, [])
    assert "".join(parts) == result == content


def test_a_character_appears_with_its_last_byte() -> None:
    decoder = Text("bytes").decoder(None, TextOptions())
    assert [decoder.push(i, torch.tensor([byte])) for i, byte in enumerate("🙂".encode())] == ["", "", "", "🙂"]


def test_an_incomplete_last_character_is_replaced() -> None:
    decoder = Text("bytes").decoder(None, TextOptions())
    assert decoder.push(0, torch.tensor([65, *"é".encode()[:1]])) == "A"
    assert decoder.result() == "A�"
    assert decoder.result() == "A�"


@given(
    st.text("abc", max_size=20), st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=3), SIZES, SIZES
)
def test_a_sample_ends_at_the_first_complete_stop_string(
    content: str, stop: list[str], sizes: list[int], other_sizes: list[int]
) -> None:
    """However the text is cut into tokens."""
    text = Text("bytes")
    matches = [(at + len(s), at) for s in stop if (at := content.find(s)) >= 0]
    expected = content[: min(matches)[1]] if matches else content
    for cut in (sizes, other_sizes, [1] * 20):
        parts, result, done = stream_tokens(text, text.encode(content), cut, stop)
        assert result == expected
        assert result.startswith("".join(parts))
        assert done == bool(matches)


@pytest.mark.parametrize(
    ("content", "stop", "parts", "result"),
    [
        ("one END two", ["END"], ["one", " ", ""], "one "),
        ("one ENough", ["END"], ["one", " ", "ENoug", "h"], "one ENough"),
        ("one EN", ["END"], ["one", " "], "one EN"),
        ("aaab", ["aab"], ["a", ""], "a"),
        ("ab\n\ncd", ["\n\n"], ["ab", ""], "ab"),
        ("abc", [""], ["abc"], "abc"),
    ],
)
def test_prefixes_of_stop_strings_are_held_back(content: str, stop: list[str], parts: list[str], result: str) -> None:
    text = Text("bytes")
    assert stream_tokens(text, text.encode(content), [3] * 9, stop)[:2] == (parts, result)


def test_stop_strings_in_the_prompt_are_ignored() -> None:
    text = Text("bytes")
    decoder = text.decoder(text.encode("Q: stop "), TextOptions(stop=["stop"]))
    assert decoder.initial == "Q: stop "
    assert decoder.push(0, text.encode("go stop on")) == "go "
    assert decoder.done
    assert decoder.push(10, text.encode("more")) == ""
    assert decoder.result() == "Q: stop go "


def test_the_end_token_releases_pending_text() -> None:
    decoder = Text("bytes").decoder(None, TextOptions(stop=["END"]))
    assert decoder.push(0, torch.tensor([*b"xEN"])) == "x"
    assert decoder.push(3, torch.tensor([256, 65])) == "EN"
    assert decoder.done
    assert decoder.result() == "xEN"


# ------------------------------------------------------------ packing


@pytest.fixture
def bytes4() -> Text:
    return Text("bytes", block=4)


@pytest.mark.parametrize("characters", [1, 3, 4, 5, 7, 8, 9, 30])
def test_validation_targets_cover_each_token_once(bytes4: Text, tmp_path: Path, characters: int) -> None:
    content = "abcdefghijklmnopqrstuvwxyzABCD"[:characters]
    packed = bytes4.pack(split([content], "val"), tmp_path)
    batch = packed.batch(range(len(packed)), None)
    targets = batch.x[:, 1:]
    valid = torch.ones_like(targets, dtype=torch.bool) if batch.valid is None else batch.valid
    assert targets[valid].tolist() == [*content.encode()[1:], bytes4.end_token]
    assert batch.x[:, :-1][valid].tolist() == [*content.encode()]
    assert (batch.valid is None) == (characters % 4 == 0)


def test_documents_are_separated_by_the_end_token(bytes4: Text, tmp_path: Path) -> None:
    packed = bytes4.pack(split(["ab", "", "cde"]), tmp_path)
    assert packed.tokens.tolist() == [97, 98, 256, 256, 99, 100, 101, 256]


def test_training_windows_are_whole_and_reach_every_token(bytes4: Text, tmp_path: Path) -> None:
    packed = bytes4.pack(split(["abcdefghijklmnopq"]), tmp_path)
    indices = [index for index in range(len(packed)) for _ in range(20)]
    batch = packed.batch(indices, ItemRandom(0, range(len(indices)), indices))
    assert batch.valid is None
    assert (batch.x[:, 1:-1] == batch.x[:, :-2] + 1).all()
    assert set(batch.x[:, 1:].flatten().tolist()) == {*b"bcdefghijklmnopq", 256}


def test_packed_text_is_pickled_by_path(bytes4: Text, tmp_path: Path) -> None:
    packed = bytes4.pack(split(["abcdefgh" * 1000]), tmp_path)
    pickled = pickle.dumps(packed)
    assert len(pickled) < 1000
    restored: PackedText = pickle.loads(pickled)
    assert restored.batch([0, 3], None).x.equal(packed.batch([0, 3], None).x)


def test_packing_is_cached_by_content_and_tokenizer(bytes4: Text, tmp_path: Path) -> None:
    first = bytes4.pack(split(["abcdefgh"]), tmp_path)
    assert bytes4.pack(split(["abcdefgh"]), tmp_path).path == first.path
    assert bytes4.pack(split(["abcdefgH"]), tmp_path).path != first.path
    characters = Text("characters", block=4)
    characters.fit(split(["abcdefgh"]), tmp_path)
    assert characters.pack(split(["abcdefgh"]), tmp_path).path != first.path
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("kind", ["bpe", "characters"])
def test_a_second_fit_uses_the_cache(kind: str, tmp_path: Path) -> None:
    first, second = (Text(kind, 260 if kind == "bpe" else None) for _ in range(2))  # type: ignore[arg-type]
    first.fit(split(TRAINING_TEXTS), tmp_path)
    second.fit(split(TRAINING_TEXTS), tmp_path)
    assert first.state() == second.state()


@pytest.mark.parametrize(("characters", "fits"), [(3, 2), (15, 4), (39, 10)])
def test_a_too_short_corpus_suggests_a_block_size(tmp_path: Path, characters: int, fits: int) -> None:
    texts = ["x" * characters]
    with pytest.raises(UserError, match=rf"{characters + 1} tokens.*block of 40 .*modality\.block={fits}\."):
        Text("bytes", block=40).pack(split(texts), tmp_path)
    assert len(Text("bytes", block=40).pack(split(texts, "val"), tmp_path)) == 1
    assert len(Text("bytes", block=fits).pack(split(texts), tmp_path)) >= 1
    assert len(Text("bytes", block=characters).pack(split(texts), tmp_path)) == 1


def test_vocab_size_is_only_for_bpe() -> None:
    with pytest.raises(ValueError, match="vocab_size belongs to tokenizer=bpe"):
        Text("bytes", 300)


# ------------------------------------------------------------ requests, files, views


def test_a_request_continues_init_and_prompt_or_the_end_token(bytes4: Text) -> None:
    request = bytes4.request(["x", ""], [3, 4], Document("ab"), TextOptions(length=7))
    assert [tokens.tolist() for tokens in request.init or []] == [[97, 98, 120], [97, 98]]
    assert (request.seeds, request.size, request.end_tokens) == ([3, 4], (7,), (256,))
    empty = bytes4.request([""], [0], None, TextOptions()).init or []
    assert [tokens.tolist() for tokens in empty] == [[256]]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9])
def test_preview_prompts_come_from_different_documents(count: int, bytes4: Text) -> None:
    prompts = bytes4.preview().prompts(
        split([f"\n{number} begins\nhere and goes on and on, and on" for number in range(count)])
    )
    assert len(prompts) == min(4, count)
    assert all(re.fullmatch(r"\d begins here", prompt) for prompt in prompts)


def test_preview_prompts_of_short_documents_leave_something_to_generate(bytes4: Text) -> None:
    assert bytes4.preview().prompts(split(["annabella", "bo", "c"])) == ["ann", "b", "c"]


def test_blank_text_gives_an_empty_preview_prompt(bytes4: Text) -> None:
    assert bytes4.preview().prompts(split([" \n "])) == [""]


@pytest.mark.parametrize(
    "content",
    [
        "é🙂\n".encode(),
        b"\xef\xbb\xbf" + "é🙂\n".encode(),
        "é🙂\n".encode("utf-16"),
        b"\xfe\xff" + "é🙂\n".encode("utf-16-be"),
        "é🙂\n".encode("utf-32"),
    ],
    ids=["utf-8", "utf-8-bom", "utf-16-le", "utf-16-be", "utf-32"],
)
def test_byte_order_marks_are_interpreted_and_removed(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(content)
    assert Document.read(tmp_path / "x.txt") == "é🙂\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("naïve".encode("latin-1"), r"x\.txt is not UTF-8 text \(byte 2 is 0xef\)"),
        ("ab".encode("utf-16") + b"c", r"x\.txt is not"),
        ("ab".encode("utf-32") + b"c", r"x\.txt is not"),
        (b"\x89PNG\r\n", r"byte 0 is 0x89"),
    ],
)
def test_other_encodings_are_rejected_with_the_file_name(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(content)
    with pytest.raises(UserError, match=says):
        Document.read(tmp_path / "x.txt")


@pytest.mark.parametrize("name", ["absent.txt", "."])
def test_an_unreadable_file_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=re.escape(str(tmp_path / name))):
        Document.read(tmp_path / name)


def test_a_document_is_written_as_utf8_and_escaped_in_html() -> None:
    document = Document("é <b>\udc80")
    assert document.to_bytes() == "é <b>?".encode()
    assert "&lt;b&gt;" in document._repr_html_()
    assert document.on_terminal == "é <b>?"


@given(st.text(st.sampled_from("\\`*_{}[]()<>#+-.!|~&: ab/\n\"'="), max_size=20))
def test_tensorboard_shows_a_cell_verbatim(content: str) -> None:
    """Markdown, tables and HTML have no meaning inside it; leading and trailing blanks do not matter."""
    from tensorboard.plugin_util import markdown_to_safe_html

    page = markdown_to_safe_html(f"| prompt | sample |\n|---|---|\n| p | {escape_cell(content)} |")
    cell = re.search(r"<td>p</td>\s*<td>(.*?)</td>\s*</tr>", page, re.S)
    assert cell, page
    visible = html.unescape(cell[1].replace("<br>", "\n")).replace("\xa0", " ")
    assert visible.strip() == content.strip()


def test_indentation_is_kept_in_a_cell() -> None:
    assert escape_cell("if x:\n    y") == "if x:<br>&nbsp; &nbsp; y"
    assert escape_cell("") == " "


def test_notes_about_escapes_and_a_line_break_at_the_end_of_init() -> None:
    text = Text(tokenizer="bytes")
    assert text.prompt_notes(["a\nb", "c"]) == text.request_notes(Document("a"), TextOptions(stop=["\n"])) == []
    (note,) = text.prompt_notes([r"\n"])
    assert note == r"""prompt= has the two characters \n; a line break is prompt=$'\n' or prompt='["\n"]'"""
    (note,) = text.request_notes(None, TextOptions(stop=[r"a\tb"]))
    assert note.startswith(r"stop= has the two characters \t; a tab is stop=$'\t'")
    assert text.request_notes(Document("a\n"), TextOptions())[0].startswith("init= ends with a line break")


def test_a_prompt_that_is_longer_than_the_context_is_said() -> None:
    text = Text("bytes", None, 8)
    assert text.prompt_notes(["1234567"]) == []
    (note,) = text.prompt_notes(["short", "a longer prompt"])
    assert note.startswith("a prompt of 15 tokens is longer than the context of 8")
