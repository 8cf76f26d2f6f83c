"""What the customers of the fault plan were told: the driver writes it down, the oracles judge by it."""

from dataclasses import dataclass, field

from tests.faults.plan import Visit


@dataclass(frozen=True)
class Answer:
    """One answer of the house."""

    at: float
    seconds: float
    method: str
    path: str
    code: int
    retry_after: str | None


@dataclass
class Sent:
    """What one customer knows: their key, and what they were answered in the end."""

    visit: Visit
    key: str = ""
    location: str | None = None
    answered_at: float = 0.0
    tries: int = 0
    began: bool = False
    """Something was sent later; ``acted``: and all of it was answered."""
    acted: bool = False
    wrong: list[str] = field(default_factory=list)
