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
from genai.modalities.text import PackedText, Text, TextOptions, _cell

KINDS = ("bpe", "characters", "bytes")
LEARNT = ["def f(x):\n    return x  # naïve\n" * 3, "été 日本語 🙂 the cat and the dog"]


def split(texts: list[str], name: str = "train") -> Split:
    return Split(name, len(texts), lambda index: Example(Document(texts[index])), f"{name}{texts}")


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Text]:
    texts = {kind: Text(kind, 300 if kind == "bpe" else None, block=4) for kind in KINDS}  # type: ignore[arg-type]
    for text in texts.values():
        text.fit(split(LEARNT), tmp_path_factory.getbasetemp() / "fitted")
    return texts


def streamed(text: Text, tokens: Tensor, sizes: list[int], stop: list[str]) -> tuple[list[str], str, bool]:
    """The pieces of ``tokens`` pushed in parts of those sizes, the result, and whether the decoder asked to end."""
    decoder = text.decoder(None, TextOptions(stop=stop))
    pieces, start = [], 0
    for size in [*sizes, len(tokens)]:
        if decoder.done or start >= len(tokens):
            break
        pieces.append(str(decoder.push(start, tokens[start : start + size])))
        start += size
    done = decoder.done
    return pieces, str(decoder.result()), done


SIZES = st.lists(st.integers(1, 4), max_size=30)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@pytest.mark.parametrize("kind", KINDS)
def test_encode_and_decode_are_inverse_and_never_use_the_end(kind: str, fitted: dict[str, Text]) -> None:
    text = fitted[kind]

    @given(TEXT)
    def holds(content: str) -> None:
        tokens = text.encode(Document(content))
        assert tokens.dtype == torch.int64
        assert text.decode(tokens) == content
        assert text.end not in tokens.tolist()
        assert not len(tokens) or int(tokens.max()) < text.interface["vocab_size"]

    holds()


@pytest.mark.parametrize("kind", KINDS)
def test_restored_modality_encodes_alike(kind: str, fitted: dict[str, Text]) -> None:
    again = Text(kind, 300 if kind == "bpe" else None, block=4)  # type: ignore[arg-type]
    again.restore(fitted[kind].state())
    assert again.interface == fitted[kind].interface
    assert again.encode(Document("naïve 日 ∑")).equal(fitted[kind].encode(Document("naïve 日 ∑")))


def test_half_a_surrogate_pair_does_not_break_a_prompt() -> None:
    assert Text("bytes").decode(Text("bytes").encode("a\udc80")) == "a?"


@pytest.mark.parametrize("tokens", [[], [256], [65, 256, 66], [65, 256, 256]])
def test_decoding_ends_at_the_end_token(tokens: list[int]) -> None:
    assert Text("bytes").decode(torch.tensor(tokens, dtype=torch.int64)) == ("A" if 65 in tokens else "")


# ------------------------------------------------------------ decoding streams


@given(st.lists(st.integers(0, 256), max_size=40), SIZES)
def test_pieces_of_any_tokens_join_to_their_whole(tokens: list[int], sizes: list[int]) -> None:
    text, x = Text("bytes"), torch.tensor(tokens, dtype=torch.int64)
    pieces, result, done = streamed(text, x, sizes, [])
    assert result == text.decode(x)
    assert result.startswith("".join(pieces))
    assert done == (256 in tokens)


@given(TEXT, SIZES)
def test_half_a_character_is_never_emitted(content: str, sizes: list[int]) -> None:
    text = Text("bytes")
    pieces, result, _ = streamed(text, text.encode(content), sizes, [])
    assert "".join(pieces) == result == content


def test_a_character_appears_with_its_last_byte() -> None:
    decoder = Text("bytes").decoder(None, TextOptions())
    assert [decoder.push(i, torch.tensor([byte])) for i, byte in enumerate("🙂".encode())] == ["", "", "", "🙂"]


def test_half_a_character_at_the_end_is_marked() -> None:
    decoder = Text("bytes").decoder(None, TextOptions())
    assert decoder.push(0, torch.tensor([65, *"é".encode()[:1]])) == "A"
    assert decoder.result() == "A�"
    assert decoder.result() == "A�"


