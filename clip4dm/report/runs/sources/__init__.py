"""What can be reported of: runs of main.py, folders of `clip4dm score`; both give pairs to show."""
