"""Text that fits a regular expression or a JSON schema: which tokens may come next (llguidance)."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import BeforeValidator
from torch import Tensor

from genai.core.errors import UserError, short_text
from genai.core.files import read_text
from genai.core.plain_data import parse_json
from genai.media.base import FILE_OR_CONTENT
from genai.modalities.tokenizers import Tokenizer

JSON_FORMAT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""One line, as Python's ``json`` writes it: small models fill the length with white space where they may."""
MAX_CHARACTERS = {"regex": 2**16, "json_schema": 2**20}


def read_schema(value: Any) -> Any:
    """Return a schema as JSON text: a mapping, JSON text, or the name of a file. Raises ``UserError``."""
    if isinstance(value, Mapping):
        try:
            value = json.dumps(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise UserError(
                f"json_schema=: it should be plain values, as in JSON: {short_text(str(error))}."
            ) from error
    if not isinstance(value, str | Path):
        return value
    text = str(value) if str(value).lstrip().startswith("{") else read_text(Path(value).expanduser(), "schema")
    try:
        schema = parse_json(text, "json_schema=")
    except ValueError as error:
        raise UserError(f"json_schema=: {short_text(str(error))}") from error
    if not isinstance(schema, dict):
        raise UserError("json_schema=: a schema is an object, {...}.")
    return json.dumps(schema)


JSONSchema = Annotated[str, FILE_OR_CONTENT, BeforeValidator(read_schema)]


def create_grammar(regex: str | None, schema: str | None) -> str | None:
    """Return the grammar of a regular expression or of a JSON schema; ``None``: neither is given.

    Raises:
        UserError: both are given, one is invalid or too long, or the package is missing.
    """
    if regex is None and schema is None:
        return None
    if regex is not None and schema is not None:
        raise UserError("regex= and json_schema=: give one of them.")
    name, text = ("regex", regex) if regex is not None else ("json_schema", schema or "")
    if len(text) > MAX_CHARACTERS[name]:
        raise UserError(f"{name}= has {len(text):,} characters: at most {MAX_CHARACTERS[name]:,}.")
    matcher = _import_module().LLMatcher
    try:
        grammar: str = (
            matcher.grammar_from_regex(text)
            if name == "regex"
            else matcher.grammar_from_json_schema(text, defaults=JSON_FORMAT)
        )
        error = matcher.validate_grammar(grammar)
    except ValueError as invalid:
        error = str(invalid)
    if error:
        lines = error.strip().splitlines()  # the first says where, that of the error why
        reasons = [line for line in lines[1:] if line.startswith("error:")]
        raise UserError(f"{name}=: {short_text(' '.join([lines[0], *reasons]))}")
    return grammar


def create_constraints(
    grammar: str | None, tokenizer: Tokenizer, end_tokens: tuple[int, ...], count: int
) -> "list[TextConstraint] | None":
    """Return the constraint of each of ``count`` texts; ``None``: there is no grammar.

    Raises:
        UserError: no text fits the grammar, or it is too complex.
    """
    if grammar is None:
        return None
    table = _token_table(tuple(tokenizer.token_bytes), tuple(tokenizer.special_ids), end_tokens)
    constraints = [TextConstraint(table, grammar, end_tokens) for _ in range(count)]
    constraints[0].allowed()
    return constraints


class TextConstraint:
    """A ``methods.logit_bias.Constraint``: the tokens with which a text can still fit a grammar."""

    def __init__(self, tokenizer: Any, grammar: str, end_tokens: tuple[int, ...]) -> None:
        self.matcher, self.end_tokens = _import_module().LLMatcher(tokenizer, grammar, log_level=0), end_tokens
        self.num_tokens = tokenizer.vocab_size

    def allowed(self) -> Tensor:
        """Return the mask (tokens,) of what may come next: an end token alone once nothing else fits.

        Raises:
            UserError: no text fits the grammar, or it is too complex.
        """
        mask = np.zeros((self.num_tokens + 31) // 32 * 32, bool)
        if not self.matcher.is_stopped():
            bits = np.frombuffer(self.matcher.compute_bitmask(), np.uint8)
            mask = np.unpackbits(bits, bitorder="little").astype(bool)
        if self.matcher.is_error() or (self.matcher.is_stopped() and not self.matcher.is_accepting()):
            reason = (self.matcher.get_error() or self.matcher.stop_reason()).splitlines()[0]
            problem = "no text fits it" if reason.startswith("NoExtension") else f"it is too complex ({reason})"
            raise UserError(f"regex= or json_schema=: {problem}.")
        if not mask[: self.num_tokens].any():
            mask[list(self.end_tokens)] = True
        return torch.from_numpy(mask[: self.num_tokens])

    def advance(self, index: int) -> None:
        """Append a token; nothing follows an end token."""
        if not self.matcher.is_stopped():
            self.matcher.consume_token(index)


class _TokenTable:
    """Tokens in the form that llguidance wants.

    It asks for the tokens of a text to find how a tokenizer would split it, which no mask here depends on.
    """

    bos_token_id = None

    def __init__(self, token_bytes: Sequence[bytes], special_ids: Sequence[int], end_tokens: Sequence[int]) -> None:
        count = max(len(token_bytes), max(end_tokens) + 1)
        self.tokens = [token_bytes[i] if i < len(token_bytes) else b"" for i in range(count)]
        self.special_token_ids = sorted({*special_ids, *end_tokens})
        for index in self.special_token_ids:
            self.tokens[index] = b"\xff<special %d>" % index  # 0xff: no text has it
        self.eos_token_id = end_tokens[0]
        self.single_bytes = {content[0]: i for i, content in enumerate(self.tokens) if len(content) == 1}

    def __call__(self, content: bytes) -> list[int]:
        return [self.single_bytes[byte] for byte in content if byte in self.single_bytes]


@lru_cache(maxsize=4)
def _token_table(token_bytes: tuple[bytes, ...], special_ids: tuple[int, ...], end_tokens: tuple[int, ...]) -> Any:
    module = _import_module()
    table = _TokenTable(token_bytes, special_ids, end_tokens)
    return module.LLTokenizer(module.TokenizerWrapper(table), eos_token=list(end_tokens))


def _import_module() -> Any:
    try:
        import llguidance
    except ImportError as error:
        raise UserError("regex= and json_schema= need llguidance: pip install 'genai[grammar]'") from error
    return llguidance
