"""What the run of tests/report/conftest.py has among its samples, to see that it stays text."""

from __future__ import annotations

PAIRS = 40  # of a caption and its foil
HOSTILE_NAME = '"><img src=x onerror=alert(1)>.png'  # of a picture's file
HOSTILE_GROUP = "<script>alert(1)</script>"
