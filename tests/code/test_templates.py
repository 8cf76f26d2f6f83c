"""What every page template keeps to: nothing inline, no third party, and one sentence for each kind of entry."""

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask import Flask
from flask_babel import force_locale

from portal.app import create_app
from portal.journal.models import Actor, Channel, Direction, Kind
from tests.conftest import SECRET_KEY

PORTAL = Path(__file__).parents[2] / "portal"
FOLDER = PORTAL / "templates"
PAGES = sorted(path for path in FOLDER.rglob("*.html") if "mail" not in path.relative_to(FOLDER).parts[:1])
STATIC = sorted(path for path in (PORTAL / "static").glob("*") if path.suffix in (".css", ".js", ".svg"))
"""Ours. What others wrote stands under ``vendor``; a browser test sees that none of it asks another host."""
JOURNALS = ["_journal.html", "staff/_journal.html"]

INLINE = re.compile(
    r"<style\b|\sstyle\s*=|<script\b(?![^>]*\bsrc=)[^>]*>|\son[a-z]+\s*=\s*[\"'{]|javascript:|<base\b|http-equiv",
    re.IGNORECASE,
)
"""What `default-src 'none'; script-src 'self'; style-src 'self'` forbids, and what would only look as if it worked."""
OUTSIDE = re.compile(r"https?://[^\s\"'<>{}]*|(?<![:\w])//[a-z0-9-]+(?:\.[a-z0-9-]+)+", re.IGNORECASE)
NAMESPACES = {"http://www.w3.org/2000/svg"}
UNESCAPED = re.compile(r"\|\s*safe\b|autoescape\s+false|Markup\(")


def without_comments(template: str) -> str:
    """A template as a browser gets it."""
    return re.sub(r"\{#.*?#\}|<!--.*?-->", "", template, flags=re.DOTALL)


def named(path: Path) -> str:
    return str(path.relative_to(PORTAL))


@pytest.mark.parametrize("path", PAGES, ids=named)
class TestAPageTemplate:
    def test_has_nothing_inline(self, path: Path) -> None:
        assert INLINE.findall(without_comments(path.read_text(encoding="utf-8"))) == []

    def test_names_no_address_outside(self, path: Path) -> None:
        found = OUTSIDE.findall(without_comments(path.read_text(encoding="utf-8")))

        assert set(found) - NAMESPACES == set()

    def test_escapes_everything(self, path: Path) -> None:
        assert UNESCAPED.findall(path.read_text(encoding="utf-8")) == []

    def test_compiles(self, path: Path, website: Flask) -> None:
        website.jinja_env.get_template(path.relative_to(FOLDER).as_posix())


@pytest.mark.parametrize("path", STATIC, ids=named)
def test_style_and_script_name_no_address_outside(path: Path) -> None:
    assert set(OUTSIDE.findall(path.read_text(encoding="utf-8"))) - NAMESPACES == set()


@pytest.mark.parametrize(
    "fault",
    [
        '<p style="color: red">',
        "<style>p { color: red }</style>",
        "<script>alert(1)</script>",
        '<script type="module">alert(1)</script>',
        '<button onclick="go()">',
        '<body onload="{{ go }}">',
        '<a href="javascript:go()">',
        '<base href="/x">',
    ],
)
def test_planted_inline_code_is_seen(fault: str) -> None:
    assert INLINE.search(fault)


@pytest.mark.parametrize(
    "fault",
    [
        '<link href="https://fonts.firma.example/x.css">',
        '<img src="//cdn.firma.example/x.png">',
        "@import url(http://x.example/y.css);",
    ],
)
def test_a_planted_address_outside_is_seen(fault: str) -> None:
    assert OUTSIDE.search(fault)


@pytest.mark.parametrize(
    "sound",
    [
        "<script src=\"{{ url_for('static', filename='enhance.js') }}\" defer></script>",
        '<a href="{{ company.imprint_url }}" data-once="yes" lang="de">Montag = 8</a>',
        "{{ field(form.topic, description='x') }}",
    ],
)
def test_a_sound_line_is_let_through(sound: str) -> None:
    assert not INLINE.search(sound) and not OUTSIDE.search(sound) and not UNESCAPED.search(sound)


