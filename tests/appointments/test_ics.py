"""Calendar files: five foreign judges and the rules themselves agree, and each judge is shown to be awake."""

import hashlib
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import icalendar
import pytest
import recurring_ical_events
from hypothesis import example, given, settings
from hypothesis import strategies as st

from portal.appointments.ics import Event, Mailbox, Method, feed, invitation, new_uid
from portal.mail.message import Calendar, UnsafeHeader
from tests.appointments import mailbox_simulator
from tests.appointments.judges import ICAL_JS, JUDGES, VENDORED, IcalJs, Told, ical_js
from tests.appointments.mailbox_simulator import read
from tests.mail.test_message import LETTER, parsed

Test = Callable[..., None]

BERLIN = ZoneInfo("Europe/Berlin")
FIRM = Mailbox("Beispielwerke GmbH", "service@beispielwerke.example")
ANNA = Mailbox("Anna Kundin", "anna@kundin.example")
FEED = {"url": "https://portal.beispielwerke.example/feed/abc.ics"}
BOOKED_AT = datetime(2027, 1, 11, 9, 30, tzinfo=UTC)
BOOKED = Event(
    uid="7d0c3b3e-5f0e-4ac9-b30c-4a1e7f6d2a11@portal.beispielwerke.example",
    sequence=0,
    starts_at=datetime(2027, 1, 14, 9, 0, tzinfo=UTC),
    ends_at=datetime(2027, 1, 14, 9, 30, tzinfo=UTC),
    created_at=BOOKED_AT,
    changed_at=BOOKED_AT,
    summary="Anruf: Miriam Albrecht, Beispielwerke GmbH",
    description="Miriam Albrecht ruft Sie an.\nDurchwahl: +49 221 555 0123",
    url="https://portal.beispielwerke.example/s/abc",
)


def version(number: int, event: Event = BOOKED, **changes: object) -> Event:
    """The appointment after its ``number``-th change: a day and some hours later, known a minute later."""
    return replace(
        event,
        sequence=number,
        starts_at=event.starts_at + timedelta(days=number, hours=number),
        ends_at=event.ends_at + timedelta(days=number, hours=number),
        changed_at=event.changed_at + timedelta(minutes=number),
        **changes,
    )


def message(event: Event, method: Method = Method.REQUEST, *, later: int = 0) -> bytes:
    """The invitation to ``event``, written when it was changed, or some minutes ``later``."""
    stamp = event.changed_at + timedelta(minutes=later)
    return invitation(event, method, organizer=FIRM, attendee=ANNA, stamp=stamp)


MOVED = version(1)
CANCELLED = replace(version(2), starts_at=MOVED.starts_at, ends_at=MOVED.ends_at, summary="Abgesagt: Anruf")
OTHERS = tuple(
    version(number, uid=f"other-{number}@portal.beispielwerke.example", summary=f"Rückruf: K7P-3M{number}, Müller")
    for number in range(1, 6)
)
REQUEST = message(BOOKED)
CANCEL = message(CANCELLED, Method.CANCEL)
FILES = {
    "booked": (REQUEST, Told((BOOKED,), "REQUEST")),
    "moved": (message(MOVED), Told((MOVED,), "REQUEST")),
    "cancelled": (CANCEL, Told((CANCELLED,), "CANCEL")),
    "feed": (feed("Miriam Albrecht", OTHERS, **FEED), Told(OTHERS, None)),
    "feed of none": (feed("Miriam Albrecht", [], **FEED), Told((), None)),
}

# Each crosses or touches the hour at 01:00 UTC on the last Sunday of March or October.
AROUND_THE_CLOCK_CHANGES = {
    "spring, the last of winter time": datetime(2027, 3, 28, 0, 30, tzinfo=UTC),
    "spring, across": datetime(2027, 3, 28, 0, 45, tzinfo=UTC),
    "spring, the first of summer time": datetime(2027, 3, 28, 1, 0, tzinfo=UTC),
    "autumn, 02:30 for the first time": datetime(2027, 10, 31, 0, 30, tzinfo=UTC),
    "autumn, across": datetime(2027, 10, 31, 0, 45, tzinfo=UTC),
    "autumn, 02:30 for the second time": datetime(2027, 10, 31, 1, 30, tzinfo=UTC),
    "autumn, as a wall clock says it first": datetime(2027, 10, 31, 2, 45, tzinfo=BERLIN),
    "autumn, as a wall clock says it again": datetime(2027, 10, 31, 2, 45, fold=1, tzinfo=BERLIN),
}


