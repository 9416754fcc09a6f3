"""FOIL's third task: the foil word found, and the right one put in its place (Shekhar et al. 2017)."""
