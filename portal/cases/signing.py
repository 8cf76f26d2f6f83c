"""Signing: whose name a letter to a customer bears, who gets the answer, and how it names other people (law 2)."""

from datetime import datetime

from portal.cases.directory import Directory
from portal.cases.errors import AuthorAbsent, AuthorDoesNotAnswer
from portal.cases.models import Case, Step
from portal.languages import Voice
from portal.people.models import Person
from portal.people.presence import Acting


def named(directory: Directory, case: Case, step: Step | None) -> int:
    """The person the step names, else the owner, else the front desk."""
    return step.person_id if step is not None else case.owner_id or directory.company.front_desk_id


def acting_person(directory: Directory, case: Case, step: Step | None, now: datetime) -> Acting:
    """Who acts for that person: the answer goes to them, and they sign what nobody else wrote."""
    return directory.acting(named(directory, case, step), now, topic_id=case.topic_id)


def author(directory: Directory, by_id: int, acting: Acting, now: datetime, *, anew: bool = False) -> Acting:
    """Who wrote it signs it: as the acting person, or else, beside them, in nobody's place.

    Raises AuthorDoesNotAnswer, and AuthorAbsent unless nobody else is left to act; neither of what is written ``anew``.
    """
    writer = directory.people[by_id]
    if not anew and (not writer.answers or writer.line_e164 is None):
        raise AuthorDoesNotAnswer
    if acting.person_id == by_id:
        return acting
    if not anew and not directory.is_present(by_id, now):
        raise AuthorAbsent
    return Acting(by_id, None, False)


def signature(directory: Directory, signer: Acting, voice: Voice) -> dict[str, str | None]:
    """The person who signs, and for whom."""
    person = directory.people[signer.person_id]
    return {
        **_reached(person),
        "hours": voice.week(directory.person_weeks.get(person.id, {})),
        "for_name": None if signer.for_id is None else directory.people[signer.for_id].name,
    }


def card(directory: Directory, case: Case, person_id: int, *, now: datetime) -> dict[str, str | None]:
    """The person, or whoever is there for them now, as a letter names somebody who does not sign it."""
    return _reached(there_for(directory, case, person_id, now))


def there_for(directory: Directory, case: Case, person_id: int, now: datetime) -> Person:
    """The person, or whoever acts for them now."""
    return directory.people[directory.acting(person_id, now, topic_id=case.topic_id).person_id]


def _reached(person: Person) -> dict[str, str | None]:
    return {
        "name": person.name,
        "role": person.role,
        "line": person.line_shown,
        "tel": person.line_e164,
        "email": person.email,
    }
