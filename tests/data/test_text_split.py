import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai.data.text_split import MIN_CUT_CHARACTERS, split_documents


def by_hash(texts: list[str]) -> dict[str, str]:
    return {hashlib.sha256(text.encode()).hexdigest(): text for text in texts}


def document(name: str, length: int) -> str:
    return (f"{name} " * length)[:length]


@given(
    st.lists(st.text("abcdefgh", min_size=1, max_size=20), min_size=2, max_size=12, unique=True),
    st.floats(0.001, 0.999),
)
def test_short_documents_are_whole_in_one_split_and_neither_is_empty(texts: list[str], fraction: float) -> None:
    train, val, note = split_documents(by_hash(texts), fraction)
    assert sorted(train + val) == sorted(texts)
    assert train and val and not note
    longest = max(map(len, texts))
    assert abs(len("".join(val)) - fraction * len("".join(texts))) <= max(longest, 1.5 * fraction * len("".join(texts)))


def test_documents_of_similar_length_are_counted() -> None:
    texts = [document(str(number), 1000 + number) for number in range(40)]
    documents = by_hash(texts)
    _, val, _ = split_documents(documents, 0.1)
    assert set(val) == {documents[content_hash] for content_hash in sorted(documents)[:4]}


def test_three_documents_of_similar_length_are_selected_by_content() -> None:
    documents = by_hash([document(str(number), 1000 + number) for number in range(3)])
    _, val, _ = split_documents(documents, 0.1)
    assert val == [documents[min(documents)]]


@pytest.mark.parametrize("order", [1, -1])
def test_a_book_beside_a_note_is_cut_and_the_note_is_whole(order: int) -> None:
    for number in range(10):  # whichever hash is the smaller one
        book, note = document(f"book {number}", 100_000), document(f"note {number}", 120)
        train, val, remark = split_documents(by_hash([book, note][::order]), 0.1)
        assert val == [book[90_000:]]
        assert sorted(train, key=len) == [note, book[:90_000]]
        assert "the longest document is cut" in remark


def test_a_book_beside_many_notes_leaves_a_part_of_each() -> None:
    book, notes = document("book", 100_000), [document(f"note {number}", 100) for number in range(50)]
    train, val, _ = split_documents(by_hash([book, *notes]), 0.1)
    assert len(train) + len(val) == 52
    assert book[90_000:] in val and book[:90_000] in train
    assert len(val) == 6


def test_long_documents_are_weighed_where_a_whole_split_is_near_the_fraction() -> None:
    texts = [document("long", 5000), *(document(f"short {number}", 500) for number in range(10))]
    documents = by_hash(texts)
    _, val, remark = split_documents(documents, 0.1)
    assert 500 <= len("".join(val)) <= 1500 and not remark


def test_one_document_is_cut() -> None:
    assert split_documents(by_hash(["abcdefghij"]), 0.2) == (["abcdefgh"], ["ij"], "")


def test_short_texts_are_not_cut() -> None:
    texts = [document("a", MIN_CUT_CHARACTERS - 1), "b"]
    train, val, _ = split_documents(by_hash(texts), 0.1)
    assert sorted([*train, *val]) == sorted(texts)
