"""A second model that a key of the command line names, such as the vocoder of a model of speech."""

from typing import Any

from genai.core.errors import UserError
from genai.inference.model import Model, load


def load_part(key: str, source: str, **place: Any) -> Model:
    """Load the model ``source``, a run folder or a checkpoint file.

    Args:
        key: that names it, for messages.
        source: what was given.
        place: further arguments of ``load``: device, folder of runs, plugins.

    Raises:
        UserError: there is none; the message begins with the key.
    """
    try:
        return load(source, **place)
    except UserError as error:
        raise type(error)(f"{key}=: {error}") from error
