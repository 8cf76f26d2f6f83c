"""Nothing is lost and nothing doubled, wherever a web or worker process is killed."""

from collections.abc import Callable

import pytest

from tests.killing.harness import House

pytestmark = pytest.mark.timeout(300)
Enter = Callable[..., House]


@pytest.mark.nightly_on("postgresql")
def test_a_web_worker_killed_at_any_point_of_accepting_loses_and_doubles_nothing(
    house: Enter, subtests: pytest.Subtests
) -> None:
    with house() as home:
        for point in home.points_of_accepting():
            with subtests.test(str(point)):
                assert home.die_accepting(point) == []

        assert home.wrong_at_the_end() == []
        assert home.doubled() == 0


@pytest.mark.nightly_on("sqlite")
@pytest.mark.parametrize(
    "letter",
    [
        pytest.param(1, id="the first letter, on a new connection"),
        # The same points once more, on a connection that is kept: too long for every change.
        pytest.param(2, id="the second letter, on a kept connection", marks=pytest.mark.nightly),
    ],
)
def test_a_worker_killed_at_any_point_of_delivering_loses_nothing_and_doubles_only_what_nobody_can_know(
    house: Enter, letter: int, subtests: pytest.Subtests
) -> None:
    with house() as home:
        for point in [point for point in home.points_of_delivering() if point.letter == letter]:
            with subtests.test(str(point)):
                assert home.die_delivering(point) == []

        assert home.wrong_at_the_end() == []
        assert home.doubled() > 0


@pytest.mark.nightly
def test_a_worker_killed_at_any_point_of_a_refusal_notes_it_once_and_tells_staff_once(
    house: Enter, subtests: pytest.Subtests
) -> None:
    with house(relay="rcpt_550") as home:
        for point in [point for point in home.points_of_delivering() if point.letter == 1]:
            with subtests.test(str(point)):
                assert home.die_refused(point) == []

        assert home.wrong_at_the_end() == []


@pytest.mark.nightly_on("sqlite")
def test_a_worker_held_past_its_lease_changes_nothing_when_it_goes_on(house: Enter) -> None:
    with house() as home:
        assert home.lose_lease(home.points_of_delivering()) == []


def test_a_relay_that_hangs_up_after_its_word_gets_each_letter_once(house: Enter) -> None:
    with house(relay="close_after_250") as home:
        posted = home.post()
        home.wait_for_letters(posted)

        assert home.wrong(posted) == []
