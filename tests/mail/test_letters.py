"""What every letter holds, in both languages and all three countries, whatever the values are."""

import re
from pathlib import Path
from typing import Any

import html5lib
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

import portal
from portal.mail.letters import SUBJECT_LENGTH, WIDTH, LetterKind, Rendered, render, wrap
from tests.mail.sample_values import CASE_URL, REFERENCE, STATUS_URL, TELL_A_TIME, WORDS, sample_values

FOLDER = Path(portal.__file__).parent / "templates" / "mail"
TO_CUSTOMERS = [kind for kind in LetterKind if not kind.is_for_staff]
TO_STAFF = [kind for kind in LetterKind if kind.is_for_staff]
WRITTEN_BY_HAND = {LetterKind.REPLY: "reply", LetterKind.QUESTION: "question", LetterKind.RECAP: "talk"}
"""And which sample text stands in for what a person wrote."""
AUTOMATIC = [kind for kind in TO_CUSTOMERS if kind not in WRITTEN_BY_HAND]
COUNTRIES = ["DE", "AT", "CH"]
BANNED = re.compile(
    "zeitnah|schnellstmöglich|umgehend|in Kürze|leider|Unannehmlichkeiten|hohes Aufkommen|unser Team|"
    r"as soon as possible|\bshortly\b|inconvenience|due to high demand|our team|unfortunately",
    re.IGNORECASE,
)
WEEKDAY_DATE = {
    "de": re.compile(r"\b(?:Mon|Diens|Mitt|Donners|Frei|Sams|Sonn)(?:tag|woch), \d{1,2}\. [A-ZÄ]\w+"),
    "en": re.compile(r"\b(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day\s\d{1,2} [A-Z]\w+"),
}
NUMBER = re.compile(r"\b0\d{2,4} \d+(?:-\d+)?|\+49\d{6,}")
HOSTILE = "<script>alert(1)</script>{{7*7}}%(x)s'\"&\r\nBcc: eve@example.org\u2028Eve\u202e\x00"
HOSTILE_SEEN = "<script>alert(1)</script>{{7*7}}%(x)s'\"& Bcc: eve@example.org Eve"


def letter(kind: LetterKind, language: str = "de", country: str = "DE", **changes: Any) -> Rendered:
    return render(kind, language, sample_values(kind, language, country, **changes))


def words_of_html(html: str) -> list[str]:
    """What a reader sees of the HTML part, word by word, without the hidden line for the inbox's list."""
    page = html5lib.parse(html, namespaceHTMLElements=False)
    body = page.find("body/div")
    return "".join(body.itertext()).replace(words_hidden(page), "", 1).split()


def words_hidden(page: Any) -> str:
    return "".join(page.find("body/div/div").itertext())


def lines_without_urls(text: str) -> list[str]:
    return [line for line in text.split("\n") if "://" not in line]


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize("kind", LetterKind)
def test_every_kind_has_three_files_in_both_languages(kind: LetterKind, language: str) -> None:
    files = {path.name for path in (FOLDER / kind / language).iterdir()}

    assert files == {"subject.txt", "body.txt", "body.html"}


def test_every_folder_is_a_kind() -> None:
    folders = {path.name for path in FOLDER.iterdir()} - {"_layout"}

    assert folders == set(LetterKind)


