"""How an engine of tokens samples: the options of a request in plain numbers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TokenSampling:
    """Options of sampling, as in ``methods.autoregressive.AutoregressiveOptions``, and what ends a row.

    Attributes:
        num_tokens: tokens with larger ids are never sampled.
        end_tokens: tokens that end a row; the first one fills what follows.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    num_tokens: int | None = None
    end_tokens: tuple[int, ...] = ()
