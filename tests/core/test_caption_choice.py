from collections import Counter

import numpy as np

from genai.core.caption_choice import all_texts, draw_caption, replace_texts, whole_text

CAPTIONS = ("a fire engine, noto", ("red", "fire", "truck"), "fire engine")


def test_a_text_or_some_of_the_keywords() -> None:
    numbers = np.random.default_rng(0).random((3000, 2))
    drawn = Counter(draw_caption(CAPTIONS, row) for row in numbers)
    texts = {text: count for text, count in drawn.items() if text in CAPTIONS}
    assert len(texts) == 2 and all(abs(count - 1000) < 100 for count in texts.values())
    keywords = {tuple(text.split(", ")): count for text, count in drawn.items() if text not in CAPTIONS}
    assert len(keywords) == 3 + 6 + 6  # each number of them, in each order
    assert all(len({*words}) == len(words) and {*words} <= {*CAPTIONS[1]} for words in keywords)
    sizes = Counter[int]()
    for words, count in keywords.items():
        sizes[len(words)] += count
    assert all(abs(count - 333) < 70 for count in sizes.values())


def test_the_numbers_alone_decide() -> None:
    row = np.array([0.5, 0.123])
    assert draw_caption(CAPTIONS, row) == draw_caption(CAPTIONS, row) == draw_caption(CAPTIONS, np.array([0.6, 0.123]))
    assert draw_caption(CAPTIONS, np.array([0.0, 0.9])) == CAPTIONS[0]
    assert draw_caption(CAPTIONS, np.array([np.nextafter(1, 0), 0.9])) == CAPTIONS[2]


def test_texts_are_replaced_in_their_places() -> None:
    assert all_texts(CAPTIONS) == ["a fire engine, noto", "red", "fire", "truck", "fire engine"]
    assert replace_texts(CAPTIONS, list("abcde")) == ("a", ("b", "c", "d"), "e")
    assert [whole_text(caption) for caption in CAPTIONS] == ["a fire engine, noto", "red, fire, truck", "fire engine"]
