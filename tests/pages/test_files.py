"""Files on the form, the status page and staff answers: taken or refused by name, kept over an error, downloaded."""

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, update
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.test import TestResponse

from portal import db
from portal.cases.finding import status_token
from portal.cases.models import Case
from portal.customers.models import Customer
from portal.journal import files
from portal.journal.models import Attachment, AttachmentData, Entry, Kind, Scan
from portal.mail.models import Letter
from portal.pages import uploads
from tests.pages.staff_desk import Desk, document, errors, form_with_action, text, values
from tests.support.files import EICAR, EXECUTABLE, SAMPLES, pdf, post

NOW = datetime(2026, 11, 24, 8, 12, tzinfo=UTC)
TYPED = {"topic": "angebot", "name": "Sabine Krüger", "email": "sabine@kunde.example", "message": "Ein Angebot, bitte."}
FORM = "/contact?lang=en"

GONE = uploads.GONE

File = tuple[str, bytes]


@pytest.fixture(autouse=True)
def tuesday() -> Any:
    """Every test happens on a Tuesday morning."""
    with time_machine.travel(NOW, tick=False) as travel:
        yield travel


class Browser:
    """A customer without JavaScript, with one form open."""

    def __init__(self, client: FlaskClient, path: str, action: str) -> None:
        self.client, self.action = client, action
        self.page = client.get(path)

    def send(self, files: Sequence[File] = (), **changes: Any) -> TestResponse:
        """Send the form of the page at hand with these files; a change to None leaves a field out."""
        self.page = self.post(self.filled(**changes), files)
        return self.page

    def filled(self, **changes: Any) -> MultiDict[str, Any]:
        """What the form holds, with some fields changed."""
        data = values(form_with_action(self.page.text, self.action))
        for field, value in changes.items():
            data.poplist(field)
            if value is not None:
                data.setlist(field, value if isinstance(value, list) else [value])
        return data

    def post(self, data: MultiDict[str, Any], files: Sequence[File] = ()) -> TestResponse:
        """Send exactly this."""
        sent: MultiDict[str, Any] = MultiDict(data)
        for called, content in files:
            sent.add("attachments", FileStorage(io.BytesIO(content), called))
        return post(self.client, self.action, sent)

    def listed(self) -> list[str]:
        """The labels of the files that the form still holds."""
        return [
            " ".join("".join(label.itertext()).split())
            for label in document(self.page.text).iter("label")
            if "-remove-" in label.get("for", "")
        ]

    def boxes(self) -> list[str]:
        """What the boxes beside them stand for."""
        fields = document(self.page.text).iter("input")
        return [field.get("value", "") for field in fields if field.get("name", "").endswith("-remove")]


@pytest.fixture
def form(client: FlaskClient, company: dict[str, int]) -> Browser:
    """The contact form, everything but the files typed in by ``send(**TYPED)``."""
    return Browser(client, FORM, FORM)


@pytest.fixture
def status(app: Flask, form: Browser) -> Browser:
    """The status page of a case that has just come in."""
    form.send(**TYPED)
    path = f"/s/{token_of(app)}"
    return Browser(form.client, path, f"{path}/message")


def token_of(app: Flask, email: str = TYPED["email"]) -> str:
    """The secret of the newest case of a mailbox."""
    with app.app_context(), db.reading() as session:
        newest = select(Case).join(Customer, Customer.id == Case.customer_id).where(Customer.email == email)
        return status_token(session.scalars(newest.order_by(Case.id.desc()).limit(1)).one())


def kept(app: Flask) -> list[tuple[str, bytes, Kind | None]]:
    """Every file there is: its name, what it holds, and the kind of its entry; None while it waits for its form."""
    with app.app_context(), db.reading() as session:
        rows = session.execute(
            select(Attachment.name, AttachmentData.data, Entry.kind)
            .join(AttachmentData, AttachmentData.attachment_id == Attachment.id)
            .join(Entry, Entry.id == Attachment.entry_id, isouter=True)
            .order_by(Attachment.at, Attachment.name)
        ).all()
        assert session.scalar(select(func.count()).select_from(AttachmentData)) == len(rows)
        return [(name, data, kind) for name, data, kind in rows]


