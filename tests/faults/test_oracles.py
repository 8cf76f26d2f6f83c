"""The oracles that need no database, each on what must be right and on what must not be."""

from dataclasses import replace

import pytest

from tests.faults.oracles import answering, mailing
from tests.faults.oracles.mailing import Taken
from tests.faults.plan import PROFILES, make
from tests.faults.told import Answer, Sent

STORED = Taken(1.0, "<one@house>", "kunde@quellmalz.example", "confirmation", "A-1", "ok", True, "/s/geheim")
HUNG = replace(STORED, mode="hang_after_dot")
PAGE = Answer(at=100.0, seconds=0.1, method="GET", path="/contact", code=200, retry_after=None)
AWAY = replace(PAGE, code=503, retry_after="30")


@pytest.mark.parametrize(
    ("taken", "kills", "found"),
    [
        pytest.param([STORED], 0, 0, id="once"),
        pytest.param([HUNG, STORED], 0, 0, id="twice after an ending nobody can know"),
        pytest.param([STORED, STORED], 0, 1, id="twice for no reason"),
        pytest.param([STORED, STORED], 4, 1, id="twice for four kills"),
        pytest.param([STORED, STORED], 5, 0, id="twice for five kills"),
        pytest.param([STORED, replace(STORED, stored=False)], 0, 0, id="refused once"),
    ],
)
def test_doubles_are_counted_against_what_explains_them(taken: list[Taken], kills: int, found: int) -> None:
    wrong, figures = mailing.doubles(taken, kills)

    assert len(wrong) == found
    assert figures["doubles_minus_ambiguous_per_kill"] <= 1


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        pytest.param(PAGE, None, id="a page"),
        pytest.param(AWAY, None, id="away while it was"),
        pytest.param(replace(AWAY, retry_after=None), "without Retry-After", id="away without a time"),
        pytest.param(replace(AWAY, at=200.0), "while the database was there", id="away while it was not"),
        pytest.param(replace(PAGE, code=500), "1 answers 500", id="broken"),
        pytest.param(replace(PAGE, seconds=13.0), "took 13.0 s", id="slow"),
        pytest.param(replace(PAGE, at=121.0), "11.1 s after", id="back late"),
    ],
)
def test_answers_are_held_to_the_times_in_which_the_database_was_away(answer: Answer, says: str | None) -> None:
    wrong, _ = answering.answered_well([answer], [(95.0, 110.0)])

    assert [says in fault for fault in wrong] == [True] if says else wrong == []


@pytest.mark.parametrize("told", ["Frau Quellmalz", "k3y", "GET /s/geheim", "Zeichnung 1.pdf"])
def test_whatever_belongs_to_a_customer_is_found_in_a_log(told: str) -> None:
    sent = Sent(make(PROFILES["tiny"], 1, database="sqlite").visits[0], key="k3y")

    assert answering.silent_logs(f"info {told} done", [sent], ["/s/geheim"]) == ["1 secrets in the logs (O11)"]
    assert answering.silent_logs("info letter=3 done", [sent], ["/s/geheim"]) == []
