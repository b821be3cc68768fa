"""Names in genai are words of the field, and one class name means one class.

Each word stands in vocabulary.txt (words in identifiers of several well-known codebases of the field) or is a term of
our domain, in domain_words.txt.
"""

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

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


@cache
def words(name: str) -> list[str]:
    """``["top", "mask"]`` of ``top_p_mask``: parts of two letters or fewer do not count."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name) if len(word) > 2]


def defined(path: Path) -> Iterator[tuple[type[ast.AST], str]]:
    """Names that a file defines, with the kind of each: functions, classes, arguments, variables, attributes."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield type(node), node.name
            yield from ((ast.arg, argument.arg) for argument in node.args.args + node.args.kwonlyargs)
        elif isinstance(node, ast.ClassDef):
            yield ast.ClassDef, node.name
        elif isinstance(node, ast.Assign):
            targets = (element for target in node.targets for element in (*getattr(target, "elts", ()), target))
            yield from (
                (type(t), t.id if isinstance(t, ast.Name) else t.attr)
                for t in targets
                if isinstance(t, ast.Name | ast.Attribute)
            )
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield ast.Name, node.target.id


@cache
def definitions(path: Path) -> list[tuple[type[ast.AST], str]]:
    """``defined``, once for all tests; the tree of a file is not kept."""
    return list(defined(path))


@cache
def names(path: Path) -> list[str]:
    """The file's own name, and those that it defines."""
    return [path.stem, *(name for _, name in definitions(path))]


@cache
def is_known(word: str, is_domain: bool = True) -> bool:
    """Whether a word, or its plural or singular, is one of the field or, if ``is_domain``, of the domain."""
    forms = {word, f"{word}s", word.rstrip("s")}
    return bool(forms & VOCABULARY or (is_domain and forms & DOMAIN_WORDS))


def by_file(paths: Iterable[Path], find: Callable[[Path], object]) -> dict[str, object]:
    """What ``find`` finds in each file, without the files in which it finds nothing."""
    return {str(path.relative_to(ROOT)): found for path in paths if (found := find(path))}


def test_names_are_words_of_the_field_or_of_the_domain() -> None:
    unknown = by_file(FILES, lambda path: {w: n for n in names(path) for w in words(n) if not is_known(w)})
    assert not unknown, "take a word of the field; a true term of the domain goes into tests/domain_words.txt"


def test_names_say_what_a_thing_is() -> None:
    found = by_file(FILES, lambda path: {name for name in names(path) if name.lstrip("_") in FORBIDDEN})
    assert not found


def test_terms_of_the_domain_are_few() -> None:
    found = [word for path in FILES for name in names(path) for word in words(name)]
    terms = [word for word in found if not is_known(word, is_domain=False)]
    assert len(terms) <= MAX_DOMAIN_SHARE * len(found), Counter(terms).most_common(20)


def test_every_term_of_the_domain_is_used() -> None:
    used = {word for path in FILES for name in names(path) for word in words(name)}
    used |= {word.rstrip("s") for word in used}
    assert not {term for term in DOMAIN_WORDS if not {term, f"{term}s", term.rstrip("s")} & used}


BRITISH = re.compile(
    r"(?:colour|grey|behaviour|neighbour|favour|flavour|labelled|labelling|modelled|modelling|cancelled|judgement|"
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


@cache
def is_british(word: str) -> bool:
    return bool(BRITISH.search(word))


def test_spelling_is_american() -> None:
    paths = [path for path in TEXTS if path.name not in OLD_SPELLING]
    found = by_file(paths, lambda path: {w for w in re.findall(r"\w+", path.read_text("utf-8")) if is_british(w)})
    assert not found


COMMAND = re.compile(
    r"python -m genai (?:train|sample|evaluate|page)\b|python -m genai\.(?:check|doctor|history)\b|\$ genai[ -]\w+"
)


def test_commands_have_one_spelling() -> None:
    found = by_file(TEXTS, lambda path: COMMAND.findall(path.read_text("utf-8")))
    assert not found, "python -m genai.train"


def test_one_class_name_is_one_class() -> None:
    classes = [name for path in FILES for kind, name in definitions(path) if kind is ast.ClassDef]
    assert not [name for name, count in Counter(classes).items() if count > 1]
