"""Where a colleague sits, and what they have in mind."""

from dataclasses import dataclass, field
from datetime import datetime
from random import Random

from portal.simulation.company import Colleague


@dataclass
class Desk:
    """Somebody's memory."""

    colleague: Colleague
    person_id: int
    random: Random
    put_off: dict[int, datetime] = field(default_factory=dict)
    """Promises that this person will not think of before that time."""
    seen: set[int] = field(default_factory=set)
    away: list[tuple[datetime, datetime | None]] = field(default_factory=list)
    urgent: set[str] = field(default_factory=set)
    """Cases of which a reminder spoke."""
    noted_calls: list[tuple[int, str, int]] = field(default_factory=list)
    """Cases to ring up, as they were when this person wrote them on a slip: id, reference, version."""
    agreed: dict[int, int] = field(default_factory=dict)
    """The agreed times this person has seen on the list of calls, each with its version then."""