def cases(app: Flask) -> int:
    with app.app_context(), db.reading() as session:
        return session.scalar(select(func.count()).select_from(Case)) or 0


def letter(app: Flask, kind: str) -> str:
    """The newest letter of a kind, in readable form."""
    with app.app_context(), db.reading() as session:
        message = session.scalars(select(Letter.message).where(Letter.kind == kind).order_by(Letter.id.desc())).first()
    assert message is not None
    return message.replace(b"=\r\n", b"").decode()


def links(page: TestResponse) -> dict[str, str]:
    """The files that a page offers, by name."""
    anchors = document(page.text).iter("a")
    return {anchor.text or "": anchor.get("href", "") for anchor in anchors if "/files/" in anchor.get("href", "")}


# What is taken


def test_a_file_of_each_kind_is_kept_byte_for_byte(app: Flask, form: Browser) -> None:
    for start in (0, 5, 10):
        some = [(f"file.{ending}", content) for ending, content in list(SAMPLES.items())[start : start + 5]]
        answer = Browser(form.client, FORM, FORM).send(some, **TYPED)
        assert answer.status_code == 303, errors(answer.text)

    assert {(name, data) for name, data, _ in kept(app)} == {(f"file.{e}", content) for e, content in SAMPLES.items()}
    assert {kind for _, _, kind in kept(app)} == {Kind.RECEIVED}


def test_the_page_lists_the_file_and_serves_it_only_as_a_download(app: Flask, form: Browser) -> None:
    form.send([("Plan – Küche.pdf", pdf())], **TYPED)
    page = form.client.get(f"/s/{token_of(app)}")

    answer = form.client.get(links(page)["Plan – Küche.pdf"])

    assert (answer.status_code, answer.data, answer.mimetype) == (200, pdf(), "application/pdf")
    wanted = {
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
    }
    assert {name: answer.headers[name] for name in wanted} == wanted
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
    assert answer.headers["Content-Disposition"].endswith("filename*=UTF-8''Plan%20%E2%80%93%20K%C3%BCche.pdf")


def test_the_letters_name_the_files_and_make_no_link_of_them(app: Flask, form: Browser) -> None:
    form.send([("www.evil.example.pdf", pdf()), ("b.txt", b"x")], **TYPED)

    confirmation = letter(app, "confirmation")

    assert "www_evil_example.pdf, b.txt" in confirmation or "b.txt, www_evil_example.pdf" in confirmation
    assert "www.evil" not in confirmation


# What is refused, and how it is said


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("leer.pdf", b"", "“leer.pdf” is empty."),
        ("bild.svg", b"<svg onload=alert(1)>", "“bild.svg” is of a kind we cannot take."),
        ("seite.html", b"<script>alert(1)</script>", "“seite.html” is of a kind"),
        ("seite.xhtml", b"<html/>", "“seite.xhtml” is of a kind"),
        ("seite.mht", b"MIME-Version: 1.0", "“seite.mht” is of a kind"),
        ("skript.js", b"alert(1)", "“skript.js” is of a kind"),
        ("film.swf", b"CWS", "“film.swf” is of a kind"),
        ("eicar.com", EICAR, "“eicar.com” is of a kind"),
        ("bild.png", b"<svg onload=alert(1)>", "“bild.png” does not hold what its name says."),
        ("bild.jpg", EXECUTABLE, "“bild.jpg” does not hold"),
        ("brief.docx", b"\x1f\x8b" + bytes(99), "“brief.docx” does not hold"),
        ("brief.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), "“brief.docx” asks for a password"),
        ("../../../../etc/passwd", b"root:x:0:0", "“passwd” is of a kind"),
        ("..\\..\\x", b"x", "“x” is of a kind"),
        ("CON", b"x", "“_CON” is of a kind"),
        (".htaccess", b"x", "“htaccess” is of a kind"),
        ("x" * 300, b"x", "“" + "x" * 99 + "…” is of a kind"),
    ],
)
def test_a_refusal_names_the_file_and_says_why(
    app: Flask, form: Browser, name: str, content: bytes, sentence: str
) -> None:
    answer = form.send([(name, content)], **TYPED)

    assert answer.status_code == 422
    assert [said.startswith(sentence) for said in errors(answer.text)] == [True], errors(answer.text)
    assert (cases(app), kept(app)) == (0, [])


