"""Finding credentials in texts: private keys, API keys by their prefixes, assigned passwords, logins in URLs."""

import re
from collections.abc import Iterator

Span = tuple[int, int]

MAX_KEY_CHARACTERS = 12_000
"""Of a block with a private key: one of RSA with 16,384 bits has 12,700, those in use have a quarter of it."""
_KEY_BEGIN = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,2}PRIVATE KEY(?: BLOCK)?-----")
_KEY_END = re.compile(r"-----END (?:[A-Z0-9]{1,12} ){0,2}PRIVATE KEY(?: BLOCK)?-----")
PREFIXES = {
    "AKIA": r"[0-9A-Z]{16}(?![0-9A-Za-z])",
    "ASIA": r"[0-9A-Z]{16}(?![0-9A-Za-z])",
    "ghp_": r"[0-9A-Za-z]{36}",
    "gho_": r"[0-9A-Za-z]{36}",
    "ghu_": r"[0-9A-Za-z]{36}",
    "ghs_": r"[0-9A-Za-z]{36}",
    "ghr_": r"[0-9A-Za-z]{36}",
    "github_pat_": r"\w{40,100}",
    "glpat-": r"[\w-]{20,64}",
    "sk-": r"(?=[\w-]{0,60}\d)[\w-]{32,200}",
    "sk_live_": r"[0-9A-Za-z]{16,128}",
    "rk_live_": r"[0-9A-Za-z]{16,128}",
    "xox": r"[abprs]-[\w-]{20,100}",
    "AIza": r"[\w-]{35}",
    "ya29.": r"[\w-]{30,300}",
    "hf_": r"[A-Za-z]{34}(?!\w)",
    "npm_": r"[0-9A-Za-z]{36}",
    "pypi-": r"[\w-]{60,300}",
    "SG.": r"[\w-]{22}\.[\w-]{43}",
    "eyJ": r"[\w-]{10,2000}\.eyJ[\w-]{10,4000}\.[\w-]{20,700}",
}
"""What follows the prefixes of API keys and tokens, as the services that give them out document."""
_KEYS = {prefix: re.compile(re.escape(prefix) + rest, re.ASCII) for prefix, rest in PREFIXES.items()}

NAMES = ("password", "passwd", "pwd", "secret", "api_key", "apikey", "api-key", "token", "access_key", "private_key")
"""Ends of names to which credentials are assigned, in any case."""
_VALUE = re.compile(
    r"""(?:[_-]?(?:key|id|token|hash))?["']?\ {0,4}(?::|=>|:?=)\ {0,4}
    (?:(?P<quote>["'])(?P<quoted>[^"'\s]{6,200})(?P=quote)|(?P<bare>[^\s"'`,;(){}\[\]<>$]{8,200})(?![(\[]))""",
    re.VERBOSE | re.ASCII,
)
_PLACEHOLDER = re.compile(
    r"\A%|[<${*]|x{4}|\.{3}|your|example|change.?me|placeholder|dummy|\b(?:none|null|true|false|env|os)\b|redacted|environ",
    re.IGNORECASE,
)
_BEARER_TOKEN = re.compile(r"[Bb]earer {1,2}(?P<token>[\w.~+/-]{20,4000}={0,2})", re.ASCII)
_URL_USER = re.compile(r"://[^\s:/@?#\"'<>]{0,64}:(?P<login>[^\s:/@?#\"'<>]{1,128})@")


def find_secrets(text: str) -> Iterator[Span]:
    """Yield where credentials begin and end, in no order; they may overlap. Each kind is looked for by a fixed text."""
    for place in _places(text, "-----BEGIN "):
        if begin := _KEY_BEGIN.match(text, place):
            end = _KEY_END.search(text, begin.end(), begin.end() + MAX_KEY_CHARACTERS)
            yield place, end.end() if end else begin.end()
    for prefix, pattern in _KEYS.items():
        for place in _places(text, prefix):
            match = pattern.match(text, place)
            if match and not (place and (text[place - 1].isalnum() or text[place - 1] in "_-")):
                yield match.span()
    for place in _places(text, "earer "):
        match = _BEARER_TOKEN.match(text, max(0, place - 1))
        if match and any(map(str.isdigit, match["token"])):
            yield match.span("token")
    for place in _places(text, "://"):
        match = _URL_USER.match(text, place)
        if match and not _PLACEHOLDER.search(match["login"]):
            yield match.span("login")
    yield from _find_assigned(text)


def _find_assigned(text: str) -> Iterator[Span]:
    """Yield literals that are assigned to names such as ``db_password``; bare ones need digits and letters."""
    lower = text.lower()
    if len(lower) != len(text):  # a few capital letters become two characters
        lower = "".join(character.lower() if len(character.lower()) == 1 else character for character in text)
    for name in NAMES:
        for place in _places(lower, name):
            match = _VALUE.match(text, place + len(name))
            if not match or _PLACEHOLDER.search(value := match["quoted"] or match["bare"]):
                continue
            has_both = any(map(str.isdigit, value)) and any(map(str.isalpha, value))
            if has_both or (match["quoted"] and name in NAMES[:3]):
                yield match.span("quoted" if match["quoted"] else "bare")


def _places(text: str, part: str) -> Iterator[int]:
    place = text.find(part)
    while place >= 0:
        yield place
        place = text.find(part, place + len(part))
