"""Doubting: what plausible customers write passes, what is sent to everybody waits for a person."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.cases import doubting
from portal.cases.models import Doubt
from portal.languages import Voice
from tests.support.spellings import VICTIM

FOLDER = Path(__file__).parent / "corpus"
HONEST, SPAM = ((FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines() for name in ("honest", "spam"))


@pytest.mark.parametrize("message", HONEST)
def test_what_plausible_customers_write_passes(message: str) -> None:
    assert doubting.doubt_of(message) is None


@pytest.mark.parametrize("message", SPAM)
def test_what_is_sent_to_everybody_waits(message: str) -> None:
    assert doubting.doubt_of(message) is not None


def test_the_corpora_are_large_enough_to_say_something() -> None:
    assert min(len(HONEST), len(SPAM)) >= 40


@pytest.mark.parametrize(
    ("message", "doubt"),
    [
        ("[url=https://pills.example]pills[/url]", Doubt.MARKUP),
        ("Siehe bit.ly/abc bitte, danke schön", Doubt.SHORTENED),
        ("https://a.example https://b.example", Doubt.LINKS),
        ("Bitte um Аngebot", Doubt.MIXED_SCRIPTS),
        ("dofollow backlinks", Doubt.PITCH),
        (VICTIM, Doubt.NOTHING_SAID),
    ],
)
def test_staff_read_which_rule_it_was(message: str, doubt: Doubt) -> None:
    assert doubting.doubt_of(message) == doubt


def test_a_number_alone_is_enough_where_the_topic_is_a_call() -> None:
    assert doubting.doubt_of("0171 3920042") == Doubt.NOTHING_SAID
    assert doubting.doubt_of("0171 3920042", calls=True) is None


def test_every_rule_is_met_by_some_spam() -> None:
    met = {doubting.doubt_of(message) for message in [*SPAM, "Bitte um Аngebot"]}

    assert met == {*doubting._RULES, Doubt.NOTHING_SAID}


@pytest.mark.parametrize("doubt", Doubt)
def test_every_doubt_has_a_sentence_in_both_languages(doubt: Doubt) -> None:
    english = doubting.sentence(doubt)

    assert english.endswith((".", "”"))
    assert Voice("de", "DE", "Europe/Berlin").say(english) != english


def test_equal_texts_are_the_same_however_spaced_cased_or_numbered() -> None:
    text = "Wir haben 5 neue Angebote für Ihre Firma, rufen Sie uns noch heute an!"

    assert doubting.sameness(text) == doubting.sameness("  " + text.upper().replace("5", "77") + "\n")
    assert doubting.sameness(text) != doubting.sameness(text.replace("heute", "morgen"))
    assert doubting.sameness("Bitte um Rückruf, danke.") is None


@given(st.text(max_size=5000))
def test_whatever_is_typed_is_judged_and_quickly(text: str) -> None:
    doubting.doubt_of(text)
    doubting.sameness(text)


@pytest.mark.parametrize(
    "piece", ["<a ", "[url ", "https://", "seo optimierung ", "crypto ", "a@", "+1 ", "bit.ly", "ä-"]
)
def test_no_text_takes_long(piece: str) -> None:
    doubting.doubt_of(piece * (5000 // len(piece)))
