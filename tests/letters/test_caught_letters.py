"""Every kind of letter as it arrives by SMTP: who it is from, what it says, and that its link opens.

In both languages and on both databases, to customers and to colleagues, from the person named and from a deputy.
"""

import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parseaddr, parsedate_to_datetime
from pathlib import Path

import pytest
import time_machine

from portal.app import create_app
from portal.mail.letters import LetterKind
from tests.letters.conftest import (
    CANARY,
    CUSTOMER,
    DEPUTY,
    NUMBER_OF_ACCOUNT,
    OWNER_AWAY,
    PHONE,
    SENDER,
    Caught,
    Desk,
    Post,
    empty_database,
    office,
    settings,
)
from tests.mail.sample_values import OF_APPOINTMENTS, OF_THE_LADDER, TELL_A_TIME
from tests.map.conftest import let_go
from tests.support.processes import Running
from tests.support.smtp_sink import SmtpSink

TO_CUSTOMERS = {kind for kind in LetterKind if not kind.is_for_staff and kind not in OF_THE_LADDER}
BRING_THE_FILE = TELL_A_TIME - {LetterKind.APPOINTMENT_REMINDER} | {LetterKind.APPOINTMENT_CANCELLED}
"""Kinds that enter an agreed time into the customer's calendar, or take it out; on hold it stays as it is."""
BY_HAND = {LetterKind.REPLY, LetterKind.QUESTION, LetterKind.RECAP}
ANSWERS_AN_ACT = {LetterKind.CONFIRMATION, LetterKind.MESSAGE_RECEIVED, LetterKind.LINK, LetterKind.ERASURE}
ACCOUNT, REGULAR = "account@kunde.example", "regular@kunde.example"
AGREED_ACCOUNT, AGREED_REGULAR = "agreed.account@kunde.example", "agreed.regular@kunde.example"
DATE = {
    "de": re.compile(r"\b(?:Mon|Diens|Mitt|Donners|Frei|Sams|Sonn)(?:tag|woch), \d{1,2}\. [A-ZÄ]\w+"),
    "en": re.compile(r"\b(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day \d{1,2} [A-Z]\w+"),
}
STEP = {
    "de": re.compile(r"bis (?:Mon|Diens|Mitt|Donners|Frei)(?:tag|woch), \d{1,2}\. [A-ZÄ]\w+, \d{1,2}(?::\d\d)? Uhr"),
    "en": re.compile(r"by \d{1,2}(?::\d\d)? (?:[ap]m|noon) on (?:Mon|Tues|Wednes|Thurs|Fri)day \d{1,2} [A-Z]\w+"),
}
"""By when the next step comes: an hour on a named working day."""
AGREED = {
    "de": re.compile(r"\b(?:Mitt|Donners)(?:tag|woch), 2[56]\. November, 1[01](?::30)? Uhr \(MEZ\)"),
    "en": re.compile(r"\b1[01](?::30)? am on (?:Wednes|Thurs)day 2[56] November \(CET\)"),
}
"""When it was agreed on, with its zone."""
REOPEN_UNTIL = {"de": "Bis Dienstag, 8. Dezember, können Sie", "en": "Until Tuesday 8 December you can reopen"}
BANNED = re.compile(
    r"zeitnah|schnellstmöglich|umgehend|in Kürze|\bleider\b|Unannehmlichkeiten|hohes Aufkommen|unser Team|"
    r"as soon as possible|\bshortly\b|inconvenience|high demand|our team|unfortunately|no-?reply",
    re.IGNORECASE,
)
REASONS = re.compile(
    r"krank|Urlaub|abwesend|verhindert|\bsick\b|\bill\b|vacation|holiday|absent|out of office", re.IGNORECASE
)
LEGAL = ("Beispielwerke Großhandel GmbH", "Amtsgericht München, HRB 000000", "Geschäftsführung: Martina Ebert")


