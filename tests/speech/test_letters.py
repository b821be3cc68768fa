"""Letters as phones."""

from genai.speech.letters import letter_phones
from genai.speech.phones import Phone


def test_each_letter_is_a_phone() -> None:
    assert letter_phones("Cafe\u0301's") == (Phone("c"), Phone("a"), Phone("f"), Phone("é"), Phone("s"))
    assert letter_phones("नि") == (Phone("न"), Phone("ि"))
    assert letter_phones("-'") == ()
