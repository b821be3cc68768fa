"""Examples and their random numbers."""

import numpy as np
import pytest

from genai.core.data import Example


def test_a_prompt_is_a_text() -> None:
    assert Example(None, np.str_("red")).prompt == "red"
    with pytest.raises(TypeError, match="the prompt 3 of an example should be a text"):
        Example(None, 3)  # type: ignore[arg-type]
