"""Finding personal data: ``python benchmarks/personal_data.py [--json FILE] [--documents 4000] [--seed 0]``.

Personal data are planted in generated documents (letters, forms, logs, code, tables) among decoys: versions, dates,
ISBNs, hashes, prices, coordinates, formulas, order numbers, times. A plant is found if finds of its kind cover all of
it. A find is right if it lies on a plant of its kind, with at most ``MARGIN`` characters more. The table has recall and
precision by kind; then come examples of what was missed and of false finds, and the speed.

The generator knows nothing of the finder: its formats are those that people write, also such that are hard to find.
"""

import argparse
import ipaddress
import random
import string
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from common import save

from genai.trust.personal_data import KINDS, find_personal_data

MARGIN = 2
NUM_EXAMPLES = 6
WORDS = (
    "the of and to in is that for it as was with be by on not he his but at are this have from or had an they "
    "which one you were her all she there would their we him been has when who will more no if out so said what "
    "up its about into than them can only other new some could time these two may then do first any my now such "
    "like our over man me even most made after also did many before must through back years where much your way "
    "well down should because each der die und das ist nicht ein eine mit auf den von zu im für dem sich auch es "
    "an werden aus er hat dass sie nach le la les des et en un une du que est pour dans qui par sur pas plus au "
    "avec son il ne "
).split()
FIRST = (
    "Anna Ben Chloé David Emre Farah Georg Hana Ivan Jörg Katja Li Maria Nils Olga Paul Quinn Rosa Sven Tara".split()
)
LAST = "Adams Braun Costa Dubois Evans Fischer Garcia Huber Ito Jensen Kaya Lopez Meyer Novak Owens Petit Roth".split()
HOSTS = "example posteo gmail acme-corp uni-bonn orange nhs bbc kth web proton mail.server research lab.cs".split()
TOP = "com org net de fr co.uk edu io eu ch info museum".split()


@dataclass
class Text:
    """A document that grows, with the places of its plants: (start, end, kind)."""

    parts: list[str] = field(default_factory=list)
    plants: list[tuple[int, int, str]] = field(default_factory=list)
    length: int = 0

    def add(self, text: str, kind: str = "") -> None:
        """Add a text, a plant if it has a kind."""
        if kind:
            self.plants.append((self.length, self.length + len(text), kind))
        self.parts.append(text)
        self.length += len(text)


def digits(r: random.Random, count: int) -> str:
    """Return random digits."""
    return "".join(r.choices(string.digits, k=count))


def hexadecimal(r: random.Random, count: int) -> str:
    """Return random hexadecimal digits."""
    return letters(r, count, "0123456789abcdef")