@pytest.mark.parametrize("name", ["a\x00.pdf", "CON.pdf", "Rechnung\u202efdp.pdf", "y" * 300 + ".pdf", "a\tb.pdf"])
def test_an_odd_name_is_made_harmless(app: Flask, form: Browser, name: str) -> None:
    assert form.send([(name, pdf())], **TYPED).status_code == 303

    [(called, data, _)] = kept(app)
    assert data == pdf() and called.isprintable() and called.endswith(".pdf") and len(called) <= 100
    page = form.client.get(f"/s/{token_of(app)}")
    assert form.client.get(links(page)[called]).status_code == 200


def test_what_the_browser_says_of_the_type_counts_for_nothing(app: Flask, form: Browser) -> None:
    sent: MultiDict[str, Any] = form.filled(**TYPED)
    sent.add("attachments", (io.BytesIO(b"Seriennummer"), "nummer.txt", "text/html; charset=utf-7"))
    form.client.post(FORM, data=sent, content_type="multipart/form-data")

    page = form.client.get(f"/s/{token_of(app)}")

    assert form.client.get(links(page)["nummer.txt"]).headers["Content-Type"] == "text/plain; charset=utf-8"


def test_a_sixth_file_is_one_too_many(app: Flask, form: Browser) -> None:
    answer = form.send([(f"{number}.txt", b"x") for number in range(1, 8)], **TYPED)

    assert errors(answer.text) == [
        "“6.txt” is one too many: we take up to 5 files at once. "
        "“7.txt” is one too many: we take up to 5 files at once."
    ]
    assert cases(app) == 0 and len(form.listed()) == 5


def test_what_is_too_large_is_refused_by_one_byte(app: Flask, form: Browser) -> None:
    most, together = uploads.MOST_BYTES, uploads.MOST_TOGETHER

    answer = form.send([("groß.pdf", pdf(most + 1))], **TYPED)
    assert errors(answer.text) == ["“groß.pdf” has 10.1 MB. One file can have up to 10 MB."]

    answer = form.send([("a.pdf", pdf(most)), ("b.pdf", pdf(most)), ("c.pdf", pdf(together - 2 * most + 1))], **TYPED)
    assert errors(answer.text) == ["“c.pdf” no longer fits: all files together can have up to 25 MB."]
    assert cases(app) == 0

    answer = form.send([("c.pdf", pdf(together - 2 * most))], **TYPED)
    assert answer.status_code == 303 and [len(data) for _, data, _ in kept(app)] == [most, most, together - 2 * most]


def test_a_name_without_its_file_is_refused(form: Browser) -> None:
    answer = form.client.post(FORM, data={**form.filled(**TYPED).to_dict(), "attachments": "plan.pdf"})

    assert errors(answer.text) == ["No file came along. Please choose it once more."]


def test_sentences_are_german_on_a_german_page(client: FlaskClient, company: dict[str, int]) -> None:
    form = Browser(client, "/contact?lang=de", "/contact?lang=de")

    answer = form.send([("leer.pdf", b""), ("groß.pdf", pdf(uploads.MOST_BYTES + 1))], **TYPED)

    assert errors(answer.text) == [
        "„leer.pdf“ ist leer. Bitte wählen Sie die Datei noch einmal aus. "
        "„groß.pdf“ hat 10,1 MB. Eine Datei darf bis zu 10 MB haben."
    ]


# What is chosen is not lost


