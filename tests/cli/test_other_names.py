import pytest

from genai.cli.compose import compose, known_keys
from genai.cli.other_names import OTHER_NAMES
from genai.core.errors import UserError


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("path=x", "'data.path'"),
        ("lr=1", "'optimizer.lr'"),
        ("batch_size=4", "'batch'"),
        ("epochs=3", "'steps' or 'minutes'"),
        ("stepz=3", "'steps'"),
    ],
)
def test_a_name_of_other_tools_is_answered_with_the_option(word: str, hint: str) -> None:
    with pytest.raises(UserError, match=f"There is no option '{word.partition('=')[0]}'. Did you mean {hint}"):
        compose("train", [word])


def test_every_name_that_is_given_as_an_answer_exists() -> None:
    keys = {*known_keys("train"), "trainer"}
    assert not keys & OTHER_NAMES.keys()
    assert {name.partition(".")[0] for names in OTHER_NAMES.values() for name in names} <= keys