def letters(r: random.Random, count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    """Return random characters."""
    return "".join(r.choices(alphabet, k=count))


def mail(r: random.Random) -> str:
    """Return a mail address."""
    first, last = (r.choice(names).lower().replace("é", "e").replace("ö", "oe") for names in (FIRST, LAST))
    local = r.choice(
        [f"{first}.{last}", f"{first}{r.randint(1, 99)}", f"{first[0]}_{last}", f"{last}+news", f"{first}-{last}"]
    )
    address = f"{local}@{r.choice(HOSTS)}.{r.choice(TOP)}"
    return r.choice([address, address, address, address.upper(), address.title()])


def phone(r: random.Random) -> str:
    """Return a phone number: international, or as one country writes its own."""
    us = (str(r.randint(2, 9)) + digits(r, 2), str(r.randint(2, 9)) + digits(r, 2), digits(r, 4))
    area = r.choice(["30", "40", "89", "221", "171", "160", "6221"])
    german = digits(r, 4), digits(r, 4)
    french = [str(r.randint(1, 7)), *(digits(r, 2) for _ in range(4))]
    return r.choice(
        [
            "({}) {}-{}".format(*us),
            "{}-{}-{}".format(*us),
            "{}.{}.{}".format(*us),
            "+1 {} {} {}".format(*us),
            "+1-{}-{}-{}".format(*us),
            "+1{}{}{}".format(*us),
            f"+49 {area} {german[0]}{german[1]}",
            f"+49 (0){area} {german[0]} {german[1]}",
            f"0049 {area} {german[0]}{german[1]}",
            f"0{area} {german[0]}{german[1]}",
            f"0{area}/{german[0]}{german[1]}",
            f"0{area}-{german[0]}{german[1]}",
            f"(0{area}) {german[0]} {german[1]}",
            "0{} {} {} {} {}".format(*french),
            "0{}.{}.{}.{}.{}".format(*french),
            "+33 {} {} {} {} {}".format(*french),
            f"07{digits(r, 3)} {digits(r, 6)}",
            f"020 {r.choice('378')}{digits(r, 3)} {digits(r, 4)}",
            f"+44 20 {r.choice('378')}{digits(r, 3)} {digits(r, 4)}",
            f"+41 {r.choice(['44', '79', '31'])} {digits(r, 3)} {digits(r, 2)} {digits(r, 2)}",
            f"+91 {r.randint(6, 9)}{digits(r, 4)} {digits(r, 5)}",
            f"+81 3-{digits(r, 4)}-{digits(r, 4)}",
        ]
    )


def iban(r: random.Random) -> str:
    """Return an IBAN with right check digits, in groups of four or without spaces."""
    country, body = r.choice(
        [
            ("DE", digits(r, 18)),
            ("FR", digits(r, 10) + letters(r, 11, string.ascii_uppercase + string.digits) + digits(r, 2)),
            ("GB", letters(r, 4, string.ascii_uppercase) + digits(r, 14)),
            ("CH", digits(r, 17)),
            ("NO", digits(r, 11)),
            ("NL", letters(r, 4, string.ascii_uppercase) + digits(r, 10)),
            ("PL", digits(r, 24)),
            ("ES", digits(r, 20)),
        ]
    )
    number = int("".join(str(int(character, 36)) for character in f"{body}{country}00"))
    text = f"{country}{98 - number % 97:02d}{body}"
    return r.choice([text, " ".join(text[i : i + 4] for i in range(0, len(text), 4))])


def card(r: random.Random) -> str:
    """Return a number of a payment card with the right last digit."""
    prefix, length = r.choice(
        [("4", 16), ("51", 16), ("55", 16), ("2221", 16), ("34", 15), ("37", 15), ("6011", 16), ("3530", 16)]
    )
    body = prefix + digits(r, length - len(prefix) - 1)
    total = sum(sum(divmod(int(d) * (2 - i % 2), 10)) for i, d in enumerate(reversed(body)))
    number = body + str(-total % 10)
    groups = [number[:4], number[4:10], number[10:]] if length == 15 else [number[i : i + 4] for i in range(0, 16, 4)]
    return r.choice(["", " ", "-"]).join(groups)


def address(r: random.Random) -> str:
    """Return a public IP address."""
    while r.random() < 0.75:
        v4 = ipaddress.IPv4Address(r.getrandbits(32))
        if v4.is_global and not v4.is_multicast:
            return str(v4)
    network = int(ipaddress.IPv6Address(r.choice(["2a00::", "2600::", "2409::"])))
    size = r.choice([128 - 12, 80, 64])
    host = r.getrandbits(size) if size > 64 else r.getrandbits(20) << 80 | r.getrandbits(16)
    v6 = ipaddress.IPv6Address(network | host)
    return r.choice([str(v6), v6.exploded])


def credential(r: random.Random) -> tuple[str, str, str]:
    """Return a text before, a credential, and a text after it."""
    secret = letters(r, r.randint(10, 24)) + r.choice("!#%7")
    base64 = string.ascii_letters + string.digits + "+/"
    block = "\n".join(letters(r, 64, base64) for _ in range(r.randint(4, 24)))
    kind = r.choice(["RSA PRIVATE KEY", "PRIVATE KEY", "OPENSSH PRIVATE KEY", "EC PRIVATE KEY"])
    upper = string.ascii_uppercase + string.digits
    token = ".".join(["eyJ" + letters(r, 30), "eyJ" + letters(r, 60), letters(r, 43)])
    return r.choice(
        [
            ('password = "', secret, '"'),
            ("password: ", secret, ""),
            ("PASSWORD=", secret, ""),
            ('"passwd": "', secret, '",'),
            ("db_password='", secret, "'"),
            ('api_key = "', hexadecimal(r, 40), '"'),
            ('"secret_key": "', letters(r, 40, base64), '"'),
            ("export AWS_SECRET_ACCESS_KEY=", letters(r, 40, base64), ""),
            ("AWS_ACCESS_KEY_ID=", "AKIA" + letters(r, 16, upper), ""),
            ("", "ghp_" + letters(r, 36), ""),
            ("", "github_pat_" + letters(r, 22) + "_" + letters(r, 59), ""),
            ("key ", "sk-" + letters(r, 48), ""),
            ("", "sk_live_" + letters(r, 24), ""),
            ("", f"xoxb-{digits(r, 12)}-{digits(r, 12)}-{letters(r, 24)}", ""),
            ("?key=", "AIza" + letters(r, 35), "&q=1"),
            ("", "glpat-" + letters(r, 20), ""),
            ("", "hf_" + letters(r, 34, string.ascii_letters), ""),
            ("Authorization: Bearer ", letters(r, 40), ""),
            ("Authorization: Bearer ", token, ""),
            ("token ", token, ""),
            ("", f"-----BEGIN {kind}-----\n{block}\n-----END {kind}-----", ""),
            ("https://admin:", secret.rstrip("!#%") + "x", "@db.internal/app"),
            ("postgres://app:", secret.rstrip("!#%") + "y", "@10.0.0.5:5432/main"),
        ]
    )


def decoy(r: random.Random) -> str:
    """Return something that looks like personal data, and is none."""
    year, month, day = r.randint(1900, 2030), r.randint(1, 12), r.randint(1, 28)
    isbn = f"978{digits(r, 9)}"
    isbn += str(-sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(isbn)) % 10)
    name = r.choice("alpha beta gamma libfoo openssl kernel widget".split())
    v = [str(r.randint(0, 40)) for _ in range(4)]
    return r.choice(
        [
            f"version {'.'.join(v)}",
            f"v{'.'.join(v)}",
            f"{name}-{'.'.join(v)}.tar.gz",
            f"{name}=={'.'.join(v[:3])}",
            f"see section {'.'.join(str(r.randint(1, 9)) for _ in range(4))}",
            f"{year}-{month:02d}-{day:02d} {r.randint(0, 23):02d}:{r.randint(0, 59):02d}:{r.randint(0, 59):02d}",
            f"{day:02d}.{month:02d}.{year}",
            f"{day:02d}/{month:02d}/{year}",
            f"{year}{month:02d}{day:02d}{digits(r, 6)}",
            f"ISBN {isbn[:3]}-{isbn[3]}-{isbn[4:8]}-{isbn[8:12]}-{isbn[12]}",
            f"ISBN {isbn}",
            f"commit {hexadecimal(r, 40)}",
            f"sha256 {hexadecimal(r, 64)}",
            f"{hexadecimal(r, 8)}-{hexadecimal(r, 4)}-4{hexadecimal(r, 3)}-a{hexadecimal(r, 3)}-{hexadecimal(r, 12)}",
            f"{r.randint(1, 999)},{digits(r, 3)},{digits(r, 3)}.{digits(r, 2)} USD",
            f"{r.randint(1, 999)}.{digits(r, 3)}.{digits(r, 3)},{digits(r, 2)} €",
            f"${r.randint(1, 99)}.{digits(r, 2)}",
            f"{r.uniform(-90, 90):.6f}, {r.uniform(-180, 180):.6f}",
            f"{r.randint(0, 89)}°{r.randint(0, 59)}'{r.randint(0, 59)}\" N",
            f"x = {r.randint(1, 999)} + {r.randint(1, 9999)} - {r.randint(1, 9999)} * 0.{digits(r, 8)}",
            f"3.14159265358979 and 2.71828{digits(r, 10)}",
            f"order no. {digits(r, 10)}",
            f"invoice {r.randint(2000, 2030)}-{digits(r, 6)}",
            f"id={digits(r, 12)}",
            f"ticket #{digits(r, 7)}",
            f"article {digits(r, 3)}-{digits(r, 2)}-{digits(r, 5)}",
            f"pages {r.randint(100, 400)}-{r.randint(401, 999)}",
            f"{r.randint(1990, 2010)}-{r.randint(2011, 2024)}",
            f"x[{r.randint(0, 9)}::{r.randint(1, 9)}] = a[1:2:3]",
            "std::vector<int> a; Foo::bar(); ::abs(-1)",
            f"00:1b:{hexadecimal(r, 2)}:3d:4e:{hexadecimal(r, 2)}",
            f"score {digits(r, 1)}:{digits(r, 1)}, 1{digits(r, 1)}:2{digits(r, 1)}:3{digits(r, 1)}.{digits(r, 3)}",
            "@property\ndef f(self): return a @ b",
            "def f(password: str, token: str | None = None) -> None: ...",
            "password = getpass.getpass()",
            'password = "<your password>"',
            "password = os.environ['DB_PASSWORD']",
            "the secret: nobody knows it",
            "Please enter your password: then press return",
            "bearer of bad news",
            "the bearer instruments were sold",
            "git@github.com:acme/widget.git",
            "https://example.org/a/b?x=1&y=2#frag",
            f"https://example.org:{r.randint(1000, 9999)}/path@v{'.'.join(v[:3])}",
            "pip install package@latest",
            "@media (min-width: 768px) and (max-width: 1024px)",
            "follow @someone on the network",
            f"{r.randint(100, 999)} {r.randint(100, 999)} {r.randint(100, 999)} inhabitants",
            f"{digits(r, 5)} {r.choice(['Berlin', 'Paris', 'Bern'])}",
            " ".join(str(r.randint(0, 99)) for _ in range(r.randint(4, 12))),
            " ".join(f"{r.random():.4f}" for _ in range(6)),
            f"0x{letters(r, 8, '0123456789ABCDEF')} 0b{letters(r, 8, '01')} {digits(r, 3)}e-{digits(r, 1)}",
            f"{r.randint(1, 30)}-{r.randint(1, 30)}-{r.randint(1, 30)} {r.randint(1, 5)}/{r.randint(6, 9)}",
            f"EAN {digits(r, 13)}",
            f"tracking {digits(r, 20)}",
            f"\\frac{{{r.randint(1, 99)}}}{{{r.randint(1, 99)}}}^{{{r.randint(1, 9)}}}",
            f"127.0.0.1:{r.randint(1000, 9999)} and 192.168.{r.randint(0, 255)}.{r.randint(1, 254)}",
            f"DOI 10.{digits(r, 4)}/s{digits(r, 5)}-0{digits(r, 2)}-{digits(r, 5)}-{digits(r, 1)}",
            f"arXiv:{r.randint(10, 25)}{month:02d}.{digits(r, 5)}",
            f"ISSN {digits(r, 4)}-{digits(r, 4)}",
        ]
    )


