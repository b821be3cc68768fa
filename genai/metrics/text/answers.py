"""Answers of a chat model to held-out questions, which several metrics compare with the real ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from genai.core.errors import RunError, UserError
from genai.inference.conversation import chat_modality
from genai.inference.model import Model
from genai.media.chat import Chat
from genai.metrics.base import EvalContext
from genai.metrics.text.base_model import load_base
from genai.modalities.text import Text

MAX_LENGTH = 256
"""Tokens of an answer, if ``length=`` does not say otherwise."""
MAX_LISTED = 5
"""Questions in the table of answers."""


@dataclass(frozen=True)
class Answer:
    """An answer of a model.

    Attributes:
        chat: the held-out conversation; its last answer is the real one.
        text: what the model answers, without spaces around it.
    """

    chat: Chat
    text: str

    @property
    def real(self) -> str:
        """The real answer, without spaces around it."""
        return self.chat.answer.strip()


def check_chat_model(context: EvalContext) -> None:
    """Raise ``UserError`` if the model has no chat template."""
    chat_modality(context.model)


def answer_table(context: EvalContext) -> list[str]:
    """Return lines with a few held-out questions, the answers before and after the training, and the real ones."""
    answers = val_answers(context)
    count = min(MAX_LISTED, len(answers))
    answers = [answers[index * len(answers) // count] for index in range(count)]
    before: Sequence[str | UserError | None] = [None] * len(answers)
    try:
        base = load_base(context.model)
        if isinstance(base.modality, Text):
            base.modality.ensure_chat_template()
        options = {"temperature": 0.0, "length": MAX_LENGTH, **context.options}
        sample = partial(base.sample, seed=context.seed, **options)
        before = answer_questions(base, [answer.chat for answer in answers], sample)
    except (UserError, RunError):  # there is none, or it cannot chat
        pass
    lines = list[str]()
    for answer, text in zip(answers, before, strict=True):
        lines.append(f"question  {answer.chat.question[-1]['content']}")
        lines += [f"  before  {text}"] if isinstance(text, str) else []
        lines += [f"  after   {answer.text}", f"  real    {answer.real}"]
    return [line.replace("\n", "\\n") for line in lines]


def val_answers(context: EvalContext) -> list[Answer]:
    """Return the most probable answers to ``context.n`` held-out questions, evenly spaced, or to all.

    The question is all that comes before the last answer. Several metrics share the samples. Questions that the chat
    template refuses are left out, with a note.
    """
    split = context.source.val
    count = min(context.n, len(split))
    chats = [split[index * len(split) // count].media for index in range(count)]
    texts = answer_questions(context.model, chats, partial(context.samples, temperature=0.0, length=MAX_LENGTH))
    if errors := [text for text in texts if isinstance(text, UserError)]:
        context.note(f"{len(errors):,} of {len(texts):,} held-out questions are left out: {errors[0]}")
    return [Answer(chat, text) for chat, text in zip(chats, texts, strict=True) if isinstance(text, str)]


def answer_questions(
    model: Model, chats: Sequence[Chat], sample: Callable[[list[str]], Sequence[object]]
) -> list[str | UserError]:
    """Return a model's answers in place of the last ones, without spaces around them.

    Args:
        model: renders the questions.
        chats: conversations.
        sample: returns a text for each prompt, with the prompt before it.

    Returns:
        The answers, or the errors of the chat template.
    """
    prompts = chat_modality(model).render_chats([(chat.question, True) for chat in chats])
    usable = [prompt for prompt in prompts if isinstance(prompt, str)]
    samples = iter(sample(usable) if usable else [])
    return [str(next(samples))[len(each) :].strip() if isinstance(each, str) else each for each in prompts]
