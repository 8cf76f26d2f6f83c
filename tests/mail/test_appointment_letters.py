"""The letters about an agreed call or visit, in each of their turns, and what other letters say of one."""

import itertools
import re
from typing import Any

import pytest

from portal.languages import Voice
from portal.mail.letters import SUBJECT_LENGTH, WIDTH, LetterKind, Rendered, render
from tests.mail.sample_values import (
    CASE_URL,
    OF_APPOINTMENTS,
    STATUS_URL,
    TELL_A_TIME,
    TIMES_URL,
    WORDS,
    agreed,
    appointment_step,
    sample_values,
    times,
)
from tests.mail.test_delay_letters import SORRY, TODAY, said, strong
from tests.mail.test_letters import BANNED, NUMBER, WEEKDAY_DATE, lines_without_urls, words_of_html

NAME = "Miriam Albrecht"
TO_CUSTOMERS = sorted(OF_APPOINTMENTS - {LetterKind.STAFF_APPOINTMENT})
BESIDE = [
    LetterKind.CONFIRMATION,
    LetterKind.MESSAGE_RECEIVED,
    LetterKind.REOPENED,
    LetterKind.LINK,
    LetterKind.CALL_ATTEMPTED,
    LetterKind.REPLY,
    LetterKind.QUESTION,
    LetterKind.PROMISE_GIVEN,
    LetterKind.RECAP,
]
"""Kinds that are about something else and name the appointment, too."""
OF_AN_OLD_TIME = [LetterKind.APPOINTMENT_CANCELLED, LetterKind.APPOINTMENT_FROZEN, LetterKind.APPOINTMENT_MISSED]
"""Kinds after which no time is agreed."""
CHANGES = ["booked", "moved", "cancelled", "given", "taken", "frozen", "settled", "late", "outcome", "missed"]
OVER = {"cancelled", "frozen", "missed"}
"""Changes after which no time is agreed."""


def letter(kind: LetterKind, language: str = "de", country: str = "DE", **changes: Any) -> Rendered:
    return render(kind, language, sample_values(kind, language, country, **changes))


def beside(kind: LetterKind, language: str, **changes: Any) -> Rendered:
    """A letter about something else; what a person wrote in it is short."""
    text = {"text": WORDS[language]["what"]} if kind in (LetterKind.REPLY, LetterKind.RECAP) else {}
    return letter(kind, language, **text, **changes)


def at(language: str, medium: str = "call", **changes: Any) -> dict[str, Any]:
    """An agreed time that is the next step."""
    words = WORDS[language]
    return {"agreed": agreed(words, NAME, medium, **changes), "step": appointment_step(words, NAME, medium)}


def staff(what: str, language: str = "de", **changes: Any) -> Rendered:
    words = WORDS[language]
    before = words["agreed_before"] if what == "moved" else None
    return letter(LetterKind.STAFF_APPOINTMENT, language, **{"what": what, "before": before} | changes)


def first_sentence(rendered: Rendered) -> str:
    """What a letter says first after the greeting."""
    return rendered.text.split("\n\n")[2]


def whole(rendered: Rendered) -> bool:
    """Text and HTML say the same, nothing is missing, and it is laid out for plain mail programs."""
    seen = rendered.subject + rendered.text
    return (
        words_of_html(rendered.html) == rendered.text.split()
        and "None" not in seen
        and not BANNED.search(seen)
        and not TODAY.search(seen)
        and not re.search(r"[ \t]\n|\n\n\n|\xa0|  | [.,;]|\(\)", rendered.text)
        and max(map(len, lines_without_urls(rendered.text))) <= WIDTH
        and len(rendered.subject) < SUBJECT_LENGTH
    )


