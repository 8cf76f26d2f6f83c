"""What staff do with an appointment: book, move, give away, call off, put on hold, say what became of it.

Each is a POST to the case page, and the whole step is one function of the domain; what it did is said afterwards.
"""

from flask import request
from werkzeug import Response

from portal.cases import agreeing, closing, keeping, on_hold, proposing, replacing
from portal.cases.contacts import Contact
from portal.cases.errors import NotOffered
from portal.cases.models import Outcome
from portal.cases.proposing import Stand
from portal.pages.staff.actions import Work, do
from portal.pages.staff.fields import NotFreeThen
from portal.pages.staff.forms import BookForm, CancelForm, GiveForm, MoveForm, OutcomeForm, WishForm
from portal.pages.staff.frame import bp
from portal.promises.models import Medium


@bp.post("/cases/<reference>/appointment")
def book_appointment(reference: str) -> Response:
    """Agree on a time."""
    form = BookForm(request.form, prefix="book")

    def step(work: Work) -> str:
        agreeing.book(
            work.session,
            work.case,
            starts_at=form.starts_at(work.tz),
            by_id=work.by_id,
            medium=Medium(form.medium.data),
            version=form.seen_version,
            now=work.now,
        )
        return _told(work, "booked")

    return do(reference, "book", form, step)


@bp.post("/cases/<reference>/appointment/move")
def move_appointment(reference: str) -> Response:
    """To another time, or out of a hold to its own."""
    form = MoveForm(request.form, prefix="move")

    def step(work: Work) -> str:
        before = proposing.stand_of(work.session, work.case)
        agreeing.move(
            work.session,
            work.case,
            starts_at=form.starts_at(work.tz),
            version=form.seen_appointment,
            by_id=work.by_id,
            reason=form.text.data or None,
            now=work.now,
        )
        return _moved(work, before)

    return do(reference, "move", form, step)


@bp.post("/cases/<reference>/appointment/give")
def give_appointment(reference: str) -> Response:
    """To a colleague; its time stays."""
    form = GiveForm(request.form, prefix="give")

    def step(work: Work) -> str:
        before = proposing.stand_of(work.session, work.case)
        try:
            replacing.give(
                work.session,
                work.case,
                person_id=form.person_id,
                version=form.seen_appointment,
                by_id=work.by_id,
                now=work.now,
            )
        except NotOffered as refusal:
            raise NotFreeThen("person") from refusal
        return _moved(work, before)

    return do(reference, "give", form, step)


@bp.post("/cases/<reference>/appointment/cancel")
def cancel_appointment(reference: str) -> Response:
    """Call it off."""
    form = CancelForm(request.form, prefix="cancel")

    def step(work: Work) -> str:
        agreeing.cancel(
            work.session,
            work.case,
            version=form.seen_appointment,
            by_id=work.by_id,
            reason=form.text.data or None,
            now=work.now,
        )
        return _told(work, "cancelled")

    return do(reference, "cancel", form, step)


@bp.post("/cases/<reference>/appointment/wish")
def wish_another_time(reference: str) -> Response:
    """The customer wishes another time: nobody calls at the old one."""
    form = WishForm(request.form, prefix="wish")

    def step(work: Work) -> str:
        before = proposing.stand_of(work.session, work.case)
        on_hold.wish(
            work.session,
            work.case,
            by_id=work.by_id,
            contact=Contact(form.contact.data),
            text=form.text.data or "",
            version=form.seen_appointment,
            now=work.now,
        )
        return "contact" if before is not None and before.on_hold else _told(work, "frozen")

    return do(reference, "wish", form, step)


@bp.post("/cases/<reference>/appointment/outcome")
def say_outcome(reference: str) -> Response:
    """What became of it, and what comes next."""
    form = OutcomeForm(request.form, prefix="outcome")

    def step(work: Work) -> str:
        closes, recap = form.then.data == "close", bool(form.recap.data)
        outcome = keeping.AppointmentOutcome(form.outcome.data)
        keeping.say_outcome(
            work.session,
            work.case,
            by_id=work.by_id,
            outcome=outcome,
            text=form.text.data or "",
            keeps=form.kept(),
            step=form.step(work.tz),
            visible=form.visible.data,
            version=form.seen_appointment,
            recap=recap,
            closes=closes,
            now=work.now,
        )
        if closes:
            text, by_id = form.text.data or "", work.by_id
            closing.close(work.session, work.case, by_id=by_id, outcome=Outcome.DONE, text=text, now=work.now)
            return "close"
        if proposing.stand_of(work.session, work.case) is not None:
            return "not_begun" if outcome == keeping.AppointmentOutcome.NOT_BEGUN else "attempt"
        return "recap" if recap and work.case.customer.email else "outcome"

    return do(reference, "outcome", form, step)


def _moved(work: Work, before: Stand | None) -> str:
    """What a move or a hand-over did to an appointment that stood so before."""
    work.session.flush()
    after = proposing.stand_of(work.session, work.case)
    if before is None or after is None or before.version == after.version:
        return "unchanged"
    if before.starts_at != after.starts_at:
        return _told(work, "moved")
    return _told(work, "stays" if before.person_id == after.person_id else "given")


def _told(work: Work, done: str) -> str:
    """The same, unless the customer has no address to which a letter could go."""
    return done if work.case.customer.email else f"{done}_untold"
