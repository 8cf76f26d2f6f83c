"""What befalls the house in one run, drawn from one seed: who writes, what they do later, and every blow."""

import hashlib
import math
import random
from dataclasses import dataclass
from enum import StrEnum

HEAD = b"%PDF-1.7\n"
SMALLEST, LARGEST = 1024, 5 * 1024 * 1024
"""Bytes of a file: from small to large, as many between 10 and 100 kB as between 100 kB and 1 MB."""


@dataclass(frozen=True)
class Profile:
    """How much of everything; seconds are real ones."""

    name: str
    submissions: int
    actions: int
    """How many of those who wrote come back: to write again, to close, or to close and open again."""
    notices: int
    """How many cases from before have a date that is given up while all this goes on."""
    kills: int
    stops: int
    databases: int
    """Foreign EXCLUSIVE locks on SQLite; immediate restarts on PostgreSQL, half as many."""
    fulls: int
    outages: int
    spread: float
    """Seconds over which the forms come in at least."""
    patience: float
    """Seconds after the last blow in which everything must have left."""
    full_for: float = 3.0
    outage_for: float = 5.0
    fault_share: float = 0.2
    doomed_share: float = 0.05
    """How many have an address that the relay refuses for good."""
    files_share: float = 0.2
    """How many forms and messages bring files."""
    clock_back: int = 86_400
    """By how many seconds the clock of the whole machine is set back at the end."""
    watch_beats: bool = False
    """Whether both workers are held for a while at the end, to see their silence noticed."""
    calm: int = 0
    """Forms that come at the very end, in peace, to see what each process keeps of them; a third of them unmeasured.

    Memory grows in steps of a megabyte: of too few forms a step looks like a slope."""


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("tiny", 40, 10, notices=4, kills=0, stops=0, databases=0, fulls=0, outages=0, spread=2, patience=60),
        Profile(  # nothing goes wrong: how soon letters come then
            "calm",
            200,
            100,
            notices=0,
            kills=0,
            stops=0,
            databases=0,
            fulls=0,
            outages=0,
            spread=30,
            patience=60,
            fault_share=0,
            doomed_share=0,
            clock_back=0,
        ),
        Profile(
            "smoke", 200, 200, notices=20, kills=20, stops=1, databases=2, fulls=1, outages=0, spread=18, patience=60
        ),
        Profile(
            "nightly",
            5000,
            5000,
            notices=500,
            kills=500,
            stops=20,
            databases=40,
            fulls=5,
            outages=3,
            spread=1750,  # two workers are busy with it: 15,000 letters, every fifth attempt at one fails
            patience=60,
            full_for=10,
            outage_for=60,
            watch_beats=True,
            calm=6000,
        ),
    )
}


class Act(StrEnum):
    """What a customer does later."""

    MESSAGE = "message"
    CLOSE = "close"
    REOPEN = "reopen"
    """Close it, and then open it again with a few words."""


@dataclass(frozen=True)
class Upload:
    """A file that somebody sends along; the same for the same seed."""

    name: str
    size: int
    seed: str

    @property
    def data(self) -> bytes:
        """What it holds."""
        return HEAD + random.Random(self.seed).randbytes(self.size - len(HEAD))

    @property
    def sha256(self) -> str:
        """The hash by which it is known again."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class Visit:
    """One customer: a form, perhaps sent twice, and perhaps something later; each perhaps with files."""

    number: int
    email: str
    text: str
    doomed: bool
    twice: bool
    act: Act | None
    files: tuple[Upload, ...]
    later_files: tuple[Upload, ...]

    @property
    def later_text(self) -> str:
        """What they write when they come back."""
        return f"Nachtrag: {self.text}"


class Blow(StrEnum):
    """What strikes the house."""

    KILL_WEB = "kill a web process"
    KILL_WORKER = "kill a worker"
    STOP_WORKER = "hold a worker past its lease"
    DATABASE = "the database is away"
    FULL = "the disk is full"
    OUTAGE = "the relay is away"


@dataclass(frozen=True)
class Strike:
    """A blow, after so many forms; ``which`` of several processes, and for how many seconds."""

    after: int
    blow: Blow
    which: int
    seconds: float


@dataclass(frozen=True)
class Plan:
    """One run."""

    profile: Profile
    seed: int
    visits: tuple[Visit, ...]
    strikes: tuple[Strike, ...]


def make(profile: Profile, seed: int, *, database: str) -> Plan:
    """The plan of a seed; the same for the same seed."""
    dice = random.Random(f"{seed} {profile.name} {database}")
    visits = tuple(_visit(dice, profile, number) for number in range(profile.submissions))
    restarts = max(1, profile.databases // 2) if profile.databases else 0
    counts = {
        Blow.KILL_WEB: profile.kills // 2,
        Blow.KILL_WORKER: profile.kills - profile.kills // 2,
        Blow.STOP_WORKER: profile.stops,
        Blow.DATABASE: profile.databases if database == "sqlite" else restarts,
        Blow.FULL: profile.fulls,
        Blow.OUTAGE: profile.outages,
    }
    strikes = [_strike(dice, profile, blow) for blow, count in counts.items() for _ in range(count)]
    return Plan(profile, seed, visits, tuple(sorted(strikes, key=lambda strike: strike.after)))


def _visit(dice: random.Random, profile: Profile, number: int) -> Visit:
    doomed = dice.random() < profile.doomed_share
    acts = number < profile.actions and not doomed
    act = dice.choice(list(Act)) if acts else None
    return Visit(
        number=number,
        email=f"{'tot' if doomed else 'kunde'}{number}@quellmalz.example",
        text=f"Vorgemerkt unter {number}: zwölf Umwälzpumpen, bitte mit Rohrverschraubung.",
        doomed=doomed,
        twice=dice.random() < 0.1,
        act=act,
        files=_files(dice, profile),
        later_files=() if act in (None, Act.CLOSE) else _files(dice, profile),
    )


def _files(dice: random.Random, profile: Profile) -> tuple[Upload, ...]:
    if dice.random() >= profile.files_share:
        return ()
    sizes = [math.exp(dice.uniform(math.log(SMALLEST), math.log(LARGEST))) for _ in range(dice.choice((1, 1, 1, 2, 3)))]
    return tuple(Upload(f"Zeichnung {n}.pdf", int(size), f"{dice.random()}") for n, size in enumerate(sizes, 1))


def _strike(dice: random.Random, profile: Profile, blow: Blow) -> Strike:
    seconds = {
        Blow.DATABASE: dice.uniform(1, 6),
        Blow.FULL: profile.full_for,
        Blow.OUTAGE: profile.outage_for,
    }.get(blow, 0.0)
    # Some forms come before the first blow, so that there is something to lose.
    after = dice.randrange(profile.submissions // 20, profile.submissions * 9 // 10)
    return Strike(after, blow, dice.randrange(1000), seconds)
