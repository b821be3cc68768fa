"""A modality in a package of its own: clouds of points in the plane, with prompts."""