@pytest.fixture(scope="module")
def website(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The application; no request reaches its database."""
    folder = tmp_path_factory.mktemp("website")
    environment = {
        "PORTAL_DATABASE_URL": f"sqlite:///{folder}/x.sqlite3",
        "PORTAL_SECRET_KEY": SECRET_KEY,
        "PORTAL_MAILBOX_DIR": str(folder),
    }
    app = create_app(environment)
    with app.test_request_context("/"):
        yield app


@pytest.mark.parametrize("journal", JOURNALS)
class TestTheJournal:
    def test_knows_every_kind_and_no_other(self, journal: str) -> None:
        template = (FOLDER / journal).read_text(encoding="utf-8")

        assert set(re.findall(r'\bkind == "(\w+)"', template)) == {kind.value for kind in Kind}

    @pytest.mark.parametrize("kind", Kind)
    def test_has_a_sentence_for_each_whoever_did_it(self, website: Flask, journal: str, kind: Kind) -> None:
        module = website.jinja_env.get_template(journal).make_module({"words": SimpleNamespace(PROMISES={})})
        customer = ["Karin Kunde"] * journal.startswith("staff/")

        sentences = [
            str(module.sentence(_entry(kind, actor, direction), *customer))  # type: ignore[attr-defined]  # a macro
            for actor, direction in product(Actor, Direction)
        ]

        assert all(sentence.strip() for sentence in sentences)


@pytest.mark.parametrize(
    ("kind", "actor", "sentence"),
    [
        (Kind.NOTICE, Actor.SYSTEM, "Verzögerung mitgeteilt"),
        (Kind.LEAD_JOINED, Actor.SYSTEM, "Lea Lindner ist auch für Sie da"),
        (Kind.TAKEN_OVER, Actor.SYSTEM, "Lea Lindner übernimmt"),
        (Kind.REMINDED, Actor.SYSTEM, "Wir haben Sie noch einmal gefragt"),
        (Kind.CLOSING_ANNOUNCED, Actor.SYSTEM, "Abschluss angekündigt für Freitag, 4. Dezember, 12 Uhr"),
        (Kind.KEPT_OPEN, Actor.CUSTOMER, "Auf Ihren Wunsch bleibt der Vorgang offen"),
        (Kind.CLOSED, Actor.SYSTEM, "Abgeschlossen, weil keine Antwort kam"),
        (Kind.CLOSED, Actor.PERSON, "Abgeschlossen von Lea Lindner"),
        (Kind.CLOSED, Actor.CUSTOMER, "Von Ihnen abgeschlossen"),
    ],
)
def test_customers_read_what_the_passing_of_time_did(website: Flask, kind: Kind, actor: Actor, sentence: str) -> None:
    entry = _entry(kind, actor, Direction.OUT, person_name="Lea Lindner", due="Freitag, 4. Dezember, 12 Uhr")

    with force_locale("de"):
        said = website.jinja_env.get_template("_journal.html").make_module().sentence(entry)  # type: ignore[attr-defined]  # a macro

    assert str(said).strip() == sentence


CALL, VISIT = {"medium": "call", "name": "Miriam Albrecht"}, {"medium": "visit", "name": "Miriam Albrecht"}


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize(
    ("kind", "actor", "facts", "german", "english"),
    [
        (Kind.APPOINTMENT_BOOKED, Actor.CUSTOMER, CALL, "Termin vereinbart: D", "Appointment agreed: D"),
        (
            Kind.APPOINTMENT_MOVED,
            Actor.PERSON,
            CALL,
            "Termin verschoben von M auf D",
            "Appointment moved from M to D",
        ),
        (
            Kind.APPOINTMENT_GIVEN,
            Actor.SYSTEM,
            CALL,
            "Miriam Albrecht übernimmt den Termin; die Zeit bleibt: D",
            "Miriam Albrecht takes over the appointment; its time stays: D",
        ),
        (Kind.APPOINTMENT_FROZEN, Actor.SYSTEM, CALL, "Termin angehalten: D", "Appointment on hold: D"),
        (Kind.APPOINTMENT_STAYS, Actor.CUSTOMER, CALL, "Termin gilt wieder: D", "Appointment stands again: D"),
        (
            Kind.APPOINTMENT_CANCELLED,
            Actor.CUSTOMER,
            CALL,
            "Termin von Ihnen abgesagt: D",
            "Appointment cancelled by you: D",
        ),
        (Kind.APPOINTMENT_CANCELLED, Actor.SYSTEM, CALL, "Termin abgesagt: D", "Appointment cancelled: D"),
        (
            Kind.APPOINTMENT_CANCELLED,
            Actor.SYSTEM,
            {**CALL, "lapsed": "wished"},
            "Termin entfallen, bevor eine neue Zeit vereinbart war: D",
            "Appointment lapsed before a new time was agreed on: D",
        ),
        (
            Kind.APPOINTMENT_LATE,
            Actor.SYSTEM,
            CALL,
            "Wir hatten zur vereinbarten Zeit noch nicht angerufen",
            "We had not called yet at the agreed time",
        ),
        (
            Kind.APPOINTMENT_LATE,
            Actor.SYSTEM,
            VISIT,
            "Zur vereinbarten Zeit war bei uns noch nicht vermerkt, dass der Besuch begonnen hat",
            "At the agreed time we had no sign yet that the visit had begun",
        ),
        (
            Kind.APPOINTMENT_HELD,
            Actor.PERSON,
            CALL,
            "Lea Lindner hat den vereinbarten Anruf geführt",
            "Lea Lindner made the agreed call",
        ),
        (
            Kind.APPOINTMENT_HELD,
            Actor.PERSON,
            {**CALL, "interim": "yes"},
            "Lea Lindner hat Ihnen gesagt, wie es steht",
            "Lea Lindner told you how it stands",
        ),
        (
            Kind.APPOINTMENT_HELD,
            Actor.PERSON,
            VISIT,
            "Lea Lindner war zum Termin da",
            "Lea Lindner was there for the appointment",
        ),
        (
            Kind.APPOINTMENT_NOT_REACHED,
            Actor.PERSON,
            VISIT,
            "Lea Lindner war da und hat Sie nicht angetroffen",
            "Lea Lindner came to visit and did not meet you",
        ),
        (
            Kind.APPOINTMENT_MISSED,
            Actor.SYSTEM,
            CALL,
            "Wir haben den Termin versäumt: D",
            "We missed the appointment: D",
        ),
        (
            Kind.REACHABLE_SAID,
            Actor.CUSTOMER,
            {},
            "Sie haben uns gesagt, wann Sie erreichbar sind",
            "You told us when you can be reached",
        ),
        (
            Kind.PHONE_GIVEN,
            Actor.CUSTOMER,
            {},
            "Sie haben uns eine Telefonnummer genannt",
            "You gave us a phone number",
        ),
    ],
)
def test_customers_read_what_became_of_an_appointment(
    website: Flask, language: str, kind: Kind, actor: Actor, facts: dict[str, str], german: str, english: str
) -> None:
    entry = _entry(kind, actor, Direction.OUT, person_name="Lea Lindner", agreed="D", before="M", facts=facts)

    with website.app_context(), website.test_request_context(f"/?lang={language}"):
        said = website.jinja_env.get_template("_journal.html").make_module().sentence(entry)  # type: ignore[attr-defined]  # a macro

    assert str(said).strip() == {"de": german, "en": english}[language]


def _entry(
    kind: Kind,
    actor: Actor,
    direction: Direction,
    *,
    person_name: str | None = None,
    due: str | None = None,
    agreed: str | None = None,
    before: str | None = None,
    facts: dict[str, str] | None = None,
) -> SimpleNamespace:
    """An entry; without a name and a date one that was erased: even then something remains to be said."""
    return SimpleNamespace(
        kind=kind,
        actor=actor,
        direction=direction,
        channel=Channel.PAGE,
        person_name=person_name,
        facts=facts or {},
        due=due,
        agreed=agreed,
        before=before,
        text="",
    )
