"""What staff do with a case. Each is a POST, and the whole step is one function of the domain."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import redirect, request, url_for
from sqlalchemy.orm import Session
from werkzeug import Response
from werkzeug.exceptions import NotFound

from portal import clock
from portal.cases import answering, calling, closing, contacts, finding, promising, submissions
from portal.cases import directory as directories
from portal.cases.calling import StartedCall
from portal.cases.contacts import Contact
from portal.cases.errors import KeyReused, Refused
from portal.cases.models import Case, Outcome, Submission
from portal.journal.files import File, NoLongerHeld
from portal.links import new_secret
from portal.pages import uploads
from portal.pages.contact import typed
from portal.pages.once import accepted_once
from portal.pages.staff.case_page import Shown, call_page, case_page, refused
from portal.pages.staff.forms import (
    CaseForm,
    CloseForm,
    ContactForm,
    MailForm,
    NoteForm,
    PromiseForm,
    QuestionForm,
    ReopenForm,
    ReplyForm,
)
from portal.pages.staff.frame import bp
from portal.pages.staff.login import note_use

_DID = ":"
"""Between the name of a form and what it did, in what is kept of it."""


@dataclass(frozen=True)
class Work:
    """What a step of the domain is given."""

    session: Session
    case: Case
    by_id: int
    now: datetime
    attached: tuple[File, ...] = ()

    @property
    def tz(self) -> str:
        """The wall clock that the case's dates are typed by."""
        return directories.load(self.session, now=self.now).team_of(self.case).tz


@bp.post("/cases/<reference>/reply")
@uploads.takes_files
def reply(reference: str) -> Response:
    """Answer by mail."""
    form = ReplyForm(request.form, prefix="reply")

    def step(work: Work) -> None:
        answering.reply(
            work.session,
            work.case,
            by_id=work.by_id,
            text=form.text.data,
            keeps=form.kept(),
            step=form.step(work.tz),
            version=form.seen_version,
            now=work.now,
            attached=work.attached,
        )

    return do(reference, "reply", form, step)


@bp.post("/cases/<reference>/ask")
@uploads.takes_files
def ask(reference: str) -> Response:
    """Ask the customer."""
    form = QuestionForm(request.form, prefix="ask")

    def step(work: Work) -> None:
        answering.ask(
            work.session,
            work.case,
            by_id=work.by_id,
            text=form.text.data,
            keeps=form.kept(),
            follow_up_at=form.follow_up_at(work.tz),
            version=form.seen_version,
            now=work.now,
            attached=work.attached,
        )

    return do(reference, "ask", form, step)


@bp.post("/cases/<reference>/promise")
def promise(reference: str) -> Response:
    """Promise a date with its medium."""
    form = PromiseForm(request.form, prefix="promise")

    def step(work: Work) -> None:
        promising.promise_date(
            work.session,
            work.case,
            by_id=work.by_id,
            step=form.step(work.tz),
            version=form.seen_version,
            now=work.now,
        )

    return do(reference, "promise", form, step)


@bp.post("/cases/<reference>/mail")
def mail(reference: str) -> Response:
    """Log an e-mail that came in, in two interactions; it awaits an answer like a message on the status page."""
    form = MailForm(request.form, prefix="mail")

    def step(work: Work) -> None:
        contacts.log_contact(
            work.session,
            work.case,
            by_id=work.by_id,
            contact=Contact.MAIL_IN,
            text=form.text.data,
            at=work.now,
            keeps=frozenset(),
            step=None,
            visible=form.visible.data,
            version=form.seen_version,
            now=work.now,
        )

    return do(reference, "mail", form, step, done="contact")


@bp.post("/cases/<reference>/contact")
def contact(reference: str) -> Response:
    """Log any other contact."""
    form = ContactForm(request.form, prefix="contact")

    def step(work: Work) -> None:
        contacts.log_contact(
            work.session,
            work.case,
            by_id=work.by_id,
            contact=Contact(form.contact.data),
            text=form.text.data,
            at=form.at(work.tz, since=work.case.received_at, now=work.now),
            keeps=form.kept(),
            step=form.step(work.tz),
            visible=form.visible.data,
            version=form.seen_version,
            now=work.now,
        )

    return do(reference, "contact", form, step)


@bp.post("/cases/<reference>/note")
def note(reference: str) -> Response:
    """Write a note for colleagues."""
    form = NoteForm(request.form, prefix="note")

    def step(work: Work) -> None:
        contacts.note(work.session, work.case, by_id=work.by_id, text=form.text.data, now=work.now)

    return do(reference, "note", form, step)