@pytest.mark.parametrize("country", ["DE", "AT", "CH"])
@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize("kind", TO_CUSTOMERS)
class TestALetterAboutAnAppointment:
    def test_is_whole_in_every_turn(self, kind: LetterKind, language: str, country: str) -> None:
        words = WORDS[language]
        own = sample_values(kind, language)
        turns: dict[str, list[Any]] = {
            "by_customer": [False, True],
            "ours": [False, True],
            "lapsed": [None, "wished", "ours"],
            "times_left": [False, True],
            "times": [times(words), []],
            "reason": [None, words["what"]],
        }
        varied = [name for name in turns if name in own]
        for chosen in itertools.product(*(turns[name] for name in varied)):
            rendered = letter(kind, language, country, **dict(zip(varied, chosen, strict=True)))

            assert whole(rendered), rendered.text
            assert WEEKDAY_DATE[language].search(rendered.text)
            assert f"\n{STATUS_URL}\n" in rendered.text or f"\n{TIMES_URL}\n" in rendered.text
            assert len(strong(rendered)) == 1
            assert len(SORRY.findall(rendered.text)) <= 1
            if "times" in varied:
                assert (times(words)[0] in said(rendered)) == (times(words) in chosen)

    def test_is_whole_for_a_call_and_a_visit_with_and_without_a_way_to_change_it(
        self, kind: LetterKind, language: str, country: str
    ) -> None:
        ways = itertools.product(
            ["call", "visit"],
            [None, "47"],
            [(TIMES_URL, "x"), (None, "x"), (None, None)],
            [False, True],
        )
        for medium, ends_with, (url, until), calendar in ways:
            changes = {
                "ends_with": ends_with,
                "times_url": url,
                "change_until": until and WORDS[language]["change_until"],
                "calendar": calendar,
            }
            tells = at(language, medium, **changes) if kind in {*TELL_A_TIME, LetterKind.RECAP} else {}
            rendered = letter(kind, language, country, **tells)

            assert whole(rendered), rendered.text

    def test_names_the_promise_beside_the_appointment(self, kind: LetterKind, language: str, country: str) -> None:
        step = sample_values(LetterKind.REPLY, language)["step"]

        rendered = letter(kind, language, country, step=step)

        assert whole(rendered)
        assert step["sentence"].rstrip(".") in said(rendered)


@pytest.mark.parametrize("kind", sorted(TELL_A_TIME))
@pytest.mark.parametrize(
    ("language", "called", "shown", "visited"),
    [
        ("de", "ruft Sie unter der Nummer mit den Endziffern 47 an", "im Display sehen Sie", "besucht Sie"),
        ("en", "will call you on the number ending in 47", "your display will show", "will visit you"),
    ],
)
def test_who_calls_on_which_number_is_said_and_of_a_visit_who_comes(
    kind: LetterKind, language: str, called: str, shown: str, visited: str
) -> None:
    call, visit = (letter(kind, language, **at(language, medium)) for medium in ("call", "visit"))

    assert f"{NAME} {called}; {shown} 089 99998-214." in said(call)
    assert f"{NAME} {visited}" in said(visit)
    assert "47" not in visit.text and shown not in said(visit)
    assert WORDS[language]["agreed"] in strong(call)[0] and "20" in strong(call)[0]
    assert WORDS[language]["short_agreed"] in call.subject


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize("kind", sorted(TELL_A_TIME))
def test_the_direct_line_of_a_visit_is_given_once_where_it_can_no_longer_be_changed(
    kind: LetterKind, language: str
) -> None:
    too_late = letter(kind, language, **at(language, "visit", times_url=None, change_until=None))

    before_the_signature = re.split("Freundliche|Kind regards", said(too_late))[0]
    assert whole(too_late)
    assert before_the_signature.count("089 99998-214") == 1


@pytest.mark.parametrize("kind", sorted(TELL_A_TIME))
def test_until_when_it_can_be_changed_online_and_how_after_that(kind: LetterKind) -> None:
    until = "absagen können Sie den Termin bis Mittwoch, 2. Dezember, 13 Uhr"
    online = letter(kind, **at("de"))
    moved_enough = letter(kind, **at("de", times_url=None))
    too_late = letter(kind, **at("de", times_url=None, change_until=None))

    assert f"{until}, hier: {TIMES_URL} Danach am Telefon: 089 99998-214" in said(online)
    assert f"Eine andere Zeit vereinbaren Sie direkt mit {NAME}: 089 99998-214" in said(moved_enough)
    assert f"{until[0].upper()}{until[1:]}, auch auf der Statusseite." in said(moved_enough)
    assert f"Passt die Zeit nicht mehr? {NAME} ist direkt für Sie da: 089 99998-214" in said(too_late)
    assert TIMES_URL not in moved_enough.text + too_late.text and "absagen" not in said(too_late)


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (LetterKind.APPOINTMENT_CONFIRMED, "Die angehängte Kalenderdatei enthält den Termin."),
        (LetterKind.APPOINTMENT_MOVED, "Die angehängte Kalenderdatei ersetzt den alten Eintrag."),
        (LetterKind.APPOINTMENT_GIVEN, "Die angehängte Kalenderdatei ersetzt den alten Eintrag."),
        (LetterKind.CONFIRMATION, "Die angehängte Kalenderdatei enthält den Termin."),
    ],
)
def test_an_attached_calendar_file_is_told_and_no_other(kind: LetterKind, sentence: str) -> None:
    assert sentence in said(letter(kind, **at("de")))
    assert "Kalenderdatei" not in letter(kind, **at("de", calendar=False)).text