@pytest.fixture(scope="module")
def foreign_page() -> Iterator[IcalJs]:
    """ical.js in the page of a browser far away from here."""
    with ical_js() as judge:
        yield judge


in_the_page = pytest.mark.xdist_group("ical.js")


def complaining(data: bytes, told: Told, page: IcalJs | None = None) -> dict[str, list[str]]:
    """The judges that found something, and what."""
    judges = JUDGES | ({"ical.js": page} if page else {})
    found = {name: judge(data, told) for name, judge in judges.items()}
    return {name: complaints for name, complaints in found.items() if complaints}


@in_the_page
@pytest.mark.parametrize(("data", "told"), FILES.values(), ids=FILES)
def test_no_judge_finds_a_fault(data: bytes, told: Told, foreign_page: IcalJs) -> None:
    assert complaining(data, told, foreign_page) == {}


@in_the_page
@pytest.mark.parametrize("starts_at", AROUND_THE_CLOCK_CHANGES.values(), ids=AROUND_THE_CLOCK_CHANGES)
def test_around_the_clock_changes_every_judge_reads_the_same_instants(
    starts_at: datetime, foreign_page: IcalJs
) -> None:
    start = starts_at.astimezone(UTC)
    event = replace(BOOKED, starts_at=starts_at, ends_at=(start + timedelta(minutes=30)).astimezone(starts_at.tzinfo))
    meant = replace(event, starts_at=start, ends_at=start + timedelta(minutes=30))

    for method in Method:
        assert complaining(message(event, method), Told((meant,), method.value), foreign_page) == {}
    assert complaining(feed("Kalender", [event], **FEED), Told((meant,), None), foreign_page) == {}


def test_the_two_readings_of_the_doubled_hour_stay_two_and_in_order() -> None:
    first, second = (
        replace(
            BOOKED,
            uid=f"{fold}@x.example",
            starts_at=datetime(2027, 10, 31, 2, 30, fold=fold, tzinfo=BERLIN),
            ends_at=datetime(2027, 10, 31, 3, 30, tzinfo=BERLIN),
        )
        for fold in (0, 1)
    )

    starts = [event.one("DTSTART").value for event in read(feed("K", [second, first], **FEED)).components]

    assert starts == ["20271031T003000Z", "20271031T013000Z"]


def test_a_feed_that_names_a_zone_is_read_an_hour_off_in_autumn() -> None:
    start = AROUND_THE_CLOCK_CHANGES["autumn, 02:30 for the second time"]
    event = replace(BOOKED, starts_at=start, ends_at=start + timedelta(minutes=30))
    data = planted("CALSCALE", "X-WR-TIMEZONE:Europe/Berlin\r\nCALSCALE", feed("Kalender", [event], **FEED))

    assert set(complaining(data, Told((event,), None))) == {"folder"}


# What goes wrong in other systems (reference, 4.4 and its list of bugs), and which of the judges must notice.
def planted(old: str | bytes, new: str | bytes, data: bytes = REQUEST) -> bytes:
    old, new = (text.encode() if isinstance(text, str) else text for text in (old, new))
    assert data.count(old) == 1, old
    return data.replace(old, new)


