"""Names in genai are words of the field, and one class name means one class.

Each word stands in vocabulary.txt (words in identifiers of several well-known codebases of the field) or is a term of
our domain, in domain_words.txt.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

FILES = sorted((ROOT / "genai").rglob("*.py"))
HERE = Path(__file__).parent
VOCABULARY = set((HERE / "vocabulary.txt").read_text().split())
DOMAIN_WORDS = set((HERE / "domain_words.txt").read_text().split())
MAX_DOMAIN_SHARE = 0.045
"""Of all words in names: a private dialect begins where domain terms are the rule."""
FORBIDDEN = {
    "Course", "Damaged", "Every", "Failure", "Figure", "Learner", "Mistake", "Passage", "Piece", "Plan", "Study",
    "Way", "ahead", "alike", "apart", "asked", "beside", "between", "complaint", "drawn", "every", "films", "given",
    "growing", "heard", "held", "it", "kept", "learner", "listener", "looked", "made", "mine", "ours", "passage",
    "plan", "player", "players", "recorded", "said", "sampled", "seen", "serves", "sharding", "shipped", "shown",
    "sight", "spoilt", "steady", "survey", "taken", "theirs", "told", "wanted", "watcher",
}  # fmt: skip
"""Whole names that say what happened to a thing, or stand for something that has another name now."""


def words(name: str) -> list[str]:
    """``["top", "mask"]`` of ``top_p_mask``: parts of two letters or fewer do not count."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name) if len(word) > 2]


def names(path: Path) -> Iterator[str]:
    """Names that a file defines: itself, functions, classes, arguments, variables, attributes."""
    yield path.stem
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
            yield from (argument.arg for argument in node.args.args + node.args.kwonlyargs)
        elif isinstance(node, ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            targets = (element for target in node.targets for element in (*getattr(target, "elts", ()), target))
            yield from (
                t.id if isinstance(t, ast.Name) else t.attr for t in targets if isinstance(t, ast.Name | ast.Attribute)
            )
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def known(word: str, vocabulary: set[str]) -> bool:
    """Whether a word, or its plural or singular, is in ``vocabulary``."""
    return bool({word, f"{word}s", word.rstrip("s")} & vocabulary)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_are_words_of_the_field_or_of_the_domain(path: Path) -> None:
    unknown = {w: n for n in names(path) for w in words(n) if not known(w, VOCABULARY) and not known(w, DOMAIN_WORDS)}
    assert not unknown, "take a word of the field; a true term of the domain goes into tests/domain_words.txt"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_say_what_a_thing_is(path: Path) -> None:
    assert not {name for name in names(path) if name.lstrip("_") in FORBIDDEN}


def test_terms_of_the_domain_are_few() -> None:
    found = [word for path in FILES for name in names(path) for word in words(name)]
    terms = [word for word in found if not known(word, VOCABULARY)]
    assert len(terms) <= MAX_DOMAIN_SHARE * len(found), Counter(terms).most_common(20)


def test_every_term_of_the_domain_is_used() -> None:
    used = {word for path in FILES for name in names(path) for word in words(name)}
    assert not {
        term
        for term in DOMAIN_WORDS
        if not {term, f"{term}s", term.rstrip("s")} & {*used, *(w.rstrip("s") for w in used)}
    }


BRITISH = re.compile(
    r"\w*(?:colour|grey|behaviour|neighbour|favour|flavour|labelled|labelling|modelled|modelling|cancelled|judgement|"
    r"artefact|centre|centred|catalogue|analyse|learnt|towards|"
    r"(?:normal|general|initial|optim|visual|real|minim|maxim|util|random|token|summar|penal|quant|regular|parametr)"
    r"is(?:e|ed|es|ing|ation))",
    re.IGNORECASE,
)
TEXTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "configs").rglob("*.yaml"),
    *FILES,
]
OLD_SPELLING = {"old_names.py", "grammar.py", "scene.py", "motion.py"}
"""Old names, and words of the toy world, whose data sets are known by their hash."""


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_spelling_is_american(path: Path) -> None:
    found = BRITISH.findall(path.read_text(encoding="utf-8"))
    assert not found or path.name in OLD_SPELLING, found


COMMAND = re.compile(
    r"python -m genai (?:train|sample|evaluate|page)\b|python -m genai\.(?:check|doctor|history)\b|\$ genai[ -]\w+"
)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_have_one_spelling(path: Path) -> None:
    found = COMMAND.findall(path.read_text(encoding="utf-8"))
    assert not found, "python -m genai.train"


def test_one_class_name_is_one_class() -> None:
    classes = [
        node.name for path in FILES for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)
    ]
    assert not [name for name, count in Counter(classes).items() if count > 1]
