"""The form, the thank-you page behind it, and the company's colour."""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from flask import Blueprint, current_app, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from sqlalchemy.orm import Session
from werkzeug import Response
from wtforms.fields.choices import SelectChoice

from portal import clock, config, db, limits
from portal.cases import addressing, doubting, drafting, limiting, opening, submissions, timeline, unread
from portal.cases import directory as directories
from portal.cases.appointment_view import AppointmentView
from portal.cases.drafting import Draft, Wish
from portal.cases.errors import (
    AlreadyCorrected,
    KeyReused,
    NothingToPromise,
    NotOffered,
    Refused,
    SlotTaken,
    TooMany,
)
from portal.cases.models import Case, CaseState, Doubt, Submission, Topic, TopicMedium
from portal.cases.offering import Offered
from portal.cases.timeline import First, Status
from portal.journal.files import NoLongerHeld
from portal.journal.models import Kind
from portal.mail.models import LetterState
from portal.pages import speaking, uploads
from portal.pages.contact import brand as colours
from portal.pages.contact import proof, times
from portal.pages.contact.forms import (
    ContactForm,
    EmailForm,
    Ticket,
    doubt_of,
    first_values,
    new_ticket,
    read_ticket,
)
from portal.pages.contact.times import TILES, Wanted
from portal.pages.once import accepted_once
from portal.pages.uploads import Chosen, OverQuota
from portal.promises import wording
from portal.promises.models import Medium

bp = Blueprint("contact", __name__)

ANSWER = re.compile(r"[\w-]{22}", re.ASCII)
CORRECTION_DONE = "address"


@bp.get("/")
def start() -> ResponseReturnValue:
    """The way in is the form."""
    return redirect(url_for("contact.show"), code=302)


@bp.get("/contact")
def show() -> ResponseReturnValue:
    """The empty form."""
    now = clock.utc_now()
    with db.transaction() as session:
        page = _form_page(session, ContactForm(), new_ticket(now), now=now)
    # Kept by this one browser, so that Back shows the same form with the same key: sent again, it is still one case.
    page.headers["Cache-Control"] = "private, no-cache"
    return page


@bp.post("/contact")
@uploads.takes_files
def send() -> ResponseReturnValue:
    """Take the form: a case or, in doubt, an entry; then on to the thank-you page."""
    now, posted, network = clock.utc_now(), first_values(request.form), limits.network_of(request.remote_addr)
    form, ticket = ContactForm(posted), read_ticket(config.links(), posted.get("csrf_token", ""), now=now)
    if "more" in posted:
        return _more_days(form, ticket or new_ticket(now), now=now)
    complete, known = form.validate(), ticket is not None
    ticket = ticket or new_ticket(now)
    chosen = uploads.choose(form.attachments, "contact", ticket.key)
    with db.reading() as session:
        topic, number = _look_up(session, form, now=now)
        if not complete or not known or topic is None or form.errors:
            drafted = None
        else:
            wish = form.wish(topic, number, speaking.language(), chosen.files)
            calls = topic.medium == TopicMedium.CALL
            drafted = _drafted(session, wish, ticket, posted, network, calls=calls, now=now)
    if drafted is None:
        return _come_back(form, ticket, chosen, [] if known else [_not_ours()], now=now)
    if isinstance(drafted, TooMany):
        return _full(form, ticket, chosen, drafted, now=now)
    if isinstance(drafted, NotOffered):
        return _other_times(form, ticket, chosen, wish, drafted, now=now)
    return _accept(form, ticket, drafted, chosen, network)


@bp.get("/thanks/<answer>")
def thanks(answer: str) -> ResponseReturnValue:
    """What will happen now; lives for a day."""
    return _thanks_page(answer, EmailForm())


@bp.post("/thanks/<answer>/address")
def correct_address(answer: str) -> ResponseReturnValue:
    """Correct a mistyped address; whether or not it still could be, the answer is the same."""
    form, now = EmailForm(first_values(request.form)), clock.utc_now()
    if not form.validate():
        return _thanks_page(answer, form, code=422)
    with db.transaction() as session:
        submission = _submission(session, answer, now)
        if submission is not None:
            try:
                addressing.correct_address(session, submission, form.email.data or "", now=now)
            except AlreadyCorrected:
                current_app.logger.info("an address came too late to be corrected")
    return redirect(url_for("contact.thanks", answer=answer, done=CORRECTION_DONE), code=303)