UID_LINE = f"UID:{BOOKED.uid}\r\n"
START, END = "DTSTART:20270114T090000Z", "DTEND:20270114T093000Z"
SHORT_ZONE = """BEGIN:VTIMEZONE
TZID:Europe/Berlin
BEGIN:STANDARD
DTSTART:19961027T030000
TZNAME:CET
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:20000326T020000
TZNAME:CEST
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
END:DAYLIGHT
END:VTIMEZONE
BEGIN:VEVENT""".replace("\n", "\r\n")
IN_BERLIN = planted(START, "DTSTART;TZID=Europe/Berlin:20270114T100000")
ALARM = "BEGIN:VALARM\r\nACTION:DISPLAY\r\nDESCRIPTION:x\r\nTRIGGER:-PT15M\r\nEND:VALARM\r\nEND:VEVENT"
MULTI_BYTE = message(replace(BOOKED, summary="Ü" * 80))
DEFECTS = {
    "no UID": (planted(UID_LINE, ""), "itip vobject icalendar"),
    "no DTSTAMP": (planted("DTSTAMP:20270111T093000Z\r\n", ""), "itip vobject icalendar"),
    "no PRODID": (planted("PRODID:-//Durchwahl//Appointments//DE\r\n", ""), "vobject icalendar"),
    "two DTSTART": (planted(START, f"{START}\r\n{START}"), "itip vobject icalendar folder"),
    "a line break in a text": (planted(r"an.\nDurchwahl: ", "an.\r\nDurchwahl "), "itip vobject icalendar ical.js"),
    "a property slipped in": (planted(r"an.\nDurchwahl", "an.\r\nSTATUS"), "itip vobject icalendar"),
    "a component left open": (planted("END:VEVENT\r\n", ""), "itip vobject icalendar folder ical.js"),
    "SEQUENCE in words": (planted("SEQUENCE:0", "SEQUENCE:one"), "itip icalendar folder"),
    "no SEQUENCE": (planted("SEQUENCE:0\r\n", ""), "itip"),
    "SEQUENCE stuck": (planted("SEQUENCE:1", "SEQUENCE:0", message(MOVED)), "ical.js"),
    "no VTIMEZONE": (IN_BERLIN, "times ical.js"),
    "VTIMEZONE too short": (planted("BEGIN:VEVENT", SHORT_ZONE, IN_BERLIN), "times itip ical.js"),
    "floating time": (planted(START, START[:-1]), "times ical.js"),
    "a time the spring left out": (planted(START, "DTSTART;TZID=Europe/Berlin:20270328T023000"), "times"),
    "an hour too early": (planted(START, "DTSTART:20270114T080000Z"), "folder ical.js"),
    "the end before the start": (planted(END, "DTEND:20270114T083000Z"), "times folder ical.js"),
    "LF": (REQUEST.replace(b"\r\n", b"\n"), "bytes itip"),
    "a lone CR": (planted("Miriam Albrecht ruft", "Miriam\rAlbrecht ruft"), "bytes"),
    "a long line": (planted("TRANSP:OPAQUE", "TRANSP:OPAQUE\r\nX-LONG:" + "x" * 70), "bytes"),
    "a character cut in two": (re.sub(rb"\xc3\r\n |\xc3(?=\x9c)", b"\xc3\r\n ", MULTI_BYTE, count=1), "bytes itip"),
    "a byte order mark": (b"\xef\xbb\xbf" + REQUEST, "bytes itip vobject ical.js"),
    "no end of the last line": (REQUEST[:-2], "bytes"),
    "a control character": (planted("Miriam Albrecht ruft", "Miriam\x07Albrecht ruft"), "bytes"),
    "no METHOD": (planted("METHOD:REQUEST\r\n", ""), "itip"),
    "METHOD:PUBLISH": (planted("METHOD:REQUEST", "METHOD:PUBLISH"), "itip"),
    "no ORGANIZER": (re.sub(rb"ORGANIZER[^\r]*\r\n( [^\r]*\r\n)*", b"", REQUEST), "itip"),
    "no ATTENDEE": (re.sub(rb"ATTENDEE[^\r]*\r\n( [^\r]*\r\n)*", b"", REQUEST), "itip"),
    "the organizer invited": (re.sub(b"anna@kundin", b"service@beispielwerke", REQUEST), "itip"),
    "a cancelled REQUEST": (planted("STATUS:CONFIRMED", "STATUS:CANCELLED"), "itip"),
}
DEFECTS_OF_A_CANCEL = {
    "sent as a REQUEST": (planted("METHOD:CANCEL", "METHOD:REQUEST", CANCEL), "itip"),
    "STATUS with one L": (planted("STATUS:CANCELLED", "STATUS:CANCELED", CANCEL), "itip"),
    "STATUS as before": (planted("STATUS:CANCELLED", "STATUS:CONFIRMED", CANCEL), "itip"),
    "a reminder of it": (planted("END:VEVENT", ALARM, CANCEL), "itip"),
    "busy all the same": (planted("END:VEVENT", "TRANSP:OPAQUE\r\nEND:VEVENT", CANCEL), "itip"),
    "nobody it is for": (re.sub(rb"ATTENDEE[^\r]*\r\n( [^\r]*\r\n)*", b"", CANCEL), "itip"),
}