@given(
    st.text("abc", max_size=20), st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=3), SIZES, SIZES
)
def test_stop_texts_end_at_the_first_that_is_complete(
    content: str, stop: list[str], sizes: list[int], others: list[int]
) -> None:
    """However the text is cut into tokens."""
    text = Text("bytes")
    found = [(at + len(s), at) for s in stop if (at := content.find(s)) >= 0]
    wanted = content[: min(found)[1]] if found else content
    for cut in (sizes, others, [1] * 20):
        pieces, result, done = streamed(text, text.encode(content), cut, stop)
        assert result == wanted
        assert result.startswith("".join(pieces))
        assert done == bool(found)


@pytest.mark.parametrize(
    ("content", "stop", "pieces", "result"),
    [
        ("one END two", ["END"], ["one", " ", ""], "one "),
        ("one ENough", ["END"], ["one", " ", "ENoug", "h"], "one ENough"),
        ("one EN", ["END"], ["one", " "], "one EN"),
        ("aaab", ["aab"], ["a", ""], "a"),
        ("ab\n\ncd", ["\n\n"], ["ab", ""], "ab"),
        ("abc", [""], ["abc"], "abc"),
    ],
)
def test_a_beginning_of_a_stop_text_is_held_back(content: str, stop: list[str], pieces: list[str], result: str) -> None:
    text = Text("bytes")
    assert streamed(text, text.encode(content), [3] * 9, stop)[:2] == (pieces, result)


def test_a_prompt_is_part_of_the_result_and_does_not_stop() -> None:
    text = Text("bytes")
    decoder = text.decoder(text.encode("Q: stop "), TextOptions(stop=["stop"]))
    assert decoder.given == "Q: stop "
    assert decoder.push(0, text.encode("go stop on")) == "go "
    assert decoder.done
    assert decoder.push(10, text.encode("more")) == ""
    assert decoder.result() == "Q: stop go "


def test_the_end_token_lets_out_what_was_held() -> None:
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
def test_every_held_out_token_is_a_target_once(bytes4: Text, tmp_path: Path, characters: int) -> None:
    content = "abcdefghijklmnopqrstuvwxyzABCD"[:characters]
    packed = bytes4.pack(split([content], "val"), tmp_path)
    batch = packed.batch(range(len(packed)), None)
    targets = batch.x[:, 1:]
    valid = torch.ones_like(targets, dtype=torch.bool) if batch.valid is None else batch.valid
    assert targets[valid].tolist() == [*content.encode()[1:], bytes4.end]
    assert batch.x[:, :-1][valid].tolist() == [*content.encode()]
    assert (batch.valid is None) == (characters % 4 == 0)


def test_documents_are_kept_apart_by_the_end_token(bytes4: Text, tmp_path: Path) -> None:
    packed = bytes4.pack(split(["ab", "", "cde"]), tmp_path)
    assert packed.tokens.tolist() == [97, 98, 256, 256, 99, 100, 101, 256]


def test_training_windows_are_whole_and_reach_every_token(bytes4: Text, tmp_path: Path) -> None:
    packed = bytes4.pack(split(["abcdefghijklmnopq"]), tmp_path)
    indices = [index for index in range(len(packed)) for _ in range(20)]
    batch = packed.batch(indices, ItemRandom(0, range(len(indices)), indices))
    assert batch.valid is None
    assert (batch.x[:, 1:-1] == batch.x[:, :-2] + 1).all()
    assert set(batch.x[:, 1:].flatten().tolist()) == {*b"bcdefghijklmnopq", 256}


def test_packed_text_travels_to_another_process_by_its_path(bytes4: Text, tmp_path: Path) -> None:
    packed = bytes4.pack(split(["abcdefgh" * 1000]), tmp_path)
    pickled = pickle.dumps(packed)
    assert len(pickled) < 1000
    again: PackedText = pickle.loads(pickled)
    assert again.batch([0, 3], None).x.equal(packed.batch([0, 3], None).x)