@pytest.mark.parametrize(
    ("language", "chosen", "arranged"),
    [("de", "gewählt", "wie mit Ihnen vereinbart."), ("en", "you chose", "as agreed with you.")],
)
@pytest.mark.parametrize("kind", [LetterKind.APPOINTMENT_CONFIRMED, LetterKind.APPOINTMENT_MOVED])
def test_a_time_was_chosen_or_arranged_never_imposed(
    kind: LetterKind, language: str, chosen: str, arranged: str
) -> None:
    by_customer, by_us = (said(letter(kind, language, by_customer=flag)) for flag in (True, False))

    assert chosen in by_customer and arranged not in by_customer
    assert arranged in by_us and chosen not in by_us


@pytest.mark.parametrize(("language", "stays"), [("de", "Ihr Termin bleibt"), ("en", "Your appointment stands")])
def test_an_appointment_that_stays_after_all_is_not_told_as_a_new_one(language: str, stays: str) -> None:
    before, after = (letter(LetterKind.APPOINTMENT_CONFIRMED, language, stays=flag) for flag in (False, True))

    assert stays in said(after) and stays not in said(before)
    assert before.subject != after.subject and whole(after)


@pytest.mark.parametrize("language", ["de", "en"])
def test_a_closed_case_says_that_its_appointment_will_not_take_place(language: str) -> None:
    called_off = WORDS[language]["agreed"]

    with_one, without = (letter(LetterKind.CLOSED, language, called_off=at) for at in (called_off, None))

    assert words_of_html(with_one.html) == with_one.text.split()
    assert called_off in said(with_one) and WORDS[language]["agreed_due"] not in said(without)


def test_a_moved_appointment_tells_both_times_the_reason_and_whether_it_moves_again() -> None:
    again, no_more = (
        letter(LetterKind.APPOINTMENT_MOVED, times_left=left, reason="Auf Wunsch am Telefon.") for left in (True, False)
    )

    assert strong(again) == ["Neu: Mittwoch, 2. Dezember, 15 Uhr (MEZ), etwa 20 Minuten"]
    assert "Bisher: Dienstag, 1. Dezember, 10:30 Uhr (MEZ). Diese Zeit gilt nicht mehr." in said(again)
    assert "Der Grund: Auf Wunsch am Telefon." in said(again)
    assert "Noch einmal verschieben oder absagen" in said(again)
    assert "verschieben oder" not in said(no_more) and TIMES_URL not in no_more.text
    assert "Absagen können Sie den Termin bis Mittwoch, 2. Dezember, 13 Uhr" in said(no_more)


def test_the_time_stays_and_another_person_keeps_it() -> None:
    rendered = letter(LetterKind.APPOINTMENT_GIVEN, deputy=True, before_name=NAME)

    assert rendered.subject.startswith("Ihr Termin am Mi., 2. Dezember, 15 Uhr, bleibt – Jonas Weidner ruft an")
    assert "Jonas Weidner übernimmt ihn von Miriam Albrecht" in said(rendered)
    assert "im Display sehen Sie 089 99998-231" in said(rendered)
    assert "Möchten Sie lieber einen Termin mit Miriam Albrecht?" in said(rendered)
    assert "Ohne Ihre Wahl gilt der Termin mit Jonas Weidner." in said(rendered)
    assert not re.search(r"krank|Urlaub|abwesend|nicht erreichbar", rendered.text)
    assert "lieber" not in letter(LetterKind.APPOINTMENT_GIVEN, times=[]).text
    assert "lieber" not in letter(LetterKind.APPOINTMENT_GIVEN, **at("de", times_url=None)).text


