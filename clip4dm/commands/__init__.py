"""The command line: infer and evaluate, and what all scripts share."""
