"""Letters as bytes: what a foreign parser reads is what was meant, and nothing more can be slipped in."""

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parseaddr
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from portal.mail.message import Calendar, Envelope, UnsafeHeader, ascii_address, build, new_message_id

LETTER = Envelope(
    from_name="Miriam Albrecht – Beispielwerke GmbH",
    from_address="service@beispielwerke.example",
    to_address="anna@kundin.example",
    reply_to="miriam.albrecht@beispielwerke.example",
    subject="Ihr Anliegen K7P-3M9: Miriam Albrecht antwortet bis Donnerstag, 26. November, 14 Uhr",
    text="Guten Tag,\n\nMiriam Albrecht antwortet Ihnen bis Donnerstag, 26. November, 14 Uhr.\n",
    html="<p>Guten Tag,</p>\n<p>Miriam Albrecht antwortet Ihnen.</p>\n",
    message_id="<0123456789abcdef@beispielwerke.example>",
    date=datetime(2026, 11, 23, 8, 30, tzinfo=UTC),
    language="de",
    kind="confirmation",
    reference="K7P-3M9",
    auto_submitted="auto-generated",
    references=("<first@beispielwerke.example>", "<second@kundin.example>"),
)

INVITATION = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nSUMMARY:Anruf: Miriam Albrecht – Köln 👋\r\n"
    "DESCRIPTION:METHOD:CANCEL\\nund noch eine lange Zeile\\, die\r\n  gefaltet ist\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
).encode()
WITH_CALENDAR = replace(LETTER, calendar=Calendar(method="REQUEST", data=INVITATION))

WITHOUT_CALENDAR = """\
From: =?utf-8?b?TWlyaWFtIEFsYnJlY2h0IOKAkyBCZWlzcGllbHdlcmtlIEdtYkg=?= <service@beispielwerke.example>
To: anna@kundin.example
Reply-To: miriam.albrecht@beispielwerke.example
Subject: =?utf-8?b?SWhyIEFubGllZ2VuIEs3UC0zTTk6IE1pcmlhbSBBbGJyZWNodCBh?=
 =?utf-8?b?bnR3b3J0ZXQgYmlzIERvbm5lcnN0YWcsIDI2LiBOb3ZlbWJlciwgMTQgVWhy?=
Date: Mon, 23 Nov 2026 08:30:00 +0000
Message-ID: <0123456789abcdef@beispielwerke.example>
Content-Language: de
X-Portal-Letter: confirmation
X-Portal-Case: K7P-3M9
Auto-Submitted: auto-generated
X-Auto-Response-Suppress: DR, RN, NRN, OOF, AutoReply
In-Reply-To: <second@kundin.example>
References: <first@beispielwerke.example>
 <second@kundin.example>
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="BOUNDARY"

--BOUNDARY
Content-Type: text/plain; charset="utf-8"
Content-Transfer-Encoding: quoted-printable

Guten Tag,

Miriam Albrecht antwortet Ihnen bis Donnerstag, 26. November, 14 Uhr.

--BOUNDARY
Content-Type: text/html; charset="utf-8"
Content-Transfer-Encoding: quoted-printable

<p>Guten Tag,</p>
<p>Miriam Albrecht antwortet Ihnen.</p>

--BOUNDARY--
"""

# C0, DEL, C1 (with NEL), the two Unicode line separators, and half a surrogate pair.
UNSAFE = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, 0xD800, 0xDFFF)]

TEXT_FIELDS = [
    "from_name",
    "from_address",
    "to_address",
    "reply_to",
    "subject",
    "message_id",
    "language",
    "kind",
    "reference",
    "auto_submitted",
]

NAMES = [
    "Miriam Albrecht – Beispielwerke GmbH",
    "Ada Plain",
    'Müller, "Jo" \\ Söhne; <x@y.example>, (Köln): [a]',
    'O"Neil, Jo \\ Sons <x@y.example>',
    "a, b; c " * 25 + "d",
    "Äöü, Äöü; " * 20 + "ß",
    "x" * 200,
    "ü" * 200,
    "日本語" * 66,
    "👩‍💼 " * 40 + "!",
    "=?utf-8?q?Somebody_Else?=",
    "A =?utf-8?q?B?= Ö",
    "",
]


def parsed(envelope: Envelope) -> EmailMessage:
    return parsed_bytes(build(envelope))


def parsed_bytes(raw: bytes) -> EmailMessage:
    return message_from_bytes(raw, policy=policy.default)


def sender_name(raw: bytes) -> str:
    """As RFC 2047 reads it; CPython's newer parser puts spaces between encoded words (gh-128110)."""
    phrase, _ = parseaddr(str(message_from_bytes(raw)["From"]))
    return str(make_header(decode_header(phrase)))


