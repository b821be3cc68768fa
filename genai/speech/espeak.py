"""The program espeak-ng: how words sound, in about a hundred languages.

It is run beside genai, where it is installed, and is no part of it (GPL-3.0). A clause a line goes in, its phones come
out; the phones are separated as espeak-ng separates them, so diphthongs are one.
"""

import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from functools import lru_cache

from genai.core.errors import UserError, did_you_mean, short_text
from genai.core.progress import ProgressBar
from genai.speech.lexicon import MAX_SYMBOL, parse_phones
from genai.speech.phones import Phone
from genai.speech.word_boundaries import divide_phones

PROGRAM = "espeak-ng"
MIN_VERSION = (1, 49)
"""First release as espeak-ng."""
VOICES = {"en": "en-us", "zh": "cmn", "no": "nb"}
"""Voices of languages whose voice has another name."""
MAX_CLAUSE_WORDS, MAX_CLAUSE_CHARACTERS = 30, 240
"""Longest clause: espeak-ng cuts longer lines into several answers."""
MAX_BATCH = 2**16
"""Most characters for one process."""
MAX_ANSWER = 2**24
"""Most bytes that are read from a process."""
START_SECONDS, SECONDS_PER_CHARACTER = 20.0, 0.01
"""Time limit: about twenty times what it takes on a slow machine."""
MAX_CACHE = 100_000
"""Most clauses whose phones are remembered."""


class Espeak:
    """A voice of espeak-ng.

    Args:
        language: code, ``"en"``, ``"en-gb"``.
        program: path of the program.

    Attributes:
        voice: its name for espeak-ng: ``"en-us"`` for ``"en"``.
        version: of the program: ``"1.51"``.

    Raises:
        UserError: the program is too old or does not answer, or has no such voice.
    """

    def __init__(self, language: str, program: str) -> None:
        self.program = program
        self.version = program_version(program)
        self.voice = VOICES.get(language, language)
        self._answers: dict[str, tuple[tuple[Phone, ...], ...]] = {}
        self._load_answers(["a"])

    def phones(self, clauses: Sequence[Sequence[str]]) -> list[list[tuple[Phone, ...]]]:
        """Return phones for each word of each clause: words between two pauses, in small letters.

        A word sounds as it does in its clause: ``the`` differs from ``the`` alone. A clause of more than
        ``MAX_CLAUSE_WORDS`` words, or ``MAX_CLAUSE_CHARACTERS`` characters, is asked for in parts.
        """
        parts = [_split(clause) for clause in clauses]
        self._load_answers([" ".join(part) for clause in parts for part in clause])
        joined = [part for clause in parts for part in clause if len(self._answers[" ".join(part)]) != len(part)]
        self._load_answers([word for part in joined for word in part])
        return [[word for part in clause for word in self._words(part)] for clause in parts]

    def _words(self, part: Sequence[str]) -> list[tuple[Phone, ...]]:
        answer = self._answers[" ".join(part)]
        if len(answer) == len(part):
            return list(answer)
        separate = [_join(self._answers[word]) for word in part]
        return divide_phones(_join(answer), separate)

    def _load_answers(self, lines: Sequence[str]) -> None:
        """Make sure that all lines have an answer."""
        if len(self._answers) > MAX_CACHE:
            self._answers.clear()
        missing = [line for line in dict.fromkeys(lines) if line not in self._answers]
        with ProgressBar("phones of clauses", len(missing)) as bar:
            while missing:
                size, count = 0, 0
                while count < len(missing) and (not count or size + len(missing[count]) < MAX_BATCH):
                    size, count = size + len(missing[count]) + 1, count + 1
                self._answers.update(zip(missing[:count], self._run(missing[:count]), strict=True))
                missing = missing[count:]
                bar.step(count)

    def _run(self, lines: Sequence[str]) -> list[tuple[tuple[Phone, ...], ...]]:
        """Return the phones of each word of each line, in one process if there are as many answers as lines."""
        command = [self.program, "-q", "--ipa", "--sep=_", "-b", "1", "-v", self.voice]
        seconds = START_SECONDS + SECONDS_PER_CHARACTER * sum(map(len, lines))
        output, errors = _run_program(command, "".join(line + "\n" for line in lines), seconds)
        if "voice does not exist" in errors:
            raise UserError(
                f"espeak-ng has no voice for the language '{short_text(self.voice)}'."
                + did_you_mean(self.voice, _voices(self.program))
            )
        answers = output.removesuffix("\n").split("\n")
        if len(answers) == len(lines):
            return [_parse_answer(answer) for answer in answers]
        if len(lines) == 1:
            return [_parse_answer(" ".join(answers))]
        middle = len(lines) // 2
        return [*self._run(lines[:middle]), *self._run(lines[middle:])]