@in_the_page
@pytest.mark.parametrize(("data", "judges"), DEFECTS.values(), ids=DEFECTS)
def test_a_planted_defect_is_noticed_by_its_judges(data: bytes, judges: str, foreign_page: IcalJs) -> None:
    told = MOVED if data.find(b"20270115T") > 0 else BOOKED

    assert set(complaining(data, Told((told,), "REQUEST"), foreign_page)) >= set(judges.split())


@in_the_page
@pytest.mark.parametrize(("data", "judges"), DEFECTS_OF_A_CANCEL.values(), ids=DEFECTS_OF_A_CANCEL)
def test_a_defect_planted_in_a_cancellation_is_noticed(data: bytes, judges: str, foreign_page: IcalJs) -> None:
    assert set(complaining(data, Told((CANCELLED,), "CANCEL"), foreign_page)) >= set(judges.split())


@pytest.mark.parametrize(("data", "method", "other"), [(REQUEST, "REQUEST", "CANCEL"), (CANCEL, "CANCEL", "REQUEST")])
def test_a_letter_announces_the_method_of_its_invitation(data: bytes, method: str, other: str) -> None:
    letter = parsed(replace(LETTER, calendar=Calendar(method=method, data=data)))

    parts = [part for part in letter.walk() if part.get_content_type() == "text/calendar"]
    assert [dict(part["Content-Type"].params)["method"] for part in parts] == [method, method]
    assert [part.get_payload(decode=True) for part in parts] == [data, data]
    with pytest.raises(UnsafeHeader):
        parsed(replace(LETTER, calendar=Calendar(method=other, data=data)))


def test_an_invitation_says_all_the_reference_asks_for() -> None:
    calendar = read(message(MOVED, later=5))
    (event,) = calendar.components
    (alarm,) = event.components

    assert [(one.name, one.value) for one in calendar.properties] == [
        ("VERSION", "2.0"),
        ("PRODID", "-//Durchwahl//Appointments//DE"),
        ("CALSCALE", "GREGORIAN"),
        ("METHOD", "REQUEST"),
    ]
    assert {one.name: one.text for one in event.properties} == {
        "UID": BOOKED.uid,
        "SEQUENCE": "1",
        "DTSTAMP": "20270111T093600Z",
        "DTSTART": "20270115T100000Z",
        "DTEND": "20270115T103000Z",
        "CREATED": "20270111T093000Z",
        "LAST-MODIFIED": "20270111T093100Z",
        "SUMMARY": BOOKED.summary,
        "DESCRIPTION": BOOKED.description,
        "URL": BOOKED.url,
        "ORGANIZER": "mailto:service@beispielwerke.example",
        "ATTENDEE": "mailto:anna@kundin.example",
        "STATUS": "CONFIRMED",
        "TRANSP": "OPAQUE",
    }
    assert event.one("ORGANIZER").parameters == {"CN": "Beispielwerke GmbH"}
    assert event.one("ATTENDEE").parameters == {
        "CN": "Anna Kundin",
        "CUTYPE": "INDIVIDUAL",
        "ROLE": "REQ-PARTICIPANT",
        "PARTSTAT": "ACCEPTED",
        "RSVP": "FALSE",
    }
    assert {one.name: one.text for one in alarm.properties} == {
        "ACTION": "DISPLAY",
        "DESCRIPTION": BOOKED.summary,
        "TRIGGER": "-PT15M",
    }


def test_a_cancellation_names_the_same_appointment_and_no_more_reminds_of_it() -> None:
    before, after = (read(data).components[0] for data in (message(MOVED), CANCEL))

    same = ("UID", "DTSTART", "DTEND", "ORGANIZER", "ATTENDEE", "CREATED")
    assert [after.one(name) for name in same] == [before.one(name) for name in same]
    assert (after.one("STATUS").value, after.one("SEQUENCE").value) == ("CANCELLED", "2")
    assert after.one("SUMMARY").text == "Abgesagt: Anruf"
    assert after.components == []