def wrong(letters: list[Caught], is_right: Callable[[Caught], object]) -> list[tuple[str, str, str]]:
    """The letters that are not as they should be: kind, whose, subject."""
    return [(letter.kind, letter.story, letter.subject) for letter in letters if not is_right(letter)]


def signer(post: Post, letter: Caught) -> str:
    """Who wrote a letter to a customer, by the name in From."""
    return parseaddr(str(letter.message["From"]))[0].removesuffix(" – Beispielwerke")


def in_both(letter: Caught, words: str) -> bool:
    """Whether text and HTML both say it."""
    return words in letter.text and words in letter.html


def test_every_kind_of_letter_was_caught(post: Post) -> None:
    assert {letter.kind for letter in post.letters} == set(LetterKind) - OF_THE_LADDER


def test_every_kind_was_caught_from_the_person_and_from_the_deputy(post: Post) -> None:
    signed = {(letter.kind, letter.story) for letter in post.to_customers()}

    assert signed >= {(kind, story) for kind in TO_CUSTOMERS - OF_APPOINTMENTS for story in (ACCOUNT, REGULAR)}
    assert signed >= {
        (kind, story) for kind in OF_APPOINTMENTS & TO_CUSTOMERS for story in (AGREED_ACCOUNT, AGREED_REGULAR)
    }


# Every letter


def test_a_letter_goes_to_one_reader_under_our_address(post: Post) -> None:
    assert wrong(post.letters, lambda one: one.mail_from == SENDER and one.rcpt_to == (one.message["To"],)) == []
    assert wrong(post.letters, lambda one: parseaddr(str(one.message["From"]))[1] == SENDER) == []


def test_a_letter_has_one_message_id_for_itself(post: Post) -> None:
    ids = [letter.message.get_all("Message-ID", []) for letter in post.letters]

    assert {len(of_one) for of_one in ids} == {1}
    assert Counter(of_one[0] for of_one in ids).most_common(1)[0][1] == 1
    assert {of_one[0].strip().rpartition("@")[2] for of_one in ids} == {"beispielwerke.example>"}


def test_every_header_stands_in_a_letter_once(post: Post) -> None:
    assert wrong(post.letters, lambda one: max(Counter(map(str.lower, one.message.keys())).values()) == 1) == []


def test_a_letter_names_its_case_kind_language_and_date(post: Post) -> None:
    assert wrong(post.letters, lambda one: one.message["X-Portal-Case"] == post.references[one.story]) == []
    assert wrong(post.letters, lambda one: one.message["Content-Language"] == post.language) == []
    assert wrong(post.letters, lambda one: parsedate_to_datetime(str(one.message["Date"])) == one.at) == []


def test_a_case_is_one_conversation_for_each_of_its_readers(post: Post) -> None:
    threads: dict[tuple[str, bool], set[str]] = {}
    for letter in post.letters:
        first = str(letter.message["References"]).split()[0]
        threads.setdefault((letter.story, letter.kind.is_for_staff), set()).add(first)

    firsts = [first for thread in threads.values() for first in thread]
    assert {len(thread) for thread in threads.values()} == {1}
    assert len(set(firsts)) == len(firsts)
    assert wrong(post.letters, lambda one: one.message["In-Reply-To"] in str(one.message["References"])) == []


def test_a_letter_is_text_and_html(post: Post) -> None:
    def parts(letter: Caught) -> list[str]:
        return [part.get_content_type() for part in letter.message.walk()]

    plain = ["multipart/alternative", "text/plain", "text/html"]
    with_file = ["multipart/mixed", *plain, "text/calendar", "text/calendar"]
    assert wrong(post.letters, lambda one: parts(one) in (plain, with_file)) == []
    assert {one.kind for one in post.letters if parts(one) == with_file} == BRING_THE_FILE