def body(letter: EmailMessage, kind: str) -> str:
    part = letter.get_body((kind,))
    assert part is not None
    return part.get_content().replace("\r\n", "\n")


def test_the_letter_has_exactly_the_headers_that_were_meant() -> None:
    letter = parsed(LETTER)

    assert letter.items() == [
        ("From", "Miriam Albrecht – Beispielwerke GmbH <service@beispielwerke.example>"),
        ("To", "anna@kundin.example"),
        ("Reply-To", "miriam.albrecht@beispielwerke.example"),
        ("Subject", LETTER.subject),
        ("Date", "Mon, 23 Nov 2026 08:30:00 +0000"),
        ("Message-ID", LETTER.message_id),
        ("Content-Language", "de"),
        ("X-Portal-Letter", "confirmation"),
        ("X-Portal-Case", "K7P-3M9"),
        ("Auto-Submitted", "auto-generated"),
        ("X-Auto-Response-Suppress", "DR, RN, NRN, OOF, AutoReply"),
        ("In-Reply-To", "<second@kundin.example>"),
        ("References", "<first@beispielwerke.example> <second@kundin.example>"),
        ("MIME-Version", "1.0"),
        ("Content-Type", letter["Content-Type"]),
    ]
    assert letter.defects == []


def test_text_comes_before_html_and_both_arrive_as_written() -> None:
    letter = parsed(LETTER)

    assert letter.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in letter.iter_parts()] == ["text/plain", "text/html"]
    assert [part.get_content_charset() for part in letter.iter_parts()] == ["utf-8", "utf-8"]
    assert body(letter, "plain") == LETTER.text
    assert body(letter, "html") == LETTER.html


def test_a_letter_without_a_calendar_is_made_of_these_bytes() -> None:
    raw = build(LETTER)

    boundary = parsed_bytes(raw).get_boundary()
    assert boundary is not None
    assert raw == WITHOUT_CALENDAR.replace("\n", "\r\n").replace("BOUNDARY", boundary).encode()


def test_an_appointment_is_a_third_way_to_read_the_letter_and_a_file() -> None:
    letter = parsed(WITH_CALENDAR)

    assert letter.get_content_type() == "multipart/mixed"
    shown, attached = letter.iter_parts()
    assert shown.get_content_type() == "multipart/alternative"
    plain, html, calendar = shown.iter_parts()
    assert [part.get_content_type() for part in (plain, html)] == ["text/plain", "text/html"]
    assert (body(letter, "plain"), body(letter, "html")) == (LETTER.text, LETTER.html)
    for part in (calendar, attached):
        assert part.get_content_type() == "text/calendar"
        assert dict(part["Content-Type"].params)["method"] == "REQUEST"
        assert part.get_content_charset() == "utf-8"
        assert part.get_payload(decode=True) == INVITATION
        assert part.defects == []
    assert calendar.get_content_disposition() is None
    assert (attached.get_content_disposition(), attached.get_filename()) == ("attachment", "termin.ics")
    assert list(letter.iter_attachments()) == [attached]


def test_a_letter_with_a_calendar_has_the_same_headers_and_is_seven_bits_wide() -> None:
    raw = build(WITH_CALENDAR)

    letter, plain = parsed_bytes(raw), parsed(LETTER)
    assert letter.items()[:-1] == plain.items()[:-1]
    assert [part.defects for part in letter.walk()] == [[]] * 6
    assert len({part.get_boundary() for part in letter.walk() if part.is_multipart()}) == 2
    assert raw.isascii()
    assert raw.count(b"\r") == raw.count(b"\n") == raw.count(b"\r\n")
    assert max(len(line) for line in raw.split(b"\r\n")) <= 110


@given(data=st.binary(max_size=400))
@example(data=b"")
@example(data=b"\r\n\r\n.\r\n--")
@example(data=b"x" * 100)
@settings(max_examples=100, deadline=None)
def test_every_byte_of_a_calendar_arrives(data: bytes) -> None:
    data = b"METHOD:CANCEL\r\n" + data.replace(b"METHOD", b"")

    letter = parsed(replace(LETTER, calendar=Calendar(method="CANCEL", data=data)))

    found = [part.get_payload(decode=True) for part in letter.walk() if part.get_content_type() == "text/calendar"]
    assert found == [data, data]


