from genai.media.word_times import TimedWord, subtitles


def test_subtitles_end_with_sentences_and_before_they_are_too_long() -> None:
    words = [TimedWord(f"word{i}", 3599 + i, 3600 + i, ends_sentence=i == 1) for i in range(10)]
    lines = subtitles(words).split("\n\n")
    assert [line.split("\n")[2] for line in lines] == [
        "word0 word1",
        "word2 word3 word4 word5 word6 word7 word8",
        "word9",
    ]
    assert "00:59:59,000 --> 01:00:01,000" in lines[0]


def test_a_pause_ends_a_line() -> None:
    words = [TimedWord("a", 0, 0.2), TimedWord("b", 0.3, 0.4), TimedWord("c", 1, 1.2)]
    assert [block.split("\n")[2] for block in subtitles(words).split("\n\n")] == ["a b", "c"]