def test_a_file_outlives_another_fields_error(app: Flask, form: Browser) -> None:
    form.send([("plan.pdf", pdf())], **TYPED | {"email": "kaputt"})
    assert (cases(app), kept(app)) == (0, [("plan.pdf", pdf(), None)])
    assert form.listed() == ["Leave out: plan.pdf (1 kB)"]

    answer = form.send([("foto.png", SAMPLES["png"])], email=TYPED["email"])

    assert answer.status_code == 303
    assert sorted(kept(app)) == [("foto.png", SAMPLES["png"], Kind.RECEIVED), ("plan.pdf", pdf(), Kind.RECEIVED)]


def test_a_good_file_outlives_a_bad_one(app: Flask, form: Browser) -> None:
    form.send([("plan.pdf", pdf()), ("bild.svg", b"<svg/>")], **TYPED)
    assert form.listed() == ["Leave out: plan.pdf (1 kB)"]

    assert form.send().status_code == 303
    assert kept(app) == [("plan.pdf", pdf(), Kind.RECEIVED)]


def test_a_file_can_be_left_out_again(app: Flask, form: Browser) -> None:
    form.send([("a.txt", b"a"), ("b.txt", b"b")], **TYPED | {"name": ""})
    first, second = form.boxes()

    form.send(**{"attachments-remove": first})  # still without a name
    assert form.listed() == ["Leave out: b.txt (1 kB)"] and kept(app) == [("b.txt", b"b", None)]
    answer = form.send(**{"attachments-remove": second, "name": "Sabine"})

    assert answer.status_code == 303
    assert [kind for _, _, kind in kept(app)] in ([], [None])  # it waits for nobody, until its day is over
    assert links(form.client.get(f"/s/{token_of(app)}")) == {}


def test_files_of_another_form_cannot_be_taken(app: Flask, form: Browser) -> None:
    form.send([("geheim.txt", b"x")], **TYPED | {"name": ""})
    stolen = form.boxes()
    other = Browser(form.client, FORM, FORM)

    answer = other.send(**TYPED, **{"attachments-held": stolen, "attachments-remove": []})

    assert (answer.status_code, errors(answer.text)) == (422, [GONE])
    assert kept(app) == [("geheim.txt", b"x", None)]
    assert other.send().status_code == 303


@pytest.mark.parametrize("odd", ["\x00", "a\x00b", "\ud800", "x" * 22, "x" * 5000, ""])
def test_a_file_that_cannot_be_ours_is_asked_for_again(app: Flask, form: Browser, odd: str) -> None:
    data = form.filled(**TYPED, **{"attachments-held": odd.encode("utf-8", "replace").decode()})

    answer = form.client.post(form.action, data=data)

    assert (answer.status_code, errors(answer.text)) == (422, [GONE])
    assert cases(app) == 0


def test_held_files_count_among_the_five(form: Browser) -> None:
    form.send([(f"{number}.txt", b"x") for number in range(4)], **TYPED | {"name": ""})

    answer = form.send([("4.txt", b"x"), ("5.txt", b"x")], name="Sabine")

    assert errors(answer.text) == ["“5.txt” is one too many: we take up to 5 files at once."]


def test_a_double_click_keeps_a_file_once(app: Flask, form: Browser) -> None:
    data = form.filled(**TYPED)
    answers = [form.post(data, [("plan.pdf", pdf())]) for _ in range(2)]

    assert len({answer.location for answer in answers}) == 1 and answers[0].status_code == 303
    assert (cases(app), kept(app)) == (1, [("plan.pdf", pdf(), Kind.RECEIVED)])


def test_a_double_click_on_a_form_with_held_files_is_one(app: Flask, form: Browser) -> None:
    form.send([("plan.pdf", pdf())], **TYPED | {"name": ""})
    data = form.filled(name="Sabine")

    answers = [form.post(data, [("foto.png", SAMPLES["png"])]) for _ in range(2)]

    assert len({answer.location for answer in answers}) == 1 and answers[0].status_code == 303
    assert (cases(app), len(kept(app))) == (1, 2)


def test_the_same_form_with_another_file_is_another_form(app: Flask, form: Browser) -> None:
    data = form.filled(**TYPED)
    form.post(data, [("plan.pdf", pdf())])

    form.page = form.post(data, [("plan.pdf", pdf(salt=b"other"))])

    assert form.page.status_code == 422 and form.listed() == ["Leave out: plan.pdf (1 kB)"]
    assert form.send().status_code == 303
    assert cases(app) == 2


