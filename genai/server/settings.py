"""Settings of the server: where it listens, which models it has, and what it allows."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Le

from genai.core.errors import UserError, short_text
from genai.core.files import check_file, read_text
from genai.core.plain_data import parse_yaml
from genai.inference.labels import LabelOptions

KEY_VARIABLE = "GENAI_API_KEY"
MIN_KEY_LENGTH = 16
"""Characters of a key; a shorter one can be guessed."""
MODEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
MAX_OPTIONS = {"length": 4096, "seconds": 120, "frames": 256, "steps": 250}


@dataclass(frozen=True)
class RequestLimits:
    """What a request may ask for.

    Attributes:
        prompt: characters of all prompts.
        samples: number of samples.
        values: values of all samples, such as tokens, or pixels times channels.
        body: bytes of a request with files.
        options: largest values of options, by name, in the models that have them.
    """

    prompt: int = 100_000
    samples: int = 64
    values: int = 2**26
    body: int = 32 * 10**6
    options: Mapping[str, float] = field(default_factory=lambda: dict(MAX_OPTIONS))


@dataclass(frozen=True, kw_only=True)
class ServeSettings(LabelOptions):
    """Settings of ``genai serve``; ``configs/serve.yaml`` explains each key."""

    runs: str = "runs"
    models: str | None = None
    samples: str = "samples"
    train: bool = False
    data_root: str | None = None
    host: str = "127.0.0.1"
    port: Annotated[int, Ge(0), Le(65_535)] = 8000
    memory: str = "8GB"
    key_file: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    behind_proxy: bool = False
    hosts: Sequence[str] = ()
    origins: Sequence[str] = ()
    active: Annotated[int, Ge(1), Le(1024)] = 32
    queue: Annotated[int, Ge(0), Le(100_000)] = 64
    max_prompt: Annotated[int, Ge(1)] = 100_000
    max_samples: Annotated[int, Ge(1), Le(10_000)] = 64
    max_values: Annotated[int, Ge(1)] = 2**26
    max_body: str = "32MB"
    max_options: Mapping[str, float] = field(default_factory=lambda: dict(MAX_OPTIONS))
    drain_seconds: Annotated[float, Ge(0), Le(3600)] = 30.0
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    plugins: Sequence[str] = ()

    def __post_init__(self) -> None:
        for origin in self.origins:
            if not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]+", origin):
                raise UserError(f"origins=[{short_text(origin)}]: give whole origins, such as https://example.org.")

    @property
    def limits(self) -> RequestLimits:
        """The limits of a request. Raises ``UserError``."""
        max_body = parse_bytes("max_body", self.max_body)
        return RequestLimits(self.max_prompt, self.max_samples, self.max_values, max_body, self.max_options)

    @property
    def memory_bytes(self) -> int:
        """Memory for the weights of models. Raises ``UserError``."""
        return parse_bytes("memory", self.memory)

    @property
    def named_models(self) -> dict[str, str] | None:
        """Paths of models by their ids; ``None``: every finished run. Raises ``UserError``."""
        if self.models is None:
            return None
        values = parse_yaml(self.models, "models=")
        if not isinstance(values, dict) or not all(isinstance(path, str) for path in values.values()) or not values:
            raise UserError(f"models={short_text(self.models)}: give names and runs, as models='{{cat: RUN}}'.")
        for name in values:
            if not isinstance(name, str) or not MODEL_ID.fullmatch(name):
                raise UserError(f"models=: {short_text(name)} is no name: use letters, digits, '.', '_' and '-'.")
        return values

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        try:
            return self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:
            return False

    def read_key(self) -> str | None:
        """Return the key that requests have to bring; ``None``: none.

        Raises:
            UserError: it is too short, or it, or TLS, is missing at an address that others can reach.
        """
        key = os.environ.get(KEY_VARIABLE) or None
        if self.key_file is not None:
            key = read_text(Path(self.key_file).expanduser(), "line").strip()
        if key is not None and (len(key) < MIN_KEY_LENGTH or not key.isascii() or not key.isprintable()):
            raise UserError(f"the key should have {MIN_KEY_LENGTH} or more printable ASCII characters.")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise UserError("tls_cert= and tls_key=: give both or none.")
        for path in (self.tls_cert, self.tls_key):
            if path is not None:
                check_file(Path(path).expanduser())
        if self.is_loopback and not self.behind_proxy:
            return key
        reason = "behind_proxy=true" if self.is_loopback else f"host={short_text(self.host)}"
        if key is None:
            raise UserError(f"{reason}: others can reach it, so it needs a key: set {KEY_VARIABLE}, or key_file=FILE.")
        if self.tls_cert is None and not self.behind_proxy:
            raise UserError(
                f"{reason}: others could read the key: give tls_cert= and tls_key=, or behind_proxy=true if a proxy "
                "encrypts."
            )
        return key


def parse_bytes(name: str, text: str) -> int:
    """Return ``"8GB"`` as a number of bytes. Raises ``UserError``."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text.strip())
    unit = UNITS.get(match[2].upper()) if match else None
    if match is None or unit is None or not float(match[1]):
        raise UserError(f"{name}={short_text(text)}: give a size, such as 8GB or 500MB.")
    return int(float(match[1]) * unit)
