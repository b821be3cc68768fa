import json

import numpy as np

from genai.media.speech_sound import SpeechSound, TimedPhone, TimedWord, subtitles


def test_times_stand_beside_the_sound() -> None:
    word = TimedWord("no", 0.5, 1.0, (TimedPhone("n", 0.5, 0.6), TimedPhone("oʊ", 0.6, 1.0)))
    sound = SpeechSound(np.zeros(16_000, np.float32), 16_000, words=(word,))
    entries = json.loads(sound.side_files["-words.json"])
    assert entries["seconds"] == 1 and entries["words"][0]["phones"][1] == {"symbol": "oʊ", "start": 0.6, "end": 1.0}
    assert sound.side_files[".srt"].decode() == "1\n00:00:00,500 --> 00:00:01,000\nno\n"
    assert SpeechSound(np.zeros(9, np.float32), 16_000).side_files == {}


def test_subtitles_end_with_sentences_and_before_they_are_too_long() -> None:
    words = [TimedWord(f"word{i}", 3599 + i, 3600 + i, ends_sentence=i == 1) for i in range(10)]
    lines = subtitles(words).split("\n\n")
    assert [line.split("\n")[2] for line in lines] == [
        "word0 word1",
        "word2 word3 word4 word5 word6 word7 word8",
        "word9",
    ]
    assert "00:59:59,000 --> 01:00:01,000" in lines[0]
