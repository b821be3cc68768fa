"""``python -m genai chat``: talk to a chat model in the terminal. See ``--help``."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genai.cli.compose import CommandConfig, launch
from genai.cli.exit_codes import exit_on_error
from genai.cli.options import load_model, parse_options, report_checkpoints, split_options
from genai.cli.settings import ChatSettings, parse_settings
from genai.core.errors import RunError, UserError, did_you_mean
from genai.core.terminal import one_line, terminal_text

if TYPE_CHECKING:
    from genai.inference.conversation import Conversation
    from genai.inference.model import Model

HELP = {
    "/system TEXT": "say how the model should answer; without a text: as before the program began",
    "/undo": "take back the last question and its answer",
    "/again": "answer the last question once more",
    "/save FILE": "append the conversation to a file of JSON lines",
    "/clear": "begin a new conversation",
    "/help": "this list",
    "/quit": "end; so does Ctrl-D",
}
TEMPERATURE = 0.5
"""Lower than that of samples: small models answer questions better."""
PASTE_SECONDS = 0.05
"""A line that comes so soon after another one was pasted with it."""


def main() -> None:
    """Run the command."""
    overrides, options = split_options("chat", sys.argv[1:])
    launch(lambda config: chat(config, options), "chat", overrides)


def chat(config: CommandConfig, options: Mapping[str, str]) -> None:
    """Answer each line of standard input. Raises ``UserError``, ``RunError``."""
    from dataclasses import replace

    from genai.inference.chat_models import default_chat_model
    from genai.inference.conversation import Conversation

    settings = parse_settings(ChatSettings, config)
    if settings.ckpt is None and settings.adapter is None:
        settings = replace(settings, ckpt=str(default_chat_model(Path(settings.runs).expanduser())))
    print(one_line(f"loading {settings.ckpt or settings.adapter}"), file=sys.stderr, flush=True)
    model = load_model(settings)
    values = parse_options(model, options, config.values)
    model.build_options(values)
    conversation = Conversation(model, settings.system)
    is_terminal = sys.stdin.isatty()
    report_checkpoints(model)
    if is_terminal:
        print("Ask something. /help lists the commands; Ctrl-C stops an answer, Ctrl-D ends.", file=sys.stderr)
    values = {"length": settings.length, **_default_temperature(model), **values}
    session = ChatSession(conversation, values, settings.seed, settings.system)
    for text in _read_terminal() if is_terminal else _read_lines():
        try:
            if not session.take(text):
                return
        except (UserError, RunError) as error:
            if not is_terminal:
                raise
            print(f"error: {terminal_text(str(error))}", file=sys.stderr, flush=True)


def _default_temperature(model: "Model") -> dict[str, float]:
    """Return the temperature of chats, unless the model's file says which it wants."""
    return {} if "temperature" in model.method.sampling else {"temperature": TEMPERATURE}


class ChatSession:
    """The turns of a conversation on standard output.

    Args:
        conversation: it is continued.
        options: of the samples.
        seed: of the first answer; the next answer has the next seed.
        system: the first message, to which ``/system`` returns.
    """

    def __init__(self, conversation: "Conversation", options: Mapping[str, Any], seed: int, system: str) -> None:
        self.conversation, self.options, self.seed, self.system = conversation, options, seed, system
        self.commands: dict[str, Callable[[str], object]] = {
            "/system": self._set_system,
            "/undo": self._undo,
            "/again": self._repeat,
            "/save": self._save,
            "/clear": self._clear,
            "/help": self._help,
        }

    def take(self, text: str) -> bool:
        """Answer a question or run a command; return whether another one may follow. Raises ``UserError``."""
        name, _, argument = text.strip().partition(" ")
        if name in ("/quit", "/exit"):
            return False
        if name.startswith("/"):
            if name not in self.commands:
                raise UserError(
                    f"there is no command {one_line(name)}.{did_you_mean(name, self.commands)} /help lists them."
                )
            self.commands[name](argument.strip())
        elif text.strip():
            with self._unchanged_after_error():
                self.conversation.add("user", text.strip())
                self._answer()
        return True

    def _answer(self) -> None:
        """Write the answer to the last question while it is generated, and keep it, also a part of it after Ctrl-C."""
        answer = ""
        try:
            stream = self.conversation.model.stream(self._prompt(), seed=self.seed, **self.options)
            self.seed += 1
            for (part,) in stream:
                answer += str(part)
                print(part.on_terminal, end="", flush=True)
            rest = str(stream.results()[0])[len(stream.decoders[0].initial) + len(answer) :]
            answer += rest
            print(terminal_text(rest), flush=True)
        except KeyboardInterrupt:
            print("\n(stopped)", flush=True)
        self.conversation.add("assistant", answer.strip())

    def _prompt(self) -> str:
        """Return the prompt of the next answer; say so if the oldest messages no longer fit."""
        num_dropped = self.conversation.num_dropped
        prompt = self.conversation.prompt(int(self.options["length"]))
        if (count := self.conversation.num_dropped) > num_dropped:
            print(f"the context is full: the oldest {count} messages are left out", file=sys.stderr, flush=True)
        return prompt

    def _set_system(self, text: str) -> None:
        self.conversation.system = text or self.system

    def _undo(self, text: str) -> None:
        if not self.conversation.undo():
            raise UserError("there is nothing to take back.")

    def _repeat(self, text: str) -> None:
        messages = self.conversation.messages
        if not messages:
            raise UserError("there is no question yet.")
        with self._unchanged_after_error():
            if messages[-1]["role"] == "assistant":
                messages.pop()
            self._answer()

    @contextmanager
    def _unchanged_after_error(self) -> Iterator[None]:
        """Restore the messages if there is no answer because of an error."""
        before = list(self.conversation.messages)
        try:
            yield
        except (UserError, RunError):
            self.conversation.messages[:] = before
            raise

    def _save(self, text: str) -> None:
        if not text:
            raise UserError("/save FILE: name a file.")
        self.conversation.save(Path(text))
        print(one_line(f"saved to {text}"), file=sys.stderr, flush=True)

    def _clear(self, text: str) -> None:
        self.conversation.messages.clear()
        self.conversation.num_dropped = 0

    def _help(self, text: str) -> None:
        for name, meaning in HELP.items():
            print(f"  {name:<14}{meaning}", file=sys.stderr, flush=True)


def _read_lines() -> Iterator[str]:
    """Yield the lines of standard input."""
    for line in sys.stdin:
        yield line.rstrip("\n")


def _read_terminal() -> Iterator[str]:
    """Yield what a person types: a line, or several that were pasted together. Ctrl-C gives up a line."""
    with suppress(ImportError):
        import readline  # noqa: F401  # arrows and history in input()
    while True:
        try:
            lines = [input("> ")]
            while _has_more():
                lines.append(sys.stdin.readline().rstrip("\n"))
            yield "\n".join(lines)
        except KeyboardInterrupt:
            print(file=sys.stderr)
        except EOFError:
            print(file=sys.stderr)
            return


def _has_more() -> bool:
    """Return whether another line is there already."""
    import select

    try:
        return bool(select.select([sys.stdin], [], [], PASTE_SECONDS)[0])
    except (OSError, ValueError):  # Windows cannot tell
        return False


if __name__ == "__main__":
    exit_on_error(main)
