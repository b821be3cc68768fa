"""Finding personal data in texts: mail addresses, phone numbers, IBANs, payment cards, IP addresses, credentials.

Each kind has a place where it can begin (an ``@``, a digit) and a pattern of limited length that is tried there, so the
time is in proportion to the text, whatever it holds. Checksums and ranges decide where there are some. Names and postal
addresses of people are not found.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from genai.trust.secrets import find_secrets

KINDS = ("mail", "phone", "iban", "card", "ip", "credential")
FINDER_VERSION = 1
"""Raised when other things are found than before, so that prepared data are made again."""
WINDOW, OVERLAP = 2**20, 2**14
"""Characters that are searched at once, and those after them in which a find may end. No find is longer."""
BEFORE = 64
"""Characters before a window that a pattern may look at."""
MAX_EXAMPLES = 3
"""Masked examples of a kind."""

_LOCAL = re.compile(r"[\w.+%'-]{1,64}\Z")
_DOMAIN = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,24}(?![\w@-])")
_SEPARATOR = r"[ \u00a0]?[-./()\u2010-\u2013]?[ \u00a0]?\(?"
_NUMBER = re.compile(
    rf"[+(\d](?<!\w[+(\d])(?:(?<=\d)|(?=\(?\d))(?=(?:\(?\d)?(?:{_SEPARATOR}\d){{3,18}}(?P<end>))\(?\d*"
)
"""A group of digits with which a number of four digits or more can begin."""
_IPV4 = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\w)")
_IPV6_PLACE = re.compile(r":(?::|[0-9A-Fa-f]{1,4}:)")
_IPV6_BEGIN, _IPV6_END = re.compile(r"[0-9A-Fa-f]{0,4}\Z"), re.compile(r"[0-9A-Fa-f:]{2,39}(?!\w)")
_IBAN = re.compile(r"[A-Z]{2}\d\d(?: ?[A-Z0-9]){11,30}(?![A-Za-z0-9])")
_IBAN_PLACE = re.compile(r"\d\d(?: ?[A-Z0-9]{4}){2}")
MIN_PART = 100
"""Numbers of an IPv4 address one of which is this or more, unless a word before says that it is one: not a version."""
IBAN_LENGTHS = {
    name: int(length)
    for name, length in re.findall(
        r"([A-Z]{2})(\d\d)",
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
        "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 "
        "LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 "
        "QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30",
    )
}
"""Characters of an IBAN by country, from the registry of SWIFT, release 99 (2024)."""
_CARD = re.compile(r"4|5[1-5]|2(?:2[2-9]|[3-6]|7[01]|720)|3[47]|6011|64[4-9]|65|35(?:2[89]|[3-8])|30[0-5]|36|3[89]|62")
"""First digits of payment cards (ISO/IEC 7812): Visa, Mastercard, Amex, Discover, JCB, Diners Club, UnionPay."""
_CARD_LENGTHS = {"3": (14, 15, 16), "4": (13, 16, 19), "5": (16,), "2": (16,), "6": (16, 17, 18, 19)}

_PHONE_WORD = re.compile(
    r"(?:\b(?:tel|phone|fon|telefon|téléphone|telephone|mobile?|mobil|handy|cell|fax|call|whatsapp|"
    r"sms|ring|dial|rufnummer|portable)\b[.:]{0,2}|[☎📞📱])[\s:=\"'#.]{0,4}(?:no\.? |nr\.? |number:? )?\Z",
    re.IGNORECASE,
)
_ID_WORD = re.compile(
    r"(?:\b(?:isbn|issn|ean|doi|arxiv|id|no|nr|order|invoice|ticket|article|tracking|version|section|"
    r"rfc|page|pages|serial|build|ref|commit)\b)[\s.:=#]{0,3}\Z",
    re.IGNORECASE,
)
_ISBN_WORD = re.compile(r"\b(?:isbn|ean|gtin|upc)(?:-?1[34])?[\s.:=#]{0,3}\Z", re.IGNORECASE)
_VERSION_WORD = re.compile(
    r"(?:\b(?:v|ver|version|release|section|chapter|build|kapitel|abschnitt)[.:]? ?|[-_=<>~^@/]v?)\Z", re.IGNORECASE
)
_ADDRESS_WORD = re.compile(
    r"(?:\b(?:ip|host|addr|address|server|client|from|ping|dns|gateway|peer|src|dst|ipv4)\b.{0,3}|"
    r"@|/|(?<![=<>~!])=)\Z",
    re.IGNORECASE,
)
_ZIP_CODE, _STATE = re.compile(r"\d{5}-\d{4}\Z"), re.compile(r"\b[A-Z]{2}[,.]?[\s*#/]{1,8}\Z")
"""Of a postal address in the United States: ``Boston, MA 02110-1301``."""
PHONE_DIGITS = range(7, 16)
"""Numbers of digits of a phone number (ITU-T E.164: at most 15)."""
_MORE_DIGITS, _DIGITS_BEFORE = re.compile(r"[\w@]|[-./:,]\d"), re.compile(r"[\d.,:/=-]\Z|\w\+\Z|\d[ \u00a0][-+*]? ?\Z")
_PHONE_FORMS = re.compile(
    r"""(?:
    (?:\+|00(?=[1-9]))(?!0|\d+\.\d+\Z)(?:[ ().\-/\u00a0\u2010-\u2013]*\d){8,15}(?<=\d\d)  # international
    |(?:1[ .-])?(?:\([2-9]\d\d\)[ ]?|[2-9]\d\d(?P<sep>[-.]))[2-9]\d\d(?(sep)(?P=sep)|[-. ])\d{4}  # North America
    |0[1-9](?P<gap>[ .-])\d\d(?:(?P=gap)\d\d){3}                                   # France
    |\(0[1-9]\d{1,4}\)[ ]?\d{3,4}[ -]?\d{2,5}(?:[ -]\d{2,4})?                      # area in brackets
    |0[1-9]\d{1,4}(?:[ ]?[/-][ ]?|[ ])\d{3,9}(?:[ -]\d{1,6})?                      # Germany, Austria
    |0\d{2,4}[ ]\d{3,4}[ ]\d{2,4}(?:[ ]\d{2})?                                     # United Kingdom, Switzerland
    |07\d{3}[ ]?\d{6}                                                              # British mobile
    )\Z""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class PersonalFind:
    """A find: where it begins and ends in the text, its kind, one of ``KINDS``, and itself."""

    start: int
    end: int
    kind: str
    text: str

    @property
    def masked(self) -> str:
        """The find with most of its characters hidden, for people: ``a***@e***.org``."""
        if self.kind == "mail":
            local, _, domain = self.text.rpartition("@")
            return f"{local[:1]}***@{domain[:1]}***.{domain.rpartition('.')[2]}"
        if self.kind == "credential":
            return f"{self.text[:2] if self.text[:2].isalnum() else ''}***"
        return f"{self.text[:2]}***{self.text[-2:] if self.kind != 'ip' else ''}"


