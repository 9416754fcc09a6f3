"""The style sheet of all pages: light and dark as the reader's system has it, words on the colours of `colours`."""

from __future__ import annotations

from clip4dm.report.colours import DARK, LIGHT, Palette, hexadecimal


def _palette(palette: Palette) -> str:
    names = {"zero": palette.zero, "fits": palette.fits, "fits-not": palette.fits_not, "ink": palette.ink}
    return "".join(f"--{name}:{hexadecimal(value)};" for name, value in names.items())


# Text on a page's ground: 4.5 : 1 at least, the faint one too.
_LIGHT = (
    f"{_palette(LIGHT)}--ground:#f6f7f9;--card:#ffffff;--text:#1b1f24;--faint:#57606a;--line:#d3d9e0;--link:#0a5aad;"
)
_DARK = f"{_palette(DARK)}--ground:#14171c;--card:#1d2127;--text:#e8eaed;--faint:#a3abb6;--line:#39404a;--link:#79b8ff;"

# What `caption_html`, `detection_html`, `words_html` and `legend_html` need, wherever they stand.
WORDS = """
.caption{position:relative;font-size:1.25rem;line-height:2;margin:0;white-space:pre-wrap;overflow-wrap:anywhere;color:var(--text)}
.word{position:relative;border-radius:.25em;padding:.14em .22em;
box-decoration-break:clone;-webkit-box-decoration-break:clone;print-color-adjust:exact;-webkit-print-color-adjust:exact}
.word[style]{background:var(--light);color:var(--ink)}
.word.misaligned{text-decoration:underline solid 2.5px;text-underline-offset:.2em}
.word.unscored{color:var(--faint);font-style:italic;outline:1px dashed var(--faint);outline-offset:-1px}
.labelled{border-top:3px dotted currentColor;padding-top:.1em}
.heard{position:absolute;left:0;bottom:0;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap;
user-select:none;-webkit-user-select:none}
.summary,.legend,.settings{color:var(--faint);font-size:.9rem;line-height:1.6;margin:.35rem 0 0;overflow-wrap:anywhere}
.whole{white-space:nowrap}
.legend p{margin:.35rem 0 0;color:inherit}
.legend p>span{display:inline-block;margin-right:1.6em;white-space:nowrap}
.scale{display:inline-block;width:7em;height:.85em;vertical-align:-.1em;margin:0 .35em;border:1px solid var(--line);
border-radius:.25em;background:linear-gradient(90deg,var(--fits-not),var(--zero),var(--fits));
print-color-adjust:exact;-webkit-print-color-adjust:exact}
.suggestions{list-style:none;margin:.35rem 0 0;padding:0;line-height:1.8;color:var(--text);overflow-wrap:anywhere}
.suggestions li{margin:0}
.gain{color:var(--faint);font-size:.9em;font-variant-numeric:tabular-nums}
.words{border-collapse:collapse;font-size:.9rem;color:var(--text)}
.words th,.words td{text-align:left;font-weight:normal;padding:.2rem .9rem .2rem 0;border-bottom:1px solid var(--line);
overflow-wrap:anywhere}
.words thead th{color:var(--faint)}
.words .number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.words.new{margin-top:.8rem;max-width:none}
.words.new :is(th,td){padding-right:.6rem;min-width:5.4rem}
.words.new .number{min-width:0}
.words.new [scope=row]{width:60%;min-width:6rem}
.words.new [scope=rowgroup]{padding-top:.6rem}
"""

_PAGE = """
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem 1.25rem 3rem;max-width:72rem;background:var(--ground);color:var(--text);
font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
h1{font-size:1.6rem;line-height:1.25;margin:.2rem 0 1rem;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:2rem 0 .6rem;overflow-wrap:anywhere}
a{color:var(--link)}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
img{max-width:100%;height:auto;border-radius:.4rem}
.card{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:1rem 1.2rem}
details{margin-top:.5rem}
summary{cursor:pointer;color:var(--link);font-size:.9rem}
"""


def style_of(root: str, dark: str) -> str:
    """Colours and words for a page of another's making. root, dark: selectors of its root, always and when dark.

    >>> style_of(":root", ".dark").startswith(":root{--zero:#ffffff;")
    True
    """
    return f"{root}{{{_LIGHT}}}{dark}{{{_DARK}}}{WORDS}{dark} .word[style]{{background:var(--dark)}}"


STYLE = (
    f":root{{color-scheme:light dark;{_LIGHT}}}{_PAGE}{WORDS}"
    f"@media (prefers-color-scheme:dark){{:root{{{_DARK}}}.word[style]{{background:var(--dark)}}}}\n"
)
