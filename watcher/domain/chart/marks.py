"""Alerts and the cancel on a chart: shading from the onset, a pole where it fired, and a flag that names it."""

from collections.abc import Sequence
from dataclasses import dataclass

from watcher.domain.chart import svg
from watcher.domain.chart.data import Chart, finite_step
from watcher.domain.chart.frame import FLAG_ROW, LEFT, WIDTH, Panel
from watcher.domain.chart.scale import Scale, step_label
from watcher.domain.chart.text import Flag, Placed, fit, place, width
from watcher.domain.verdicts import Severity

COLOURS = {Severity.CRITICAL: svg.VERMILION, Severity.WARNING: svg.ORANGE, Severity.INFO: svg.BLUE}
_DASHES = {Severity.CRITICAL: "", Severity.WARNING: "7 4", Severity.INFO: "2 4"}
"""So that a severity can be told without colour too."""

_ROWS = 4
_MOST = 24
_SIZE = 14.0
_SWATCH = 12.0
_LONGEST = 260.0
_NARROWEST = 3.0


@dataclass(frozen=True, slots=True)
class _Pole:
    """One thing that happened at a step."""

    x: float
    onset: float
    words: str
    colour: str
    dashes: str
    thick: float


@dataclass(frozen=True, slots=True)
class Marks:
    """All poles, and where their flags stand: None for one that has no room."""

    poles: tuple[_Pole, ...]
    places: tuple[Placed | None, ...]
    without: int
    """Alerts that have no flag."""

    @property
    def rows(self) -> int:
        """How many rows of flags there are."""
        return max((spot.row + 1 for spot in self.places if spot), default=0)

    def shading(self, panel: Panel) -> list[str]:
        """From where each began to where it was seen, under all lines."""
        return [
            svg.box(
                pole.onset, panel.top, max(pole.x, pole.onset + _NARROWEST), panel.bottom, pole.colour, opacity=0.14
            )
            for pole in self.poles
            if pole.onset < pole.x
        ]

    def flags(self, panel: Panel) -> list[str]:
        """The poles with their flags, over all lines."""
        return [
            part
            for pole, spot in zip(self.poles, self.places, strict=True)
            for part in (_pole(pole, spot, panel), *(_flag(pole, spot, panel) if spot else ()))
        ]


def marks_of(chart: Chart, x: Scale) -> Marks:
    """The poles of a chart, the gravest alerts first where there are too many, and places for their flags."""
    alerts = [mark for mark in chart.alerts if finite_step(mark.step) is not None]
    shown = sorted(alerts, key=lambda mark: (-mark.severity.rank, mark.step))[:_MOST]
    poles = [
        _Pole(
            x.at(mark.step),
            x.at(mark.step if finite_step(mark.onset) is None else min(mark.onset or 0.0, mark.step)),
            f"{fit(mark.rule, _SIZE, _LONGEST)} {step_label(mark.step)}",
            COLOURS[mark.severity],
            _DASHES[mark.severity],
            2.2,
        )
        for mark in shown
    ]
    if chart.cancel is not None and finite_step(chart.cancel) is not None:
        words = f"{fit(chart.cancel_label, _SIZE, _LONGEST)} {step_label(chart.cancel)}"
        at = x.at(chart.cancel)
        poles.insert(0, _Pole(at, at, words, svg.BLACK, "", 4.6))
    places = place([Flag(p.x, _SWATCH + 5 + width(p.words, _SIZE)) for p in poles], LEFT, WIDTH - 4.0, _ROWS)
    return Marks(tuple(poles), tuple(places), len(alerts) - len(shown) + sum(spot is None for spot in places))


def _pole(pole: _Pole, spot: Placed | None, panel: Panel) -> str:
    rise = 0.0 if spot is None else (spot.row + 1) * FLAG_ROW
    return svg.stroke(
        f"M{pole.x:.1f} {panel.bottom:.1f}V{panel.top - rise:.1f}", pole.colour, pole.thick, dashes=pole.dashes
    )


def _flag(pole: _Pole, spot: Placed, panel: Panel) -> Sequence[str]:
    middle = panel.top - (spot.row + 0.5) * FLAG_ROW
    return (
        svg.box(spot.left, middle - _SWATCH / 2, spot.left + _SWATCH, middle + _SWATCH / 2, pole.colour),
        svg.text(spot.left + _SWATCH + 5, middle + 5, pole.words, _SIZE),
    )
