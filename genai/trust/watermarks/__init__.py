"""Watermarks: a pattern of a secret key in the media themselves, which people do not notice and ``genai verify`` finds.

A watermark proves nothing to somebody without the key, and can be removed. Whoever has the key reads a p-value: how
probable it is that media without this watermark fit the key at least as well. Signs and green lists are random numbers
of the key, so these p-values need no assumption about the media.
"""
