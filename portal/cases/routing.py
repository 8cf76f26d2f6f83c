"""Routing: who becomes the owner of a new case."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import String, bindparam, select
from sqlalchemy.orm import Session

from portal.cases.directory import Directory, open_cases
from portal.cases.models import Case, CaseState, Route, RoutedBy, Topic
from portal.customers.models import Account, Customer
from portal.people import presence
from portal.people.models import Team


@dataclass(frozen=True)
class Routed:
    """The owner, and what named them."""

    owner_id: int
    by: RoutedBy


def route(session: Session, directory: Directory, topic: Topic, customer: Customer, *, now: datetime) -> Routed:
    """The account's own manager; the person this customer already knows; else the topic's team (DESIGN.md section 4).

    A known person stays the owner even while absent (a deputy acts); a new customer never gets an absent one.
    """
    return candidates(session, directory, topic, customer, now=now)[0]


def candidates(
    session: Session, directory: Directory, topic: Topic, customer: Customer, *, now: datetime
) -> list[Routed]:
    """Everybody who may become the owner, the first choice first: where only the topic decides, one of its team."""
    manager_id = _manager(session, customer)
    if manager_id is not None and _works_here(directory, manager_id, now):
        return [Routed(manager_id, RoutedBy.ACCOUNT)]
    known_id = _known(session, customer)
    if known_id is not None and _works_here(directory, known_id, now):
        return [Routed(known_id, RoutedBy.KNOWN)]
    team = team_for(session, directory, topic, customer.postcode)
    return [Routed(person_id, RoutedBy.TOPIC) for person_id in _by_load(session, directory, team, topic, now)]


def team_for(session: Session, directory: Directory, topic: Topic, postcode: str | None) -> Team:
    """The team that takes this topic from this postcode; the topic's own team where no rule says otherwise."""
    if postcode:
        row = session.scalars(
            select(Route)
            .where(Route.topic_id == topic.id, Route.postcode_from <= postcode, Route.postcode_to >= postcode)
            .order_by(Route.postcode_from.desc())
        ).first()
        if row is not None:
            return directory.teams[row.team_id]
    return directory.teams[topic.team_id]


def _manager(session: Session, customer: Customer) -> int | None:
    if not customer.number_typed:
        return None
    account = session.scalars(select(Account).where(Account.number == customer.number_typed)).one_or_none()
    if account is None:
        return None
    customer.account_id = account.id
    return account.manager_id


_OWNERS_OF_MAILBOX = (
    select(Case.owner_id)
    .join(Customer, Customer.id == Case.customer_id)
    .where(
        Customer.email_key == bindparam("email_key", type_=String),
        Case.state.in_((CaseState.OPEN, CaseState.CLOSED)),
        Case.owner_id.is_not(None),
    )
    .order_by(Case.id.desc())
    .limit(1)
)


def _known(session: Session, customer: Customer) -> int | None:
    if not customer.email_key:
        return None
    return session.connection().execute(_OWNERS_OF_MAILBOX, {"email_key": customer.email_key}).scalar()


def _works_here(directory: Directory, person_id: int, now: datetime) -> bool:
    """Whether this person still answers customers, on the day it is where their team is."""
    person = directory.people[person_id]
    today = now.astimezone(ZoneInfo(directory.teams[person.team_id].tz)).date()
    return person.answers and (person.left_on is None or person.left_on > today)


def _by_load(session: Session, directory: Directory, team: Team, topic: Topic, now: datetime) -> list[int]:
    at = directory.business_minute(team, now)
    free = presence.available(directory.roster, team.id, topic.id, at)
    if not free:
        return [directory.acting(team.lead_id or directory.company.last_instance_id, at).person_id]
    load = open_cases(session, free)
    return sorted(free, key=lambda person_id: (load.get(person_id, 0), person_id))
