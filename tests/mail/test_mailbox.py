"""The local mailbox: it keeps what comes by SMTP, and shows it without trusting it."""

import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from flask import Flask
from flask.testing import FlaskClient

from portal.app import create_app
from portal.mail.message import Envelope, build
from portal.mail.transport import Post, Relay, TryLater
from portal.pages.mailbox import receiver
from portal.pages.mailbox.views import with_links

NOW = datetime(2026, 11, 24, 8, 12, 30, 5, tzinfo=UTC)

LETTER = Envelope(
    from_name="Miriam Albrecht – Beispielwerke Großhandel für Köche, Münster & Söhne GmbH",
    from_address="service@beispielwerke.example",
    to_address="anna@kundin.example",
    reply_to="miriam.albrecht@beispielwerke.example",
    subject="Ihr Anliegen K7P-3M9: Miriam Albrecht antwortet bis Donnerstag, 26. November, 14 Uhr",
    text="Guten Tag,\n\nIhre Seite: https://portal.example/s/abc?x=1&y=2.\nBis Donnerstag <b>14 Uhr</b>\n",
    html='<!doctype html><html><head><title>x</title></head><body style="color:#123">'
    '<a href="https://portal.example/s/abc">Ihre Seite für Sie</a></body></html>',
    message_id="<0123456789abcdef@beispielwerke.example>",
    date=NOW,
    language="de",
    kind="confirmation",
    reference="K7P-3M9",
    auto_submitted="auto-generated",
)

# A name that looks right and was never given.
UNKNOWN = "20261124T081230000005Z-00000000.eml"

STRANGE = (
    b"Subject: =?no-such-charset?q?x?= =?utf-8?b?!!!?=\r\nFrom: \xff\xfe <script>alert(1)</script>\r\n"
    b"Content-Type: text/plain; charset=no-such-charset\r\n\r\nGr\xc3\xbc\xc3\x9fe <script>alert(2)</script>\r\n"
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "mailbox"
    path.mkdir()
    return path


@pytest.fixture
def mailbox(directory: Path) -> Iterator[Controller]:
    controller = receiver.start(directory)
    yield controller
    controller.stop()


@pytest.fixture
def client(tmp_path: Path, directory: Path) -> FlaskClient:
    """A browser before the whole application; the mailbox asks no database."""
    app = create_app(
        {
            "PORTAL_DATABASE_URL": f"sqlite:///{tmp_path / 'unused.sqlite3'}",
            "PORTAL_SECRET_KEY": "a-key-for-tests-0123456789-abcdefghij",
            "PORTAL_MAILBOX_DIR": str(directory),
        }
    )
    return app.test_client()


def deliver(port: int, letter: bytes) -> bool:
    app = Flask("sender")
    app.config.update(MAIL_SERVER="127.0.0.1", MAIL_PORT=port, MAIL_DEFAULT_SENDER=LETTER.from_address)
    relay = Relay(Post(app))
    try:
        return relay.send(
            message=letter,
            sender=LETTER.from_address,
            recipient=LETTER.to_address,
            before_data=lambda: True,
        )
    finally:
        relay.close()


def contents(directory: Path) -> list[bytes]:
    return [(directory / name).read_bytes() for name in receiver.names(directory)]


# Receiving


def test_a_letter_sent_by_smtp_is_kept_as_it_was_sent(mailbox: Controller, directory: Path) -> None:
    letter = build(LETTER)

    assert deliver(mailbox.port, letter) is True

    assert contents(directory) == [letter]


def test_the_letters_survive_a_restart(directory: Path) -> None:
    letter = build(LETTER)
    for _ in range(2):
        mailbox = receiver.start(directory)
        deliver(mailbox.port, letter)
        mailbox.stop()

    assert contents(directory) == [letter, letter]


def test_a_mailbox_listens_on_the_port_it_is_given(directory: Path) -> None:
    first = receiver.start(directory)
    first.stop()

    second = receiver.start(directory, port=first.port)

    assert second.port == first.port
    assert deliver(second.port, build(LETTER)) is True
    second.stop()


def test_a_taken_port_is_said_at_once(mailbox: Controller, directory: Path) -> None:
    with pytest.raises(OSError, match="in use"):
        receiver.start(directory, port=mailbox.port)


def test_only_the_owner_can_read_the_mailbox(tmp_path: Path) -> None:
    mailbox = receiver.start(tmp_path / "var" / "mailbox")
    mailbox.stop()

    assert stat.S_IMODE((tmp_path / "var" / "mailbox").stat().st_mode) == 0o700


def test_a_mailbox_that_cannot_write_lets_the_letter_be_tried_again(mailbox: Controller, directory: Path) -> None:
    directory.rmdir()

    with pytest.raises(TryLater):
        deliver(mailbox.port, build(LETTER))


def test_names_sort_by_the_time_the_letters_came(directory: Path) -> None:
    east = timezone(timedelta(hours=9))
    given = [
        receiver.keep(directory, b"x", now=at)
        for at in (
            NOW,
            (NOW + timedelta(microseconds=1)).astimezone(east),
            NOW + timedelta(seconds=1),
            NOW + timedelta(days=300),
        )
    ]

    assert receiver.names(directory) == given[::-1]
    assert receiver.received_at(given[1]) == NOW + timedelta(microseconds=1)


def test_two_letters_of_one_instant_are_both_kept(directory: Path) -> None:
    names = {receiver.keep(directory, b"x", now=NOW) for _ in range(2)}

    assert set(receiver.names(directory)) == names
    assert len(names) == 2


def test_only_the_newest_letters_are_kept(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "KEPT", 3)

    given = [receiver.keep(directory, b"x", now=NOW + timedelta(seconds=second)) for second in range(5)]

    assert receiver.names(directory) == given[:1:-1]
    assert len(list(directory.iterdir())) == 3


def test_what_is_no_letter_is_neither_listed_nor_removed(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "KEPT", 1)
    (directory / "notes.txt").write_text("mine")
    (directory / f".{UNKNOWN}").write_text("unfinished")

    name = receiver.keep(directory, b"x", now=NOW)

    assert receiver.names(directory) == [name]
    assert len(list(directory.iterdir())) == 3


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../secret.eml",
        f"../mailbox/{UNKNOWN}",
        f"{UNKNOWN}\n",
        f"{UNKNOWN}\0",
        f"x{UNKNOWN}",
        f"{UNKNOWN}.bak",
    ],
)
def test_a_strange_name_finds_nothing(directory: Path, name: str) -> None:
    (directory / UNKNOWN).write_bytes(b"x")
    (directory / f"{UNKNOWN}.bak").write_bytes(b"x")
    (directory.parent / "secret.eml").write_bytes(b"x")

    assert receiver.find(directory, name) is None


