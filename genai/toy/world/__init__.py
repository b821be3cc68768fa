"""A toy world with exact answers: scenes, motions and melodies with captions, renderers, and rule-based oracles.

It measures whether a prompt was fulfilled. It is no evidence of the quality of natural images.
"""