@pytest.mark.parametrize(
    ("method", "data"),
    [
        ("CANCEL", INVITATION),
        ("request", INVITATION),
        ("REQUEST", INVITATION.replace(b"METHOD:REQUEST\r\n", b"")),
        ("REQUEST", INVITATION.replace(b"METHOD:REQUEST", b"METHOD:REQUEST\r\nMETHOD:CANCEL")),
        ("REQUEST", INVITATION.replace(b"METHOD:REQUEST", b"METHOD:REQUEST\r\nmethod:CANCEL")),
        ("REQUEST", INVITATION.replace(b"METHOD:REQUEST", b"METHOD:REQUEST2")),
        ('REQUEST"; name="x', INVITATION),
        ("REQUEST\r\nBcc: victim@x.example", INVITATION),
        ("", INVITATION),
    ],
)
def test_a_letter_never_says_another_method_than_its_calendar(method: str, data: bytes) -> None:
    with pytest.raises(UnsafeHeader, match="method"):
        build(replace(LETTER, calendar=Calendar(method=method, data=data)))


@pytest.mark.parametrize("name", ["", "../termin.ics", 'a".ics', "a b.ics", "termin\r\n.ics", "ü.ics", "x" * 65])
def test_the_file_has_a_plain_name(name: str) -> None:
    with pytest.raises(UnsafeHeader, match="filename"):
        build(replace(LETTER, calendar=Calendar(method="REQUEST", data=INVITATION, name=name)))


def test_a_letter_a_person_wrote_is_not_marked_as_automatic() -> None:
    letter = parsed(replace(LETTER, auto_submitted=None, reference=None, references=()))

    assert letter["Auto-Submitted"] is None
    assert letter["X-Auto-Response-Suppress"] is None
    assert letter["X-Portal-Case"] is None
    assert letter["References"] is None
    assert letter["In-Reply-To"] is None


def test_a_long_conversation_keeps_its_first_letter_and_the_newest() -> None:
    known = tuple(f"<{number}@beispielwerke.example>" for number in range(100))

    letter = parsed(replace(LETTER, references=known))

    assert letter["References"].split() == [known[0], *known[-20:]]
    assert letter["In-Reply-To"] == known[-1]


def test_the_date_is_the_instant_whatever_its_zone() -> None:
    at = datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))

    letter = parsed(replace(LETTER, date=at))

    assert letter["Date"] == "Sun, 25 Oct 2026 02:30:00 +0100"


def test_a_date_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        build(replace(LETTER, date=datetime(2026, 11, 23, 8, 30)))  # noqa: DTZ001 - the point of the test


@pytest.mark.parametrize("unsafe", UNSAFE, ids=lambda character: f"U+{ord(character):04X}")
@pytest.mark.parametrize("field", TEXT_FIELDS)
def test_no_control_character_or_line_break_gets_into_a_header(field: str, unsafe: str) -> None:
    value = getattr(LETTER, field)

    with pytest.raises(UnsafeHeader):
        build(replace(LETTER, **{field: value[:3] + unsafe + value[3:]}))


@pytest.mark.parametrize("unsafe", UNSAFE, ids=lambda character: f"U+{ord(character):04X}")
def test_no_control_character_or_line_break_gets_into_the_references(unsafe: str) -> None:
    with pytest.raises(UnsafeHeader):
        build(replace(LETTER, references=(f"<first{unsafe}@beispielwerke.example>", "<second@x.example>")))


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r", "\nBcc: victim@x.example", "\r\n\r\nBody"])
@pytest.mark.parametrize("field", TEXT_FIELDS)
def test_no_line_break_gets_in_at_the_end_of_a_header(field: str, ending: str) -> None:
    with pytest.raises(UnsafeHeader):
        build(replace(LETTER, **{field: getattr(LETTER, field) + ending}))


@pytest.mark.parametrize("field", TEXT_FIELDS)
def test_the_refusal_names_the_header_and_never_repeats_the_value(field: str) -> None:
    with pytest.raises(UnsafeHeader) as refusal:
        build(replace(LETTER, **{field: "secret-value\nBcc: victim@x.example"}))

    assert "secret-value" not in str(refusal.value)
    assert "victim" not in str(refusal.value)


@pytest.mark.parametrize("name", NAMES)
def test_any_display_name_survives_and_stays_one_sender(name: str) -> None:
    raw = build(replace(LETTER, from_name=name))

    sender = message_from_bytes(raw, policy=policy.default)["From"]
    assert [address.addr_spec for address in sender.addresses] == [LETTER.from_address]
    assert sender_name(raw) == name
    assert max(len(line) for line in raw.split(b"\r\n")) <= 110


@given(name=st.text(st.characters(exclude_categories=("Cc", "Zl", "Zp", "Cs")), max_size=250))
@example(name=" leading and trailing ")
@settings(max_examples=150, deadline=None)
def test_whatever_is_no_control_character_can_be_a_name_and_a_subject(name: str) -> None:
    raw = build(replace(LETTER, from_name=name, subject=name))

    letter = message_from_bytes(raw, policy=policy.default)
    assert [address.addr_spec for address in letter["From"].addresses] == [LETTER.from_address]
    assert sender_name(raw) == name
    assert str(make_header(decode_header(message_from_bytes(raw)["Subject"]))) == name
    assert letter.keys() == parsed(LETTER).keys()