@pytest.mark.parametrize("deputy", [False, True])
@pytest.mark.parametrize("country", COUNTRIES)
@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize("kind", TO_CUSTOMERS)
class TestACustomersLetter:
    def test_names_a_person_with_a_direct_line(
        self, kind: LetterKind, language: str, country: str, deputy: bool
    ) -> None:
        values = sample_values(kind, language, country, deputy=deputy)

        text = render(kind, language, values).text

        label = {"en": "Direct line"}.get(language, "Direktwahl" if country == "CH" else "Durchwahl")
        assert f"\n{values['person']['name']}\n" in text
        assert f"\n{label}: {values['person']['line']}\n" in text
        assert f"\n{values['person']['email']}\n" in text

    def test_holds_a_date_with_its_weekday(self, kind: LetterKind, language: str, country: str, deputy: bool) -> None:
        text = letter(kind, language, country, deputy=deputy).text

        assert WEEKDAY_DATE[language].search(text)

    def test_holds_link_reference_and_company_block(
        self, kind: LetterKind, language: str, country: str, deputy: bool
    ) -> None:
        values = sample_values(kind, language, country, deputy=deputy)

        rendered = render(kind, language, values)

        # Where times are listed, it is the page to choose one on, which leads back to the status.
        assert re.search(rf"^{re.escape(STATUS_URL)}(/appointment)?$", rendered.text, re.MULTILINE)
        assert REFERENCE in rendered.text.split("\n")[0]
        assert REFERENCE in rendered.subject
        assert "\n" + "\n".join(values["company"]["legal_lines"]) + "\n" in rendered.text
        assert values["company"]["privacy_url"] in rendered.text
        assert values["company"]["imprint_url"] in rendered.text

    def test_says_the_same_in_text_and_html(self, kind: LetterKind, language: str, country: str, deputy: bool) -> None:
        rendered = letter(kind, language, country, deputy=deputy)

        assert words_of_html(rendered.html) == rendered.text.split()

    def test_is_laid_out_for_plain_mail_programs(
        self, kind: LetterKind, language: str, country: str, deputy: bool
    ) -> None:
        rendered = letter(kind, language, country, deputy=deputy)

        assert max(map(len, lines_without_urls(rendered.text))) <= WIDTH
        assert not re.search(r"[ \t]\n|\n\n\n|\xa0", rendered.text)
        assert not BANNED.search(rendered.subject + rendered.text + rendered.html)
        assert rendered.subject == rendered.subject.strip()
        assert len(rendered.subject) <= SUBJECT_LENGTH

    def test_is_signed_by_the_deputy_for_the_owner(
        self, kind: LetterKind, language: str, country: str, deputy: bool
    ) -> None:
        text = letter(kind, language, country, deputy=deputy).text

        stands_in = {"de": "\nin Vertretung für Miriam Albrecht\n", "en": "\nfor Miriam Albrecht\n"}[language]
        assert (stands_in in text) == deputy


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize("kind", TO_STAFF)
class TestAStaffLetter:
    def test_leads_to_the_case_and_holds_no_number(self, kind: LetterKind, language: str) -> None:
        rendered = letter(kind, language)

        assert f"\n{CASE_URL}\n" in rendered.text
        assert REFERENCE in rendered.subject
        assert not NUMBER.search(rendered.text + rendered.html)
        assert "/s/" not in rendered.text + rendered.html

    def test_holds_a_date_with_its_weekday(self, kind: LetterKind, language: str) -> None:
        rendered = letter(kind, language)

        assert WEEKDAY_DATE[language].search(rendered.text)

    def test_says_the_same_in_text_and_html(self, kind: LetterKind, language: str) -> None:
        rendered = letter(kind, language)

        assert words_of_html(rendered.html) == rendered.text.split()

    def test_is_laid_out_for_plain_mail_programs(self, kind: LetterKind, language: str) -> None:
        rendered = letter(kind, language)

        assert max(map(len, lines_without_urls(rendered.text))) <= WIDTH
        assert not re.search(r"[ \t]\n|\n\n\n|\xa0", rendered.text)
        assert not BANNED.search(rendered.subject + rendered.text + rendered.html)


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize("kind", LetterKind)
def test_the_html_is_valid_and_fetches_nothing(kind: LetterKind, language: str) -> None:
    rendered = letter(kind, language)

    page = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(rendered.html)

    assert page.get("lang") == page.find("body/div").get("lang") == language
    assert page.get("dir") == page.find("body/div").get("dir") == "ltr"
    assert page.findtext("head/title") == rendered.subject
    assert page.find("head/meta[@name='color-scheme']").get("content") == "light dark"
    assert len(page.findall(".//h1")) == 1
    assert len(page.findall(".//strong")) == 1
    assert not re.search(r"src=|url\(|@import|<link|<img", rendered.html)
    assert all(
        a.get("href").removeprefix("mailto:") in a.text for a in page.iterfind(".//a") if "tel:" not in a.get("href")
    )


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize("kind", TO_CUSTOMERS)
def test_the_inbox_shows_the_direct_line_before_the_letter_is_opened(kind: LetterKind, language: str) -> None:
    page = html5lib.parse(letter(kind, language).html, namespaceHTMLElements=False)

    assert words_hidden(page).endswith(" 089 99998-214.")


