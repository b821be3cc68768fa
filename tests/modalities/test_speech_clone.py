from types import SimpleNamespace
from typing import Any, cast

import pytest

from genai.core.errors import UserError
from genai.modalities.speech_clone import choose_name, with_voice


def test_a_voice_is_called_as_its_table_or_its_folder_says() -> None:
    assert choose_name("auto", ["", ""], "folder") == "folder"
    assert choose_name("eva", ["", ""], "folder") == "eva"
    assert choose_name("auto", ["eva", "eva"], "folder") == choose_name("eva", ["eva", ""], "folder") == "eva"
    with pytest.raises(UserError, match="says 'eva'"):
        choose_name("ida", ["eva"], "folder")
    with pytest.raises(UserError, match="2 speakers are in the recordings, ada, eva"):
        choose_name("auto", ["eva", "ada"], "folder")


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\x1b[31mb", "x" * 201])
def test_a_name_that_no_model_may_have_is_refused_before_training(name: str) -> None:
    state = cast(Any, SimpleNamespace(speakers=("ada",)))
    with pytest.raises(UserError, match="1 to 200 characters"):
        with_voice(state, name, cast(Any, None), [], "en")