@bp.post("/cases/<reference>/close")
def close(reference: str) -> Response:
    """Close the case with its outcome."""
    form = CloseForm(request.form, prefix="close")

    def step(work: Work) -> None:
        closing.close(
            work.session,
            work.case,
            by_id=work.by_id,
            outcome=Outcome(form.outcome.data),
            text=form.text.data,
            version=form.seen_version,
            now=work.now,
        )

    return do(reference, "close", form, step)


@bp.post("/cases/<reference>/reopen")
def reopen(reference: str) -> Response:
    """Open a closed case again."""
    form = ReopenForm(request.form, prefix="reopen")

    def step(work: Work) -> None:
        closing.reopen(work.session, work.case, by_id=work.by_id, text=form.text.data, now=work.now)

    return do(reference, "reopen", form, step)


@bp.post("/cases/<reference>/call")
def call(reference: str) -> Response:
    """*Anruf starten*: the one answer that holds the customer's number (law 3)."""
    form, now = CaseForm(request.form, prefix="call"), clock.utc_now()

    def once(session: Session) -> StartedCall:
        by_id, case = note_use(session, now=now).id, _case(session, reference)
        with session.begin_nested() as attempt:
            # A second press is allowed and answered as the first one was, but it is no second attempt.
            number = calling.start_call(session, case, by_id=by_id, version=form.seen_version, now=now)
            if _sent_before(session, case, f"call_{by_id}", form, now=now) is not None:
                attempt.rollback()
        return number

    try:
        number = accepted_once(once)
    except Refused as refusal:
        return refused(reference, refusal)
    return call_page(reference, number)


def do(
    reference: str,
    name: str,
    form: CaseForm,
    step: Callable[[Work], str | None],
    *,
    done: str | None = None,
    shown: Shown = case_page,
    back: str = "staff.case",
    **query: Any,
) -> Response:
    """Check the form, do the step once, and go back to the case; a refusal shows it with everything typed kept.

    ``shown`` draws the page that a form came from where that is another one; ``back`` and ``query`` lead there. A step
    may return what it did, where that is not always the same: a word of words.DONE, told again to a double click.
    """
    now, valid = clock.utc_now(), form.validate()
    chosen = _chosen(reference, form)
    if not valid or form.errors:
        _hold(reference, form, chosen, now=now)
        return shown(reference, {name: form}, status=422)

    def once(session: Session) -> str | None:
        by_id, case = note_use(session, now=now).id, _case(session, reference)
        before = _sent_before(session, case, name, form, now=now)
        if before is not None:
            return before.purpose.partition(_DID)[2] or None
        did = step(Work(session, case, by_id, now, chosen.files if chosen else ()))
        if did is not None:
            _note(session, form, f"staff_{name}{_DID}{did}")
        return did

    try:
        did = accepted_once(once)
    except Refused as refusal:
        if isinstance(refusal, KeyReused):
            form.key.data = new_secret()
        _hold(reference, form, chosen, now=now)
        return refused(reference, refusal, {name: form}, shown=shown)
    except NoLongerHeld:
        assert chosen is not None
        uploads.say_no_longer_held(chosen)
        form.key.data = new_secret()
        _hold(reference, form, chosen, now=now)
        return shown(reference, {name: form}, status=422)
    return redirect(url_for(back, reference=reference, done=did or done or name, **query), 303)


def _chosen(reference: str, form: CaseForm) -> uploads.Chosen | None:
    """The files of a form that takes some."""
    if "attachments" not in form:
        return None
    return uploads.choose(form["attachments"], "staff", reference, form.key.data)


def _hold(reference: str, form: CaseForm, chosen: uploads.Chosen | None, *, now: datetime) -> None:
    """Keep the files of a form that comes back. No network's quota counts: a colleague is signed in."""
    if chosen is not None:
        uploads.hold(chosen, "staff", reference, form.key.data, now=now, counted=False)


def _sent_before(session: Session, case: Case, name: str, form: CaseForm, *, now: datetime) -> Submission | None:
    """The first sending of this form; a double click gets the same answer and does nothing twice. None if this is it.

    Raises KeyReused.
    """
    key = typed.key(form.key.data)
    if key is None:
        return None
    body = submissions.body_hash([case.reference, name, *form.typed_values()])
    before = submissions.find(session, key, body)
    if before is None:
        submissions.keep(session, key=key, purpose=f"staff_{name}", body_hash=body, case_id=case.id, now=now)
    return before


def _note(session: Session, form: CaseForm, purpose: str) -> None:
    key = typed.key(form.key.data)
    if key is not None:
        submissions.note(session, key, purpose=purpose)


def _case(session: Session, reference: str) -> Case:
    case = finding.by_reference(session, reference)
    if case is None:
        raise NotFound
    return case