def test_a_file_that_is_gone_is_asked_for_again(app: Flask, form: Browser) -> None:
    form.send([("a.txt", b"a")], **TYPED | {"name": ""})
    data = form.filled(name="Sabine")
    form.send(**{"attachments-remove": form.boxes()})  # in another window

    form.page = form.post(data)

    assert (form.page.status_code, errors(form.page.text)) == (422, [GONE])
    assert form.send().status_code == 303  # nothing more is said of it


def test_a_file_whose_day_is_over_is_not_forgotten_in_silence(app: Flask, status: Browser, tuesday: Any) -> None:
    status.send([("foto.png", SAMPLES["png"])], message="")
    data = status.filled(message="Hier.")
    with app.app_context(), db.writing() as session:
        files.forget(session, now=NOW + 2 * files.HELD_FOR)

    status.page = status.post(data)

    assert status.page.status_code == 422 and len(errors(status.page.text)) == 1
    assert "Hier." in status.page.text and status.send().status_code == 303


# The status page


def test_a_message_brings_files_along(app: Flask, status: Browser) -> None:
    answer = status.send([("foto.png", SAMPLES["png"])], message="Hier das Typenschild.")

    assert answer.status_code == 303
    assert kept(app) == [("foto.png", SAMPLES["png"], Kind.MESSAGE)]
    assert "Dateien dazu: foto.png" in letter(app, "staff_message")
    assert list(links(status.client.get(f"/s/{token_of(app)}"))) == ["foto.png"]


def test_a_message_that_comes_back_keeps_its_files(app: Flask, status: Browser) -> None:
    status.send([("foto.png", SAMPLES["png"])], message="")
    assert status.listed() == ["Leave out: foto.png (1 kB)"] or status.listed() == ["Weglassen: foto.png (1 kB)"]

    data = status.filled(message="Hier.")
    answers = [status.post(data).status_code for _ in range(2)]

    assert answers == [303, 303]
    assert kept(app) == [("foto.png", SAMPLES["png"], Kind.MESSAGE)]


def test_a_closed_case_reopens_with_the_files(app: Flask, status: Browser) -> None:
    path = f"/s/{token_of(app)}"
    closing = Browser(status.client, f"{path}/close", f"{path}/close")
    closing.client.post(f"{path}/close", data=values(form_with_action(closing.page.text, f"{path}/close")))
    reopening = Browser(status.client, path, f"{path}/reopen")

    answer = reopening.send([("beleg.pdf", pdf())], message="Der Beleg fehlte.")

    assert answer.status_code == 303 and kept(app) == [("beleg.pdf", pdf(), Kind.REOPENED)]


def test_nothing_is_kept_for_a_link_that_leads_nowhere(app: Flask, client: FlaskClient, company: Any) -> None:
    sent = {"message": "", "key": "k" * 22, "attachments": (io.BytesIO(pdf()), "plan.pdf")}
    answer = client.post("/s/nonsense/message", data=sent, content_type="multipart/form-data")

    assert (answer.status_code, kept(app)) == (404, [])


# Who gets a file


@pytest.mark.parametrize("odd", ["%00", "a%00b", "%ff", "x" * 500])
def test_an_address_of_no_file_leads_nowhere(app: Flask, desk: Desk, odd: str) -> None:
    assert desk.page is not None
    of_staff = links(desk.page)["anfrage.pdf"].rpartition("/")[0]

    answers = [desk.client.get(f"{path}/{odd}") for path in (of_staff, f"/s/{token_of(app)}/files")]

    assert [answer.status_code for answer in answers] == [404, 404]


def test_a_file_belongs_to_its_case_alone(app: Flask, form: Browser) -> None:
    form.send([("a.txt", b"a")], **TYPED)
    path = links(form.client.get(f"/s/{token_of(app)}"))["a.txt"]
    Browser(form.client, FORM, FORM).send(**TYPED | {"email": "andere@kunde.example"})
    other = path.replace(token_of(app), token_of(app, "andere@kunde.example"))

    assert form.client.get(path).status_code == 200
    assert form.client.get(other).status_code == 404
    assert form.client.get(path[:-1] + "x").status_code == 404
    assert form.client.get(path.replace("/s/", "/s/x")).status_code == 404


