"""Promises as sentences: the announced closing is one of its own, whatever kind and medium stand in the row."""

from itertools import product

import pytest

from portal.languages import Voice
from portal.promises import wording
from portal.promises.models import Medium, PromiseKind

GERMAN, ENGLISH = Voice("de", "DE", "Europe/Berlin"), Voice("en", "DE", "Europe/Berlin")
NAME = "Miriam Albrecht"


@pytest.mark.parametrize(("kind", "medium"), list(product(PromiseKind, Medium)))
def test_an_announced_closing_says_who_closes_when_and_what_stops_it(kind: PromiseKind, medium: Medium) -> None:
    german = wording.sentence(kind, medium, NAME, "Mittwoch, 2. Dezember, 12 Uhr", GERMAN, closes=True)
    english = wording.sentence(kind, medium, NAME, "12 noon on Wednesday 2 December", ENGLISH, closes=True)

    assert german == (
        "Miriam Albrecht schließt den Vorgang am Mittwoch, 2. Dezember, 12 Uhr, "
        "wenn wir bis dahin nichts von Ihnen hören"
    )
    assert (
        english == "Unless we hear from you, Miriam Albrecht closes the request after 12 noon on Wednesday 2 December"
    )


@pytest.mark.parametrize(("kind", "medium"), list(product(PromiseKind, Medium)))
def test_every_other_promise_says_by_when(kind: PromiseKind, medium: Medium) -> None:
    sentence = wording.sentence(kind, medium, NAME, "Mittwoch, 2. Dezember, 12 Uhr", GERMAN)

    assert sentence.startswith(NAME) and "bis Mittwoch, 2. Dezember, 12 Uhr" in sentence
    assert "schließt" not in sentence
