"""Where things lie: the repository, and the folder of published outputs and real data beside it."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"  # not part of the project: tests that need it are skipped where it is not
