"""The end of every command: its exit code, and errors as one or two lines."""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

from genai.core.errors import RUN_ERROR, USER_ERROR, RunError, UserError
from genai.core.filesystem import FULL_DISK
from genai.core.terminal import terminal_text

SIGNAL_BASE = 128
"""Added to the number of the signal that ended a command."""


def exit_on_error(task: Callable[[], Any]) -> None:
    """Run ``task``; print errors as one or two lines on standard error and exit with a code.

    With ``GENAI_DEBUG=1`` the traceback is printed too.
    """
    try:
        task()
    except SystemExit as error:
        if isinstance(error.code, int) and error.code > SIGNAL_BASE:  # all is saved: do not interrupt the exit
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise
    except KeyboardInterrupt:
        _exit("\nstopped", SIGNAL_BASE + signal.SIGINT)
    except BrokenPipeError:  # the reader of the output has gone, as in `... | head`
        _discard_output()
        sys.exit(SIGNAL_BASE + 13)  # SIGPIPE, which Windows does not have
    except (UserError, RunError) as error:
        _exit(f"error: {error}", USER_ERROR if isinstance(error, UserError) else RUN_ERROR)
    except (OSError, RuntimeError) as error:
        message, code = explain_system_error(error)
        if not message:
            raise
        _exit(f"error: {message}", code)


def explain_system_error(error: Exception) -> tuple[str, int]:
    """Return message and exit code for an error of the system about a path or the output; "" for any other error."""
    if isinstance(error, OSError) and error.filename is not None:
        name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename)
        short_name = name if len(name) < 200 else f"{name[:80]}...{name[-80:]}"
        return f"{short_name}: {error.strerror or error}.", RUN_ERROR if error.errno in FULL_DISK else USER_ERROR
    if isinstance(error, OSError) and error.errno in FULL_DISK and output_fails():
        _discard_output()
        return f"cannot write to the standard output: {error.strerror or error}.", RUN_ERROR
    if isinstance(error, RuntimeError) and "home directory" in str(error):
        return "there is no home folder for a path with ~: give the whole path.", USER_ERROR
    return "", RUN_ERROR


def _exit(message: str, code: int) -> None:
    if os.environ.get("GENAI_DEBUG") == "1":
        traceback.print_exc()
    try:
        print(terminal_text(message), file=sys.stderr, flush=True)
    except OSError:  # nobody reads it
        _discard_output()
    sys.exit(code)


def output_fails() -> bool:
    """Return whether the standard output cannot be written, for use after an error: it writes a line break."""
    try:
        sys.stdout.flush()
        os.write(sys.stdout.fileno(), b"\n")  # a failed flush has dropped its text, so the next one may succeed
    except (OSError, ValueError, AttributeError):  # AttributeError: there is none
        return True
    return False


def _discard_output() -> None:
    """Send what is not yet written to devnull, so that Python can exit."""
    null_device = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(null_device, stream.fileno())
