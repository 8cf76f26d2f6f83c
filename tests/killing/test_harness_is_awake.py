"""The same houses and the same checks with a bug planted in the running processes: the checks must find it."""

from collections.abc import Callable, Sequence

import pytest

from tests.killing.harness import PATIENCE, House
from tests.killing.points import Point
from tests.support.processes import wait_until

# The harness is the same on both databases: one is enough for every change.
BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.nightly)]
pytestmark = [pytest.mark.timeout(300), pytest.mark.parametrize("database_url", BOTH, indirect=True)]
Enter = Callable[..., House]


@pytest.mark.nightly
def test_a_letter_marked_as_sent_before_it_leaves_is_found_lost(house: Enter) -> None:
    with house(bug="mark_before_send") as home:
        point = first(home.points_of_delivering(), "in the middle of the letter")

        assert "confirmation: delivered 0 times, tries 0" in home.die_delivering(point)


@pytest.mark.nightly
def test_a_goodbye_that_fails_and_counts_as_a_failed_letter_is_found_doubled(house: Enter) -> None:
    with house(bug="quit_is_failure", relay="close_after_250") as home:
        posted = home.post()
        wait_until(lambda: home.doubled() > 0, PATIENCE, "nothing was doubled")

        assert "letters sent: 0 and not 2" in home.wrong(posted)


def test_a_worker_without_a_fencing_token_is_found_doubling(house: Enter) -> None:
    with house(bug="no_fencing") as home:
        found = home.lose_lease(home.points_of_delivering(), patience=PATIENCE)

        assert any(finding.startswith("staff_new_case: delivered 2 times") for finding in found)


@pytest.mark.nightly
def test_a_case_committed_before_its_letters_and_its_key_is_found_doubled(house: Enter) -> None:
    with house(bug="two_commits") as home:
        point = first(home.points_of_accepting(), "after COMMIT")

        assert any(finding.startswith("cases: ") for finding in home.die_accepting(point))


def first(walk: Sequence[Point], name: str) -> Point:
    """The first point of a walk with these words in its name."""
    return next(point for point in walk if name in point.name)
