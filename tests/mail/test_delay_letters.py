"""The letters of the ladder and of waiting for the customer, in each of their turns."""

import itertools
import re
from typing import Any

import html5lib
import pytest

from portal.mail.letters import LetterKind, Rendered, render
from tests.mail.sample_values import OF_THE_LADDER, WORDS, lead, move, sample_values
from tests.mail.test_letters import AUTOMATIC, BANNED, words_of_html

NAME = "Miriam Albrecht"
TODAY = re.compile(r"\b(?:heute|morgen|gestern|today|tomorrow|yesterday)\b", re.IGNORECASE)
SORRY = re.compile(r"[Ee]ntschuldig|apologise")


def letter(kind: LetterKind, language: str = "de", country: str = "DE", **changes: Any) -> Rendered:
    """A letter with some of its values changed; a colleague's may come from any country too."""
    values = sample_values(kind, language, **changes)
    return render(kind, language, values | {"country": country})


def notice(language: str = "de", country: str = "DE", **changes: Any) -> Rendered:
    return letter(LetterKind.DELAY_NOTICE, language, country, **changes)


def said(rendered: Rendered) -> str:
    """The words of the text part on one line."""
    return " ".join(rendered.text.split())


def strong(rendered: Rendered) -> list[str]:
    page = html5lib.parse(rendered.html, namespaceHTMLElements=False)
    return ["".join(line.itertext()) for line in page.iter("strong")]


def two(language: str) -> list[dict[str, str]]:
    return [move(WORDS[language], NAME), move(WORDS[language], NAME, 1)]


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize("country", ["DE", "AT", "CH"])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("number", [0, 1, 2])
class TestADelayNotice:
    def test_is_whole_in_every_turn(self, number: int, late: bool, country: str, language: str) -> None:
        words = WORDS[language]
        for moves, reason, beside in itertools.product(
            [two(language)[:1], two(language)], [None, words["reason"]], [None, lead(words)]
        ):
            rendered = notice(language, country, number=number, late=late, moves=moves, reason=reason, lead=beside)

            assert words_of_html(rendered.html) == rendered.text.split()
            assert strong(rendered) == [
                one["sentence"] if language == "de" else f"{one['sentence'].removesuffix('.')} ({words['zone']})."
                for one in moves
            ]
            assert "None" not in rendered.subject + rendered.text
            assert not BANNED.search(rendered.text)
            assert len(SORRY.findall(rendered.text)) == 1

    def test_leads_with_the_new_date(self, number: int, late: bool, country: str, language: str) -> None:
        rendered = notice(language, country, number=number, late=late)

        start = {"de": "Neues Datum: ", "en": "New date: "}[language]
        assert rendered.subject.startswith(start + WORDS[language]["due"])

    def test_names_the_date_that_is_not_kept_and_says_if_it_passed_untold(
        self, number: int, late: bool, country: str, language: str
    ) -> None:
        text = said(notice(language, country, number=number, late=late))

        assert WORDS[language]["before"] in text
        untold = {"de": "ohne dass wir Ihnen vorher Bescheid gesagt haben.", "en": "passed without our telling you"}
        assert (untold[language] in text) == late


@pytest.mark.parametrize("language", ["de", "en"])
def test_the_first_notice_without_a_reason_says_it_is_not_done_and_that_they_will_hear(language: str) -> None:
    text = said(notice(language))

    undone = {"de": "ist noch nicht erledigt.", "en": "is not done yet."}
    sure = {"de": "Bis dahin hören Sie in jedem Fall von uns.", "en": "You will hear from us by then in any case."}
    assert undone[language] in text and sure[language] in text


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("language", ["de", "en"])
def test_a_persons_reason_takes_the_place_of_ours(language: str, number: int) -> None:
    reason = WORDS[language]["reason"]

    text = said(notice(language, number=number, reason=reason))

    assert f"{ {'de': 'Der Grund', 'en': 'The reason'}[language] }: {reason}" in text
    assert "noch nicht erledigt" not in text and "not done" not in text


