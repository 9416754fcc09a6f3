"""From an annotation file to a finished run: samples.jsonl, result.json and the table."""