@bp.get("/brand.css")
def brand() -> Response:
    """The company's colour as a style sheet."""
    with db.transaction() as session:
        accent = directories.load(session, now=clock.utc_now()).company.accent
    response = make_response(colours.style_sheet(accent))
    response.mimetype = "text/css"
    response.cache_control.max_age = 300
    response.cache_control.public = True
    response.add_etag()
    return response.make_conditional(request)


def _accept(form: ContactForm, ticket: Ticket, drafted: Draft, chosen: Chosen, network: str) -> ResponseReturnValue:
    sent = {"key": ticket.key, "body_hash": submissions.body_hash(form.body()), "network": network}
    try:
        submission = accepted_once(
            lambda session: _keep(session, drafted, chosen, **sent),
            again=lambda session: _find_or_keep(session, drafted, chosen, **sent),
        )
    except TooMany as full:
        return _full(form, ticket, chosen, full, now=drafted.now)
    except KeyReused as reused:
        return _come_back(form, ticket.again(), chosen, [_said(reused)], now=drafted.now)
    except NothingToPromise:  # until a moment ago there was a date
        form.refuse("topic", _not_offered_now())
        return _come_back(form, ticket, chosen, now=drafted.now)
    except NotOffered as refused:
        return _other_times(form, ticket, chosen, drafted.wish, refused, now=drafted.now)
    except NoLongerHeld:
        uploads.say_no_longer_held(chosen)
        return _come_back(form, ticket.again(), chosen, now=drafted.now)
    except OverQuota as over:
        uploads.say_over_quota(chosen)
        with db.reading() as session:
            return over.told(_form_page(session, form, ticket, now=drafted.now, code=429))
    return redirect(url_for("contact.thanks", answer=submission.answer), code=303)


def _drafted(
    session: Session, wish: Wish, ticket: Ticket, posted: Mapping[str, str], network: str, *, calls: bool, now: datetime
) -> Draft | TooMany | NotOffered:
    if session.get(Submission, ticket.key) is None:  # what was taken once is answered again, however full it is
        try:
            limiting.refuse_if_full(session, network, now=now)
        except TooMany as full:
            return full
    doubt = doubt_of(ticket, posted.get("website", ""), least=config.current().form_min_seconds, now=now)
    doubt = doubt or doubting.doubt_of(wish.message, calls=calls) or _doubt_of_proof(ticket, posted)
    try:
        return drafting.draft(session, wish, doubt=doubt, now=now)
    except NotOffered as refused:
        return refused


def _doubt_of_proof(ticket: Ticket, posted: Mapping[str, str]) -> Doubt | None:
    """The weakest reason of all, and so the last: what else is odd says more to whoever looks."""
    if not config.current().proof_of_work or proof.is_solved(posted.get(proof.FIELD, ""), ticket.key, config.links()):
        return None
    return Doubt.NO_PROOF


def _keep(session: Session, drafted: Draft, chosen: Chosen, *, key: str, body_hash: str, network: str) -> Submission:
    uploads.count(session, chosen, now=drafted.now)
    return opening.keep(session, drafted, key=key, body_hash=body_hash, network=network)


def _find_or_keep(
    session: Session, drafted: Draft, chosen: Chosen, *, key: str, body_hash: str, network: str
) -> Submission:
    """What another press of the button kept, whatever room it left; or the same once more, as it would be drafted now.

    The first time nobody looks: hardly anybody presses twice.
    """
    earlier = submissions.find(session, key, body_hash)
    if earlier is not None:
        return earlier
    again = drafting.draft(session, drafted.wish, doubt=drafted.doubt, now=drafted.now)
    return _keep(session, again, chosen, key=key, body_hash=body_hash, network=network)


def _full(form: ContactForm, ticket: Ticket, chosen: Chosen, full: TooMany, *, now: datetime) -> Response:
    uploads.hold(chosen, "contact", ticket.key, now=now)
    with db.reading() as session:
        return _full_page(session, form, ticket, full, now=now)


def _other_times(
    form: ContactForm, ticket: Ticket, chosen: Chosen, wish: Wish, refused: NotOffered, *, now: datetime
) -> ResponseReturnValue:
    """The form once more with the nearest free times; where an earlier press of the button has the time, its answer."""
    with db.reading() as session:
        try:
            earlier = submissions.find(session, ticket.key, submissions.body_hash(form.body()))
        except KeyReused as reused:
            earlier, ticket = None, ticket.again()
            form.refuse("csrf_token", _said(reused))
        nearest = () if earlier is not None else drafting.alternatives(session, wish, now=now)
    if earlier is not None:
        return redirect(url_for("contact.thanks", answer=earlier.answer), code=303)
    taken = isinstance(refused, SlotTaken)
    form.refuse_time(_said(refused) if nearest else _none_near(taken=taken))
    return _come_back(form, ticket, chosen, nearest=nearest, code=409 if taken else 422, now=now)


