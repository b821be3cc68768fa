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
    before: list[str | None] = [None] * len(answers)
    try:
        base = load_base(context.model)
        if isinstance(base.modality, Text):
            base.modality.ensure_chat_template()
        before = [*_sample_answers(base, [answer.chat for answer in answers], context)]
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

    The question is all that comes before the last answer. Several metrics share the samples.
    """
    split = context.source.val
    count = min(context.n, len(split))
    chats = [split[index * len(split) // count].media for index in range(count)]
    prompts = _prompts(context.model, chats)
    samples = context.samples(prompts, temperature=0.0, length=MAX_LENGTH)
    return [Answer(*each) for each in zip(chats, _without_prompts(samples, prompts), strict=True)]


def _sample_answers(model: Model, chats: Sequence[Chat], context: EvalContext) -> list[str]:
    """Return the most probable answers of another model than that of ``context``."""
    prompts = _prompts(model, chats)
    options = {"temperature": 0.0, "length": MAX_LENGTH, **context.options}
    return _without_prompts(model.sample(prompts, seed=context.seed, **options), prompts)


def _prompts(model: Model, chats: Sequence[Chat]) -> list[str]:
    """Return the prompts of the last answers. Raises ``UserError``."""
    template = chat_modality(model).chat_template
    texts = template.render_all([(chat.question, True) for chat in chats]) if template else []
    if error := next((text for text in texts if isinstance(text, UserError)), None):
        raise error
    return list(map(str, texts))


def _without_prompts(samples: Sequence[object], prompts: Sequence[str]) -> list[str]:
    return [str(sample)[len(prompt) :].strip() for sample, prompt in zip(samples, prompts, strict=True)]
