"""Pieces of a report's pages: tables, plots, links, the style of them all."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence

from clip4dm.evaluation.metrics.metrics import Figure
from clip4dm.evaluation.tables import NOTHING, interval, number
from clip4dm.report.html import escaped

STYLE = """
nav{display:flex;flex-wrap:wrap;gap:.3rem 1.1rem;margin:0 0 1.2rem;padding:0 0 .7rem;
border-bottom:1px solid var(--line)}
.legend p{line-height:2}
nav [aria-current]{color:var(--text);font-weight:600;text-decoration:none}
.lead{color:var(--faint);margin:-.6rem 0 1.2rem;overflow-wrap:anywhere}
.faint{color:var(--faint);font-size:.9rem}
.notices{list-style:none;margin:0 0 1.2rem;padding:.7rem 1rem;border-left:4px solid var(--fits-not);
background:var(--card);border-radius:.3rem;overflow-wrap:anywhere}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.8rem;margin:0 0 1rem}
.tiles>div{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.7rem 1rem}
.tiles dt{color:var(--faint);font-size:.85rem;overflow-wrap:anywhere}
.tiles dd{margin:0;font-size:1.65rem;line-height:1.3;font-variant-numeric:tabular-nums}
.tiles small{display:block;font-size:.8rem;color:var(--faint)}
.wide{overflow-x:auto;margin:.6rem 0;background:var(--card);border:1px solid var(--line);border-radius:.6rem}
.wide table{border-collapse:collapse;font-size:.9rem;min-width:100%}
.wide th,.wide td{padding:.4rem .55rem;text-align:right;border-bottom:1px solid var(--line);vertical-align:top;
font-variant-numeric:tabular-nums}
.wide tr:last-child>*{border-bottom:0}
.wide thead th{color:var(--faint);font-weight:600;vertical-align:bottom}
.wide th:first-child,.wide .text{text-align:left}
.wide .text{overflow-wrap:anywhere;min-width:10rem}
.wide tbody th{font-weight:600}
.wide small{display:block;color:var(--faint);white-space:nowrap;font-size:.75rem}
.wide .settings td{text-align:left;overflow-wrap:anywhere}
.wide .settings th{font-weight:normal;color:var(--faint);white-space:nowrap;min-width:0}
th button{font:inherit;color:inherit;background:none;border:0;padding:0;cursor:pointer;text-align:inherit}
th button::after{content:" \\2195";content:" \\2195" / "";opacity:.55}
th[aria-sort=descending] button::after{content:" \\2193";content:" \\2193" / "";opacity:1}
th[aria-sort=ascending] button::after{content:" \\2191";content:" \\2191" / "";opacity:1}
.plot{margin:.8rem 0 1.4rem}
.plot>div{overflow-x:auto;background:#fff;border:1px solid var(--line);border-radius:.6rem;padding:.6rem}
.plot img{display:block;max-width:none;width:100%;min-width:30rem;border-radius:0;margin:0 auto}
.side{display:grid;gap:0 1.2rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,30rem),1fr));align-items:start}
.side h2{margin-bottom:0}
.plot figcaption{color:var(--faint);font-size:.9rem;margin-top:.4rem}
.cards{list-style:none;margin:1rem 0;padding:0;display:grid;gap:1rem;
grid-template-columns:repeat(auto-fill,minmax(min(100%,30rem),1fr))}
.pair{display:grid;grid-template-columns:9rem minmax(0,1fr);gap:0 1.1rem;align-items:start;padding:.9rem 1rem}
.pair[hidden],.controls[hidden]{display:none}
.picture{width:100%;border-radius:.4rem;margin:0}
.missing{color:var(--faint);font-size:.8rem;border:1px dashed var(--line);padding:1.2rem .6rem;text-align:center;
overflow-wrap:anywhere}
.pair :is(h2,h3,h4){font-size:.85rem;font-weight:normal;color:var(--faint);margin:0 0 .15rem;overflow-wrap:anywhere}
.rank{font-weight:700;color:var(--text)}
.pair .caption{font-size:1.1rem;line-height:1.95}
.verdict{margin:.45rem 0 0;font-size:.9rem;overflow-wrap:anywhere}
.verdict>span{margin-right:.5rem}
.tag{display:inline-block;border:1px solid var(--line);border-radius:1rem;padding:0 .6rem;font-size:.8rem}
.hit{background:var(--fits);color:var(--ink);border-color:transparent}
.miss{background:var(--fits-not);color:var(--ink);border-color:transparent}
.group{color:var(--faint)}
.facts{display:flex;flex-wrap:wrap;gap:.1rem 1.2rem;margin:.5rem 0 0;font-size:.85rem}
.facts dt{color:var(--faint)}
.facts dd{margin:0;font-variant-numeric:tabular-nums}
.facts>div{display:flex;gap:.4rem}
.controls{display:flex;flex-wrap:wrap;gap:.6rem 1.4rem;align-items:center;margin:1rem 0}
.controls select{font:inherit;color:var(--text);background:var(--card);border:1px solid var(--line);
border-radius:.4rem;padding:.3rem .5rem;max-width:100%}
.controls output{color:var(--faint);font-size:.9rem}
.more{margin:.2rem 0 0;font-weight:600}
footer{margin-top:3rem;padding-top:.8rem;border-top:1px solid var(--line);color:var(--faint);font-size:.9rem}
@media (max-width:30rem){.pair{grid-template-columns:minmax(0,1fr);gap:.7rem}.pair>.picture{max-width:14rem}}
"""

Cell = tuple[str, float | str | None]  # HTML, and what it is sorted by


def figure_cell(figure: Figure | None) -> Cell:
    """A figure above its interval; the reason where there is none.

    >>> figure_cell(Figure(0.6021, 0.58, 0.6249, 2500))
    ('0.602<small>[0.580, 0.625]</small>', 0.6021)
    """
    if figure is None:
        return NOTHING, ""
    low = f"<small>{interval(figure.low, figure.high)}</small>" if figure.low is not None else ""
    reason = (
        f' <span class="heard">{escaped(str(figure.reason))}</span>' if figure.value is None and figure.reason else ""
    )
    return f"{number(figure.value)}{low}{reason}", "" if figure.value is None else figure.value


def breakable(metric: str) -> str:
    """A metric's name as HTML that may wrap behind its signs.

    >>> breakable("AP/F-CLIPScore_published")
    'AP/<wbr>F-CLIPScore_<wbr>published'
    """
    return escaped(metric).replace("/", "/<wbr>").replace("_", "_<wbr>")


def table_html(
    name: str, heads: Sequence[str], rows: Iterable[Sequence[Cell]], first: Iterable[Sequence[Cell]] = ()
) -> str:
    """A table in a frame of its own that scrolls. name: for screen readers. heads: HTML. The first cell names its row.

    first: rows that stay on top when the others are sorted. A cell whose key is None holds text.

    >>> '<th scope="row">a</th><td data-value="1">1</td>' in table_html("counts", ["", "n"], [[("a", ""), ("1", 1)]])
    True
    """
    above, below = list(first), list(rows) or [[]]
    texts = [key is None for _, key in below[0]] or [False] * len(heads)
    head = "".join(
        f'<th scope="col"{" class=" + chr(34) + "text" + chr(34) if is_text else ""}>{one}</th>'
        for one, is_text in zip(heads, texts, strict=True)
    )
    fixed, body = (f"<tbody>{''.join(map(_row, some))}</tbody>" if some else "" for some in (above, below))
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escaped(name)}"><table class="sortable">'
        f"<thead><tr>{head}</tr></thead>{fixed}{body}</table></div>"
    )


def settings_table(rows: Iterable[tuple[str, str]]) -> str:
    """Names and values.

    >>> '<th scope="row">method</th><td>clip4dm</td>' in settings_table([("method", "clip4dm")])
    True
    """
    lines = "".join(f'<tr><th scope="row">{escaped(n)}</th><td>{escaped(v)}</td></tr>' for n, v in rows)
    return (
        '<div class="wide" tabindex="0" role="region" aria-label="settings"><table class="settings"><tbody>'
        f"{lines}</tbody></table></div>"
    )


def plot_html(svg: str, alt: str, caption: str) -> str:
    """An SVG as a picture with a line below. alt, caption: text.

    >>> '<img src="data:image/svg+xml;base64,PHN2Zy8+" alt="points">' in plot_html("<svg/>", "points", "By group.")
    True
    """
    address = f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
    return (
        '<figure class="plot"><div tabindex="0" role="region" aria-label="plot">'
        f'<img src="{address}" alt="{escaped(alt)}"></div>'
        f"<figcaption>{escaped(caption)}</figcaption></figure>"
    )


def tiles_html(tiles: Iterable[tuple[str, str, str]]) -> str:
    """Large numbers: (name, number, small line below), text.

    >>> tiles_html([("LA", "0.954", "[0.944, 0.963]")])
    '<dl class="tiles"><div><dt>LA</dt><dd>0.954<small>[0.944, 0.963]</small></dd></div></dl>'
    """
    inside = "".join(
        f"<div><dt>{escaped(name)}</dt><dd>{escaped(value)}<small>{escaped(below)}</small></dd></div>"
        for name, value, below in tiles
    )
    return f'<dl class="tiles">{inside}</dl>'


def nav_html(links: Iterable[tuple[str, str]], here: str) -> str:
    """Links to the report's pages: (file, title). here: the file that has it.

    >>> nav_html([("index.html", "Figures"), ("hits.html", "Hits")], "hits.html")
    '<nav aria-label="pages"><a href="index.html">Figures</a><a href="hits.html" aria-current="page">Hits</a></nav>'
    """
    inside = "".join(
        f'<a href="{file}"{" aria-current=" + chr(34) + "page" + chr(34) if file == here else ""}>{escaped(title)}</a>'
        for file, title in links
    )
    return f'<nav aria-label="pages">{inside}</nav>'


def _row(cells: Sequence[Cell]) -> str:
    if not cells:
        return ""
    name, key = cells[0]
    sort = f' data-value="{escaped(str(key))}"' if key not in (None, "") else ""
    rest = "".join(
        f'<td class="text">{html}</td>' if key is None else f'<td data-value="{escaped(str(key))}">{html}</td>'
        for html, key in cells[1:]
    )
    return f'<tr><th scope="row"{sort}>{name}</th>{rest}</tr>'