def test_a_name_that_is_none_has_no_time() -> None:
    with pytest.raises(ValueError, match="not the name"):
        receiver.received_at("notes.txt")


def test_a_mailbox_nobody_has_started_is_empty(tmp_path: Path) -> None:
    assert receiver.names(tmp_path / "nowhere") == []


# Reading


def test_the_list_shows_the_newest_letter_first(client: FlaskClient, directory: Path) -> None:
    older = receiver.keep(directory, build(replace(LETTER, subject="Älter")), now=NOW)
    newer = receiver.keep(directory, build(LETTER), now=NOW + timedelta(hours=1))

    page = client.get("/mailbox/").text

    assert page.index(f"/mailbox/{newer}") < page.index(f"/mailbox/{older}")
    assert "Miriam Albrecht – Beispielwerke Großhandel für Köche, Münster &amp; Söhne GmbH" in page
    assert "anna@kundin.example" in page
    assert "Älter" in page
    assert "24.11.2026, 09:12:30" in page


def test_an_empty_mailbox_has_a_page_too(client: FlaskClient) -> None:
    answer = client.get("/mailbox/")

    assert answer.status_code == 200
    assert "/mailbox/2" not in answer.text


def test_a_letter_shows_its_text_with_links_its_headers_and_a_frame(client: FlaskClient, directory: Path) -> None:
    name = receiver.keep(directory, build(LETTER), now=NOW)

    page = client.get(f"/mailbox/{name}").text

    link = "https://portal.example/s/abc?x=1&amp;y=2"
    assert f'<a href="{link}" rel="noopener noreferrer">{link}</a>.' in page
    assert "Bis Donnerstag &lt;b&gt;14 Uhr&lt;/b&gt;" in page
    assert "<b>X-Portal-Letter:</b> confirmation" in page
    assert "<b>Message-ID:</b> &lt;0123456789abcdef@beispielwerke.example&gt;" in page
    assert f'src="/mailbox/{name}/html"' in page
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in page
    assert f'href="/mailbox/{name}/raw"' in page


