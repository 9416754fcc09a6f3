"""HTML as a browser reads it: by html5lib, strictly; and captions that would break out of it."""

from __future__ import annotations

import html5lib

HOSTILE = "<script>alert(1)</script> \"><img src=x onerror='alert(1)'> </style></p> &lt;b&amp; ${alert(1)} {{x}}"


def parsed(html):
    """A piece of a page; an error where the HTML is not as it should be."""
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parseFragment(html)


def document_of(page):
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)


def elements(tree, kind):
    """Those of a class."""
    return [one for one in tree.iter() if kind in (one.get("class") or "").split()]


def seen(element):
    """An element's text without what is for screen readers alone."""
    own = element.text or ""
    return own + "".join(
        ("" if "heard" in (one.get("class") or "") else seen(one)) + (one.tail or "") for one in element
    )