@dataclass
class PersonalDataReport:
    """What was found in several texts: counts, masked examples, and the number of texts with finds, by kind."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    num_texts: int = 0

    def add(self, text: str) -> bool:
        """Search a text, and return whether something was found."""
        total = self.counts.total()
        for find in find_personal_data(text):
            self._count(find)
        self.num_texts += (has_finds := self.counts.total() > total)
        return has_finds

    def mask(self, text: str) -> str:
        """Return a text with the kind of each find in its place: ``[mail]``."""
        parts, end = list[str](), 0
        for find in find_personal_data(text):
            parts += [text[end : find.start], f"[{find.kind}]"]
            end = find.end
            self._count(find)
        self.num_texts += bool(parts)
        return "".join([*parts, text[end:]])

    def _count(self, find: PersonalFind) -> None:
        self.counts[find.kind] += 1
        examples = self.examples.setdefault(find.kind, [])
        if len(examples) < MAX_EXAMPLES and find.masked not in examples:
            examples.append(find.masked)

    def __str__(self) -> str:
        """Counts by kind: ``3 mail, 1 phone``; "" if nothing was found."""
        return ", ".join(f"{self.counts[kind]:,} {kind}" for kind in KINDS if self.counts[kind])


def find_personal_data(text: str) -> Iterator[PersonalFind]:
    """Yield the personal data in a text in order; none overlap. Memory: that of a window of ``WINDOW`` characters.

    Of IP addresses only public ones are found, as others stand for no person.
    """
    end = 0
    for begin in range(0, len(text), WINDOW):
        offset = max(0, begin - BEFORE)
        window = text[offset : begin + WINDOW + OVERLAP]
        for start, stop, kind in _without_overlap(_search(window)):
            start, stop = start + offset, stop + offset
            if begin <= start < begin + WINDOW and start >= end:
                yield PersonalFind(start, stop, kind, text[start:stop])
                end = stop


Place = tuple[int, int, str]


def _without_overlap(places: Iterator[Place]) -> Iterator[Place]:
    """Yield places in order; of two that overlap, the one that begins first, a credential, or else the longer one."""
    end = 0
    for place in sorted(places, key=lambda place: (place[0], place[2] != "credential", -place[1])):
        if place[0] >= end:
            yield place
            end = place[1]


def _search(text: str) -> Iterator[Place]:
    yield from _find_mail(text)
    yield from ((start, end, "credential") for start, end in find_secrets(text))
    yield from _find_numbers(text)
    yield from _find_ibans(text)
    yield from _find_ipv6(text)


def _find_mail(text: str) -> Iterator[Place]:
    place = text.find("@")
    while place >= 0:
        local = _LOCAL.search(text, max(0, place - 64), place)
        domain = _DOMAIN.match(text, place + 1, place + 256) if local else None
        if local and domain:
            start = local.start() + len(local[0]) - len(name := local[0].lstrip(".'-%"))
            is_git = name == "git" and text[domain.end() : domain.end() + 1] == ":"
            if name.rstrip(".") == name and name and not is_git:
                yield start, domain.end(), "mail"
        place = text.find("@", place + 1)


def _find_numbers(text: str) -> Iterator[Place]:
    """Yield IPv4 addresses, payment cards and phone numbers."""
    end = 0
    for match in _NUMBER.finditer(text):
        start, stop = match.start(), match.start("end")
        if start >= end:
            found = _match_ipv4(text, start) or _match_card(text, start) or _match_phone(text, start, stop)
            if found:
                yield found
                end = found[1]


def _match_ipv4(text: str, start: int) -> Place | None:
    match = _IPV4.match(text, start)
    if not match:
        return None
    parts = match[0].split(".")
    if any(int(part) > 255 or (part[0] == "0" and len(part) > 1) for part in parts):
        return None
    before = text[max(0, match.start() - 16) : match.start()]
    has_word = bool(_ADDRESS_WORD.search(before))
    if _VERSION_WORD.search(before) and not has_word:
        return None
    if max(map(int, parts)) < MIN_PART and not has_word:  # a version, a section of a text
        return None
    address = ipaddress.IPv4Address(match[0])
    return (match.start(), match.end(), "ip") if address.is_global and not address.is_multicast else None


def _match_card(text: str, start: int) -> Place | None:
    match = _CARD_FORM.match(text, start)
    if not match or _ISBN_WORD.search(text[max(0, match.start() - 16) : match.start()]):
        return None
    digits = re.sub(r"\D", "", match[0])
    lengths = _CARD_LENGTHS.get(digits[0], ())
    return (
        (match.start(), match.end(), "card")
        if len(digits) in lengths and _CARD.match(digits) and luhn(digits)
        else None
    )


_CARD_FORM = re.compile(
    r"(?:\d{13,19}|\d{4}(?P<a>[ -])\d{4}(?P=a)\d{4}(?P=a)\d{1,7}|\d{4}(?P<b>[ -])\d{6}(?P=b)\d{4,5})(?![\w]|[-.]\d)"
)


def luhn(digits: str) -> bool:
    """Return whether the last digit is the check digit of the others (ISO/IEC 7812-1)."""
    total = sum(sum(divmod(int(digit) * (1 + index % 2), 10)) for index, digit in enumerate(reversed(digits)))
    return total % 10 == 0


def _match_phone(text: str, start: int, end: int) -> Place | None:
    number = text[start:end]
    if _MORE_DIGITS.match(text, end) or _is_part(text, start, number):
        return None
    before = text[max(0, start - 24) : start]
    if number[0] != "+" and (_ID_WORD.search(before) or (_ZIP_CODE.match(number) and _STATE.search(before))):
        return None
    has_word = _PHONE_WORD.search(before) and sum(map(str.isdigit, number)) in PHONE_DIGITS
    return (start, end, "phone") if has_word or _PHONE_FORMS.match(number) else None


def _is_part(text: str, start: int, number: str) -> bool:
    """Return whether digits, or signs of a formula, come right before a number without a plus."""
    return number[0] != "+" and bool(_DIGITS_BEFORE.search(text, max(0, start - 4), start))


def _find_ibans(text: str) -> Iterator[Place]:
    for place in _IBAN_PLACE.finditer(text):
        start = place.start() - 2
        if start < 0 or (start and text[start - 1].isalnum()):
            continue
        length = IBAN_LENGTHS.get(text[start : start + 2])
        match = _IBAN.match(text, start) if length else None
        end = _end_of_characters(text, start, length) if match and length else 0
        if end and not text[end : end + 1].isalnum() and _is_iban(text[start:end]):
            yield start, end, "iban"


def _end_of_characters(text: str, start: int, count: int) -> int:
    """Return where ``count`` characters end that are no spaces."""
    end = start
    while count and end < len(text):
        count -= text[end] != " "
        end += 1
    return end


def _is_iban(text: str) -> bool:
    """Return whether the check digits are right (ISO 13616: the number is 1 modulo 97)."""
    compact = text.replace(" ", "")
    return int("".join(str(int(character, 36)) for character in compact[4:] + compact[:4])) % 97 == 1


def _find_ipv6(text: str) -> Iterator[Place]:
    end = 0
    for place in _IPV6_PLACE.finditer(text):
        begin = _IPV6_BEGIN.search(text, max(0, place.start() - 4), place.start())
        start = begin.start() if begin else place.start()
        match = _IPV6_END.match(text, start) if start >= end else None
        if not match or place.start() - start < 3 or (start and _WORD_BEFORE.match(text[start - 1])):
            continue
        address = match[0].removesuffix(":")
        if address.endswith(":") or not any(map(str.isdigit, address)):  # a network, "dead::beef"
            continue
        with suppress(ValueError):
            if (value := ipaddress.IPv6Address(address)).is_global and not value.is_multicast:
                end = start + len(address)
                yield start, end, "ip"


_WORD_BEFORE = re.compile(r"[\w:.]")