@pytest.mark.parametrize("kind", AUTOMATIC)
def test_an_automatic_letter_says_so_and_who_reads_the_answer(kind: LetterKind) -> None:
    text = letter(kind).text

    assert "\nDiese Nachricht hat unser System verschickt.\nIhre Antwort darauf liest Miriam Albrecht.\n" in text


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize(("kind", "text"), WRITTEN_BY_HAND.items())
def test_a_letter_written_by_hand_does_not_claim_to_be_automatic(kind: LetterKind, text: str, language: str) -> None:
    rendered = letter(kind, language)

    assert "System" not in rendered.text
    assert " ".join(WORDS[language][text].split()) in " ".join(rendered.text.split())


@pytest.mark.parametrize("country", COUNTRIES)
@pytest.mark.parametrize("kind", TO_CUSTOMERS)
def test_english_names_the_time_zone_of_every_date_and_of_the_hours(kind: LetterKind, country: str) -> None:
    text = " ".join(letter(kind, "en", country).text.split())

    assert f"{WORDS['en']['hours']} (German time)" in text
    assert text.count("(German time).") == (kind not in {LetterKind.CLOSED, LetterKind.APPOINTMENT_LATE, *TELL_A_TIME})
    assert "(CET)" in text or kind not in TELL_A_TIME


@pytest.mark.parametrize("kind", TO_CUSTOMERS)
@pytest.mark.parametrize("country", ["DE", "AT"])
def test_german_runs_on_after_the_comma_of_the_greeting(kind: LetterKind, country: str) -> None:
    text = letter(kind, "de", country).text

    assert re.search(r"\nGuten Tag Sabine Krüger,\n\n(?:Ihr|Sie|welche|der|unsere|auch|auf|mit|wir|das)", text)
    assert "\nFreundliche Grüße\n" in text


@pytest.mark.parametrize("kind", sorted(set(TO_CUSTOMERS) - set(WRITTEN_BY_HAND)))
def test_switzerland_greets_without_a_comma_and_goes_on_with_a_capital(kind: LetterKind) -> None:
    text = letter(kind, "de", "CH").text

    assert re.search(r"\nGuten Tag Sabine Krüger\n\n[A-ZÄÖÜ]", text)
    assert "\nFreundliche Grüsse\n" in text


@pytest.mark.parametrize("kind", TO_STAFF)
def test_staff_letters_follow_the_country_too(kind: LetterKind) -> None:
    german = render(kind, "de", sample_values(kind, "de", customer="")).text
    swiss = render(kind, "de", sample_values(kind, "de", customer="") | {"country": "CH"}).text

    assert re.search(r"\nGuten Tag Miriam Albrecht,\n\n[a-zäöü]", german)
    assert re.search(r"\nGuten Tag Miriam Albrecht\n\n[A-ZÄÖÜ]", swiss)


@pytest.mark.parametrize("kind", LetterKind)
def test_switzerland_reads_no_sharp_s_but_in_names_and_a_persons_own_text(kind: LetterKind) -> None:
    ours = ["Heinz Groß", "Musterstraße"]
    rendered = render(kind, "de", sample_values(kind, "de", customer="Uwe Weiß") | {"country": "CH"})

    seen = rendered.subject + rendered.text + rendered.html
    assert "ß" not in re.sub("|".join([*ours, "Uwe Weiß"]), "", seen)
    assert "\ue0df" not in seen


