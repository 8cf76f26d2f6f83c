"""The demo company: a wholesaler with three teams in three federal states, and a dozen cases in every state.

The cases are made by the real steps at instants that lie back in business time, so that what the demo shows is what the
program does. Phone numbers are from the block kept free for media (089 99998-000 to -999), addresses end in .example.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from portal import config
from portal.cases import (
    addressing,
    agreeing,
    answering,
    closing,
    contacts,
    delaying,
    doubtful,
    offering,
    opening,
    promising,
)
from portal.cases import directory as directories
from portal.cases.contacts import Contact
from portal.cases.drafting import Wish
from portal.cases.models import Case, Doubt, Outcome, Topic, TopicMedium
from portal.cases.offering import Finder
from portal.cases.promising import NewPromise
from portal.customers.models import Account
from portal.links import new_secret
from portal.mail.models import Letter, LetterState
from portal.people.models import Absence, Company, Competence, Hours, Login, Person, Role, Team
from portal.promises import business_time, service_level
from portal.promises import service as promises
from portal.promises.models import Medium, PromiseKind, ServiceLevel

NINE_TO_FIVE = {day: [(8 * 60, 17 * 60)] for day in range(4)} | {4: [(8 * 60, 15 * 60)]}
WITH_LUNCH = {day: [(8 * 60, 12 * 60), (13 * 60, 17 * 60)] for day in range(5)}
PART_TIME = {0: [(8 * 60, 14 * 60)], 1: [(8 * 60, 14 * 60)], 2: [(8 * 60, 14 * 60)]}

LEGAL_BLOCK = """Beispielwerke Großhandel GmbH
Sitz: München · Amtsgericht München, HRB 000000
Geschäftsführung: Martina Ebert
Musterstraße 1, 80000 München"""


class NotEmpty(Exception):
    """The database has a person; the demo company is loaded into an empty one only."""


@dataclass(frozen=True)
class _Colleague:
    name: str
    role: str
    line: str
    email: str
    team: str
    login: Role
    deputy: str
    topics: tuple[str, ...]
    hours: dict[int, list[tuple[int, int]]]


_PEOPLE = (
    _Colleague("Miriam Albrecht", "Vertrieb Süd", "214", "m.albrecht", "Vertrieb Süd", Role.STAFF, "Jonas Weidner",
               ("angebot", "rueckruf"), NINE_TO_FIVE),
    _Colleague("Jonas Weidner", "Vertrieb Süd", "231", "j.weidner", "Vertrieb Süd", Role.STAFF, "Miriam Albrecht",
               ("angebot", "rueckruf"), WITH_LUNCH),
    _Colleague("Dr. Katharina Voss", "Leitung Vertrieb", "200", "k.voss", "Vertrieb Süd", Role.LEAD, "Jonas Weidner",
               ("angebot", "rueckruf"), NINE_TO_FIVE),
    _Colleague("Thomas Brandt", "Leitung Kundendienst", "300", "t.brandt", "Kundendienst", Role.LEAD, "Deniz Yılmaz",
               ("reklamation", "technik"), NINE_TO_FIVE),
    _Colleague("Deniz Yılmaz", "Technischer Kundendienst", "317", "d.yilmaz", "Kundendienst", Role.STAFF,
               "Thomas Brandt", ("reklamation", "technik"), WITH_LUNCH),
    _Colleague("Lena Hofmann", "Reklamationen", "322", "l.hofmann", "Kundendienst", Role.STAFF, "Thomas Brandt",
               ("reklamation", "technik"), NINE_TO_FIVE),
    _Colleague("Sandra Neumann", "Leitung Auftrag und Rechnung", "400", "s.neumann", "Auftrag und Rechnung", Role.LEAD,
               "Petra Lindner", ("lieferung", "rechnung"), NINE_TO_FIVE),
    _Colleague("Petra Lindner", "Empfang und Auftragsannahme", "100", "p.lindner", "Auftrag und Rechnung", Role.STAFF,
               "Sandra Neumann", ("lieferung", "rechnung"), WITH_LUNCH),
    _Colleague("Robert Kessler", "Rechnungen", "418", "r.kessler", "Auftrag und Rechnung", Role.STAFF,
               "Sandra Neumann", ("rechnung",), PART_TIME),
    _Colleague("Martina Ebert", "Geschäftsführung", "001", "m.ebert", "Vertrieb Süd", Role.ADMIN, "Dr. Katharina Voss",
               (), NINE_TO_FIVE),
)  # fmt: skip
_TEAMS = (
    ("Vertrieb Süd", "DE-BY", "Dr. Katharina Voss"),
    ("Kundendienst", "DE-NW", "Thomas Brandt"),
    ("Auftrag und Rechnung", "DE-SN", "Sandra Neumann"),
)
_TOPICS = (
    ("angebot", "Vertrieb Süd", "Angebot anfragen", "Ask for an offer", "Preise, Mengen, Lieferzeiten",
     "Prices, quantities, delivery times", TopicMedium.REPLY, "Zwei Arbeitstage", 2192),
    ("rueckruf", "Vertrieb Süd", "Rückruf", "Call me back",
     "Wir rufen Sie an und nennen Ihnen vorher, wer und bis wann",
     "We call you and tell you beforehand who and by when", TopicMedium.CALL, "Ein halber Arbeitstag", 183),
    ("lieferung", "Auftrag und Rechnung", "Frage zur Lieferung", "Question about a delivery",
     "Termin, Menge oder Adresse einer Bestellung", "Date, quantity or address of an order", TopicMedium.REPLY,
     "Ein Arbeitstag", 183),
    ("reklamation", "Kundendienst", "Reklamation", "Complaint", "Etwas fehlt, ist beschädigt oder falsch",
     "Something is missing, damaged or wrong", TopicMedium.REPLY, "Ein Arbeitstag", 2192),
    ("technik", "Kundendienst", "Technischer Kundendienst", "Technical service", "Störung, Wartung, Ersatzteile",
     "Faults, maintenance, spare parts", TopicMedium.REPLY, "Ein Arbeitstag", 183),
    ("rechnung", "Auftrag und Rechnung", "Frage zur Rechnung", "Question about an invoice",
     "Betrag, Zahlungsziel, Kopie", "Amount, payment date, copy", TopicMedium.REPLY, "Zwei Arbeitstage", 2192),
)  # fmt: skip
_TIMES = {
    "angebot": {"slot_medium": Medium.CALL, "slot_minutes": 20, "slot_grid": 30},
    "rueckruf": {"slot_medium": Medium.CALL, "slot_minutes": 20, "slot_grid": 30},
    "technik": {
        "slot_medium": Medium.VISIT,
        "slot_minutes": 60,
        "slot_grid": 60,
        "slot_before": 30,
        "slot_after": 30,
    },
}
"""The topics whose customers choose a time, and how long it is."""
_LEVELS = (
    ("Ein halber Arbeitstag", 240, 480, 120, 60),
    ("Ein Arbeitstag", 480, 480, 240, 60),
    ("Zwei Arbeitstage", 960, 960, 240, 60),
)


def load(session: Session, *, password_hash: str, now: datetime) -> None:
    """Load the company, its logins (all with one password) and its cases. Raises NotEmpty."""
    if session.scalars(select(Person.id).limit(1)).first() is not None:
        raise NotEmpty
    people = _people(session, password_hash)
    session.flush()
    _cases(session, people, now)
    if config.current().mailbox_dir is None:
        _count_as_sent(session)
    else:
        _leave_at_once(session)


def company(session: Session, *, password_hash: str) -> dict[str, int]:
    """Load the company and its logins without any case; the ids by name. For tests."""
    return _people(session, password_hash)


def logins() -> list[tuple[str, str]]:
    """Name and address of everybody who can sign in."""
    return [(colleague.name, f"{colleague.email}@beispielwerke.example") for colleague in _PEOPLE]


def _people(session: Session, password_hash: str) -> dict[str, int]:
    teams = {name: Team(name=name, place=place, tz="Europe/Berlin") for name, place, _ in _TEAMS}
    levels = {
        name: ServiceLevel(name=name, answer_min=answer, update_min=update_, remind_min=remind, notice_min=notice)
        for name, answer, update_, remind, notice in _LEVELS
    }
    session.add_all([*teams.values(), *levels.values()])
    session.flush()
    topics = _topics(session, teams, levels)
    people = {
        one.name: Person(
            team_id=teams[one.team].id,
            name=one.name,
            role=one.role,
            line_e164=f"+498999998{one.line}",
            line_shown=f"089 99998-{one.line}",
            email=f"{one.email}@beispielwerke.example",
            place=teams[one.team].place,
        )
        for one in _PEOPLE
    }
    session.add_all(people.values())
    session.flush()
    for one in _PEOPLE:
        person = people[one.name]
        person.deputy_id = people[one.deputy].id
        session.add(Login(person_id=person.id, password=password_hash, role=one.login))
        session.add_all(Competence(person_id=person.id, topic_id=topics[slug]) for slug in one.topics)
        session.add_all(_hours(one.hours, person_id=person.id))
    for name, _, lead in _TEAMS:
        teams[name].lead_id = people[lead].id
        session.add_all(_hours(NINE_TO_FIVE, team_id=teams[name].id))
    session.add(
        Company(
            id=1,
            name="Beispielwerke",
            legal_block=LEGAL_BLOCK,
            imprint_url="https://www.beispielwerke.example/impressum",
            privacy_url="https://www.beispielwerke.example/datenschutz",
            accent="#0b5d66",
            front_desk_id=people["Petra Lindner"].id,
            last_instance_id=people["Martina Ebert"].id,
        )
    )
    session.add(
        Account(name="Krüger Haustechnik", number="K-10042", manager_id=people["Jonas Weidner"].id, potential=1)
    )
    session.flush()
    return {name: person.id for name, person in people.items()}


def _topics(session: Session, teams: dict[str, Team], levels: dict[str, ServiceLevel]) -> dict[str, int]:
    topics = [
        Topic(
            slug=slug,
            position=position,
            team_id=teams[team].id,
            level_id=levels[level].id,
            name_de=name_de,
            name_en=name_en,
            hint_de=hint_de,
            hint_en=hint_en,
            medium=medium,
            retention_days=days,
            **_TIMES.get(slug, {}),
        )
        for position, (slug, team, name_de, name_en, hint_de, hint_en, medium, level, days) in enumerate(_TOPICS)
    ]
    session.add_all(topics)
    session.flush()
    return {topic.slug: topic.id for topic in topics}


def _hours(
    week: dict[int, list[tuple[int, int]]], *, team_id: int | None = None, person_id: int | None = None
) -> list[Hours]:
    return [
        Hours(team_id=team_id, person_id=person_id, weekday=day, from_minute=start, until_minute=end)
        for day, spans in week.items()
        for start, end in spans
    ]


def _cases(session: Session, people: dict[str, int], now: datetime) -> None:
    story = _Story(session, people, now)
    story.tell()


class _Story:
    """The cases, each told by the real steps. Times are business minutes back from now."""

    def __init__(self, session: Session, people: dict[str, int], now: datetime) -> None:
        self.session, self.people, self.now = session, people, now
        self.topics = {topic.slug: topic for topic in session.scalars(select(Topic))}

    def tell(self) -> None:
        """Write all of it, oldest first, so that the journal reads in order."""
        steps: list[Callable[[], None]] = [
            self.closed_long_ago,
            self.closed_by_us,
            self.closed_by_customer,
            self.moved_once,
            self.delayed_twice,
            self.delayed,
            self.waiting,
            self.absent_owner,
            self.discarded,
            self.not_me,
            self.reopened,
            self.two_steps,
            self.english,
            self.doubtful,
            self.call_back,
            self.agreed,
            self.fresh,
        ]
        for step in steps:
            step()

    def ago(self, minutes: int) -> datetime:
        """The instant that many business minutes back."""
        directory = directories.load(self.session, now=self.now)
        calendar = directory.calendar(next(iter(directory.teams.values())))
        return business_time.subtract(calendar, business_time.latest_open(calendar, self.now), minutes)

    def ahead(self, case: Case, minutes: int, *, at: datetime) -> datetime:
        """A date with room, that many business minutes after ``at``."""
        directory = directories.load(self.session, now=at)
        team = directory.team_of(case)
        level = directory.levels[directory.topics[case.topic_id].level_id].level
        return service_level.due_after(
            minutes, directory.calendar(team), directory.sending(team), level=level, given_at=at
        ).due_at

    def case(
        self,
        topic: str,
        name: str,
        email: str,
        message: str,
        *,
        at: datetime,
        language: str = "de",
        doubt: Doubt | None = None,
        phone: str | None = None,
        number: str | None = None,
        company: str | None = None,
    ) -> Case:
        """A form somebody filled in at ``at``."""
        wish = Wish(
            topic_id=self.topics[topic].id,
            name=name,
            email=email,
            message=message,
            language=language,
            phone_e164=None if phone is None else f"+498999998{phone}",
            phone_shown=None if phone is None else f"089 99998-{phone}",
            customer_number=number,
            company=company,
        )
        submission = opening.accept(self.session, wish, key=new_secret(), body_hash="", doubt=doubt, now=at)
        return self.session.get_one(Case, submission.case_id)

    def keeps(self, case: Case) -> frozenset[int]:
        """The promise the case is waiting for."""
        return frozenset({case.promise_id} if case.promise_id is not None else ())

    def fresh(self) -> None:
        self.case(
            "angebot",
            "Sabine Krüger",
            "s.krueger@krueger-haustechnik.example",
            "Guten Tag, wir brauchen ein Angebot über 40 Umwälzpumpen und die Lieferzeit nach Rosenheim.",
            at=self.ago(20),
            phone="547",
            number="K-10042",
            company="Krüger Haustechnik",
        )

    def call_back(self) -> None:
        self.case(
            "rueckruf",
            "Emre Aydın",
            "aydin@aydin-sanitaer.example",
            "Bitte rufen Sie mich wegen der Rahmenvereinbarung für 2027 an, am besten vormittags.",
            at=self.ago(60),
            phone="581",
            company="Aydın Sanitär",
        )

    def agreed(self) -> None:
        """Somebody chose a time for a call: tomorrow, or the first day with a free one."""
        at = self.ago(50)
        case = self.case(
            "rueckruf",
            "Katrin Vogel",
            "vogel@vogel-heizung.example",
            "Es geht um die Konditionen für die neue Pumpenreihe. Ich habe vier Fragen.",
            at=at,
            phone="553",
            company="Vogel Heizung",
        )
        directory = directories.load(self.session, now=at)
        finder = Finder(self.session, directory, offering.of_case(directory, case), now=self.now)
        voice = directory.voice_of(case)
        tomorrow = voice.local(self.now).date() + timedelta(days=1)
        _, times = next(finder.days(tomorrow))
        agreeing.book(self.session, case, starts_at=times[0].starts_at, by_id=None, now=self.now)

    def doubtful(self) -> None:
        self.case(
            "rechnung",
            "Max Muster",
            "muster@post.example",
            "Rechnung bitte noch einmal schicken.",
            at=self.ago(90),
            doubt=Doubt.TOO_FAST,
        )

    def english(self) -> None:
        self.case(
            "technik",
            "Harriet Cole",
            "h.cole@colefacilities.example",
            "One of the two pumps you delivered in October has become very loud. Which spare part do we need?",
            at=self.ago(150),
            language="en",
            company="Cole Facilities",
        )

    def two_steps(self) -> None:
        at = self.ago(300)
        case = self.case(
            "lieferung",
            "Birgit Sommer",
            "b.sommer@sommerbad.example",
            "Wann kommt die zweite Palette aus der Bestellung 88231?",
            at=at,
            phone="533",
        )
        step = NewPromise(PromiseKind.RESULT, Medium.MAIL, self.ahead(case, 1200, at=at), "Ergebnis der Nachforschung")
        promising.promise_date(self.session, case, by_id=case.owner_id or 0, step=step, now=at + timedelta(minutes=20))

    def reopened(self) -> None:
        at = self.ago(900)
        case = self.case(
            "rechnung",
            "Olga Petersen",
            "petersen@nordbau.example",
            "Auf der Rechnung 4711 fehlt der vereinbarte Nachlass.",
            at=at,
            company="Nordbau",
        )
        closing.close(
            self.session,
            case,
            by_id=case.owner_id,
            outcome=Outcome.DONE,
            text="Die berichtigte Rechnung liegt Ihnen vor.",
            now=at + timedelta(minutes=50),
        )
        closing.reopen(
            self.session,
            case,
            by_id=None,
            text="Der Nachlass fehlt immer noch bei Position 3.",
            now=self.ago(240),
        )

    def not_me(self) -> None:
        case = self.case(
            "angebot",
            "Kim Schulte",
            "schulte@post.example",
            "Bitte ein Angebot über Heizkörper.",
            at=self.ago(700),
        )
        addressing.not_me(self.session, case, now=self.ago(500))

    def discarded(self) -> None:
        case = self.case(
            "angebot",
            "Best Offers",
            "offers@werbung.example",
            "Buy now.",
            at=self.ago(1000),
            doubt=Doubt.HONEYPOT,
        )
        doubtful.discard(self.session, case, by_id=self.people["Petra Lindner"], now=self.ago(900))

    def absent_owner(self) -> None:
        lena, thomas = self.people["Lena Hofmann"], self.people["Thomas Brandt"]
        at = self.ago(1000)
        case = self.case(
            "reklamation",
            "Ulrich Baumgartner",
            "baumgartner@hotel-seeblick.example",
            "Drei der zwölf gelieferten Armaturen sind verkratzt. Fotos kann ich schicken.",
            at=at,
            phone="562",
            company="Hotel Seeblick",
        )
        case.owner_id = lena
        promise = case.promise
        assert promise is not None
        promise.person_id = lena
        self.session.add(
            Absence(
                person_id=lena,
                starts_at=self.ago(600),
                ends_at=self.now + timedelta(days=9),
                deputy_id=self.people["Deniz Yılmaz"],
                entered_by_id=thomas,
            )
        )
        self.session.flush()
        step = NewPromise(promise.kind, promise.medium, self.ahead(case, 500, at=self.ago(200)), "")
        promising.promise_date(self.session, case, by_id=self.people["Deniz Yılmaz"], step=step, now=self.ago(200))

    def waiting(self) -> None:
        at = self.ago(1100)
        case = self.case(
            "technik",
            "Anna-Lena Großmann-Oberhuber",
            "grossmann@stadtwerke-musterstadt.example",
            "Die Anlage zeigt Fehler E17, was bedeutet das?",
            at=at,
            phone="544",
            company="Stadtwerke Musterstadt",
        )
        answered = self.ago(420)
        answering.ask(
            self.session,
            case,
            by_id=case.owner_id or 0,
            text="E17 meldet einen zu niedrigen Vordruck. Schicken Sie uns bitte das Typenschild als Text oder nennen "
            "Sie uns die Seriennummer, dann nenne ich Ihnen die nächsten Schritte.",
            keeps=self.keeps(case),
            follow_up_at=self.ahead(case, 1400, at=answered),
            now=answered,
        )

    def delayed_twice(self) -> None:
        case = self.case(
            "lieferung",
            "Henning Vogt",
            "vogt@vogt-gartenbau.example",
            "Die Lieferung sollte gestern da sein.",
            at=self.ago(1300),
            phone="519",
            company="Vogt Gartenbau",
        )
        self.delay(case, times=2)

    def delayed(self) -> None:
        case = self.case(
            "reklamation",
            "Farid Rahimi",
            "rahimi@rahimi-bau.example",
            "Zwei Ventile der Lieferung 88019 sind undicht.",
            at=self.ago(700),
            phone="508",
            company="Rahimi Bau",
        )
        self.delay(case, times=1)

    def delay(self, case: Case, *, times: int) -> None:
        """Nobody kept the promise: the notices that came before its dates, as far as they lie behind."""
        for _ in range(times):
            notice_at = min(promise.notice_at for promise in promises.open_of(self.session, case.id))
            if notice_at < self.now:
                delaying.give_notice(self.session, case, now=notice_at)

    def moved_once(self) -> None:
        at = self.ago(1250)
        case = self.case(
            "angebot",
            "Claudia Reiter",
            "reiter@reiter-bau.example",
            "Angebot für die Bäder im dritten Bauabschnitt, Liste folgt per Post.",
            at=at,
            phone="525",
            company="Reiter Bau",
        )
        later = self.ago(500)
        step = NewPromise(PromiseKind.REPLY, Medium.MAIL, self.ahead(case, 1300, at=later), "das vollständige Angebot")
        promising.promise_date(self.session, case, by_id=case.owner_id or 0, step=step, now=later)

    def closed_by_customer(self) -> None:
        at = self.ago(1700)
        case = self.case(
            "rueckruf", "Peter Lang", "lang@lang-immobilien.example", "Bitte um Rückruf.", at=at, phone="571"
        )
        contacts.log_contact(
            self.session,
            case,
            by_id=case.owner_id or 0,
            contact=Contact.CALL_REACHED,
            text="Rabattstaffel erklärt.",
            at=at + timedelta(minutes=40),
            keeps=self.keeps(case),
            step=NewPromise(PromiseKind.FOLLOW_UP, Medium.CALL, self.ahead(case, 2000, at=at)),
            visible=True,
            now=at + timedelta(minutes=45),
        )
        closing.close(
            self.session,
            case,
            by_id=None,
            outcome=Outcome.WITHDRAWN,
            text="Danke, alles klar.",
            now=self.ago(1200),
        )

    def closed_by_us(self) -> None:
        at = self.ago(2400)
        case = self.case(
            "lieferung",
            "Nadine Scholz",
            "scholz@scholz-werkstatt.example",
            "Können Sie die Lieferadresse der Bestellung 88102 ändern?",
            at=at,
        )
        closing.close(
            self.session,
            case,
            by_id=case.owner_id,
            outcome=Outcome.DONE,
            text="Die Bestellung 88102 geht an die neue Adresse in Augsburg.",
            now=self.ago(2100),
        )

    def closed_long_ago(self) -> None:
        at = self.now - timedelta(days=40)
        case = self.case(
            "reklamation", "Gerd Ostermann", "ostermann@ostermann.example", "Falsche Farbe geliefert.", at=at
        )
        closing.close(
            self.session,
            case,
            by_id=case.owner_id,
            outcome=Outcome.DONE,
            text="Sie haben die richtige Farbe erhalten, die falsche ist abgeholt.",
            now=at + timedelta(days=3),
        )


def _count_as_sent(session: Session) -> None:
    """Outside the local mailbox the demo writes to nobody: its letters stand in the outbox as delivered."""
    session.flush()
    session.execute(
        update(Letter)
        .where(Letter.state == LetterState.QUEUED)
        .values(state=LetterState.SENT, ended_at=Letter.queued_at)
    )


def _leave_at_once(session: Session) -> None:
    """The local mailbox gets the letters as they were written on their days, whatever day and hour it is now."""
    session.flush()
    session.execute(
        update(Letter)
        .where(Letter.state == LetterState.QUEUED)
        .values(due_at=Letter.queued_at, valid_until=None, says=None)
    )
