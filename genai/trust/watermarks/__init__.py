"""Watermarks: small changes of the media themselves, by a secret key, which ``genai verify`` finds.

A watermark proves nothing to somebody without the key, can be removed, and can be copied from one file to another.
Whoever has the key reads a p-value: how probable it is that media without this watermark fit the key at least as well.
Signs and green lists are random numbers of the key, so these p-values need no assumption about the media.
"""