def test_the_letters_page_may_frame_its_own_html_and_nothing_else(client: FlaskClient, directory: Path) -> None:
    name = receiver.keep(directory, build(LETTER), now=NOW)

    directives = client.get(f"/mailbox/{name}").headers["Content-Security-Policy"].split("; ")

    assert "frame-src 'self'" in directives
    assert "default-src 'none'" in directives
    assert "style-src 'self'" in directives


def test_the_html_is_served_under_a_policy_of_its_own(client: FlaskClient, directory: Path) -> None:
    name = receiver.keep(directory, build(LETTER), now=NOW)

    answer = client.get(f"/mailbox/{name}/html")

    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Security-Policy"].split("; ") == [
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "frame-ancestors 'self'",
        "sandbox allow-popups allow-popups-to-escape-sandbox",
    ]
    assert '<body style="color:#123">' in answer.text
    assert "Ihre Seite für Sie" in answer.text
    assert '<head><base target="_blank">' in answer.text


def test_the_letter_as_it_was_sent_is_plain_text(client: FlaskClient, directory: Path) -> None:
    letter = build(LETTER)
    name = receiver.keep(directory, letter, now=NOW)

    answer = client.get(f"/mailbox/{name}/raw")

    assert answer.data == letter
    assert answer.mimetype == "text/plain"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("letter", [STRANGE, b"", b"\r\n", b"no header at all", b"Subject: \r\n\r\n"])
def test_a_strange_letter_breaks_no_page(client: FlaskClient, directory: Path, letter: bytes) -> None:
    name = receiver.keep(directory, letter, now=NOW)

    pages = [client.get("/mailbox/"), client.get(f"/mailbox/{name}"), client.get(f"/mailbox/{name}/raw")]

    assert [page.status_code for page in pages] == [200, 200, 200]
    assert "<script>alert" not in pages[0].text
    assert "<script>alert" not in pages[1].text


def test_a_letter_in_an_unknown_charset_is_read_as_utf_8(client: FlaskClient, directory: Path) -> None:
    name = receiver.keep(directory, STRANGE, now=NOW)

    assert "Grüße" in client.get(f"/mailbox/{name}").text


def test_a_letter_without_html_has_no_frame(client: FlaskClient, directory: Path) -> None:
    name = receiver.keep(directory, STRANGE, now=NOW)

    assert "<iframe" not in client.get(f"/mailbox/{name}").text
    assert client.get(f"/mailbox/{name}/html").status_code == 404


def test_a_letter_of_html_only_has_a_page_too(client: FlaskClient, directory: Path) -> None:
    name = receiver.keep(directory, b"Content-Type: text/html\r\n\r\n<p>Hallo</p>", now=NOW)

    assert "<iframe" in client.get(f"/mailbox/{name}").text
    assert client.get(f"/mailbox/{name}/html").text == "<p>Hallo</p>"


@pytest.mark.parametrize("view", ["", "/html", "/raw"])
@pytest.mark.parametrize(
    "name", [UNKNOWN, "..%2f..%2fetc%2fpasswd", "%2e%2e", "notes.txt", f".{UNKNOWN}", f"{UNKNOWN}%00"]
)
def test_what_is_not_in_the_mailbox_is_not_found(client: FlaskClient, directory: Path, name: str, view: str) -> None:
    (directory / "notes.txt").write_text("mine")

    answer = client.get(f"/mailbox/{name}{view}")

    assert answer.status_code in (404, 308)
    assert "mine" not in answer.text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("a < b & c", "a &lt; b &amp; c"),
        (
            "<i>(https://x.example/a), und",
            '&lt;i&gt;(<a href="https://x.example/a" rel="noopener noreferrer">https://x.example/a</a>), und',
        ),
        (
            "http://x.example/?a=1&b=2.",
            '<a href="http://x.example/?a=1&amp;b=2" rel="noopener noreferrer">http://x.example/?a=1&amp;b=2</a>.',
        ),
        ("javascript:alert(1)", "javascript:alert(1)"),
        ("https://", "https://"),
        (
            'https://x.example/"onclick="alert(1)',
            '<a href="https://x.example/" rel="noopener noreferrer">https://x.example/</a>&#34;onclick=&#34;alert(1)',
        ),
    ],
)
def test_only_web_addresses_become_links_and_all_else_is_escaped(text: str, shown: str) -> None:
    assert str(with_links(text)) == shown