def test_packing_is_cached_by_content_and_tokenizer(bytes4: Text, tmp_path: Path) -> None:
    first = bytes4.pack(split(["abcdefgh"]), tmp_path)
    assert bytes4.pack(split(["abcdefgh"]), tmp_path).path == first.path
    assert bytes4.pack(split(["abcdefgH"]), tmp_path).path != first.path
    characters = Text("characters", block=4)
    characters.fit(split(["abcdefgh"]), tmp_path)
    assert characters.pack(split(["abcdefgh"]), tmp_path).path != first.path
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("kind", ["bpe", "characters"])
def test_a_second_fit_reads_what_the_first_learnt(kind: str, tmp_path: Path) -> None:
    first, second = (Text(kind, 260 if kind == "bpe" else None) for _ in range(2))  # type: ignore[arg-type]
    first.fit(split(LEARNT), tmp_path)
    second.fit(split(LEARNT), tmp_path)
    assert first.state() == second.state()


@pytest.mark.parametrize(("characters", "fits"), [(3, 2), (15, 4), (39, 10)])
def test_a_corpus_shorter_than_a_block_says_what_would_fit(tmp_path: Path, characters: int, fits: int) -> None:
    texts = ["x" * characters]
    with pytest.raises(UserError, match=rf"{characters + 1} tokens.*block of 40 .*modality\.block={fits}\."):
        Text("bytes", block=40).pack(split(texts), tmp_path)
    assert len(Text("bytes", block=40).pack(split(texts, "val"), tmp_path)) == 1
    assert len(Text("bytes", block=fits).pack(split(texts), tmp_path)) >= 1
    assert len(Text("bytes", block=characters).pack(split(texts), tmp_path)) == 1


def test_a_vocabulary_size_is_for_bpe_alone() -> None:
    with pytest.raises(ValueError, match="vocab_size belongs to tokenizer=bpe"):
        Text("bytes", 300)


# ------------------------------------------------------------ requests, files, views


def test_a_request_begins_with_init_then_prompt_and_never_with_nothing(bytes4: Text) -> None:
    request = bytes4.request(["x", ""], [3, 4], Document("ab"), TextOptions(length=7))
    assert [tokens.tolist() for tokens in request.init or []] == [[97, 98, 120], [97, 98]]
    assert (request.seeds, request.size, request.end) == ([3, 4], (7,), 256)
    empty = bytes4.request([""], [0], None, TextOptions()).init or []
    assert [tokens.tolist() for tokens in empty] == [[256]]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9])
def test_preview_prompts_come_from_different_documents(count: int, bytes4: Text) -> None:
    prompts = bytes4.preview_prompts(split([f"\n{number} begins\nhere and goes on" for number in range(count)]))
    assert len(prompts) == min(4, count)
    assert all(re.fullmatch(r"\d begins here", prompt) for prompt in prompts)


def test_there_is_a_preview_prompt_even_of_blank_text(bytes4: Text) -> None:
    assert bytes4.preview_prompts(split([" \n "])) == [""]


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
def test_a_byte_order_mark_is_read_and_dropped(content: bytes, tmp_path: Path) -> None:
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
def test_another_encoding_is_refused_by_name(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(content)
    with pytest.raises(UserError, match=says):
        Document.read(tmp_path / "x.txt")


@pytest.mark.parametrize("name", ["absent.txt", "."])
def test_a_file_that_cannot_be_read_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"cannot read {re.escape(str(tmp_path / name))}: "):
        Document.read(tmp_path / name)


def test_a_passage_is_written_as_utf8_and_shown_as_it_is() -> None:
    passage = Document("é <b>\udc80")
    assert passage.to_bytes() == "é <b>?".encode()
    assert "&lt;b&gt;" in passage._repr_html_()
    assert passage.on_terminal == passage


@given(st.text(st.sampled_from("\\`*_{}[]()<>#+-.!|~&: ab/\n\"'="), max_size=20))
def test_tensorboard_shows_a_cell_as_the_text_it_is(content: str) -> None:
    """Markdown, tables and HTML have no meaning inside it; leading and trailing blanks do not matter."""
    from tensorboard.plugin_util import markdown_to_safe_html

    page = markdown_to_safe_html(f"| prompt | sample |\n|---|---|\n| p | {_cell(content)} |")
    cell = re.search(r"<td>p</td>\s*<td>(.*?)</td>\s*</tr>", page, re.S)
    assert cell, page
    shown = html.unescape(cell[1].replace("<br>", "\n")).replace("\xa0", " ")
    assert shown.strip() == content.strip()


def test_indentation_stays_in_a_cell() -> None:
    assert _cell("if x:\n    y") == "if x:<br>&nbsp; &nbsp; y"
    assert _cell("") == " "
