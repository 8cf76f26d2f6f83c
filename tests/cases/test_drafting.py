"""Drafting: what the form offers before anything is sent, and what a draft is made of."""

import re
from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from portal.cases import drafting
from portal.people.models import Hours
from tests.support.agreed import offer_calls
from tests.support.cast import TUESDAY, open_case, open_promises, step, topic


def test_the_form_says_for_each_topic_the_date_the_case_will_get(session: Session) -> None:
    offers = {offer.topic.slug: offer for offer in drafting.promised(session, language="de", now=TUESDAY)}

    for slug, offer in offers.items():
        case = open_case(session, slug, email=f"{slug}@neu.example")
        assert open_promises(session, case)[0].due_at == offer.due_at
    assert sorted(offers) == ["angebot", "lieferung", "rechnung", "reklamation", "rueckruf", "technik"]


def test_a_topic_that_is_no_longer_offered_is_not_on_the_form(session: Session) -> None:
    topic(session, "technik").active = False
    step(session)

    offers = drafting.promised(session, language="de", now=TUESDAY)

    assert "technik" not in [offer.topic.slug for offer in offers]


def test_nobody_is_alarmed_by_a_topic_that_is_not_on_the_form(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    topic(session, "angebot").active = False
    session.query(Hours).delete()
    step(session)

    drafting.promised(session, language="de", now=TUESDAY)

    assert "'topic': 'angebot'" not in caplog.text


def test_a_reference_can_be_read_out_on_the_phone() -> None:
    references = {drafting.new_reference() for _ in range(2000)}

    assert len(references) == 2000
    assert all(re.fullmatch("[2-9A-HJ-NP-Z]{3}-[2-9A-HJ-NP-Z]{3}", reference) for reference in references)


def test_a_topic_whose_team_works_no_hours_has_no_times_and_no_fault(session: Session) -> None:
    offer_calls(session)
    session.query(Hours).delete()
    step(session)

    assert drafting.times(session, topic(session, "angebot"), now=TUESDAY, count=6).times == []


def test_the_first_times_are_in_order_and_within_the_horizon(session: Session) -> None:
    offer_calls(session)
    times = drafting.times(session, topic(session, "angebot"), now=TUESDAY, count=6).times

    starts = [one.starts_at for one in times]
    assert len(starts) == 6
    assert starts == sorted(set(starts))
    assert starts[0] >= TUESDAY + timedelta(hours=4)
