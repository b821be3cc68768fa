"""A toy world with exact answers: scenes and their captions, pictures of them, and an oracle that reads pictures back.

It is made to be measured in (was the prompt fulfilled?), and is never evidence of the quality of natural images.
"""