def test_an_address_from_elsewhere_is_the_one_the_letter_goes_to() -> None:
    percent = Mailbox("", "a%2Fb+c@müller.example")

    data = invitation(BOOKED, Method.REQUEST, organizer=FIRM, attendee=percent, stamp=BOOKED_AT)

    attendee = read(data).components[0].one("ATTENDEE")
    assert attendee.value == "mailto:a%252Fb+c@xn--mller-kva.example"
    assert "CN" not in attendee.parameters


# --- what a mailbox makes of it ---------------------------------------------------------------------------------------

STORY = [message(version(0)), message(version(1)), message(version(2)), message(version(3), Method.CANCEL)]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
def test_booked_moved_moved_cancelled_ends_right_in_any_order(order: tuple[int, ...]) -> None:
    mailbox = mailbox_simulator.Mailbox()

    for number in (*order, *order[:2]):
        mailbox.receive(STORY[number])

    assert mailbox.starts == []


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_booked_moved_moved_shows_the_newest_time_in_any_order(order: tuple[int, ...]) -> None:
    mailbox = mailbox_simulator.Mailbox()

    for number in (*order, *order[:2]):
        mailbox.receive(STORY[number])

    assert mailbox.starts == ["20270116T110000Z"]


def test_in_the_right_order_each_message_has_its_effect() -> None:
    mailbox, seen = mailbox_simulator.Mailbox(), []

    for data in STORY:
        mailbox.receive(data)
        seen.append(mailbox.starts)

    assert seen == [["20270114T090000Z"], ["20270115T100000Z"], ["20270116T110000Z"], []]


def test_of_two_messages_with_one_sequence_the_later_written_counts() -> None:
    first, second = message(BOOKED), message(replace(MOVED, sequence=0), later=1)

    for order in ((first, second), (second, first)):
        mailbox = mailbox_simulator.Mailbox()
        for data in order:
            mailbox.receive(data)
        assert mailbox.starts == ["20270115T100000Z"]


@pytest.mark.parametrize(
    ("fault", "left"),
    [
        (planted("METHOD:CANCEL", "METHOD:REQUEST", STORY[3]), ["20270117T120000Z"]),
        (planted("SEQUENCE:3", "SEQUENCE:1", STORY[3]), ["20270116T110000Z"]),
        (planted(f"UID:{BOOKED.uid}", "UID:new@x.example", STORY[3]), ["20270116T110000Z"]),
    ],
    ids=["cancelled by a request", "a sequence that sticks", "another UID"],
)
def test_the_mailbox_shows_the_faults_of_others(fault: bytes, left: list[str]) -> None:
    mailbox = mailbox_simulator.Mailbox()

    for data in (*STORY[:3], fault):
        mailbox.receive(data)

    assert mailbox.starts == left


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_old_and_new_in_one_folder_only_the_newest_is_shown(order: tuple[int, ...]) -> None:
    folder = icalendar.Calendar.from_ical(message(version(order[0])))
    for number in order[1:]:
        folder.add_component(icalendar.Calendar.from_ical(message(version(number))).events[0])

    shown = recurring_ical_events.of(folder).between(datetime(2027, 1, 1), datetime(2027, 2, 1))  # noqa: DTZ001 - days

    assert [one.start for one in shown] == [version(2).starts_at]


# --- the feed ---------------------------------------------------------------------------------------------------------


def test_a_feed_is_the_same_bytes_until_something_changes() -> None:
    def written(*events: Event) -> bytes:
        return feed("Miriam Albrecht", iter(events), **FEED)

    bytes_before = written(*OTHERS)

    assert written(*OTHERS) == written(*reversed(OTHERS)) == bytes_before
    assert written(*OTHERS[1:]) != bytes_before
    changes = {
        "sequence": 7,
        "starts_at": OTHERS[0].starts_at - timedelta(minutes=15),
        "ends_at": OTHERS[0].ends_at + timedelta(minutes=15),
        "changed_at": OTHERS[0].changed_at + timedelta(seconds=1),
        "summary": "Rückruf: K7P-3M1, Meier",
        "url": "https://portal.beispielwerke.example/other",
        "location": "Köln",
    }
    seen = {written(replace(OTHERS[0], **{name: value}), *OTHERS[1:]) for name, value in changes.items()}
    assert len(seen | {bytes_before}) == len(changes) + 1


