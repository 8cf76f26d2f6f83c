"""One run of the fault plan: build the house, let the customers come, deal the blows, and ask the oracles."""

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portal import clock, db, heartbeat
from tests.faults import ground, oracles, plan
from tests.faults.driver import Driver
from tests.faults.house import House
from tests.faults.plan import Blow, Plan, Profile
from tests.support.processes import wait_until

RED_WITHIN = heartbeat.DEAD_AFTER.total_seconds() + 15
GREEN_WITHIN = 30.0


@dataclass
class Verdict:
    """What is wrong (nothing, it is to be hoped), and the figures."""

    wrong: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def add(self, wrong: list[str], figures: dict[str, Any] | None = None) -> None:
        """Take in what one oracle says."""
        self.wrong += wrong
        self.figures |= figures or {}


def run(profile: Profile, *, database: str, seed: int, folder: Path, bug: str = "") -> Verdict:
    """Run a profile on a fresh database in an empty folder; ``bug`` names a planted one (inside/sitecustomize.py)."""
    begun = time.monotonic()
    drawn = plan.make(profile, seed, database=database)
    verdict = Verdict(figures={"profile": profile.name, "database": database, "seed": seed})
    with ground.laid(database, folder) as laid:
        with House(laid, folder, drawn, bug=bug) as house:
            driver = Driver(drawn, house.web.address, folder / "truth.jsonl", lambda: _links(house))
            _befall(drawn, house, driver)
            drained = _drained(house, profile, driver.waits)
            verdict.figures["drained_in"] = None if drained is None else round(drained, 1)
            if drained is None:
                verdict.wrong.append(f"not all letters had left {profile.patience:g} s after the last blow (O6)")
            if profile.watch_beats:
                verdict.add(_beats(house))
            _ask(verdict, house, driver, laid.damage())
        verdict.add(oracles.silent_logs(house.said(), driver.sent, _links(house).values()))
        verdict.figures["told_in_logs"] = oracles.faults_of_ours(house.said())
    verdict.figures["seconds"] = round(time.monotonic() - begun, 1)
    return verdict


def _befall(drawn: Plan, house: House, driver: Driver) -> None:
    """Let the customers come, deal each blow when its time has come, and set the clock back while letters wait."""
    customers = driver.run()
    for strike in drawn.strikes:
        driver.wait_for(strike.after)
        house.strike(strike)
    house.wait_for_blows()
    customers.join()
    if drawn.profile.clock_back:
        house.set_clock(-drawn.profile.clock_back)


def _drained(house: House, profile: Profile, waits: threading.Condition) -> float | None:
    """Seconds until no letter waits any more; None if that takes too long."""
    begun = time.monotonic()
    while time.monotonic() - begun < profile.patience:
        with house.core.app_context(), db.reading() as session:
            if oracles.waiting(session) == 0:
                return time.monotonic() - begun
        with waits:
            waits.wait(0.2)
    return None


def _beats(house: House) -> list[str]:
    """O10: silence of both workers is seen, and so is that they are back."""

    def dead() -> bool:
        with house.core.app_context(), db.reading() as session:
            return heartbeat.is_dead(session, now=clock.utc_now())

    go_on = house.hold_all_workers()
    try:
        wait_until(dead, RED_WITHIN, "two held workers were not noticed (O10)")
        go_on()
        wait_until(lambda: not dead(), GREEN_WITHIN, "two workers that went on were not noticed (O10)")
    except TimeoutError as fault:
        go_on()
        return [str(fault)]
    return []


def _ask(verdict: Verdict, house: House, driver: Driver, damage: list[str]) -> None:
    taken = oracles.read_relay(house.relay_log)
    kills = house.struck[Blow.KILL_WORKER] + house.struck[Blow.STOP_WORKER] + house.struck[Blow.OUTAGE]
    with house.core.app_context(), db.reading() as session:
        verdict.add(*oracles.stored_once(session, driver.sent))
        verdict.add(oracles.letters_came(session, driver.sent, taken), oracles.in_time(driver.sent, taken))
        verdict.add(*oracles.doubles(taken, kills))
        verdict.add(*oracles.in_order(session, damage))
    verdict.add(*oracles.answered_well(driver.answers, house.windows))
    verdict.figures |= {
        "forms": len(driver.sent),
        "acts": sum(one.acted for one in driver.sent),
        "connection_errors": driver.errors,
        "blows": {blow.value: count for blow, count in house.struck.items() if count},
    }


def _links(house: House) -> dict[str, str]:
    return {line.recipient: line.link for line in oracles.read_relay(house.relay_log) if line.link}