PLANTS: dict[str, Callable[[random.Random], str]] = {
    "mail": mail, "phone": phone, "iban": iban, "card": card, "ip": address,
}  # fmt: skip
BEFORE = {
    "mail": ["", "mail: ", "<", "write to ", "mailto:", "author = '", "("],
    "phone": ["", "Tel. ", "phone: ", "call ", "Fon ", "mobile: ", "or "],
    "iban": ["", "IBAN: ", "account ", "IBAN "],
    "card": ["", "card ", "Visa ", "no. "],
    "ip": ["", "from ", "client ", "host=", "http://", "["],
}
AFTER = {"mail": ["", ">", ".", ",", ")"], "ip": ["", ":", ",", " - - "], "phone": ["", ".", ",", ";"]}


def document(r: random.Random) -> Text:
    """Return prose, lines or rows with plants and decoys."""
    text, gap = Text(), r.choice([" ", "\n", ", ", " | ", "\t"])
    for _ in range(r.randint(3, 30)):
        text.add(" ".join(r.choices(WORDS, k=r.randint(2, 30))) + gap)
        choice = r.random()
        if choice < 0.2:
            kind = r.choice([*PLANTS, "credential"])
            if kind == "credential":
                before, secret, after = credential(r)
                text.add(before)
                text.add(secret, kind)
                text.add(after)
            else:
                text.add(r.choice(BEFORE[kind]))
                text.add(PLANTS[kind](r), kind)
                text.add(r.choice(AFTER.get(kind, [""])))
        elif choice < 0.6:
            text.add(decoy(r))
        text.add(gap)
    return text


