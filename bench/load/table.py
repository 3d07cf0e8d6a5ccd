"""One line a figure: floor, aim, measured, met or not."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure that is to be small, or with `more` large; one without a floor is only reported."""

    name: str
    floor: float | None
    aim: float | None
    measured: float
    remark: str = ""
    more: bool = False

    @property
    def met(self) -> str:
        if self.floor is None:
            return "-"
        if self.aim is not None and self._reaches(self.aim):
            return "aim"
        return "floor" if self._reaches(self.floor) else "NOT MET"

    @property
    def line(self) -> str:
        sign = "≥ " if self.more else "≤ "
        floor, aim = (_number(bound, sign) for bound in (self.floor, self.aim))
        return f"| {self.name} | {floor} | {aim} | {_number(self.measured)} | {self.met} | {self.remark} |"

    def _reaches(self, bound: float) -> bool:
        return self.measured >= bound if self.more else self.measured <= bound


HEAD = "| figure | floor | aim | measured | met | |\n|---|---|---|---|---|---|"


def show(text: str) -> None:
    print(text, flush=True)


def _number(value: float | None, sign: str = "") -> str:
    if value is None:
        return "-"
    return f"{sign}{value:,.0f}" if value >= 100 or value == int(value) else f"{sign}{value:.2f}"
