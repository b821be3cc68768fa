"""Texts that are made to keep the search for personal data busy."""

import time

import pytest

from genai.trust.personal_data import find_personal_data

REPEATED = [
    "a", "@", "a@", "a.", "x@a.", "1", "1 ", "1(", "1\u00a0", "+", "+1", "(", ":", "a:", "1:", "::1", "-----BEGIN ",
    "-----BEGIN PRIVATE KEY-----", "://", "://a:", "password=", "password = '", "eyJ", f"eyJ{'a' * 2000}.", "sk-a",
    "DE00 ", "bearer ", "111.111.111.111 ", "0-", "4111 ",
]  # fmt: skip


@pytest.mark.parametrize("part", REPEATED)
def test_the_time_is_in_proportion_to_the_text(part: str) -> None:
    text = part * (100_000 // len(part))
    start = time.process_time()
    assert sum(1 for _ in find_personal_data(text)) <= 20_000
    assert time.process_time() - start < 3  # measured: up to 0.4 s
