"""The browser, once for all tests of pages."""

from browser import chromium  # noqa: F401