def measure(count: int, seed: int) -> dict[str, object]:
    """Return recall, precision and speed on ``count`` documents."""
    r = random.Random(seed)
    found, planted, right, finds_of = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    missed, false = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    num_characters, seconds = 0, 0.0
    for _ in range(count):
        plants = (text := document(r)).plants
        content = "".join(text.parts)
        start = time.process_time()
        finds = list(find_personal_data(content))
        seconds += time.process_time() - start
        num_characters += len(content.encode())
        for begin, end, kind in plants:
            covered = {i for find in finds if find.kind == kind for i in range(find.start, find.end)}
            planted[kind] += 1
            found[kind] += (is_found := covered.issuperset(range(begin, end)))
            if not is_found:
                missed[kind].append(content[max(0, begin - 12) : end + 4])
        for find in finds:
            is_right = any(
                kind == find.kind and find.start < end and find.end > begin
                and find.start >= begin - MARGIN and find.end <= end + MARGIN
                for begin, end, kind in plants
            )  # fmt: skip
            finds_of[find.kind] += 1
            right[find.kind] += is_right
            if not is_right:
                false[find.kind].append(content[max(0, find.start - 12) : find.end + 4])
    rows = {
        kind: {
            "planted": planted[kind],
            "recall": found[kind] / max(1, planted[kind]),
            "precision": right[kind] / max(1, finds_of[kind]),
        }
        for kind in KINDS
    }
    rows["all"] = {
        "planted": planted.total(),
        "recall": found.total() / planted.total(),
        "precision": right.total() / finds_of.total(),
    }
    for kind, row in rows.items():
        print(f"{kind:<12}{row['planted']:>7,}  recall {row['recall']:.1%}  precision {row['precision']:.1%}")
    for name, examples in (("missed", missed), ("false", false)):
        for kind, texts in examples.items():
            print(
                f"{name}, {kind} ({len(texts)}):",
                *map(repr, random.Random(0).sample(texts, min(NUM_EXAMPLES, len(texts)))),
            )
    print(f"{num_characters / seconds / 1e6:.1f} MB/s of {num_characters / 1e6:.1f} MB")
    return {"rows": rows, "mb_per_s": num_characters / seconds / 1e6, "seed": seed, "documents": count}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--documents", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    result = measure(arguments.documents, arguments.seed)
    if arguments.json:
        save(arguments.json, result)