@given(text=st.text(st.characters(exclude_categories=("Cs",)), max_size=400))
@example(text=".\r\n.\r\nFrom me\n..\n")
@example(text="x" * 2000)
@example(text="ends in a space \nand a tab\t\n \n")
@example(text="ünïcode " * 300)
@example(text="a\rb\x0bc\x0cd\x1ce\x85f\u2028g")
@settings(max_examples=150, deadline=None)
def test_any_text_arrives_with_safe_lines(text: str) -> None:
    raw = build(replace(LETTER, text=text, html=text))

    expected = text.replace("\r\n", "\n").replace("\r", "\n")
    expected += "" if expected[-1:] in ("", "\n") else "\n"
    letter = message_from_bytes(raw, policy=policy.default)
    plain, html = letter.iter_parts()
    assert plain.get_payload(decode=True).decode().replace("\r\n", "\n") == expected
    assert html.get_payload(decode=True).decode().replace("\r\n", "\n") == expected
    assert raw.count(b"\r") == raw.count(b"\n") == raw.count(b"\r\n")
    assert max(len(line) for line in raw.split(b"\r\n")) <= 110
    assert raw.isascii()


@pytest.mark.parametrize(
    ("address", "sent_as"),
    [
        ("anna@kundin.example", "anna@kundin.example"),
        ("Anna.O'Neil+offer=1@kundin.example", "Anna.O'Neil+offer=1@kundin.example"),
        ("anna@müller.example", "anna@xn--mller-kva.example"),
        ("anna@MÜLLER.Example", "anna@xn--mller-kva.example"),
        ("anna@straße.example", "anna@xn--strae-oqa.example"),
        ("anna@例え.テスト", "anna@xn--r8jz45g.xn--zckzah"),
        ("postmaster@localhost", "postmaster@localhost"),
    ],
)
def test_international_domains_go_out_in_their_ascii_form(address: str, sent_as: str) -> None:
    assert ascii_address(address) == sent_as
    assert parsed(replace(LETTER, to_address=address))["To"] == sent_as


@pytest.mark.parametrize(
    "address",
    [
        "",
        "anna",
        "@kundin.example",
        "anna@",
        "anna@kundin..example",
        "anna@-kundin.example",
        "anna@kundin.example.",
        "anna@[127.0.0.1]",
        "anna@" + "x" * 64 + ".example",
        "anna@" + "x.example" * 30,
        "a" * 65 + "@kundin.example",
        "anna @kundin.example",
        '"anna b"@kundin.example',
        "Anna <anna@kundin.example>",
        "anna@kundin.example,bert@kunde.example",
        "anna@kundin.example bert@kunde.example",
        "anna@ku­ndin_.example",
        "anna@ü" + "x" * 63 + ".example",
        "<anna@kundin.example>",
    ],
)
def test_what_is_no_plain_address_is_refused(address: str) -> None:
    with pytest.raises(UnsafeHeader):
        ascii_address(address)


def test_a_local_part_outside_ascii_is_refused_with_the_reason() -> None:
    with pytest.raises(UnsafeHeader, match=r"To: the part before the @ holds letters outside ASCII"):
        build(replace(LETTER, to_address="jürgen@kunde.example"))


@pytest.mark.parametrize(
    "message_id", ["", "no-brackets@x.example", "<two words@x.example>", "<a><b>", "<ü@x.example>"]
)
def test_what_is_no_message_id_is_refused(message_id: str) -> None:
    with pytest.raises(UnsafeHeader, match="Message-ID"):
        build(replace(LETTER, message_id=message_id))


def test_an_automatic_letter_is_one_of_the_two_kinds_mail_programs_know() -> None:
    with pytest.raises(UnsafeHeader, match="Auto-Submitted"):
        build(replace(LETTER, auto_submitted="no"))


def test_a_new_message_id_is_random_and_at_the_senders_domain() -> None:
    first, second = new_message_id("müller.example"), new_message_id("müller.example")

    assert first != second
    assert first.endswith("@xn--mller-kva.example>")
    assert len(first) == len("<" + "0" * 32 + "@xn--mller-kva.example>")


def test_a_message_id_fits_into_a_letter_and_occurs_once() -> None:
    own = new_message_id("beispielwerke.example")

    letter = parsed(replace(LETTER, message_id=own))

    assert letter.get_all("Message-ID") == [own]
