"""Erased is erased: not a byte of it is left in the database's files, nor in any table.

The cases are many and of all sizes, so that SQLite splits, joins and frees pages; each has words of its own.
"""

from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update
from sqlalchemy.engine import make_url

from portal import clock, db
from portal.cases import answering, closing, drafting, linking, opening
from portal.cases.models import Case, CaseState, LinkWish, Outcome, Topic
from portal.customers.mailboxes import mailbox_key
from portal.customers.models import Customer
from portal.journal import files
from portal.journal import service as journal
from portal.journal.files import File
from portal.journal.models import AttachmentData, Entry, Kind
from portal.limits import Counter, name_for
from portal.links import new_secret
from tests.conftest import SECRET_KEY
from tests.support.dump import dump
from worker import cases
from worker.loop import Loop

CANARY = "Kanarienvogel"
CASES, ERASED = 30, 20


@pytest.fixture
def lives(core: Flask) -> list[int]:
    """Thirty cases with words of their own in every field; the first twenty are closed and due today."""
    ids = [a_life(number) for number in range(CASES)]
    with db.writing() as session:
        session.execute(update(Case).where(Case.id.in_(ids[:ERASED])).values(erase_on=clock.utc_now().date()))
    return ids


def word(number: int) -> str:
    """What stands in every field of a case, and nowhere else."""
    return f"{CANARY}{number:03d}x"


def a_life(number: int) -> int:
    """A case from the form to its closing."""
    now, said = clock.utc_now(), word(number)
    with db.writing() as session:
        topic_id = session.scalars(select(Topic.id).where(Topic.slug == "lieferung")).one()
        wish = drafting.Wish(
            topic_id,
            f"Frau {said}",
            f"{said}@kunde.example",
            f"{said} " * (1 + number * 40 % 600),
            "de",
            phone_e164=f"+4917139200{number:03d}",
            phone_shown=f"0171 39200{number:03d} {said}",
            company=f"Firma {said}",
            customer_number=said,
            postcode=f"8{number:04d}",
        )
        submission = opening.accept(session, wish, key=new_secret(), body_hash="", doubt=None, now=now)
        case = session.get_one(Case, submission.case_id)
        answering.customer_message(session, case, f"{said} " * (1 + number * 70 % 900), now=now)
        entry_id = session.scalars(select(Entry.id).where(Entry.case_id == case.id).limit(1)).one()
        data = f"{said} ".encode() * (1 + number * 30)
        file = File(new_secret(), f"{said}.txt", "text/plain", len(data), said, lambda: [data])
        files.attach(session, entry_id, [file], now=now)
        linking.wish_link(session, f"{said}@kunde.example", now=now)
        closing.close(session, case, by_id=None, outcome=Outcome.DONE, text=f"{said} ist erledigt", now=now)
        return case.id


def work() -> None:
    """Answer the wishes and erase, as a worker that has just started does it."""
    Loop({"answer_link_wish": cases.answer_link_wish, "erase_due": cases.Erasing()}).run_until_idle()


def everything(core: Flask) -> str:
    """All the database's files, or all its tables, as text; a mail's words too, where they are not folded."""
    url = make_url(core.config["SQLALCHEMY_ENGINES"]["default"]["url"])
    if url.get_backend_name() != "sqlite":
        return dump(db.db.engine)
    files = sorted(Path(str(url.database)).parent.glob(f"{Path(str(url.database)).name}*"))
    return "".join(path.read_bytes().decode("latin-1") for path in files)


def left(text: str) -> list[int]:
    """The numbers of the cases whose words still stand somewhere."""
    return [number for number in range(CASES) if word(number).lower() in text.lower()]


def test_not_a_byte_of_what_was_erased_is_left(core: Flask, lives: list[int]) -> None:
    work()

    assert left(everything(core)) == list(range(ERASED, CASES))
    with db.reading() as session:
        assert session.scalar(select(func.count()).select_from(AttachmentData)) == CASES - ERASED
        erased = session.scalars(select(Case.id).where(Case.state == CaseState.ERASED).order_by(Case.id)).all()
        journal = select(func.count()).where(Entry.case_id.in_(lives[:ERASED]), Entry.kind == Kind.RECEIVED)
        assert (list(erased), session.scalar(journal)) == (lives[:ERASED], ERASED)
        assert session.scalars(select(LinkWish.email_key)).all() == []


def test_the_search_finds_what_is_not_erased(core: Flask, lives: list[int]) -> None:
    assert left(everything(core)) == list(range(CASES))


def test_a_mailbox_is_no_longer_counted(core: Flask, lives: list[int]) -> None:
    with db.reading() as session:
        assert session.scalar(select(func.count()).select_from(Counter)) == 2 * CASES

    work()

    with db.reading() as session:
        kept = session.scalars(select(Counter.name)).all()
    # Of each of the others the wish and the letter that answered it, both by the hour and by the day.
    mailboxes = [mailbox_key(f"{word(number)}@kunde.example") for number in range(ERASED, CASES)]
    names = {name_for(kind, mailbox, key=SECRET_KEY) for mailbox in mailboxes for kind in ("link", "mail")}
    assert {name.partition("/")[0] for name in kept} == names
    assert len(kept) == 2 * len(names)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_while_somebody_reads_the_log_is_emptied_later(core: Flask, lives: list[int]) -> None:
    erase = cases.Erasing()
    with db.reading() as session:
        session.scalars(select(Case.id)).first()
        while erase():
            pass
        assert 0 in left(everything(core))

    assert erase() == 0
    assert left(everything(core)) == list(range(ERASED, CASES))


def test_a_worker_that_dies_in_the_middle_leaves_nothing_half_erased(
    core: Flask, lives: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    blank, calls = journal.blank, iter(range(ERASED))

    def die_at_the_tenth(*args: Any, **options: Any) -> None:
        blank(*args, **options)
        if next(calls) == 9:
            raise KeyboardInterrupt

    monkeypatch.setattr(journal, "blank", die_at_the_tenth)
    with pytest.raises(KeyboardInterrupt):
        work()
    with db.reading() as session:
        states = session.execute(select(Case.state, func.count()).group_by(Case.state)).all()
        whole = select(func.count()).select_from(Customer).where(Customer.name != "")
        assert dict(map(tuple, states)) == {CaseState.ERASED: 9, CaseState.CLOSED: CASES - 9}
        assert session.scalar(whole) == CASES - 9

    monkeypatch.undo()
    work()

    assert left(everything(core)) == list(range(ERASED, CASES))
