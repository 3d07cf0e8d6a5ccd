"""The few SVG elements that a chart is made of, and its colours: those of Okabe and Ito, which most eyes tell apart."""

import html

from watcher.domain.chart.text import clean

SKY, BLUE, GREEN, VERMILION, ORANGE, PURPLE = "#56B4E9", "#0072B2", "#009E73", "#D55E00", "#E69F00", "#CC79A7"
BLACK, DARK, GREY, PALE, GRID = "#000", "#222", "#555", "#EBEBEB", "#D9D9D9"


def text(
    x: float, y: float, words: str, size: float, *, anchor: str = "start", fill: str = DARK, more: str = ""
) -> str:
    """Words at a place; they are cleaned and escaped here, so that no caller can forget it."""
    place = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" fill="{fill}"{place}{more}>'
        f"{html.escape(clean(words))}</text>"
    )


def opening(width: int, height: int) -> str:
    """The start of a document; Verdana has the measures of the bundled font, for pages."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'role="img" font-family="DejaVu Sans, Verdana, sans-serif">'
    )


def named(words: str) -> str:
    """What the drawing is called by those who can't see it."""
    return f"<title>{html.escape(clean(words))}</title>"


def stroke(path: str, colour: str, width: float, *, opacity: float = 1.0, dashes: str = "") -> str:
    """A line with round ends, or nothing where the path is empty."""
    if not path:
        return ""
    faint = f' stroke-opacity="{opacity:g}"' if opacity < 1 else ""
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width:g}"{faint}{dashed} '
        'stroke-linecap="round" stroke-linejoin="round"/>'
    )


def filled(path: str, colour: str) -> str:
    """An area, or nothing where the path is empty."""
    return f'<path d="{path}" fill="{colour}"/>' if path else ""


def box(left: float, top: float, right: float, bottom: float, colour: str, *, opacity: float = 1.0) -> str:
    """A filled rectangle."""
    faint = f' fill-opacity="{opacity:g}"' if opacity < 1 else ""
    width, height = max(0.0, right - left), max(0.0, bottom - top)
    return f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"{faint}/>'