def test_the_second_notice_says_so_and_names_the_lead_with_number_and_address() -> None:
    first, second = notice(), notice(number=2, lead=lead(WORDS["de"]))

    assert "zum zweiten Mal" in said(second) and "zweiten Mal" not in said(first)
    assert "Dr. Katharina Voss, Leitung Vertrieb, ist ab jetzt zusammen mit Miriam Albrecht für Sie da." in said(second)
    assert "\n089 99998-200 (Dr. Katharina Voss, katharina.voss@beispielwerke.example)\n" in second.text
    assert "\n089 99998-214 (Miriam Albrecht)\n" in second.text
    assert 'href="tel:+498999998200"' in second.html
    assert "auch Dr. Katharina Voss ist für Sie da" in second.subject


def test_the_second_notice_of_the_lead_names_nobody_beside_herself() -> None:
    herself = lead(WORDS["de"]) | {"name": NAME}

    assert notice(number=2, lead=herself) == notice(number=2)


def test_a_date_that_a_person_moved_in_time_is_no_failure() -> None:
    text = said(notice(number=0, reason="Das Werk bestätigt am Freitag."))

    assert "Ihr Anliegen hat ein neues Datum. Bisher zugesagt war: Mittwoch, 25. November, 12 Uhr." in text
    assert "nicht halten" not in text and "in jedem Fall" not in text


def test_several_moved_promises_stand_each_with_both_dates() -> None:
    text = said(notice(moves=two("de")))

    assert "Mehrere Zusagen haben ein neues Datum:" in text
    assert (
        "Miriam Albrecht antwortet bis Donnerstag, 26. November, 14 Uhr. "
        "Bisher zugesagt war: Mittwoch, 25. November, 12 Uhr. "
        "Worum es dabei geht: Preis für die jährliche Wartung von vier Anlagen "
        "Miriam Albrecht meldet sich bis Mittwoch, 2. Dezember, 12 Uhr wieder bei Ihnen. "
        "Bisher zugesagt war: Donnerstag, 26. November, 13 Uhr. "
        "Worum es dabei geht: Termin für die erste Wartung"
    ) in text


@pytest.mark.parametrize("kind", [LetterKind.DELAY_NOTICE, LetterKind.LEAD_TAKES_OVER])
@pytest.mark.parametrize("language", ["de", "en"])
def test_a_moved_promise_that_is_not_the_next_step_is_not_taken_for_it(kind: LetterKind, language: str) -> None:
    step, moved = two(language)

    rendered = letter(kind, language, moves=[moved])

    assert [line.split(" (")[0].rstrip(".") for line in strong(rendered)] == [
        moved["sentence"].rstrip("."),
        step["sentence"].rstrip("."),
    ]
    assert WORDS[language]["again_due"] in rendered.subject and WORDS[language]["due"] not in rendered.subject
    assert words_of_html(rendered.html) == rendered.text.split()


@pytest.mark.parametrize("what", ["", None])
@pytest.mark.parametrize("several", [False, True])
def test_a_promise_without_a_subject_has_no_empty_line_for_it(several: bool, what: str | None) -> None:
    moves = [{**one, "what": what} for one in two("de")[: 1 + several]]

    rendered = notice(moves=moves)

    assert "Worum" not in rendered.text
    assert words_of_html(rendered.html) == rendered.text.split()


@pytest.mark.parametrize("late", [False, True])
def test_the_lead_takes_over_with_a_date_and_the_direct_line(late: bool) -> None:
    rendered = letter(LetterKind.LEAD_TAKES_OVER, late=late, moves=two("de"))

    assert rendered.subject.startswith("Neues Datum: Donnerstag, 26. November, 14 Uhr – Miriam Albrecht übernimmt")
    assert "Ab jetzt kümmert sich Miriam Albrecht um Ihr Anliegen; bisher war Tarek Yilmaz für Sie da." in said(
        rendered
    )
    assert "Miriam Albrecht ist direkt für Sie da: 089 99998-214" in said(rendered)
    assert ("vorher Bescheid" in said(rendered)) == late
    assert len(strong(rendered)) == 2