def test_a_name_keeps_its_sharp_s_inside_a_swiss_sentence() -> None:
    values = sample_values(LetterKind.REPLY, "de", "CH", text="Maß: 2 m")
    values["person"] |= {"name": "Uwe Weiß", "role": "Außendienst"}
    values["step"] |= {
        "name": "Uwe Weiß",
        "sentence": "Uwe Weiß schließt bis Freitag, 27. November, 12 Uhr ab.",
    }

    rendered = render(LetterKind.REPLY, "de", values)

    assert "\nUwe Weiß schliesst bis Freitag, 27. November, 12 Uhr ab.\n" in rendered.text
    assert "\nUwe Weiß\nAussendienst\n" in rendered.text
    assert "\nMaß: 2 m\n" in rendered.text
    assert rendered.subject.startswith("Uwe Weiß zu Ihrem Anliegen «Wartungsvertrag»")


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize("kind", LetterKind)
def test_without_a_customers_name_the_greeting_and_the_subject_stay_whole(kind: LetterKind, language: str) -> None:
    rendered = letter(kind, language, customer="")

    assert not re.search(r" ,|\S  |, \(|(?:(?<!ruft|noch) an| to|von|from) \(", rendered.subject + rendered.text)
    assert words_of_html(rendered.html) == rendered.text.split()


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize("kind", LetterKind)
def test_hostile_values_come_out_literally_on_one_line(kind: LetterKind, language: str) -> None:
    rendered = letter(kind, language, customer=HOSTILE, topic=HOSTILE)

    html = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(rendered.html)
    assert "\n" not in rendered.subject
    assert HOSTILE_SEEN in " ".join(rendered.text.split())
    assert words_of_html(rendered.html) == rendered.text.split()
    assert not html.findall(".//script")
    assert not re.search("[\x00-\x09\x0b-\x1f\u2028\u202e]", rendered.text + rendered.html)


@pytest.mark.parametrize(
    ("language", "lost", "not_sent"),
    [("de", "ist nicht angekommen", "konnten wir nicht schicken"), ("en", "was not delivered", "could not be sent")],
)
def test_what_was_never_sent_is_not_told_as_lost(language: str, lost: str, not_sent: str) -> None:
    """One from before an update does not know, and was sent."""
    before, after = (
        " ".join(letter(LetterKind.STAFF_UNDELIVERABLE, language, **sent).text.split())
        for sent in ({}, {"never_sent": True})
    )

    assert lost in before and not_sent not in before
    assert not_sent in after and lost not in after


def test_an_unknown_kind_of_lost_letter_is_named_literally() -> None:
    rendered = letter(LetterKind.STAFF_UNDELIVERABLE, letter="<b>later_kind</b>")

    assert "„<b>later_kind</b>“" in rendered.text
    assert "„&lt;b&gt;later_kind&lt;/b&gt;“" in rendered.html


def test_an_endless_name_is_cut_in_the_subject_and_wrapped_in_the_text() -> None:
    rendered = letter(LetterKind.STAFF_NEW_CASE, customer="x" * 500)

    assert len(rendered.subject) == SUBJECT_LENGTH
    assert max(map(len, lines_without_urls(rendered.text))) <= WIDTH


@pytest.mark.parametrize("kind", LetterKind)
def test_a_missing_value_is_refused(kind: LetterKind) -> None:
    values = sample_values(kind, "de")
    del values["reference"]

    with pytest.raises(UndefinedError):
        render(kind, "de", values)


def test_a_value_that_is_not_plain_is_refused() -> None:
    with pytest.raises(TypeError, match="closed_on"):
        letter(LetterKind.CLOSED, closed_on=object())


def test_a_persons_own_text_keeps_its_paragraphs_and_links_only_web_addresses() -> None:
    text = (
        'Erste <b>Zeile</b>\nZweite & Zeile\n\n\nhttps://a.example/x?y=1&z="2 javascript:alert(1) (HTTP://b.example/).'
    )

    html = letter(LetterKind.REPLY, text=text).html

    assert "<p>Erste &lt;b&gt;Zeile&lt;/b&gt;<br>\nZweite &amp; Zeile</p>" in html
    assert '<a href="https://a.example/x?y=1&amp;z=">https://a.example/x?y=1&amp;z=</a>&#34;2 java' in html
    assert '(<a href="HTTP://b.example/">HTTP://b.example/</a>).</p>' in html