def _come_back(
    form: ContactForm,
    ticket: Ticket,
    chosen: Chosen,
    sentences: Collection[str] = (),
    *,
    now: datetime,
    nearest: Sequence[Offered] = (),
    code: int = 422,
) -> Response:
    """The form once more, with everything typed and every file that can be taken kept for it."""
    uploads.hold(chosen, "contact", ticket.key, now=now)
    with db.reading() as session:
        return _form_page(session, form, ticket, sentences, nearest=nearest, now=now, code=code)


def _more_days(form: ContactForm, ticket: Ticket, *, now: datetime) -> Response:
    """The form as it is, with further days: nothing is sent by it, and nothing is amiss that is still empty."""
    chosen = uploads.choose(form.attachments, "contact", ticket.key)
    return _come_back(form, ticket, chosen, now=now, code=422 if form.errors else 200)


def _look_up(session: Session, form: ContactForm, *, now: datetime) -> tuple[Topic | None, str | None]:
    """The topic chosen and the number in E.164 form; what rows refuse becomes errors of the form."""
    if form.topic.errors:
        return None, None
    directory = directories.load(session, now=now)
    topic = form.chosen(directory.topics.values())
    if topic is not None and drafting.offered_by(directory, topic, now=now) is None:
        form.refuse("topic", _not_offered_now())
    if topic is not None:
        form.choosable(topic)
    return topic, None if topic is None or form.phone.errors else form.number(topic, directory.country)


def _form_page(
    session: Session,
    form: ContactForm,
    ticket: Ticket,
    sentences: Collection[str] = (),
    *,
    now: datetime,
    nearest: Sequence[Offered] = (),
    code: int = 200,
) -> Response:
    language = speaking.language()
    offers = drafting.promised(session, language=language, now=now)
    form.topic.choices = [SelectChoice(offer.topic.slug, offer.topic.name(language)) for offer in offers]
    promises = {
        offer.topic.slug: wording.offer(
            offer.topic.medium == TopicMedium.CALL, offer.voice.moment(offer.due_at, now=now), offer.voice
        )
        for offer in offers
    }
    count = times.count(request.form)
    wanted = Wanted(form.topic.data, form.starts_at, nearest, count)
    page = render_template(
        "contact/form.html",
        form=form,
        token=ticket.sign(config.links()),
        challenge=proof.challenge(ticket.key, config.links()) if config.current().proof_of_work else None,
        tiles=len(offers) <= TILES,
        hints={offer.topic.slug: offer.topic.hint_en if language == "en" else offer.topic.hint_de for offer in offers},
        promises=promises,
        data={slug: {"data-promise": f"{promise}."} for slug, promise in promises.items()},
        times=times.with_topics(session, offers, promises, wanted, now=now),
        shown=count,
        called=[offer.topic.name(language) for offer in offers if offer.topic.medium == TopicMedium.CALL],
        sentences=sentences,
        code=code,
        failed=code != 200,
        languages=True,
        **speaking.house(session, now=now),
    )
    return make_response(page, code)


def _full_page(session: Session, form: ContactForm, ticket: Ticket, full: TooMany, *, now: datetime) -> Response:
    """Politely no: from when it works again, whom to call at once, and everything typed still in the form."""
    values = speaking.house(session, now=now)
    person, voice, contact = values["person"], values["voice"], config.current().fallback_contact
    by_phone = gettext("It is quicker by phone: %(name)s, %(line)s.", name=person.name, line=person.line_shown)
    opens = gettext(
        "You can send it from %(moment)s; what you typed stays here until then.",
        moment=voice.moment(_up_to_the_minute(now + timedelta(seconds=full.seconds)), now=now),
    )
    or_else = [gettext("Or: %(contact)s.", contact=contact)] if contact and person.line_shown not in contact else []
    page = _form_page(session, form, ticket, [_said(full), by_phone, *or_else, opens], now=now, code=429)
    page.headers["Retry-After"] = str(full.seconds)
    return page


def _up_to_the_minute(at: datetime) -> datetime:
    """The next full minute, or this one."""
    return at if not (at.second or at.microsecond) else at.replace(second=0, microsecond=0) + timedelta(minutes=1)


