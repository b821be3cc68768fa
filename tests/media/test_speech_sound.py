import json

import numpy as np

from genai.media.speech_sound import SpeechSound
from genai.media.word_times import TimedPhone, TimedWord


def test_times_stand_beside_the_sound() -> None:
    word = TimedWord("no", 0.5, 1.0, (TimedPhone("n", 0.5, 0.6), TimedPhone("oʊ", 0.6, 1.0)))
    sound = SpeechSound(np.zeros(16_000, np.float32), 16_000, words=(word,))
    entries = json.loads(sound.side_files["-words.json"])
    assert entries["seconds"] == 1 and entries["words"][0]["phones"][1] == {"symbol": "oʊ", "start": 0.6, "end": 1.0}
    assert sound.side_files[".srt"].decode() == "1\n00:00:00,500 --> 00:00:01,000\nno\n"
    assert SpeechSound(np.zeros(9, np.float32), 16_000).side_files == {}
