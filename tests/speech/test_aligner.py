"""The aligner, on sounds with known boundaries."""

from collections.abc import Sequence

import numpy as np
import pytest

from genai.core.errors import UserError
from genai.speech.aligner import Aligner
from genai.speech.phones import PAUSE, Alignment, Phone, Word
from genai.speech.voice_frames import NUM_BANDS, VoiceFrames

LETTERS = "abdeiklmnorstu"


def spell(text: str) -> list[Word]:
    return [Word(word, tuple(map(Phone, word))) for word in text.split()]


def speak(text: str, random: np.random.Generator) -> tuple[VoiceFrames, list[tuple[str, int]]]:
    """Return a synthetic utterance, and its sounds with their numbers of frames: one spectrum a letter."""
    spectra = np.random.default_rng(7).normal(0, 1, (len(LETTERS), NUM_BANDS)).cumsum(1) / 3
    sounds = [(PAUSE, int(random.integers(3, 8)))]
    for word in text.split():
        sounds += [(letter, int(random.integers(4, 10))) for letter in word]
        if random.random() < 0.3:
            sounds.append((PAUSE, int(random.integers(4, 9))))
    rows, voiced = [], []
    for symbol, count in sounds:
        level = np.full(NUM_BANDS, -14.0) if symbol == PAUSE else spectra[LETTERS.index(symbol)]
        rows += [level] * count
        voiced += [symbol in "aeioulmnr"] * count
    envelope = np.array(rows) + random.normal(0, 0.5, (len(rows), NUM_BANDS))
    f0 = np.where(voiced, 150.0, 0.0)
    return VoiceFrames(envelope.astype(np.float32), np.zeros(len(rows), np.float32), f0.astype(np.float32)), sounds


def phone_ends(sounds: Sequence[tuple[str, int]]) -> list[int]:
    ends = np.cumsum([count for _, count in sounds])
    return [int(end) for (symbol, _), end in zip(sounds, ends, strict=True) if symbol != PAUSE]


def make_texts(count: int, random: np.random.Generator) -> list[str]:
    return [
        " ".join("".join(random.choice(list(LETTERS), random.integers(1, 5))) for _ in range(random.integers(2, 5)))
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def corpus() -> tuple[list[str], list[VoiceFrames], list[list[tuple[str, int]]]]:
    random = np.random.default_rng(0)
    texts = make_texts(60, random)
    spoken = [speak(text, random) for text in texts]
    return texts, [frames for frames, _ in spoken], [sounds for _, sounds in spoken]


@pytest.fixture(scope="module")
def fitted(corpus: tuple) -> tuple[Aligner, list[Alignment | None]]:
    texts, recordings, _ = corpus
    aligner = Aligner()
    return aligner, aligner.fit(recordings, [spell(text) for text in texts])


def test_boundaries_are_found(corpus: tuple, fitted: tuple) -> None:
    errors = []
    for sounds, alignment in zip(corpus[2], fitted[1], strict=True):
        found = phone_ends(list(zip(alignment.symbols, alignment.frames, strict=True)))
        errors += np.abs(np.subtract(found, phone_ends(sounds))).tolist()
    assert np.mean(np.array(errors) <= 2) > 0.9


def test_an_alignment_fits_its_text_and_recording(corpus: tuple, fitted: tuple) -> None:
    for text, frames, alignment in zip(corpus[0], corpus[1], fitted[1], strict=True):
        assert "".join(symbol for symbol in alignment.symbols if symbol != PAUSE) == text.replace(" ", "")
        assert sum(alignment.frames) == len(frames) and min(alignment.frames) >= 1
        spoken = [text.split()[word][0] for word in sorted(set(alignment.words) - {-1})]
        assert spoken == [word[0] for word in text.split()]
        assert all((word == -1) == (s == PAUSE) for word, s in zip(alignment.words, alignment.symbols, strict=True))


def test_the_same_data_give_the_same_alignment(corpus: tuple, fitted: tuple) -> None:
    texts, recordings, _ = corpus
    assert Aligner().fit(recordings, [spell(text) for text in texts]) == fitted[1]
    assert fitted[0].align(recordings[3], spell(texts[3])) == fitted[1][3]


def test_a_wrong_text_has_the_worst_score(corpus: tuple) -> None:
    texts, recordings, _ = corpus
    texts = [*texts[:20], "uuu sko bada", *texts[21:]]
    alignments = Aligner(rounds=6).fit(recordings, [spell(text) for text in texts])
    scores = [alignment.score for alignment in alignments if alignment]
    assert len(scores) == 60 and int(np.argmin(scores)) == 20


def test_what_cannot_be_aligned(corpus: tuple, fitted: tuple) -> None:
    texts, recordings, _ = corpus
    words = [*(spell(text) for text in texts[:10]), spell("a" * 300), []]
    alignments = Aligner(rounds=2).fit([*recordings[:10], recordings[0], recordings[1]], words)
    assert all(alignments[:10]) and alignments[10:] == [None, None]
    with pytest.raises(UserError, match="cannot be aligned with 300 states"):
        fitted[0].align(recordings[0], spell("a" * 300))
    with pytest.raises(UserError, match="no recording"):
        Aligner().fit(recordings[:1], [[]])


def test_an_unknown_phone_is_aligned_too(corpus: tuple, fitted: tuple) -> None:
    texts, recordings, _ = corpus
    words = spell(texts[0])
    changed = [Word(words[0].text, (Phone("zz"), *words[0].phones[1:])), *words[1:]]
    assert fitted[0].align(recordings[0], changed).symbols.count("zz") == 1
