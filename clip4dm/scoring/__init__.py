"""Any pairs, any number: from tables, folders and tar shards to parquet files of scores.

inputs/ finds the shards, work.py scores one, sink.py stores it, engines/ hand them out.
"""