def test_a_visit_that_somebody_else_makes_is_no_call() -> None:
    rendered = letter(LetterKind.APPOINTMENT_GIVEN, **at("de", "visit"))

    assert "bleibt – Miriam Albrecht besucht Sie" in rendered.subject
    assert "ruft" not in rendered.subject + rendered.text


@pytest.mark.parametrize("kind", OF_AN_OLD_TIME)
@pytest.mark.parametrize("language", ["de", "en"])
def test_where_no_time_is_agreed_times_are_offered_and_the_next_step_has_a_date(
    kind: LetterKind, language: str
) -> None:
    step = sample_values(LetterKind.QUESTION, language)["step"]

    rendered = letter(kind, language, step=step)

    assert WORDS[language]["agreed_before"] in said(rendered)
    assert "\n".join([*times(WORDS[language]), ""]) in rendered.text
    assert [line.split(" (")[0].rstrip(".") for line in strong(rendered)] == [step["sentence"].rstrip(".")]
    assert WORDS[language]["agreed"] not in said(rendered)


@pytest.mark.parametrize("kind", [*OF_AN_OLD_TIME, LetterKind.CALL_ATTEMPTED, LetterKind.CONFIRMATION])
@pytest.mark.parametrize(("language", "choose"), [("de", "Hier wählen:"), ("en", "Choose here:")])
def test_below_listed_times_a_link_leads_straight_to_the_page_of_times(
    kind: LetterKind, language: str, choose: str
) -> None:
    lost = {"lost": WORDS[language]["agreed_before"]} if kind is LetterKind.CONFIRMATION else {}

    rendered = letter(kind, language, times=times(WORDS[language]), **lost)

    assert "\n".join([*times(WORDS[language]), choose, TIMES_URL, ""]) in rendered.text
    assert f'{choose}<br>\n<a href="{TIMES_URL}">{TIMES_URL}</a>' in rendered.html


@pytest.mark.parametrize("step", [None, appointment_step(WORDS["de"], NAME)])
def test_a_cancelled_appointment_is_no_next_step(step: dict[str, str] | None) -> None:
    rendered = letter(LetterKind.APPOINTMENT_CANCELLED, step=step, times=[])

    assert whole(rendered) and not strong(rendered)
    assert "So geht es weiter" not in rendered.text


@pytest.mark.parametrize(
    ("language", "off", "none_yet"), [("de", "abgesagt", "noch steht keine neue"), ("en", "cancel", "no new ")]
)
def test_a_hold_that_lapsed_was_called_off_by_nobody(language: str, off: str, none_yet: str) -> None:
    """No new time was found. We apologise where it was we who could not keep the old one."""
    for lapsed in ("wished", "ours"):
        rendered = letter(LetterKind.APPOINTMENT_CANCELLED, language, by_customer=False, lapsed=lapsed)

        assert off not in rendered.subject + rendered.html + said(rendered)
        assert none_yet in said(rendered).lower()
        assert bool(SORRY.search(rendered.text)) == (lapsed == "ours")


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize(
    ("kind", "lacks"), [(LetterKind.APPOINTMENT_CANCELLED, "lapsed"), (LetterKind.STAFF_APPOINTMENT, "medium")]
)
def test_a_letter_that_the_version_before_put_into_the_outbox_can_be_written_anew(
    kind: LetterKind, lacks: str, language: str
) -> None:
    values = {name: value for name, value in sample_values(kind, language).items() if name != lacks}

    assert render(kind, language, values).text


def test_we_apologise_for_what_we_cancel_and_not_for_what_they_cancel() -> None:
    theirs, ours = (letter(LetterKind.APPOINTMENT_CANCELLED, by_customer=flag).text for flag in (True, False))

    assert SORRY.search(ours) and not SORRY.search(theirs)


@pytest.mark.parametrize(
    ("language", "nobody", "theirs", "ours"),
    [
        (
            "de",
            "Zu dieser Zeit meldet sich niemand bei Ihnen;",
            "Ihr Wunsch, den Termin am",
            "können wir nicht halten.",
        ),
        ("en", "Nobody will get in touch with you at that time;", "Your wish to change", "We cannot keep"),
    ],
)
def test_a_frozen_appointment_is_a_wish_of_theirs_or_an_apology_of_ours(
    language: str, nobody: str, theirs: str, ours: str
) -> None:
    wish, apology = (letter(LetterKind.APPOINTMENT_FROZEN, language, ours=flag) for flag in (False, True))

    assert nobody in said(wish) and nobody in said(apology)
    assert theirs in said(wish) and ours not in said(wish) and not SORRY.search(wish.text)
    assert ours in said(apology) and theirs not in said(apology) and SORRY.search(apology.text)