def test_a_feed_is_a_private_snapshot_without_a_message() -> None:
    calendar = read(feed("Müller, Miriam", [*OTHERS[1:], OTHERS[0]], **FEED))

    assert [(one.name, one.parameters, one.text) for one in calendar.properties] == [
        ("VERSION", {}, "2.0"),
        ("PRODID", {}, "-//Durchwahl//Appointments//DE"),
        ("CALSCALE", {}, "GREGORIAN"),
        ("NAME", {}, "Müller, Miriam"),
        ("X-WR-CALNAME", {}, "Müller, Miriam"),
        ("REFRESH-INTERVAL", {"VALUE": "DURATION"}, "PT15M"),
        ("SOURCE", {"VALUE": "URI"}, FEED["url"]),
        ("X-PUBLISHED-TTL", {}, "PT15M"),
    ]
    assert [event.one("UID").value for event in calendar.components] == [event.uid for event in OTHERS]
    for event in calendar.components:
        assert event.one("CLASS").value == "PRIVATE"
        assert event.one("DTSTAMP").value == event.one("LAST-MODIFIED").value
        assert [event.values(name) for name in ("ATTENDEE", "ORGANIZER")] == [[], []]
        assert event.components == []


def test_the_stamp_of_a_feed_is_the_last_change() -> None:
    (event,) = read(feed("K", [MOVED], **FEED)).components

    assert event.one("DTSTAMP").value == "20270111T093100Z"


# --- hostile texts ----------------------------------------------------------------------------------------------------

HOSTILE = [
    "Anna\r\nATTENDEE:mailto:evil@x.example",
    "Anna\nEND:VEVENT\nEND:VCALENDAR",
    "Anna\u2028METHOD:CANCEL\x85STATUS:CANCELLED\x0b\x0c",
    'O"Neil; Jo, \\ Söhne: "x" ^n ^\' ^^',
    r"C:\Neu\new\\N \, \; \n \\",
    "\\" * 160,
    '"' * 160,
    ",;:\\" * 80,
    "😀" * 120,
    "ü" * 300,
    "x" * 5000,
    " " * 400 + "x" + "\t" * 400,
    "",
    " \r\n ",
    "\x00\x07\x1b[31m\x7f\x9f",
    "half a \ud83d pair",
    "%2C %0D%0A \ufeff\u202e\u00ad",
    "a\u0301" * 100,
    "BEGIN:VALARM",
]
NOT_KEPT = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")

IN_A_NAME = str.maketrans({'"': "'", "\\": "/", "^": ""})
ANY_TEXT = st.text(
    st.one_of(st.characters(exclude_categories=()), st.sampled_from("\r\n\\,;:\"'^nN %\x85\u2028\t😀")), max_size=300
)
ALL_NAMES = sorted({one.name for one in read(message(replace(BOOKED, location="Köln"))).components[0].properties})


def invited(text: str) -> bytes:
    event = replace(BOOKED, summary=text, description=text, location=text)
    return invitation(
        event,
        Method.REQUEST,
        organizer=Mailbox(text, FIRM.address),
        attendee=Mailbox(text, ANNA.address),
        stamp=BOOKED_AT,
    )


def also(texts: list[str]) -> Callable[[Test], Test]:
    """These examples beside those hypothesis finds."""

    def with_examples(test: Test) -> Test:
        for text in texts:
            test = example(text=text)(test)
        return test

    return with_examples


def solid(text: str) -> str:
    """The text without blanks, line breaks and control characters: what must arrive, whatever it was."""
    return NOT_KEPT.sub("", text)


@given(text=ANY_TEXT)
@also(HOSTILE)
@settings(max_examples=200, deadline=None)
def test_no_text_breaks_a_line_or_adds_a_property(text: str) -> None:
    data = invited(text)

    assert complaining(data, Told((BOOKED,), "REQUEST")) == {}
    (event,) = read(data).components
    assert sorted({one.name for one in event.properties} | {"DESCRIPTION", "LOCATION"}) == ALL_NAMES
    assert solid(event.one("SUMMARY").text) == solid(text)
    for name in ("DESCRIPTION", "LOCATION"):
        assert [solid(one.text) for one in event.properties if one.name == name] in ([solid(text)], [])
    for name in ("ORGANIZER", "ATTENDEE"):
        assert solid(event.one(name).parameters.get("CN", "")) == solid(text).translate(IN_A_NAME)