def test_only_letters_that_a_person_wrote_are_not_called_automatic(post: Post) -> None:
    def expected(letter: Caught) -> str | None:
        if letter.kind in BY_HAND:
            return None
        return "auto-replied" if letter.kind in ANSWERS_AN_ACT else "auto-generated"

    assert wrong(post.letters, lambda one: one.message["Auto-Submitted"] == expected(one)) == []


def test_no_letter_holds_a_word_we_never_say_or_a_reason_for_an_absence(post: Post) -> None:
    assert wrong(post.letters, lambda one: not BANNED.search(one.subject + one.source)) == []
    assert wrong(post.letters, lambda one: not REASONS.search(one.subject + one.text + one.html)) == []


def test_nothing_that_the_customer_typed_is_written_back(post: Post) -> None:
    assert wrong(post.letters, lambda one: CANARY.lower() not in one.source.lower()) == []
    assert wrong(post.letters, lambda one: NUMBER_OF_ACCOUNT not in one.source) == []


def test_the_customers_number_is_in_no_letter(post: Post) -> None:
    digits = re.compile(r"\W*".join(PHONE.replace(" ", "")[1:]))

    assert wrong(post.letters, lambda one: not digits.search(one.source)) == []


def test_no_letter_is_from_or_to_somebody_who_is_away(post: Post) -> None:
    away = post.people[OWNER_AWAY]

    assert wrong(post.letters, lambda one: away.email not in (one.message["To"], one.message["Reply-To"])) == []
    assert wrong(post.letters, lambda one: away.name not in str(one.message["From"])) == []
    assert wrong(post.letters, lambda one: away.line_shown not in one.source) == []


def test_every_link_in_a_letter_opens_for_its_reader(post: Post) -> None:
    assert wrong(post.letters, lambda one: one.links and set(one.links.values()) == {200}) == []


# Letters to customers


def test_a_customers_letter_comes_from_a_person_of_the_company_and_so_does_the_answer(post: Post) -> None:
    assert wrong(post.to_customers(), lambda one: signer(post, one) in post.people) == []
    assert wrong(post.to_customers(), lambda one: str(one.message["From"]).endswith(f"<{SENDER}>")) == []
    assert wrong(post.to_customers(), lambda one: one.message["Reply-To"] == post.people[signer(post, one)].email) == []


def test_a_customers_letter_names_the_person_with_role_line_and_address(post: Post) -> None:
    def names(letter: Caught) -> bool:
        person = post.people[signer(post, letter)]
        return all(in_both(letter, str(words)) for words in (person.name, person.role, person.line_shown, person.email))

    assert wrong(post.to_customers(), names) == []


def test_a_customers_letter_greets_by_name(post: Post) -> None:
    greeting = {"de": f"Guten Tag {CUSTOMER},", "en": f"Hello {CUSTOMER},"}[post.language]

    assert wrong(post.to_customers(), lambda one: in_both(one, greeting)) == []


def test_a_customers_letter_says_who_does_what_by_when(post: Post) -> None:
    told = [one for one in post.to_customers() if one.kind is not LetterKind.CLOSED]

    def says_when(words: str, when: re.Pattern[str]) -> bool:
        return bool(when.search(words) and DATE[post.language].search(words))

    for letter in told:
        when = AGREED if letter.kind in TELL_A_TIME else STEP
        assert says_when(letter.text, when[post.language]) and says_when(letter.html, when[post.language]), letter.text


def test_a_closing_letter_says_until_when_it_can_be_opened_again(post: Post) -> None:
    assert len(post.of(LetterKind.CLOSED)) == 4
    assert wrong(post.of(LetterKind.CLOSED), lambda one: in_both(one, REOPEN_UNTIL[post.language])) == []


def test_a_customers_letter_leads_to_the_status_page_and_to_no_staff_page(post: Post) -> None:
    def leads(letter: Caught) -> bool:
        return any(path.startswith("/s/") for path in letter.links) and "/staff/" not in letter.source

    assert wrong(post.to_customers(), leads) == []
    assert wrong(post.letters, lambda one: set(one.links) <= set(one.links_of_html)) == []


