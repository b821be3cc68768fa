from collections import Counter

import numpy as np

from genai.core.caption_choice import TagDropout, all_texts, draw_caption, replace_texts, whole_text

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


def test_tags_are_dropped_but_the_first_ones() -> None:
    dropout, numbers = TagDropout(0.25, 2), np.random.default_rng(0).random((2000, 2))
    drawn = [draw_caption(["one, two, three,four, five"], row, dropout).split(", ") for row in numbers]
    tags = ["one", "two", "three", "four", "five"]
    counts = Counter(tag.strip() for tags in drawn for tag in ",".join(tags).split(","))
    assert counts["one"] == counts["two"] == 2000
    assert all(abs(counts[tag] - 1500) < 80 for tag in tags[2:])
    assert all(
        [*filter(each.__contains__, tags)] == each for each in drawn if "four" not in ",".join(each)
    )  # their order
    both = Counter("four" in ",".join(each) and "five" in each for each in drawn)
    assert abs(both[True] - 0.75**2 * 2000) < 90  # independent of each other


def test_nothing_is_dropped_where_there_is_one_tag_or_keywords_or_no_dropout() -> None:
    row = np.array([0.5, 0.3])
    assert TagDropout(1.0, 1).drop("a sentence", 0.3) == "a sentence"
    assert TagDropout(1.0, 1).drop("a, b, c", 0.3) == "a" and TagDropout(1.0, 0).drop("a, b", 0.3) == ""
    assert draw_caption(["a, b,c"], row, None) == "a, b,c" == draw_caption(["a, b,c"], row, TagDropout(0.0))
    keywords = [("red", "fire", "truck")]
    assert draw_caption(keywords, row, TagDropout(1.0)) == draw_caption(keywords, row)
