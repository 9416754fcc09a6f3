"""Which of the scored pairs to keep: a folder of scores -> keys, rows, or tar shards.

stored.py reads the folder, selection.py finds the rows (the rules, in SQL), lists.py and tars.py write what is kept,
histogram.py draws. Rows are counted over the whole folder, in input order: a row's place.
"""
