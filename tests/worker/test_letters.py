"""The worker's step that writes waiting letters anew, with its own sessions and with several workers."""

import threading
from collections.abc import Callable
from datetime import timedelta

from flask import Flask
from sqlalchemy import select, update

from portal import clock, db
from portal.mail.letters import LetterKind
from portal.mail.models import Audience, Letter, LetterState
from tests.support.smtp_sink import SmtpSink
from tests.worker import rows
from worker.__main__ import steps_of
from worker.delivery import Delivery
from worker.letters import renew_letter

Open = Callable[..., int]


def test_a_letter_that_is_no_longer_true_is_written_anew_and_leaves_once(
    deliver: Delivery, open_case: Open, sink: SmtpSink
) -> None:
    case = open_case()
    old = rows.to_customer(case)
    rows.change(old, valid_until=clock.utc_now())

    assert [renew_letter(), renew_letter()] == [True, False]
    rows.deliver_all(deliver, case)

    (new,) = confirmations(case)
    assert (new.id, new.state) == (old.id, LetterState.SENT)
    assert sorted(kept.message_id for kept in sink.messages) == sorted(
        [new.message_id, rows.to_colleague(case).message_id]
    )
    assert new.message_id != old.message_id


def test_what_is_true_is_left_alone(open_case: Open) -> None:
    open_case()

    assert renew_letter() is False


def test_several_workers_write_each_letter_anew_once(core: Flask, open_case: Open) -> None:
    cases = [open_case(f"{number}@haustechnik.example") for number in range(8)]
    before = {letter.message_id for case in cases for letter in confirmations(case)}
    with db.writing() as session:
        outdated = Letter.audience == Audience.CUSTOMER
        session.execute(update(Letter).where(outdated).values(valid_until=clock.utc_now() - timedelta(seconds=1)))

    def work() -> None:
        with core.app_context():
            while renew_letter():
                pass

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    found = [confirmations(case) for case in cases]
    assert [[letter.state for letter in of_case] for of_case in found] == [[LetterState.QUEUED]] * len(cases)
    assert {letter.message_id for (letter,) in found}.isdisjoint(before)


def test_the_worker_takes_the_step(deliver: Delivery) -> None:
    assert steps_of(deliver)["renew_letter"] is renew_letter


def confirmations(case: int) -> list[Letter]:
    """The case's confirmations, oldest first."""
    with db.reading() as session:
        found = select(Letter).where(Letter.case_id == case, Letter.kind == LetterKind.CONFIRMATION)
        return list(session.scalars(found.order_by(Letter.id)))