def test_only_the_confirmation_offers_to_say_that_was_not_me(post: Post) -> None:
    offering = {letter.kind for letter in post.letters if any(path.endswith("/not-me") for path in letter.links)}

    assert offering == {LetterKind.CONFIRMATION}


def test_a_customers_letter_holds_reference_and_company_block(post: Post) -> None:
    def block(letter: Caught) -> bool:
        particulars = (
            *LEGAL,
            "https://www.beispielwerke.example/impressum",
            "https://www.beispielwerke.example/datenschutz",
        )
        return all(words in letter.text for words in particulars) and all(words in letter.html for words in LEGAL)

    assert wrong(post.to_customers(), block) == []
    assert wrong(post.to_customers(), lambda one: in_both(one, post.references[one.story])) == []
    assert wrong(post.to_customers(), lambda one: post.references[one.story] in one.subject) == []


def test_a_deputys_letter_says_for_whom(post: Post) -> None:
    words = {"de": f"in Vertretung für {OWNER_AWAY}", "en": f"for {OWNER_AWAY}"}[post.language]
    of_account = [one for one in post.to_customers() if one.story == ACCOUNT]

    assert {signer(post, letter) for letter in of_account} == {DEPUTY}
    assert wrong(of_account, lambda one: in_both(one, words)) == []
    assert wrong([one for one in post.letters if one.story == REGULAR], lambda one: OWNER_AWAY not in one.source) == []


def test_a_moved_promise_names_the_date_it_replaces(post: Post) -> None:
    first, moved = [one for one in post.of(LetterKind.PROMISE_GIVEN) if one.story == REGULAR]
    friday = {"de": "Freitag, 27. November, 11 Uhr", "en": "11 am on Friday 27 November"}[post.language]
    monday = {"de": "Montag, 30. November, 11 Uhr", "en": "11 am on Monday 30 November"}[post.language]

    assert in_both(first, friday) and not in_both(first, monday)
    assert in_both(moved, friday) and in_both(moved, monday)
    assert in_both(moved, "das Angebot")


@pytest.mark.parametrize(
    ("kind", "words"),
    [(LetterKind.REPLY, "Die Preise stehen im Anhang."), (LetterKind.QUESTION, "Welche Farbe?")],
)
def test_a_colleagues_own_words_arrive_as_they_were_written(post: Post, kind: LetterKind, words: str) -> None:
    assert wrong(post.of(kind), lambda one: in_both(one, words)) == []


# Letters to colleagues


def test_a_colleagues_letter_comes_from_the_company_and_greets_its_reader(post: Post) -> None:
    by_address = {person.email: person for person in post.people.values()}
    greeting = {"de": "Guten Tag", "en": "Hello"}[post.language]

    assert wrong(post.to_staff(), lambda one: str(one.message["From"]) == f"Beispielwerke <{SENDER}>") == []
    assert wrong(post.to_staff(), lambda one: in_both(one, f"{greeting} {by_address[one.rcpt_to[0]].name},")) == []


def test_a_colleagues_letter_names_case_and_date_and_leads_to_its_page(post: Post) -> None:
    assert wrong(post.to_staff(), lambda one: in_both(one, post.references[one.story])) == []
    assert wrong(post.to_staff(), lambda one: DATE[post.language].search(one.text)) == []
    assert wrong(post.to_staff(), lambda one: [path for path in one.links if path.startswith("/staff/")]) == []
    assert wrong(post.to_staff(), lambda one: "/s/" not in one.source) == []


def test_entries_in_doubt_lead_to_the_page_where_they_are_decided(post: Post) -> None:
    doubtful = post.of(LetterKind.STAFF_DOUBTFUL, LetterKind.STAFF_NOT_ME)

    assert wrong(doubtful, lambda one: all(path.startswith("/staff/doubtful/") for path in one.links)) == []


