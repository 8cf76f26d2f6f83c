"""The processes: silence is seen and no other alarm is given (O10), and none keeps what it need not (O11)."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy.exc import SQLAlchemyError

from portal import db, heartbeat
from tests.faults.driver import write_once
from tests.faults.house import House
from tests.support.processes import wait_until

RED_WITHIN = heartbeat.DEAD_AFTER.total_seconds() + 15
GREEN_WITHIN = 30.0
MOST_KEPT = 1024
"""Kilobytes that a process may grow by a thousand requests."""


def is_dead(house: House) -> bool:
    """Whether the house says that no worker lives."""
    with house.core.app_context(), db.reading() as session:
        return heartbeat.is_dead(session, now=house.now())


class Alarms:
    """Looks once a second within the block whether the alarm is given; one worker always lives, so it must not be."""

    def __init__(self, house: House) -> None:
        self._house, self._over = house, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.false = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(1):
            with suppress(SQLAlchemyError):  # away: the alarm is another one then
                self.false += is_dead(self._house)

    def wrong(self) -> list[str]:
        """O10, its second half."""
        return [f"for {self.false} s a living worker was taken for dead (O10)"] if self.false else []


def beats(house: House) -> list[str]:
    """O10: silence of both workers is seen, and so is that they are back."""
    go_on = house.hold_all_workers()
    try:
        wait_until(lambda: is_dead(house), RED_WITHIN, "two held workers were not noticed (O10)")
        go_on()
        wait_until(lambda: not is_dead(house), GREEN_WITHIN, "two workers that went on were not noticed (O10)")
    except TimeoutError as fault:
        go_on()
        return [str(fault)]
    return []


def growth(house: House, forms: int, drained: Callable[[], object]) -> tuple[list[str], dict[str, Any]]:
    """O11, its second half: what each process keeps of so many forms in peace, once a third of them have warmed it."""
    warming = forms // 3
    _come(house, range(warming))
    drained()
    before = _resident(house)
    _come(house, range(warming, forms))
    drained()
    after = _resident(house)
    grown = {name: after[name] - kilobytes for name, kilobytes in before.items() if name in after}
    # Each form is opened and sent. Of all that comes, each process has about its half.
    slope = {name: round(kilobytes * 1000 / (forms - warming)) for name, kilobytes in grown.items()}
    wrong = [f"{name} grew by {kept} kB per 1,000 requests (O11)" for name, kept in slope.items() if kept > MOST_KEPT]
    return wrong, {"kilobytes_kept_per_1000": slope}


def _come(house: House, numbers: range) -> None:
    with ThreadPoolExecutor(4) as visitors:
        list(visitors.map(lambda number: write_once(house.web.address, f"ruhig{number}@quellmalz.example"), numbers))


def _resident(house: House) -> dict[str, int]:
    """Kilobytes in memory, by process."""
    return {name: _kilobytes(pid) for name, pid in house.processes().items()}


def _kilobytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmRSS:")[2].split()[0])
