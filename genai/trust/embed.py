"""Writing labels: metadata that change no decoded value.

Two layers are written: a packet of XMP in the file, and, with the package ``c2pa-python``, Content Credentials that are
signed. ``genai.trust.verify`` reads both.
"""

from genai.trust.certificates import Signer
from genai.trust.credentials import sign
from genai.trust.label import MANIFEST_SUFFIX, Label
from genai.trust.xmp import embed_xmp, write_xmp


def add_label(content: bytes, suffix: str, label: Label, signer: Signer | None) -> dict[str, bytes]:
    """Return the labeled file, and a manifest beside it where the file cannot hold one: contents by suffix.

    Args:
        content: of the file, as the media are encoded.
        suffix: of the file, such as ``.png``.
        label: what it says.
        signer: ``None``: metadata alone.
    """
    marked = embed_xmp(content, suffix, write_xmp(label.fields))
    if signer is None:
        return {suffix: marked}
    signed, manifest = sign(marked, suffix, label, signer)
    return {suffix: signed} | ({MANIFEST_SUFFIX: manifest} if manifest else {})