@pytest.mark.parametrize("kind", [LetterKind.WAITING_REMINDER, LetterKind.CLOSING_ANNOUNCED])
@pytest.mark.parametrize("language", ["de", "en"])
def test_a_question_is_repeated_with_its_paragraphs_and_its_date(kind: LetterKind, language: str) -> None:
    rendered = letter(kind, language, question="Erster Absatz:\n- eins\n- zwei\n\nZweiter <b>Absatz</b>")

    assert "\n  Erster Absatz:\n  - eins\n  - zwei\n\n  Zweiter <b>Absatz</b>\n" in rendered.text
    assert "<p>Erster Absatz:<br>\n- eins<br>\n- zwei</p>\n<p>Zweiter &lt;b&gt;Absatz&lt;/b&gt;</p>" in rendered.html
    assert WORDS[language]["received"] in said(rendered)
    assert words_of_html(rendered.html) == rendered.text.split()


def test_a_swiss_question_keeps_its_sharp_s_and_its_closing_has_none() -> None:
    rendered = letter(LetterKind.CLOSING_ANNOUNCED, "de", "CH", question="Welche Maße?")

    assert "Welche Maße?" in rendered.text
    assert "Miriam Albrecht schliesst den Vorgang am Mittwoch, 2. Dezember, 12 Uhr" in said(rendered)
    assert "«Bitte offen lassen»" in rendered.text


def test_who_was_there_before_keeps_a_sharp_s_in_switzerland() -> None:
    customers = letter(LetterKind.LEAD_TAKES_OVER, "de", "CH", before_name="Uwe Weiß")
    leads = letter(LetterKind.STAFF_ESCALATION, "de", "CH", owner="Uwe Weiß")

    assert "Uwe Weiß" in customers.text and "Uwe Weiß" in leads.text


@pytest.mark.parametrize(
    ("language", "button", "deadline"),
    [
        ("de", "„Bitte offen lassen“", "bis Mittwoch, 2. Dezember, 12 Uhr"),
        ("en", "“Keep it open”", "by 12 noon on Wednesday 2 December"),
    ],
)
def test_an_announced_closing_names_the_button_the_date_and_the_way_back(
    language: str, button: str, deadline: str
) -> None:
    rendered = letter(LetterKind.CLOSING_ANNOUNCED, language)

    assert button in said(rendered) and deadline in said(rendered)
    assert "14 Tage" in said(rendered) or "14 days" in said(rendered)
    assert deadline in rendered.subject


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize("country", ["DE", "CH"])
def test_a_case_closed_for_lack_of_an_answer_says_that_it_was_announced(language: str, country: str) -> None:
    rendered = letter(LetterKind.CLOSED, language, country, no_answer=True, outcome_text="")

    announced = {"de": "ie angekündigt ist Ihr Anliegen seit", "en": "As announced, your request was closed on"}
    assert announced[language] in said(rendered)
    assert WORDS[language]["reopen_until"] in said(rendered)
    assert f": {WORDS[language]['outcome']} " not in said(rendered)
    assert not TODAY.search(rendered.text)
    assert words_of_html(rendered.html) == rendered.text.split()


@pytest.mark.parametrize("flag", [False, True])
@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize("kind", sorted(OF_THE_LADDER.union(AUTOMATIC)))
def test_a_letter_that_may_wait_overnight_never_says_today(kind: LetterKind, language: str, flag: bool) -> None:
    rendered = letter(kind, language, outcome_text="", by_customer=flag, mailbox=flag, replaced=flag)

    assert not TODAY.search(rendered.subject + rendered.text)


