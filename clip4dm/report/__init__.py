"""Detections to look at: colours of words, a figure of a picture and its captions."""