@pytest.mark.parametrize(
    ("scan", "code", "shown"),
    [
        (Scan.CLEAN, 200, "a.txt (1 kB)"),
        (Scan.PENDING, 423, "a.txt (the virus scanner still looks at it"),
        (Scan.INFECTED, 404, "a.txt (held back: the virus scanner found something"),
    ],
)
def test_what_the_scanner_said_decides(app: Flask, form: Browser, scan: Scan, code: int, shown: str) -> None:
    form.send([("a.txt", b"a")], **TYPED)
    page = form.client.get(f"/s/{token_of(app)}")
    path = links(page)["a.txt"]
    with app.app_context(), db.writing() as session:
        session.execute(update(Attachment).values(scan=scan, scan_at=NOW if scan == Scan.PENDING else None))

    answer, page = form.client.get(path), form.client.get(f"/s/{token_of(app)}")

    assert answer.status_code == code and (answer.data == b"a") == (code == 200)
    assert shown in text(page.text)
    assert bool(links(page)) == (code == 200)


def test_a_held_file_is_nobodys(app: Flask, status: Browser) -> None:
    status.send([("a.txt", b"a")], message="")
    [file_id] = status.boxes()

    assert status.client.get(f"/s/{token_of(app)}/files/{file_id}").status_code == 404


# Colleagues


@pytest.fixture
def desk(app: Flask, form: Browser) -> Desk:
    """Miriam Albrecht at the page of a case that came in with a file."""
    form.send([("anfrage.pdf", pdf())], **TYPED)
    desk = Desk.of(app, "Miriam Albrecht")
    with app.app_context(), db.reading() as session:
        reference = session.scalars(select(Case.reference)).one()
    desk.get(f"/staff/cases/{reference}")
    return desk


def answer_with(desk: Desk, files: Sequence[File], **changes: str) -> TestResponse:
    """Send the answer form as it stands on the page, with these files."""
    assert desk.page is not None
    action = next(
        form.get("action", "") for form in document(desk.page.text).iter("form") if "/reply" in form.get("action", "")
    )
    data: MultiDict[str, Any] = MultiDict(values(form_with_action(desk.page.text, action)))
    for name, value in changes.items():
        data.setlist(f"reply-{name}", [value])
    for called, content in files:
        data.add("reply-attachments", (io.BytesIO(content), called))
    desk.page = desk.client.post(action, data=data, content_type="multipart/form-data")
    return desk.page


def test_staff_see_and_open_what_came(desk: Desk) -> None:
    assert desk.page is not None
    path = links(desk.page)["anfrage.pdf"]

    answer = desk.client.get(path)

    assert (answer.status_code, answer.data) == (200, pdf())
    assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert desk.app.test_client().get(path).status_code == 302  # not signed in


def test_an_answer_brings_files_along(app: Flask, desk: Desk) -> None:
    answer = answer_with(desk, [("Angebot.pdf", pdf(500))], text="Hier ist das Angebot.")

    assert answer.status_code == 303, errors(answer.text)
    assert ("Angebot.pdf", pdf(500), Kind.REPLY) in kept(app)
    assert "Dateien dazu finden Sie auf der Statusseite: Angebot.pdf" in letter(app, "reply") or (
        "Files to go with it are on the status page: Angebot.pdf" in letter(app, "reply")
    )
    page = app.test_client().get(f"/s/{token_of(app)}")
    assert app.test_client().get(links(page)["Angebot.pdf"]).data == pdf(500)


def test_an_answer_that_comes_back_keeps_its_files(app: Flask, desk: Desk) -> None:
    answer_with(desk, [("Angebot.pdf", pdf(500))], text="")
    assert ("Angebot.pdf", pdf(500), None) in kept(app)

    assert answer_with(desk, [], text="Hier ist das Angebot.").status_code == 303
    assert ("Angebot.pdf", pdf(500), Kind.REPLY) in kept(app)


