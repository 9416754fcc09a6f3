"""A world of drawn scenes whose truth is known exactly, and a small CLIP trained on it."""