def find_program() -> str | None:
    """Return the path of espeak-ng; ``None`` if it is not installed."""
    return shutil.which(PROGRAM)


@lru_cache
def program_version(program: str) -> str:
    """Return the version of espeak-ng. Raises ``UserError`` if it is too old, or something else."""
    output, _ = _run_program([program, "--version"], "", START_SECONDS)
    match = re.search(r"eSpeak NG\D*((\d+)\.(\d+)[\w.-]*)", output)
    if not match or (int(match[2]), int(match[3])) < MIN_VERSION:
        answer = short_text(output)[:80] or "nothing"
        raise UserError(
            f"{program} is not espeak-ng {MIN_VERSION[0]}.{MIN_VERSION[1]} or later (it says: {answer}): "
            "install a newer one, or choose phones=letters."
        )
    return match[1]


def _voices(program: str) -> list[str]:
    output, _ = _run_program([program, "--voices"], "", START_SECONDS)
    return [columns[1] for line in output.split("\n")[1:] if len(columns := line.split()) > 1]


def _run_program(command: Sequence[str], text: str, seconds: float) -> tuple[str, str]:
    """Return output and errors of a program that reads ``text``. Raises ``UserError`` if it fails or takes too long."""
    with tempfile.TemporaryFile() as lines, tempfile.TemporaryFile() as errors:
        lines.write(text.encode("utf-8", "replace"))
        lines.seek(0)
        try:
            process = subprocess.Popen(
                command, stdin=lines, stdout=subprocess.PIPE, stderr=errors,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )  # fmt: skip
        except OSError as error:
            raise UserError(f"cannot start {command[0]}: {error.strerror}.") from error
        timer = threading.Timer(seconds, process.kill)
        timer.start()
        try:
            with process:
                output = process.stdout.read(MAX_ANSWER + 1) if process.stdout else b""
                if len(output) > MAX_ANSWER:
                    process.kill()
        finally:
            timed_out = not timer.is_alive()
            timer.cancel()
        errors.seek(0)
        message = errors.read(1000).decode("utf-8", "replace")
    if timed_out or len(output) > MAX_ANSWER or (process.returncode and "voice does not exist" not in message):
        reason = (
            f"takes more than {seconds:.0f} seconds" if timed_out
            else "answers without end" if len(output) > MAX_ANSWER
            else f"fails ({short_text(message) or f'exit code {process.returncode}'})"
        )  # fmt: skip
        raise UserError(f"{command[0]} {reason}: install it anew, or choose phones=letters.")
    return output.decode("utf-8", "replace").replace("\r\n", "\n"), message


def _parse_answer(line: str) -> tuple[tuple[Phone, ...], ...]:
    """Return the phones of each word of ``"h_ə_l_ˈoʊ w_ˈɜː_l_d"``, without marks of languages: ``(en)``."""
    words = re.sub(r"\([^()\s]*\)", "", line).split()
    parts = [[part for symbol in word.split("_") if (part := symbol.replace("-", "")[:MAX_SYMBOL])] for word in words]
    return tuple(parse_phones(symbols) for symbols in parts if any(symbol.strip("ˈˌ") for symbol in symbols))


def _split(clause: Sequence[str]) -> list[list[str]]:
    parts: list[list[str]] = []
    size = 0
    for word in clause:
        size += len(word) + 1
        if not parts or len(parts[-1]) >= MAX_CLAUSE_WORDS or size > MAX_CLAUSE_CHARACTERS:
            parts.append([])
            size = len(word) + 1
        parts[-1].append(word)
    return parts


def _join(words: Sequence[tuple[Phone, ...]]) -> tuple[Phone, ...]:
    return tuple(phone for word in words for phone in word)