@in_the_page
def test_ical_js_reads_hostile_texts_as_they_were_meant(foreign_page: IcalJs) -> None:
    for text in HOSTILE:
        data = invited(text)

        assert complaining(data, Told((BOOKED,), "REQUEST"), foreign_page) == {}
        (seen,) = foreign_page.read(data)
        assert solid(str(seen["summary"])) == solid(text)
        assert solid(str(seen["description"] or "")) == solid(text)
        assert [solid(name or "") for name in seen["names"]] == [solid(text).translate(IN_A_NAME)]


@in_the_page
def test_line_breaks_and_backslashes_of_a_description_arrive(foreign_page: IcalJs) -> None:
    text = "Zeile eins\nC:\\Neu\\new; a, b\n\n- vier"

    (seen,) = foreign_page.read(message(replace(BOOKED, description=text.replace("\n", "\r\n"))))

    assert seen["description"] == text


@given(name=st.text(max_size=200))
@example(name="😀" * 60 + "\r\nMETHOD:CANCEL")
@settings(max_examples=60, deadline=None)
def test_the_name_of_a_feed_adds_no_property(name: str) -> None:
    data = feed(name, OTHERS, **FEED)

    assert complaining(data, Told(OTHERS, None)) == {}
    assert solid(read(data).one("NAME").text) == solid(name)
    assert len(read(data).properties) == 8


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"uid": ""},
        {"uid": "two words@x.example"},
        {"uid": "x\r\nMETHOD:CANCEL"},
        {"uid": "ü@x.example"},
        {"uid": "x" * 256},
        {"sequence": -1},
        {"sequence": 2**31},
        {"ends_at": BOOKED.starts_at},
        {"ends_at": BOOKED.starts_at - timedelta(minutes=1)},
        {"starts_at": BOOKED.starts_at.replace(tzinfo=None), "ends_at": BOOKED.ends_at.replace(tzinfo=None)},
        {"ends_at": datetime(2027, 10, 31, 2, 45, tzinfo=BERLIN), "starts_at": datetime(2027, 10, 31, 1, tzinfo=UTC)},
    ],
    ids=str,
)
def test_an_event_that_could_not_be_kept_apart_or_placed_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"UID|sequence|ends after|zone"):
        replace(BOOKED, **changes)


@pytest.mark.parametrize(
    "url", ["", "/s/abc", "https://x.example/a b", "https://x.example/\r\nSTATUS:X", "https://ü.de/"]
)
def test_only_a_whole_address_is_written(url: str) -> None:
    with pytest.raises(ValueError, match="whole address"):
        message(replace(BOOKED, url=url))
    with pytest.raises(ValueError, match="whole address"):
        feed("K", [], url=url)


@pytest.mark.parametrize("address", ["anna", "anna@x.example\r\nSTATUS:X", "Anna <anna@x.example>", "jürgen@x.example"])
def test_only_an_address_a_letter_can_go_to_is_invited(address: str) -> None:
    with pytest.raises(UnsafeHeader):
        invitation(BOOKED, Method.REQUEST, organizer=FIRM, attendee=Mailbox("A", address), stamp=BOOKED_AT)


def test_an_instant_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        invitation(BOOKED, Method.REQUEST, organizer=FIRM, attendee=ANNA, stamp=datetime(2027, 1, 11))  # noqa: DTZ001 - so


def test_a_new_uid_is_random_and_at_the_sites_host() -> None:
    first, second = new_uid("portal.beispielwerke.example"), new_uid("portal.beispielwerke.example")

    assert first != second
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}@portal\.beispielwerke\.example", first)
    assert replace(BOOKED, uid=first).uid == first


def test_ical_js_is_the_file_its_readme_names() -> None:
    named = re.search(r"`([0-9a-f]{64})`", (VENDORED / "README.md").read_text(encoding="utf-8"))
    assert named is not None
    assert hashlib.sha256(ICAL_JS.read_bytes()).hexdigest() == named[1]
