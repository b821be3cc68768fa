import pytest

from genai.trust.personal_data import OVERLAP, WINDOW, PersonalDataReport, find_personal_data, luhn


def finds(text: str) -> list[tuple[str, str]]:
    return [(find.kind, find.text) for find in find_personal_data(text)]


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ("write to Anna.Braun+x@mail.example.co.uk.", "mail", "Anna.Braun+x@mail.example.co.uk"),
        ("<jörg@bücher.de>", "mail", "jörg@bücher.de"),
        ("call (212) 555-0143 now", "phone", "(212) 555-0143"),
        ("Tel.: 0221/4710815", "phone", "0221/4710815"),
        ("+49 (0)30 1234 5678", "phone", "+49 (0)30 1234 5678"),
        ("01 23 45 67 89", "phone", "01 23 45 67 89"),
        ("phone 5550143", "phone", "5550143"),
        ("IBAN DE89 3704 0044 0532 0130 00,", "iban", "DE89 3704 0044 0532 0130 00"),
        ("GB82WEST12345698765432", "iban", "GB82WEST12345698765432"),
        ("4111 1111 1111 1111", "card", "4111 1111 1111 1111"),
        ("3782-822463-10005", "card", "3782-822463-10005"),
        ("from 93.184.216.34:80", "ip", "93.184.216.34"),
        ("host 8.8.8.8", "ip", "8.8.8.8"),
        ("[2a00:1450:4001:81b::200e]:443", "ip", "2a00:1450:4001:81b::200e"),
    ],
)
def test_personal_data_are_found(text: str, kind: str, found: str) -> None:
    assert finds(text) == [(kind, found)]


@pytest.mark.parametrize(
    "text",
    [
        "version 4.19.200.1 of v8.200.3.4 and openssl-1.200.3.100",
        "2024-01-31 12:00:00, 31.01.2024",
        "4111 1111 1111 1112, 1234 5678 9012 3452",
        "DE89 3704 0044 0532 0130 01",
        "127.0.0.1, 192.168.1.7, 10.0.0.255, 999.1.1.1",
        "x[1::2], std::vector<int>, fe80::1, ::1, 00:1b:44:11:3a:b7",
        "ISBN 978-3-16-148410-0, ISSN 2049-3630, order 0221 4710815",
        "git@github.com:a/b.git, package@1.2.3, a @ b, @property",
        "x = 155 + 7527 - 9418 and +35236450.6, 3.14159265358979",
        "1.0.0.200.in-addr.arpa",
        "Boston, MA 02110-1301 USA; Boston, MA\n * 02110-1301; U+0102-0103",
        "nvidia-npp==13.200.1.2, lz4>=1.200.4.2, Version: 12.0.4.166, | nvjpeg | 13.0.1.86 |",
        "dead::beef, 2a00:1450::/32",
    ],
)
def test_what_only_looks_like_personal_data_is_not(text: str) -> None:
    assert finds(text) == []


def test_an_address_in_a_login_is_one_find() -> None:
    assert finds("https://admin:hunter2secret@db.internal/x") == [("credential", "hunter2secret")]


def test_check_digits_of_cards() -> None:
    assert luhn("79927398713") and not luhn("79927398710")


def test_finds_across_the_windows_of_a_long_text() -> None:
    begin = "x " * (WINDOW // 2 - 4)
    text = f"{begin}anna.braun@example.org {'y ' * OVERLAP}ben@example.org"
    assert finds(text) == [("mail", "anna.braun@example.org"), ("mail", "ben@example.org")]


def test_texts_are_masked_and_counted() -> None:
    report = PersonalDataReport()
    assert report.mask("to anna@example.org or +1 212 555 0143.") == "to [mail] or [phone]."
    assert report.mask("nothing") == "nothing"
    assert not report.add("nothing") and report.add("ben@example.org, anna@example.org")
    assert (str(report), report.num_texts) == ("3 mail, 1 phone", 2)
    assert report.examples == {"mail": ["a***@e***.org", "b***@e***.org"], "phone": ["+1***43"]}