@pytest.mark.parametrize("language", ["de", "en"])
def test_a_frozen_appointment_may_have_no_next_step_for_a_moment(language: str) -> None:
    for ours, offered in itertools.product([False, True], [times(WORDS[language]), []]):
        rendered = letter(LetterKind.APPOINTMENT_FROZEN, language, step=None, ours=ours, times=offered)

        assert whole(rendered) and not strong(rendered)


@pytest.mark.parametrize(("medium", "still"), [("call", True), ("visit", False)])
def test_a_late_call_is_still_made_and_the_direct_line_stands_in_the_letter(medium: str, still: bool) -> None:
    rendered = letter(LetterKind.APPOINTMENT_LATE, step=appointment_step(WORDS["de"], NAME, medium))

    assert ("Miriam Albrecht ruft Sie noch an." in strong(rendered)) == still
    assert ("wir rufen Sie noch an" in rendered.subject) == still
    before_the_signature = said(rendered).split("Freundliche")[0]
    assert "089 99998-214" in before_the_signature
    assert len(SORRY.findall(rendered.text)) == 1


@pytest.mark.parametrize("medium", ["call", "visit"])
@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize("kind", BESIDE)
class TestALetterAboutSomethingElse:
    def test_names_the_appointment_as_the_next_step(self, kind: LetterKind, language: str, medium: str) -> None:
        rendered = beside(kind, language, **at(language, medium))

        assert whole(rendered), rendered.text
        assert len(strong(rendered)) == 1 and WORDS[language]["agreed_due"] in strong(rendered)[0]
        assert said(rendered).count(WORDS[language]["agreed_due"]) == 1
        assert f"\n{TIMES_URL}\n" in rendered.text and "089 99998-214" in rendered.text
        assert ("47" in rendered.text) == (medium == "call")

    def test_names_it_beside_a_promise(self, kind: LetterKind, language: str, medium: str) -> None:
        rendered = beside(kind, language, agreed=agreed(WORDS[language], NAME, medium))

        assert whole(rendered), rendered.text
        assert WORDS[language]["agreed"] in said(rendered)
        assert WORDS[language]["agreed_due"] not in strong(rendered)[0]
        assert f"\n{TIMES_URL}\n" in rendered.text

    def test_says_nothing_of_one_where_there_is_none(self, kind: LetterKind, language: str, medium: str) -> None:
        rendered = beside(kind, language, agreed=None)

        assert TIMES_URL not in rendered.text and "20 Minuten" not in rendered.text


@pytest.mark.parametrize(
    ("language", "gone", "unless"),
    [("de", "ist nicht mehr frei.", "Wählen Sie nichts, gilt"), ("en", "is no longer free.", "If you choose nothing,")],
)
def test_a_confirmation_says_that_the_chosen_time_is_gone_and_what_holds(language: str, gone: str, unless: str) -> None:
    words = WORDS[language]

    offered, without = (
        letter(LetterKind.CONFIRMATION, language, lost=words["agreed"], times=free) for free in (times(words), [])
    )

    for rendered in (offered, without):
        assert whole(rendered) and f"{words['agreed']}, {gone} " in said(rendered)
    assert unless in said(offered) and unless not in said(without)
    assert TIMES_URL not in without.text + without.html


def test_a_confirmation_of_an_agreed_time_expects_no_other() -> None:
    assert "Ändert sich dieses Datum" not in letter(LetterKind.CONFIRMATION, **at("de")).text


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize(("visit", "late", "moved"), list(itertools.product([False, True], repeat=3)))
def test_an_attempt_is_whole_of_a_call_and_of_a_visit(language: str, visit: bool, late: bool, moved: bool) -> None:
    words = WORDS[language]
    before = words["before"] if moved else None
    changes = {"visit": visit, "late": late, "moved": moved, "before": before, "times": times(words)}
    rendered = letter(LetterKind.CALL_ATTEMPTED, language, given=True, **changes)

    assert whole(rendered), rendered.text
    assert len(SORRY.findall(rendered.text)) == (late or moved)
    assert not visit or not re.search(r"angerufen|called|calling", said(rendered))


