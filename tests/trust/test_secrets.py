import pytest

from genai.trust.secrets import find_secrets

KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc=\n-----END RSA PRIVATE KEY-----"
TOKEN = f"eyJ{'hbGciOi' * 3}.eyJ{'zdWIiOi' * 3}.{'SflKxwRJ' * 5}"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"key:\n{KEY}\n", KEY),
        ("id AKIAIOSFODNN7ABCDEFG", "AKIAIOSFODNN7ABCDEFG"),
        ("x ghp_" + "a1" * 18, "ghp_" + "a1" * 18),
        ("Authorization: Bearer abcdef0123456789abcdef", "abcdef0123456789abcdef"),
        (TOKEN, TOKEN),
        ('db_password = "correct-horse"', "correct-horse"),
        ("PASSWORD=hunter2hunter2", "hunter2hunter2"),
        ('"api_key": "0123456789abcdef0123"', "0123456789abcdef0123"),
        ("postgres://app:s3cret@10.0.0.5/db", "s3cret"),
        ("İ PASSWORD=hunter2hunter2", "hunter2hunter2"),
    ],
)
def test_credentials_are_found(text: str, secret: str) -> None:
    assert [text[start:end] for start, end in find_secrets(text)] == [secret]


@pytest.mark.parametrize(
    "text",
    [
        "password = getpass.getpass()",
        'password = "<your password>"',
        "password = os.environ['PASSWORD1']",
        "def f(password: str, token: str | None = None): ...",
        "password: ********",
        "the bearer of bad news",
        "sk-learn and task-0123456789012345678901234567890123456789",
        "https://example.org:8080/a@b",
    ],
)
def test_other_texts_are_not(text: str) -> None:
    assert list(find_secrets(text)) == []