# How much


class TestTheQuotaOfANetwork:
    @pytest.fixture
    def environment(self, environment: dict[str, str]) -> dict[str, str]:
        return {**environment, "PORTAL_UPLOAD_LIMIT": "1 MB per hour"}

    def test_ends_with_a_sentence_and_a_time(self, app: Flask, form: Browser) -> None:
        form.send([("a.pdf", pdf(700_000))], **TYPED)
        full = Browser(form.client, FORM, FORM)

        answer = full.send([("b.pdf", pdf(700_000))], **TYPED)

        assert (answer.status_code, answer.headers["Retry-After"]) == (429, str(48 * 60))
        assert errors(answer.text)[0].startswith("Not kept: “b.pdf”. More files have come from your network")
        assert full.send().status_code == 303  # the text alone is taken
        assert (cases(app), len(kept(app))) == (2, 1)

    def test_counts_what_is_held(self, app: Flask, form: Browser) -> None:
        form.send([("a.pdf", pdf(700_000))], **TYPED | {"name": ""})
        other = Browser(form.client, FORM, FORM)

        answer = other.send([("b.pdf", pdf(700_000))], **TYPED | {"name": ""})

        assert any("“b.pdf”" in sentence for sentence in errors(answer.text))
        assert [name for name, _, _ in kept(app)] == ["a.pdf"]
        assert form.send(name="Sabine").status_code == 303  # counted once, when it came

    def test_answers_a_second_press_like_the_first(self, app: Flask, form: Browser) -> None:
        data = form.filled(**TYPED)

        answers = [form.post(data, [("a.pdf", pdf(700_000))]) for _ in range(2)]

        assert [answer.status_code for answer in answers] == [303, 303]
        assert (answers[0].location, cases(app), len(kept(app))) == (answers[1].location, 1, 1)

    @pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer at a time
    def test_answers_a_second_press_of_a_message_like_the_first(self, app: Flask, status: Browser) -> None:
        data = status.filled(message="Der Plan.")
        status.client = app.test_client()  # one that keeps no cookies serves both
        with ThreadPoolExecutor(2) as at_once:
            answers = list(at_once.map(lambda _: status.post(data, [("a.pdf", pdf(700_000))]), range(2)))

        assert [answer.status_code for answer in answers] == [303, 303]
        assert len(kept(app)) == 1

    def test_leaves_what_is_held_for_a_message(self, app: Flask, status: Browser) -> None:
        status.send([("a.pdf", pdf())], message="")

        answer = status.send([("b.pdf", pdf(1_200_000))], message="Der Plan.")

        assert answer.status_code == 429 and len(status.listed()) == 1
        assert status.send().status_code == 303
        assert kept(app) == [("a.pdf", pdf(), Kind.MESSAGE)]

    def test_is_not_used_up_by_what_was_refused(self, form: Browser) -> None:
        form.send([("a.pdf", pdf(1_200_000))], **TYPED)

        assert Browser(form.client, FORM, FORM).send([("b.pdf", pdf(700_000))], **TYPED).status_code == 303


@pytest.mark.parametrize("path", ["/contact", "/s/x/message", "/s/x/reopen"])
def test_a_body_beyond_all_files_is_not_read(client: FlaskClient, company: Any, path: str) -> None:
    body = {"attachments": FileStorage(io.BytesIO(bytes(uploads.BODY_BYTES)), "x.pdf")}

    assert post(client, path, body).status_code == 413


@pytest.mark.parametrize("path", ["/s/x/close", "/link", "/thanks/x/address"])
def test_a_form_without_files_stays_small(client: FlaskClient, company: Any, path: str) -> None:
    body = {"attachments": FileStorage(io.BytesIO(bytes(70_000)), "x.pdf")}

    assert post(client, path, body).status_code == 413


def test_a_large_text_is_no_file(client: FlaskClient, company: Any) -> None:
    assert client.post("/contact", data={"message": "x" * 70_000}).status_code == 413