@pytest.mark.parametrize("language", ["de", "en"])
def test_the_direct_line_is_not_said_twice_running(language: str) -> None:
    near = at(language, change_until=None, times_url=None)
    direct = {"de": r"ist direkt für Sie da: 089", "en": r"is there for you: 089|call Miriam Albrecht directly: 089"}

    assert (
        len(re.findall(direct[language], said(letter(LetterKind.CALL_ATTEMPTED, language, stands=True, **near)))) == 1
    )


@pytest.mark.parametrize("language", ["de", "en"])
def test_a_date_after_an_appointment_without_a_result_names_the_appointment(language: str) -> None:
    words = WORDS[language]
    rendered = letter(LetterKind.PROMISE_GIVEN, language, passed=words["agreed_before"], what="")

    assert whole(rendered), rendered.text
    assert words["agreed_before"] in said(rendered)
    assert words["sentence"].format(name=NAME).removesuffix(".") in said(rendered)


@pytest.mark.parametrize(("language", "stands"), [("de", "Ihr Termin bleibt:"), ("en", "Your appointment stands:")])
def test_a_call_before_an_agreed_time_leaves_it_as_it_is(language: str, stands: str) -> None:
    kind, promised = LetterKind.CALL_ATTEMPTED, agreed(WORDS[language], NAME)

    assert stands in said(letter(kind, language, stands=True, **at(language)))
    assert f"{stands} {WORDS[language]['agreed']}" in said(letter(kind, language, stands=True, agreed=promised))
    assert stands not in said(letter(kind, language, agreed=promised))


@pytest.mark.parametrize("language", ["de", "en"])
def test_whoever_was_not_reached_is_offered_times(language: str) -> None:
    rendered = letter(LetterKind.CALL_ATTEMPTED, language, given=True, times=times(WORDS[language]))

    assert whole(rendered)
    assert "\n".join(times(WORDS[language])) in rendered.text and f"\n{TIMES_URL}\n" in rendered.text


def test_a_recap_keeps_its_paragraphs() -> None:
    rendered = letter(LetterKind.RECAP, text="Erstens:\n- Maß <b>2 m</b>\n\nZweitens.")

    assert "\n\nErstens:\n- Maß <b>2 m</b>\n\nZweitens.\n\n" in rendered.text
    assert "<p>Erstens:<br>\n- Maß &lt;b&gt;2 m&lt;/b&gt;</p>\n<p>Zweitens.</p>" in rendered.html


def test_names_keep_their_sharp_s_in_switzerland_and_nothing_else_does() -> None:
    values = sample_values(LetterKind.APPOINTMENT_GIVEN, "de", "CH", before_name="Uwe Weiß")
    values["agreed"] |= {"name": "Eva Groß"}

    rendered = render(LetterKind.APPOINTMENT_GIVEN, "de", values)
    colleague = staff("taken", other="Uwe Weiß", country="CH")

    assert "Eva Groß übernimmt ihn von Uwe Weiß" in said(rendered) and "Eva Groß ruft an" in rendered.subject
    assert "übernimmt ab jetzt Uwe Weiß." in said(colleague)
    assert "Ausserdem vereinbart" in said(letter(LetterKind.REPLY, "de", "CH", agreed=agreed(WORDS["de"], NAME)))


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize("what", CHANGES)
class TestAColleaguesLetter:
    def test_is_whole_in_every_turn_and_holds_no_number(self, what: str, language: str) -> None:
        due = WORDS[language]["again_due"]
        turns = itertools.product([False, True], [None, "Jonas Weidner"], ["Sabine Krüger", ""], [None, due])
        for by_customer, other, customer, promised in turns:
            step = {"due": promised, "is_appointment": False} if promised else {}
            rendered = staff(what, language, by_customer=by_customer, other=other, customer=customer, **step)

            assert whole(rendered), rendered.text
            assert len(strong(rendered)) == 1
            assert WORDS[language]["agreed_due"] in strong(rendered)[0]
            assert WORDS[language]["agreed_due"] in rendered.subject
            assert said(rendered).count(WORDS[language]["agreed_due"]) == 1
            assert not NUMBER.search(rendered.text + rendered.html) and STATUS_URL not in rendered.html
            assert f"\n{CASE_URL}\n" in rendered.text
            assert (due in said(rendered)) == (promised is not None and what in OVER | {"outcome"})

    def test_is_no_other_ones(self, what: str, language: str) -> None:
        others = [staff(one, language).subject for one in CHANGES if one != what]

        assert staff(what, language).subject not in others

    def test_escapes_whoever_it_names(self, what: str, language: str) -> None:
        html = staff(what, language, customer="<b>Eve</b>", other="<i>Eve</i>", by_customer=True).html

        assert "<b>" not in html and "<i>" not in html