@pytest.mark.parametrize(
    ("language", "choices"),
    [
        ("de", ["Anrufen und einen Zwischenstand geben.", "Ein neues Datum mit Grund zusagen.", "Antworten."]),
        ("en", ["Call and give an interim status.", "Promise a new date, with a reason.", "Answer."]),
    ],
)
def test_a_reminder_offers_the_call_first_and_says_when_the_customer_will_be_told(
    language: str, choices: list[str]
) -> None:
    rendered = letter(LetterKind.STAFF_REMINDER, language)

    assert "\n".join(f"{place}. {choice}" for place, choice in enumerate(choices, 1)) in rendered.text
    assert WORDS[language]["notice"] in said(rendered) and WORDS[language]["left"] in said(rendered)


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("kind", [LetterKind.STAFF_REMINDER, LetterKind.STAFF_DELAYED, LetterKind.STAFF_ESCALATION])
def test_a_colleagues_letter_is_whole_whichever_notice_it_is(kind: LetterKind, number: int, language: str) -> None:
    for customer in ("Sabine Krüger", ""):
        rendered = letter(kind, language, number=number, customer=customer)

        assert words_of_html(rendered.html) == rendered.text.split()
        assert len(strong(rendered)) == 1
        assert not re.search(r"  | [.,:]", rendered.text)


def test_a_reminder_says_what_the_next_notice_brings() -> None:
    nothing, beside, over = (said(letter(LetterKind.STAFF_REMINDER, number=number)) for number in range(3))

    assert "in Folge" not in nothing
    assert "Mit der zweiten in Folge kommt die Leitung oder ihre Vertretung dazu." in beside
    assert "Mit der dritten übernimmt die Leitung oder ihre Vertretung." in over


def test_a_deputy_is_reminded_for_whom() -> None:
    assert "Sie vertreten hier Uwe Weiß." in letter(LetterKind.STAFF_REMINDER, "de", "CH", for_name="Uwe Weiß").text


def test_the_lead_is_told_whether_the_promise_is_theirs() -> None:
    beside = letter(LetterKind.STAFF_ESCALATION)
    over = letter(LetterKind.STAFF_ESCALATION, number=3, takes_over=True)

    assert "Zuständig bleibt Tarek Yilmaz." in said(beside) and beside.subject.startswith("Sie sind mit dabei")
    assert "ab jetzt Ihre; bisher lag sie bei Tarek Yilmaz." in said(over) and over.subject.startswith(
        "Jetzt bei Ihnen"
    )
    assert "die Zusage an Sabine Krüger ist zum 3. Mal in Folge verschoben worden." in said(over)
    assert "nennt auch Sie mit Ihrer Durchwahl" in said(beside) and "nennt Sie mit Ihrer Durchwahl" in said(over)


@pytest.mark.parametrize(
    ("language", "start", "goes_on", "takes_over"),
    [
        ("de", "Neues Datum: ", "Miriam Albrecht kümmert sich weiter um Ihr Anliegen.", "übernimmt"),
        ("en", "New date: ", "Miriam Albrecht goes on looking after your request.", "takes over"),
    ],
)
def test_where_nobody_is_left_above_nobody_takes_over(language: str, start: str, goes_on: str, takes_over: str) -> None:
    rendered = letter(LetterKind.LEAD_TAKES_OVER, language, before_name=NAME)

    assert goes_on in said(rendered)
    assert rendered.subject.startswith(start + WORDS[language]["due"])
    assert takes_over not in rendered.subject + rendered.text
    assert words_of_html(rendered.html) == rendered.text.split()


def test_whoever_no_longer_has_the_promise_is_asked_for_no_call() -> None:
    mine, anothers = (said(letter(LetterKind.STAFF_DELAYED, number=number)) for number in (2, 3))

    assert "Ein Anruf mit einem Zwischenstand hilft" in mine and "Anruf" not in anothers
