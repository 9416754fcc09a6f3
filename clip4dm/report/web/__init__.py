"""A page to try it on: `answers` what it says, `app` how it looks, `serving` whom it lets in."""
