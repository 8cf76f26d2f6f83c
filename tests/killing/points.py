"""The points at which a process can die, and at which of them a letter may go out twice."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """A place between two statements; ``letter`` counts the letters of a walk, 0 outside delivering."""

    name: str
    letter: int = 0
    may_double: bool = False
    """The relay may have the letter, and the row does not say so yet: nobody can know (RFC 1047)."""

    def __str__(self) -> str:
        return self.name


def of_accepting(names: Sequence[str]) -> list[Point]:
    """The points of taking a form: none may double anything."""
    return [Point(name) for name in names]


def of_delivering(names: Sequence[str], *, letters: int) -> list[Point]:
    """The points of delivering so many letters; those of the empty look after the last one are left out."""
    return [point for letter in range(1, letters + 1) for point in _of_letter(names, letter)]


def _of_letter(names: Sequence[str], letter: int) -> Iterator[Point]:
    unknown = False
    for name in names:
        if not name.endswith(f", letter {letter}"):
            continue
        unknown = (unknown or " after the final dot" in name) and " after COMMIT" not in name
        yield Point(name, letter, unknown)
