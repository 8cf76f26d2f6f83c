"""The fault plan of reference/security.md, section 6: nothing lost, nothing stored twice, all of it soon over."""

from pathlib import Path

import pytest

from tests.faults import plan
from tests.faults.plan import PROFILES, Blow
from tests.faults.run import run

DATABASES = pytest.mark.parametrize("database", ["sqlite", "postgresql"])


@DATABASES
@pytest.mark.parametrize(
    "profile",
    [
        pytest.param("smoke", marks=pytest.mark.timeout(300)),
        pytest.param("calm", marks=[pytest.mark.nightly, pytest.mark.timeout(300)]),
        pytest.param("nightly", marks=[pytest.mark.nightly, pytest.mark.timeout(7200)]),
    ],
)
def test_nothing_is_lost_and_nothing_stored_twice(
    database: str, profile: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = run(PROFILES[profile], database=database, seed=1, folder=tmp_path)

    with capsys.disabled():
        print(f"\nfault plan: {verdict.figures}")
    assert verdict.wrong == []
    assert (verdict.figures["lost"], verdict.figures["stored_once_percent"]) == (0, 100.0)


@DATABASES
def test_one_seed_draws_one_plan(database: str) -> None:
    profile = PROFILES["nightly"]

    once, again, other = (plan.make(profile, seed, database=database) for seed in (1, 1, 2))

    assert once == again
    assert once.visits != other.visits and once.strikes != other.strikes


@DATABASES
def test_every_blow_of_a_profile_is_dealt(database: str) -> None:
    drawn = plan.make(PROFILES["smoke"], 1, database=database)
    dealt = [strike.blow for strike in drawn.strikes]

    assert {blow: dealt.count(blow) for blow in Blow} == {
        Blow.KILL_WEB: 10,
        Blow.KILL_WORKER: 10,
        Blow.STOP_WORKER: 1,
        Blow.DATABASE: 2 if database == "sqlite" else 1,
        Blow.FULL: 1,
        Blow.OUTAGE: 0,
    }
    brought = [visit for visit in drawn.visits if visit.files]
    assert 25 <= len(brought) <= 55
    assert all(1024 <= file.size <= 5 * 1024 * 1024 for visit in brought for file in visit.files)
    assert {len(visit.files) for visit in brought} == {1, 2, 3}
    assert len(drawn.visits) == 200
    assert sum(visit.act is not None for visit in drawn.visits) == sum(not visit.doomed for visit in drawn.visits)
