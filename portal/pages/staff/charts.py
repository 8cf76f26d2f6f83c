"""Bar charts as places on a drawing: the template only draws what is laid out here. Pure.

Lengths are units of the drawing, which is as wide as a small window leaves room for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WIDTH = 288
LINE = 20
"""Of one bar with its label beside it, or of one line of text."""
THICK = 14
LABEL = 50
"""For a label beside its bar."""
LONGEST = 30
"""Letters of a label above its bar: what it measures stands on the same line. The table has it whole."""


@dataclass(frozen=True)
class Part:
    """How long a part of a bar is, what it looks like, and what it says."""

    size: float
    look: str
    title: str


@dataclass(frozen=True)
class Measured:
    """What a bar is drawn from."""

    label: str
    value: str
    """What stands beside the bar, in words: read without the drawing, it says the same."""
    parts: Sequence[Part]


@dataclass(frozen=True)
class Piece:
    """A part of a bar in its place."""

    x: float
    width: float
    look: str
    title: str


@dataclass(frozen=True)
class Bar:
    """A bar in its place."""

    label: str
    value: str
    text_y: float
    bar_y: float
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Chart:
    """A drawing: its height, where its bars begin (0: at its edge), and the bars."""

    height: float
    start: float
    bars: tuple[Bar, ...]


def beside(rows: Sequence[Measured], *, value_width: float) -> Chart:
    """Short labels left of their bars, ``value_width`` units for the words right of them."""
    scale = _scale(rows, WIDTH - LABEL - value_width)
    bars = tuple(
        Bar(row.label, row.value, LINE * (i + 0.72), LINE * i + (LINE - THICK) / 2, _pieces(row.parts, LABEL, scale))
        for i, row in enumerate(rows)
    )
    return Chart(LINE * len(rows), LABEL, bars)


def above(rows: Sequence[Measured]) -> Chart:
    """Long labels above their bars."""
    scale, step = _scale(rows, WIDTH), LINE * 2
    bars = tuple(
        Bar(_short(row.label), row.value, step * i + LINE * 0.72, step * i + LINE, _pieces(row.parts, 0, scale))
        for i, row in enumerate(rows)
    )
    return Chart(step * len(rows), 0, bars)


def _scale(rows: Iterable[Measured], room: float) -> float:
    longest = max((sum(part.size for part in row.parts) for row in rows), default=0)
    return room / longest if longest else 0


def _pieces(parts: Iterable[Part], start: float, scale: float) -> tuple[Piece, ...]:
    pieces, x = [], start
    for part in parts:
        if part.size:
            pieces.append(Piece(round(x, 2), round(part.size * scale, 2), part.look, part.title))
            x += part.size * scale
    return tuple(pieces)


def _short(label: str) -> str:
    return label if len(label) <= LONGEST else f"{label[: LONGEST - 1].rstrip()}…"
