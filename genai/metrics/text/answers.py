"""Answers of a chat model to held-out questions, which several metrics compare with the real ones."""

from collections.abc import Sequence
from dataclasses import dataclass

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
    answers = [answers[index * len(answers) // MAX_LISTED] for index in range(min(MAX_LISTED, len(answers)))]
    before: Sequence[str | None] = [None] * len(answers)
    try:
        base = load_base(context.model)
        if isinstance(base.modality, Text):
            base.modality.ensure_chat_template()
        before = _sample_answers(base, [answer.chat for answer in answers], context)
    except (UserError, RunError):  # there is none, or it cannot chat
        pass
    lines = list[str]()
    for answer, text in zip(answers, before, strict=True):
        lines.append(f"question  {answer.chat.question[-1]['content']}")
        lines += [f"  before  {text}"] if text is not None else []
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
    texts = _render_questions(context.model, chats)
    prompts = [text for text in texts if isinstance(text, str)]
    if errors := [text for text in texts if isinstance(text, UserError)]:
        context.note(f"{len(errors):,} of {len(texts):,} held-out questions are left out: {errors[0]}")
    samples = context.samples(prompts, temperature=0.0, length=MAX_LENGTH) if prompts else []
    usable = [chat for chat, text in zip(chats, texts, strict=True) if isinstance(text, str)]
    return [Answer(*each) for each in zip(usable, _without_prompts(samples, prompts), strict=True)]


def _sample_answers(model: Model, chats: Sequence[Chat], context: EvalContext) -> list[str | None]:
    """Return the most probable answers of another model than that of ``context``; ``None``: it refuses the question."""
    texts = _render_questions(model, chats)
    prompts = [text for text in texts if isinstance(text, str)]
    options = {"temperature": 0.0, "length": MAX_LENGTH, **context.options}
    answers = iter(_without_prompts(model.sample(prompts, seed=context.seed, **options) if prompts else [], prompts))
    return [next(answers) if isinstance(text, str) else None for text in texts]


def _render_questions(model: Model, chats: Sequence[Chat]) -> list[str | UserError]:
    """Return the prompts of the last answers, or the errors of the chat template."""
    return chat_modality(model).render_chats([(chat.question, True) for chat in chats])


def _without_prompts(samples: Sequence[object], prompts: Sequence[str]) -> list[str]:
    return [str(sample)[len(prompt) :].strip() for sample, prompt in zip(samples, prompts, strict=True)]