def test_a_moved_promise_tells_the_former_date_and_the_reason() -> None:
    before, reason = "Montag, 23. November, 12 Uhr", "Das Werk bestätigt erst morgen."

    rendered = letter(LetterKind.PROMISE_GIVEN, moved=True, before=before, reason=reason, what="")

    assert rendered.subject.startswith("Neues Datum: Miriam Albrecht antwortet bis")
    assert f"Bisher zugesagt war: {before}." in " ".join(rendered.text.split())
    assert f"\nDer Grund: {reason}\n" in rendered.text
    assert "Worum" not in rendered.text


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (LetterKind.PROMISE_GIVEN, {"moved": True}),
        (LetterKind.CLOSED, {"by_customer": True, "outcome_text": ""}),
        (LetterKind.REOPENED, {"by_customer": False}),
        (LetterKind.LINK, {"replaced": True}),
        (LetterKind.LINK, {"step": None}),
        (LetterKind.LINK, {"step": None, "reopen_until": "Freitag, 4. Dezember", "replaced": True}),
        (LetterKind.ERASURE, {"is_open": False, "step": None, "reopen_until": "Freitag, 4. Dezember"}),
        (LetterKind.ERASURE, {"stage": "confirmed", "step": None}),
        (LetterKind.ERASURE, {"stage": "confirmed", "step": None, "kept_until": "Mittwoch, 1. Dezember 2032"}),
        (LetterKind.ERASURE, {"stage": "taken_back", "step": None}),
        (LetterKind.STAFF_NEW_CASE, {"for_name": "Dr. Katharina Voss"}),
        (LetterKind.STAFF_UNDELIVERABLE, {"has_number": False}),
        (LetterKind.STAFF_UNDELIVERABLE, {"due": None}),
        (LetterKind.STAFF_UNDELIVERABLE, {"never_sent": True}),
    ],
)
def test_every_turn_of_a_letter_is_whole(kind: LetterKind, language: str, changes: dict[str, Any]) -> None:
    rendered = letter(kind, language, **changes)

    assert words_of_html(rendered.html) == rendered.text.split()
    assert "None" not in rendered.subject + rendered.text
    assert not BANNED.search(rendered.text)


def test_a_closed_case_tells_until_when_it_can_be_reopened_and_when_details_are_deleted() -> None:
    text = " ".join(letter(LetterKind.CLOSED).text.split())

    assert "Bis Mittwoch, 9. Dezember, können Sie den Vorgang wieder öffnen." in text
    assert "löschen wir Ihre persönlichen Angaben am Donnerstag, 27. Mai 2027." in text


def test_a_date_stays_on_one_line() -> None:
    text = letter(LetterKind.STAFF_NOT_ME).text

    assert "27. Mai 2027" in text


def test_list_items_hang_and_addresses_stay_whole() -> None:
    address = "https://example.org/" + "x" * 90

    wrapped = wrap(f"- {'Wort ' * 20}\nSiehe: {address} dort\n\n    eingerückt {'Wort ' * 15}")

    assert wrapped.split("\n")[1].startswith("  Wort")
    assert f"\n{address}\n" in wrapped
    assert all(line.startswith("    ") for line in wrapped.split("\n\n")[1].split("\n"))


@given(
    st.text(
        alphabet=st.sampled_from("aß .-*\n") | st.characters(exclude_categories=["Cc", "Cs", "Z"]),
        max_size=400,
    )
)
def test_wrapping_loses_nothing_and_never_exceeds_the_width(text: str) -> None:
    wrapped = wrap(text)

    assert "".join(wrapped.split()) == "".join(text.split())
    assert all(len(line) <= WIDTH for line in wrapped.split("\n") if "://" not in line)
