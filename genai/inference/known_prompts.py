"""What a model knows: the prompts of its training data, and what it does not know of a prompt."""

from collections import Counter
from collections.abc import Iterable, Sequence

from genai.core.batch import spaced_indices
from genai.core.errors import short_text
from genai.inference.model import Model
from genai.modalities.optional import ReadsPrompts, prompt_words
from genai.networks.text_encoder import PromptEncoder, split_words
from genai.runs.record import PromptsRecord, parse_record

MAX_PROMPTS, MAX_WORDS = 256, 5_000
"""The most frequent prompts and words that a record holds."""
MAX_LENGTH = 1_000
"""Characters of a prompt or a word in a record; longer ones are cut."""
LISTED_PROMPTS, LISTED_WORDS = 12, 8
TEST_INTERVAL = 8
"""Of so many recorded prompts one is not trained on where an adapter keeps the answers to them."""


def count_prompts(prompts: Iterable[str]) -> PromptsRecord:
    """Return the number of different prompts, and the most frequent prompts and words, of the training data."""
    counts = Counter(prompt for prompt in prompts if prompt)
    words: Counter[str] = Counter()
    for prompt, count in counts.items():
        for word in split_words(prompt, "unicode"):
            words[word] += count
    return PromptsRecord(
        len(counts),
        [prompt[:MAX_LENGTH] for prompt in _top_prompts(counts)],
        len(words),
        " ".join(word[:MAX_LENGTH] for word, _ in words.most_common(MAX_WORDS)),
    )


def _top_prompts(counts: Counter[str]) -> list[str]:
    """Return up to ``MAX_PROMPTS`` prompts; of those that are equally frequent, some at even distances."""
    ranked = counts.most_common()
    least = ranked[:MAX_PROMPTS][-1][1] if ranked else 0
    top = [prompt for prompt, count in ranked if count > least]
    others = [prompt for prompt, count in ranked if count == least]
    return top + [others[index] for index in spaced_indices(len(others), MAX_PROMPTS - len(top))]


def known_prompts(model: Model) -> PromptsRecord | None:
    """Return what its run recorded about prompts; ``None`` for older runs, and without a run."""
    return (
        parse_record(model.record, model.run.record_file if model.run else model.file).known_prompts
        if model.file
        else None
    )


def split_prompts(known: PromptsRecord | None) -> tuple[list[str], list[str]]:
    """Return the prompts whose answers an adapter learns to keep, and those that show whether it does."""
    prompts = list(known.prompts) if known else []
    if len(prompts) < 2 * TEST_INTERVAL:
        return prompts, prompts
    return [x for index, x in enumerate(prompts) if index % TEST_INTERVAL], prompts[::TEST_INTERVAL]


def describe_model(model: Model) -> str:
    """Describe on one line what it generates: ``32 x 32 pixels; 10 prompts: airplane, ...``."""
    known, encoder = known_prompts(model), prompt_encoder(model)
    if not known or not encoder:
        return model.modality.description
    names = ", ".join(short_text(prompt) for prompt in known.prompts[:LISTED_PROMPTS])
    if not known.count:
        prompts = "trained without prompts"
    elif known.count <= LISTED_PROMPTS:
        prompts = f"{known.count} prompt{'s' * (known.count > 1)}: {names}"
    else:
        prompts = f"{known.count:,} prompts of {known.num_words:,} words, such as: {short_text(known.prompts[0])}"
    return f"{model.modality.description}; {prompts}"


def prompt_encoder(model: Model) -> PromptEncoder | None:
    """Return the encoder of prompts; ``None`` if there is none."""
    return next((part for part in model.method.modules() if isinstance(part, PromptEncoder)), None)


def takes_prompt(model: Model) -> bool:
    """Return whether a prompt changes what it generates: it continues it, or was trained with prompts."""
    if prompt_encoder(model) is None:
        return issubclass(model.modality.media, str) or isinstance(model.modality, ReadsPrompts)
    known = known_prompts(model)
    return known is None or known.count > 0


def prompt_notes(model: Model, prompts: Sequence[str]) -> list[str]:
    """Return a line about each thing in ``prompts`` that the model cannot know."""
    encoder, known = prompt_encoder(model), known_prompts(model)
    texts = [prompt_words(model.modality, prompt) for prompt in prompts if isinstance(prompt, str)]
    prompts = [prompt for prompt in dict.fromkeys(texts) if prompt]
    if not encoder or not prompts:
        return []
    notes = []
    for prompt in prompts:
        if (length := len(encoder.split(prompt))) > encoder.max_words:
            notes.append(f"only the first {encoder.max_words} of {length:,} words count: {short_text(prompt)}")
    if model.adapters or (model.header and model.header.base):
        return notes  # neither the base nor an adapter knows what the other one has learned
    if known and not known.count:
        notes.append("this model was trained without prompts: prompt= changes next to nothing")
    elif known and known.num_words <= MAX_WORDS:
        vocabulary = {*known.words.split()}
        words = dict.fromkeys(word for prompt in prompts for word in split_words(prompt, "unicode"))
        unknown = [word for word in words if word[:MAX_LENGTH] not in vocabulary]
        if unknown:
            names = ", ".join(map(short_text, unknown[:LISTED_WORDS])) + ", ..." * (len(unknown) > LISTED_WORDS)
            notes.append(f"in no prompt of the training data, so without meaning: {names}")
    return notes
