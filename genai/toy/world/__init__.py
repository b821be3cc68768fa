"""A toy world with exact answers: captions of scenes and melodies, pictures and sounds of them, oracles that read both.

It is made to be measured in (was the prompt fulfilled?), and is never evidence of the quality of natural images.
"""
