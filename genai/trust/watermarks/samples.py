"""Search of samples for the watermark with which they were made: a short or uniform one does not hold it."""

from collections.abc import Sequence
from typing import Any

from genai.media.clip import Clip
from genai.media.picture import Picture
from genai.media.sound import Sound
from genai.trust.watermarks.clips import detect_in_clip
from genai.trust.watermarks.detection import Detection
from genai.trust.watermarks.files import Tokenizer, detect_in_text
from genai.trust.watermarks.key import WatermarkKey
from genai.trust.watermarks.pictures import detect_in_picture
from genai.trust.watermarks.sounds import detect_in_sound


def detect_in_sample(sample: Any, key: WatermarkKey, tokenizer: Tokenizer | None) -> Detection | None:
    """Search a sample; ``None`` if it is of a kind that cannot be searched."""
    if isinstance(sample, Picture):
        return detect_in_picture(sample.pixels, key)
    if isinstance(sample, Sound):
        return detect_in_sound(sample, key)
    if isinstance(sample, Clip):
        return detect_in_clip(sample.frames, key)
    return detect_in_text(str(sample), key, [tokenizer] if tokenizer else [])


def watermark_note(samples: Sequence[Any], key: WatermarkKey, tokenizer: Tokenizer | None) -> str:
    """Return in how many samples the watermark can be read, for people."""
    found = [detect_in_sample(sample, key, tokenizer) for sample in samples]
    count = sum(each is not None and each.is_found for each in found)
    advice = "" if count == len(samples) else ": longer samples with more choices hold it better"
    return f"the watermark can be read in {count} of {len(samples)} samples{advice}"
