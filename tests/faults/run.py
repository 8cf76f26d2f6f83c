"""One run of the fault plan: build the house, let the customers come, deal the blows, and ask the oracles."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from portal import db
from tests.faults import ground, plan
from tests.faults.driver import Driver
from tests.faults.house import House
from tests.faults.oracles import answering, living, mailing, storing
from tests.faults.oracles.living import Alarms
from tests.faults.plan import Blow, Plan, Profile


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
            calm_from = _befall(verdict, drawn, house, driver)
            drained = _drained(house, profile)
            verdict.figures["drained_in"] = None if drained is None else round(drained, 1)
            if drained is None:
                verdict.wrong.append(f"not all letters had left {profile.patience:g} s after the last blow (O6)")
            if profile.watch_beats:
                verdict.add(living.beats(house))
            _ask(verdict, house, driver, laid.damage(), calm_from)
            if profile.calm:
                verdict.add(*living.growth(house, profile.calm, lambda: _drained(house, profile)))
        if house.ended:
            verdict.wrong.append(f"{house.ended} workers ended by themselves (O10)")
        verdict.add(answering.silent_logs(house.said(), driver.sent, _links(house).values()))
        verdict.figures["told_in_logs"] = answering.faults_of_ours(house.said())
    verdict.figures["seconds"] = round(time.monotonic() - begun, 1)
    return verdict


def _befall(verdict: Verdict, drawn: Plan, house: House, driver: Driver) -> float:
    """Let the customers come, deal each blow when its time has come, and set the clock back while letters wait.

    Returns when the last blow was over, as ``time.time()`` has it.
    """
    with Alarms(house) as alarms:
        customers = driver.run()
        for strike in drawn.strikes:
            driver.wait_for(strike.after)
            house.strike(strike)
        house.wait_for_blows()
        calm_from = time.time()
        customers.join()
        # Before the clock is set: afterwards they would be due tomorrow. The last may fall due only after all this.
        time.sleep(max(0.0, max(house.given_up.values(), default=0.0) - time.time()))
        if _until(lambda: _left(house, mailing.not_noticed), mailing.NOTICE_WITHIN) is None:
            verdict.wrong.append("not every notice was given (O7)")
    verdict.add(alarms.wrong(), {"seconds_of_false_alarm": alarms.false})
    if drawn.profile.clock_back:
        house.set_clock(house.now() - timedelta(seconds=drawn.profile.clock_back))
    return calm_from


def _drained(house: House, profile: Profile) -> float | None:
    """Seconds until no letter waits any more; None if that takes too long."""
    return _until(lambda: _left(house, mailing.waiting), profile.patience)


def _until(left: Callable[[], int], patience: float) -> float | None:
    """Seconds until nothing is left; None if that takes longer than ``patience``."""
    begun = time.monotonic()
    while time.monotonic() - begun < patience:
        if not left():
            return time.monotonic() - begun
        time.sleep(0.2)
    return None


def _left(house: House, count: Callable[..., int]) -> int:
    with house.core.app_context(), db.reading() as session:
        return count(session, now=house.latest())


def _ask(verdict: Verdict, house: House, driver: Driver, damage: list[str], calm_from: float) -> None:
    with house.core.app_context(), db.reading() as session:
        # Before the relay's log: where not all has drained, the workers go on meanwhile.
        sent = mailing.sent_ids(session)
    taken = mailing.read_relay(house.relay_log)
    # A relay that is stopped in the middle of a letter leaves an ending that nobody can know, and does not log it.
    kills = house.struck[Blow.KILL_WORKER] + house.struck[Blow.STOP_WORKER] + house.struck[Blow.OUTAGE]
    doomed = {one.visit.email for one in driver.sent if one.visit.doomed}
    with house.core.app_context(), db.reading() as session:
        verdict.add(*storing.stored_once(session, driver.sent))
        verdict.add(*mailing.letters_came(session, doomed, sent, taken))
        verdict.add([], mailing.in_time(driver.sent, taken))
        verdict.add(*mailing.doubles(taken, kills))
        verdict.add(*mailing.noticed(session, house.given_up, taken, calm_from=calm_from))
        verdict.add(*storing.in_order(session, damage, now=house.now()))
    verdict.add(*answering.answered_well(driver.answers, house.windows))
    verdict.figures |= {
        "forms": len(driver.sent),
        "acts": sum(one.acted for one in driver.sent),
        "connection_errors": driver.errors,
        "blows": {blow.value: count for blow, count in house.struck.items() if count},
    }


def _links(house: House) -> dict[str, str]:
    return {line.recipient: line.link for line in mailing.read_relay(house.relay_log) if line.link}
