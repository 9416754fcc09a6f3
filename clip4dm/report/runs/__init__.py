"""Reports of runs and of scores: pages of figures, plots and galleries, to be sent around."""

CARDS = 100  # of a gallery, of all groups together, unless another number is asked for