def _thanks_page(answer: str, form: EmailForm, code: int = 200) -> Response:
    now = clock.utc_now()
    with db.reading() as session:
        submission = _submission(session, answer, now)
        case = None if submission is None else session.get(Case, submission.case_id)
        if submission is None or case is None or case.state in (CaseState.SPAM, CaseState.ERASED):
            return make_response(render_template("thanks/gone.html", **speaking.house(session, now=now)), 404)
        speaking.speak(case.language)
        status = timeline.status_of(session, case, now=now)
        confirmation = timeline.confirmation_state(session, case)
        done = request.args.get("done") == CORRECTION_DONE
        correctable = not done and _correctable(submission, status, now)
        values = speaking.house(session, now=now)
        if _names_the_person(status):
            values |= {"person": status.person, "voice": status.voice}
        instead = unread.looked_at_by(session, case, now=now)
        page = render_template(
            "thanks/page.html",
            status=status,
            form=form,
            answer=answer,
            named=_names_the_person(status),
            promise=_promise(status, values["person"].name, instead),
            reader=instead or values["person"].name,
            due_at=_waited_for(status) or case.received_at,
            doubtful=status.state == CaseState.RECEIVED,
            closed=status.state == CaseState.CLOSED,
            correctable=correctable,
            undelivered=confirmation == LetterState.FAILED,
            held=confirmation in (LetterState.HELD, LetterState.WITHDRAWN) and status.state == CaseState.OPEN,
            address=case.customer.email if correctable else status.email_masked,
            done=done,
            failed=bool(form.errors),
            **values,
        )
    return make_response(page, code)


def _submission(session: Session, answer: str, now: datetime) -> Submission | None:
    return submissions.by_answer(session, answer, now=now) if ANSWER.fullmatch(answer) else None


def _names_the_person(status: Status) -> bool:
    """A typed address or customer number proves nothing: what they would reveal stays for the letter (INTERFACE.md)."""
    return status.named_on_thanks and status.state != CaseState.RECEIVED


def _promise(status: Status, name: str, instead: str | None) -> str:
    """The one sentence that says who does what by when; ``instead`` looks at an entry now whose first date passed."""
    if status.promise is None and status.check_late:
        return str(gettext("We wanted to look at it by %(due)s. We did not keep that date.", due=status.check_by or ""))
    if instead is not None and status.check_by:
        sentence = gettext(
            "We did not keep the first date. %(name)s looks at it by %(due)s.", name=instead, due=status.check_by
        )
        return str(sentence)
    if status.appointment is not None and status.first == First.APPOINTMENT:
        return _agreed(status, status.appointment)
    if status.promise is None:
        looks = gettext("%(name)s looks at it by %(due)s.", name=name, due=status.check_by)
        return str(looks) if status.check_by else ""
    if status.promise.late:
        return str(gettext("We had promised it by %(due)s. We did not keep that date.", due=status.promise.due))
    if _names_the_person(status):
        return f"{status.promise.sentence}."
    return wording.offer(status.promise.medium == Medium.CALL, status.promise.due, status.voice) + "."


def _agreed(status: Status, agreed: AppointmentView) -> str:
    """The agreed time; without a name where none may be said."""
    if agreed.late or _names_the_person(status):
        return f"{agreed.sentence}."
    is_visit = agreed.medium == Medium.VISIT
    return str(
        gettext("A visit is agreed for %(moment)s.", moment=agreed.when)
        if is_visit
        else gettext("A call is agreed for %(moment)s.", moment=agreed.when)
    )


def _waited_for(status: Status) -> datetime | None:
    """The instant the page names first."""
    if status.appointment is not None and status.first == First.APPOINTMENT:
        return status.appointment.starts_at
    return None if status.promise is None else status.promise.due_at


def _correctable(submission: Submission, status: Status, now: datetime) -> bool:
    corrected = any(entry.kind == Kind.ADDRESS_CORRECTED for entry in status.entries)
    in_time = now <= submission.at + addressing.CORRECTION_TIME
    return in_time and not corrected and status.state in (CaseState.OPEN, CaseState.RECEIVED) and not status.not_me


def _not_ours() -> str:
    return str(
        gettext("This form was open for more than a day or did not come from our page. Please send it once more.")
    )


def _not_offered_now() -> str:
    return str(gettext("We cannot name a date for this subject right now. Please choose another one, or call us."))


def _none_near(*, taken: bool) -> str:
    if taken:
        return str(gettext("This time has just been taken. Please choose another one, or none."))
    return str(gettext("This time cannot be chosen. Please choose another one, or none."))


def _said(refused: Refused) -> str:
    return str(gettext(refused.sentence))
