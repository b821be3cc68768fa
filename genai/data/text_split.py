"""Splitting documents of very different lengths into training and validation text, by their content."""

from collections.abc import Mapping

from genai.data.weighted_split import fill, is_near, select_by_weight

MIN_CUT_CHARACTERS = 1000
"""Length from which a document that outweighs all others together is cut in two."""


def split_documents(documents: Mapping[str, str], fraction: float) -> tuple[list[str], list[str], str]:
    """Split different documents so that about ``fraction`` of the characters are validation text.

    A document is whole in one of the splits, selected by its hash, not by names or order. Two kinds are cut, and their
    end is validation text: a single document, and one that is longer than all others together, if no selection of whole
    documents is near the fraction.

    Args:
        documents: texts by their hashes.
        fraction: of the characters, for validation.

    Returns:
        Training texts and validation texts in the order of ``documents``, and a remark for people.
    """
    if len(documents) == 1:
        (text,) = documents.values()
        begin, end = _cut(text, fraction)
        return [begin], [end], ""
    lengths = {content_hash: len(documents[content_hash]) for content_hash in sorted(documents)}
    selection = select_by_weight(lengths, fraction, _select_by_count(lengths, fraction))
    longest = max(lengths, key=lambda content_hash: lengths[content_hash])
    is_long = 2 * lengths[longest] > sum(lengths.values()) and lengths[longest] >= MIN_CUT_CHARACTERS
    if is_long and not is_near(selection, lengths, fraction):
        return _split_with_cut(documents, lengths, longest, fraction)
    train = [text for content_hash, text in documents.items() if content_hash not in selection]
    return train, [text for content_hash, text in documents.items() if content_hash in selection], ""


def _split_with_cut(
    documents: Mapping[str, str], lengths: Mapping[str, int], longest: str, fraction: float
) -> tuple[list[str], list[str], str]:
    """Cut the longest document, and select whole ones among the others, each about ``fraction``."""
    others = {content_hash: length for content_hash, length in lengths.items() if content_hash != longest}
    selection = fill(others, fraction * sum(others.values()))
    train, val = list[str](), list[str]()
    for content_hash, text in documents.items():
        if content_hash == longest:
            begin, end = _cut(text, fraction)
            train.append(begin)
            val.append(end)
        else:
            (val if content_hash in selection else train).append(text)
    return train, val, "; the longest document is cut, and its end held out"


def _select_by_count(lengths: Mapping[str, int], fraction: float) -> set[str]:
    """Select a fraction of the number of documents, in order of their hashes."""
    count = min(len(lengths) - 1, max(1, round(len(lengths) * fraction)))
    return set(list(lengths)[:count])


def _cut(text: str, fraction: float) -> tuple[str, str]:
    boundary = len(text) - max(1, int(len(text) * fraction))
    return text[:boundary], text[boundary:]
