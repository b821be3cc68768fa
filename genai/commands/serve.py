"""``python -m genai serve``: serve trained models over HTTP, for OpenAI's clients and others. See ``--help``."""

import sys
from importlib.util import find_spec

from genai.cli.compose import CommandConfig, launch
from genai.cli.exit_codes import exit_on_error
from genai.core.errors import UserError

PACKAGES = ("fastapi", "uvicorn", "python_multipart")


def main() -> None:
    """Run the command."""
    launch(serve, "serve", sys.argv[1:])


def serve(config: CommandConfig) -> None:
    """Serve until a signal. Raises ``UserError``, ``RunError``."""
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise UserError(f"the server needs the package {missing[0].replace('_', '-')}: pip install 'genai[serve]'.")
    from genai.core.instantiate import parse_dataclass
    from genai.server.run_server import run_server
    from genai.server.settings import ServeSettings

    run_server(parse_dataclass(ServeSettings, config.values))


if __name__ == "__main__":
    exit_on_error(main)
