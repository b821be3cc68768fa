"""Messages of programs, translated by a small model from random weights, beside copying and a phrase table.

    python benchmarks/chat_translation.py [--locale de] [--steps 3000] [--json OUT] [words ...]

Data: the catalogs of PostgreSQL (PostgreSQL License; Debian's packages ``postgresql-15``, ``postgresql-client-15``,
``libpq5``) below /usr/share/locale, messages of at most ``MAX_CHARS`` characters. The phrase table is learned from the
same training pairs: word alignments of IBM model 1 (Brown et al. 1993) in both directions, phrases of up to four words
that are consistent with their intersection, and the longest phrases from left to right. All are measured on the same
held-out messages, of which none was used to choose anything.
"""

import argparse
import gettext
import json
import re
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from common import save, train

from genai.data.chat import ChatFiles
from genai.metrics.base import EvalContext
from genai.metrics.text.answers import val_answers
from genai.metrics.text.chrf import chrf

CATALOGS = "*-15.mo"
MAX_CHARS = 100
MAX_PHRASE = 4
Pairs = list[tuple[str, str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--locale", default="de")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("words", nargs="*")
    arguments = parser.parse_intermixed_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pairs.jsonl"
        rows = ({"source": source, "target": target} for source, target in read_pairs(arguments.locale))
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        source = ChatFiles(str(path))
        train_pairs, val_pairs = ([_pair(example.media) for example in split] for split in (source.train, source.val))
        words = ["experiment=sft", f"data.path={path}", "modality.block=128", f"steps={arguments.steps}"]
        model = train(*words, "trainer=cpu", "trainer.threads=1", "trainer.precision=32-true", *arguments.words)
    real = [target for _, target in val_pairs]
    table = PhraseTable(train_pairs)
    context = EvalContext(model, source, n=len(val_pairs), options={"length": 100})
    answers = {
        "copies": [source for source, _ in val_pairs],
        "phrase table": [table.translate(source) for source, _ in val_pairs],
        "model": [answer.text for answer in val_answers(context)],
    }
    results: dict[str, Any] = {
        name: {"chrf": chrf(texts, real), "exact": sum(map(str.__eq__, texts, real)) / len(real)}
        for name, texts in answers.items()
    }
    results["run"] = {"pairs": len(train_pairs), "held out": len(val_pairs), "cpu_seconds": model.record["cpu_seconds"]}
    results["run"]["loss"] = model.record["best"]["val_loss"]
    for name, values in results.items():
        print(name, values)
    for index in range(0, len(real), len(real) // 8):
        print(f"\n{val_pairs[index][0]}", *(f"  {name}: {texts[index]}" for name, texts in answers.items()), sep="\n")
        print(f"  real: {real[index]}")
    save(arguments.json, results)


def _pair(chat: Any) -> tuple[str, str]:
    return chat.question[-1]["content"], chat.answer


def read_pairs(locale: str) -> Pairs:
    """Return different messages and their translations."""
    pairs: dict[str, str] = {}
    for file in sorted(Path(f"/usr/share/locale/{locale}/LC_MESSAGES").glob(CATALOGS)):
        with file.open("rb") as catalog:
            entries: dict[Any, str] = gettext.GNUTranslations(catalog)._catalog  # type: ignore[attr-defined]
        for source, target in entries.items():
            if isinstance(source, str) and 0 < len(source.strip()) <= MAX_CHARS and len(target) <= 2 * MAX_CHARS:
                pairs.setdefault(source.strip(), target.strip())
    return list(pairs.items())


def split_words(text: str) -> list[str]:
    """Split a text into words and marks; what is joined again has single spaces."""
    return re.findall(r"\w+|%\S|[^\w\s]", text)


class PhraseTable:
    """Phrases and their most frequent translations.

    Args:
        pairs: texts and their translations.
    """

    def __init__(self, pairs: Pairs, rounds: int = 5) -> None:
        words = [(split_words(source), split_words(target)) for source, target in pairs]
        forward = best_words(words, rounds)
        backward = best_words([(target, source) for source, target in words], rounds)
        counts: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        for source, target in words:
            links = {(i, forward(source[i], target)) for i in range(len(source))}
            links &= {(backward(target[j], source), j) for j in range(len(target))}
            for first in range(len(source)):
                for last in range(first, min(len(source), first + MAX_PHRASE)):
                    if phrase := _consistent_phrase(links, first, last, target):
                        counts[tuple(source[first : last + 1])][phrase] += 1
        self.phrases = {source: targets.most_common(1)[0][0] for source, targets in counts.items()}
        self.texts = dict(pairs)

    def translate(self, text: str) -> str:
        """Translate the longest phrases from left to right; words that are not known stay."""
        words, out, start = split_words(text), list[str](), 0
        while start < len(words):
            sizes = range(min(MAX_PHRASE, len(words) - start), 0, -1)
            size = next((n for n in sizes if tuple(words[start : start + n]) in self.phrases), 0)
            out.append(self.phrases[tuple(words[start : start + size])] if size else words[start])
            start += max(1, size)
        return " ".join(out)


def _consistent_phrase(links: set[tuple[int, int]], first: int, last: int, target: list[str]) -> str:
    """Return the translation of the words ``first`` to ``last``, if no word in it belongs to others; else ""."""
    inside = [j for i, j in links if first <= i <= last]
    if not inside or any(min(inside) <= j <= max(inside) and not first <= i <= last for i, j in links):
        return ""
    return " ".join(target[min(inside) : max(inside) + 1])


def best_words(pairs: list[tuple[list[str], list[str]]], rounds: int) -> Any:
    """Learn IBM model 1; return a function that finds the place of the most probable translation of a word."""
    probabilities: dict[tuple[str, str], float] = defaultdict(lambda: 1.0)
    for _ in range(rounds):
        counts: dict[tuple[str, str], float] = defaultdict(float)
        totals: dict[str, float] = defaultdict(float)
        for source, target in pairs:
            for word in target:
                total = sum(probabilities[other, word] for other in source)
                for other in source:
                    share = probabilities[other, word] / total
                    counts[other, word] += share
                    totals[other] += share
        probabilities = defaultdict(float, {key: value / totals[key[0]] for key, value in counts.items()})
    return lambda word, others: max(range(len(others)), key=lambda j: probabilities[word, others[j]], default=-1)


if __name__ == "__main__":
    main()
