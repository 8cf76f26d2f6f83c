"""A clock for a test and all its processes: it goes on as the machine's does, and stands where the test sets it.

`python -m tests.support.moved_clock FILE COMMAND...` is `durchwahl COMMAND...` by the clock of that file.
"""

import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from portal import clock, commands


class MovedClock:
    """How far it is ahead of the machine's clock stands in ``file``, where every process reads it."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @property
    def program(self) -> tuple[str, ...]:
        """What a process that lives by this clock is started with."""
        return ("tests.support.moved_clock", str(self.file))

    def set(self, instant: datetime) -> None:
        """From now on it is ``instant`` and what follows; for everybody at once."""
        ahead, fresh = instant - datetime.now(UTC), self.file.with_suffix(".new")
        fresh.write_text(str(ahead.total_seconds()), encoding="ascii")
        os.replace(fresh, self.file)

    def now(self) -> datetime:
        """The instant it shows."""
        return datetime.now(UTC) + timedelta(seconds=float(self.file.read_text(encoding="ascii")))


def main() -> None:
    """Run a command of the program by the clock."""
    _, file, *command = sys.argv
    sys.argv = ["durchwahl", *command]
    with clock.drive(MovedClock(Path(file)).now):
        commands.main()


if __name__ == "__main__":
    main()