def test_a_colleague_reads_the_old_time_only_as_one_that_is_over() -> None:
    text = said(staff("moved"))

    assert "Neu: Mittwoch, 2. Dezember, 15 Uhr (MEZ). Bisher: Dienstag, 1. Dezember, 10:30 Uhr (MEZ)." in text
    assert "Zur alten Zeit ist nichts mehr zu tun." in text


@pytest.mark.parametrize("what", ["given", "taken", "late"])
def test_a_colleague_reads_who_else_has_the_appointment(what: str) -> None:
    assert "Jonas Weidner" in said(staff(what, other="Jonas Weidner"))


@pytest.mark.parametrize(
    ("language", "begin", "to_give"),
    [("de", "Bitte beginnen Sie jetzt", "„{}“"), ("en", "Please begin now", "“{}”")],
)
def test_only_whoever_keeps_a_late_appointment_is_asked_to_begin(language: str, begin: str, to_give: str) -> None:
    """Nobody else can before it is given to them; the letter names the form by the words on the page."""
    form = to_give.format(Voice(language, "DE", "Europe/Berlin").say("Give it to a colleague"))

    keeper, other = staff("late", language), staff("late", language, other="Jonas Weidner")

    assert begin in said(keeper) and form not in said(keeper)
    assert begin not in said(other) and form in said(other)


@pytest.mark.parametrize("by_customer", [False, True])
@pytest.mark.parametrize(
    ("language", "call", "visit"), [("de", "Telefontermin", "Besuchstermin"), ("en", r"\bcall\b", r"\bvisit\b")]
)
@pytest.mark.parametrize("what", CHANGES)
def test_a_colleague_reads_whether_to_call_or_to_set_out(
    what: str, language: str, call: str, visit: str, by_customer: bool
) -> None:
    sentences = {
        medium: first_sentence(staff(what, language, medium=medium, by_customer=by_customer))
        for medium in ("call", "visit")
    }

    assert re.search(call, sentences["call"]) and not re.search(visit, sentences["call"])
    assert re.search(visit, sentences["visit"]) and not re.search(call, sentences["visit"])


def test_a_colleague_is_told_not_to_call_at_a_frozen_time() -> None:
    assert "Bitte rufen Sie zu dieser Zeit nicht an" in said(staff("frozen", by_customer=True))


@pytest.mark.parametrize(
    ("language", "promised", "appointment"), [("de", "Zugesagt bis", "Termin: "), ("en", "Due by", "Appointment: ")]
)
@pytest.mark.parametrize("kind", [LetterKind.STAFF_MESSAGE, LetterKind.STAFF_REOPENED])
def test_an_agreed_time_is_no_deadline_to_a_colleague(
    kind: LetterKind, language: str, promised: str, appointment: str
) -> None:
    due = WORDS[language]["agreed_due"]

    agreed_time, promise = (letter(kind, language, due=due, is_appointment=flag) for flag in (True, False))

    assert strong(agreed_time) == [f"{appointment}{due}."] and strong(promise) == [f"{promised} {due}."]
    assert whole(agreed_time)
    assert not re.search("fällig|due", agreed_time.subject) and re.search("fällig|due", promise.subject)


def test_a_new_case_with_an_agreed_time_tells_it_as_agreed() -> None:
    sentence = appointment_step(WORDS["de"], NAME)["sentence"]
    due = WORDS["de"]["agreed_due"]

    rendered = letter(LetterKind.STAFF_NEW_CASE, step_sentence=sentence, due=due, is_appointment=True)

    assert f"Das ist vereinbart: {sentence}" in said(rendered)
    assert rendered.subject.startswith("Neu, Termin Mittwoch, 2. Dezember, 15 Uhr")
