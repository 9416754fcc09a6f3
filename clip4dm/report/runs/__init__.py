"""Reports of runs and of scores: pages of figures, plots and galleries, to be sent around."""