def test_a_deputy_is_told_whom_they_stand_in_for(post: Post) -> None:
    (letter,) = [one for one in post.of(LetterKind.STAFF_NEW_CASE) if one.story == ACCOUNT]

    assert letter.rcpt_to == (post.people[DEPUTY].email,)
    assert in_both(letter, OWNER_AWAY)


def test_a_letter_that_cannot_be_delivered_leaves_a_dated_task_with_the_way_to_the_number(post: Post) -> None:
    with_number, without = post.of(LetterKind.STAFF_UNDELIVERABLE)
    button = {"de": "„Anruf starten“", "en": "“Start the call”"}[post.language]

    assert (with_number.story, without.story) == ("gone.with.number@kunde.example", "gone.without.number@kunde.example")
    assert in_both(with_number, button) and not in_both(without, button)
    assert DATE[post.language].search(with_number.text) and DATE[post.language].search(without.text)


# Other countries


@pytest.fixture(params=["sqlite", "postgresql"])
def abroad(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Post]:
    """Plays a short story at the turn of the year with the company in another place."""

    def play(place: str, tz: str) -> Post:
        with office(request, tmp_path_factory, request.param, "de") as desk:
            desk.move_company(place, tz)
            with time_machine.travel(datetime(2026, 12, 30, 8, 12, tzinfo=UTC), tick=False):
                desk.write(REGULAR, name="Anna Großmann")
                desk.on_page(REGULAR, "close", outcome="done", version=str(desk.house.case(REGULAR).version))
                return desk.post()

    return play


def test_in_austria_the_year_begins_with_jaenner(abroad: Callable[[str, str], Post]) -> None:
    post = abroad("AT-9", "Europe/Vienna")

    confirmation, closed = post.of(LetterKind.CONFIRMATION)[0], post.of(LetterKind.CLOSED)[0]
    assert in_both(confirmation, "Durchwahl: 089 99998-") and in_both(confirmation, "„Angebot anfragen“")
    assert "Guten Tag Anna Großmann," in confirmation.text
    assert "Jänner" in closed.text and "Jänner" in closed.html
    assert not [letter.subject for letter in post.letters if "Januar" in letter.source]


def test_in_switzerland_the_line_is_a_direktwahl_and_no_word_has_an_eszett(abroad: Callable[[str, str], Post]) -> None:
    post = abroad("CH-ZH", "Europe/Zurich")

    confirmation, closed = post.of(LetterKind.CONFIRMATION)[0], post.of(LetterKind.CLOSED)[0]
    assert in_both(confirmation, "Direktwahl: 089 99998-") and in_both(confirmation, "«Angebot anfragen»")
    assert "Guten Tag Anna Großmann " in confirmation.text
    assert "Januar" in closed.text and "Januar" in closed.html
    own_words = [re.sub("Großmann|Großhandel|Musterstraße", "", letter.text) for letter in post.letters]
    assert not [text for text in own_words if "ß" in text or "Durchwahl" in text or "„" in text]


# The command


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_the_command_delivers_what_is_due_and_says_how_much(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, database: str
) -> None:
    with empty_database(request, tmp_path_factory, database) as url, SmtpSink() as sink:
        environment = settings(url, sink.port)
        app = create_app(environment)
        desk = Desk(app, sink, "de")
        answer = desk.house.visitor().post("/contact", data=desk.contact_form(REGULAR))
        assert answer.status_code == 303, answer.text

        with Running(["portal", "worker", "--once"], environment, tmp_path / "worker.log") as worker:
            code = worker.wait_for_end()

        letters = [received.parsed() for received in sink.messages]
        let_go(app)
    counts = json.loads(worker.said().splitlines()[-1])
    assert (code, counts["deliver"]) == (0, 2)
    assert sorted(letter["X-Portal-Letter"] for letter in letters) == ["confirmation", "staff_new_case"]
