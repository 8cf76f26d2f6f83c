"""Signing in and out: who gets in, for how long, and what ends it at once."""

from datetime import timedelta

import pytest
import time_machine
from argon2 import PasswordHasher
from flask import Flask
from sqlalchemy import func, select, update

from portal import clock, db
from portal.pages.staff.login import passwords, sign_ins
from portal.people.models import Login, Person, Role, SignIn
from tests.conftest import NOW
from tests.pages.staff_desk import MIRIAM, PASSWORD, Desk, errors

pytestmark = pytest.mark.usefixtures("company")

REFUSAL = "E-Mail-Adresse und Passwort passen nicht zusammen. Nach zehn Versuchen ist zehn Minuten Pause."

BUSY = "Gerade melden sich mehrere Personen gleichzeitig an. Bitte versuchen Sie es in ein paar Sekunden noch einmal."


@pytest.fixture
def desk(app: Flask) -> Desk:
    """A browser at the login page's door."""
    return Desk(app)


def change(app: Flask, statement: object) -> None:
    """Change a row as the command line would."""
    with app.app_context(), db.writing() as session:
        session.execute(statement)  # type: ignore[call-overload]  # any statement


def test_the_right_password_opens_the_worklist(desk: Desk) -> None:
    answer = desk.sign_in()

    assert (answer.status_code, answer.location) == (303, "/staff/")
    assert desk.follow().status_code == 200


def test_the_address_is_known_in_any_case_and_with_spaces_around_it(desk: Desk) -> None:
    assert desk.sign_in(f"  {MIRIAM.upper()} ").status_code == 303


@pytest.mark.parametrize(
    ("email", "password"),
    [
        pytest.param(MIRIAM, "durchwahl im tesT", id="wrong password"),
        pytest.param(MIRIAM, "durchwahl im test ", id="a space too many"),
        pytest.param("nobody@beispielwerke.example", "durchwahl im test", id="unknown address"),
    ],
)
def test_every_refusal_reads_the_same(desk: Desk, email: str, password: str) -> None:
    answer = desk.sign_in(email, password)

    assert answer.status_code == 422
    assert errors(answer.text) == [REFUSAL]
    assert desk.get("/staff/").status_code == 302


def test_a_refused_page_keeps_the_address_and_never_the_password(desk: Desk) -> None:
    answer = desk.sign_in(MIRIAM, "this-was-typed-by-mistake")

    assert f'value="{MIRIAM}"' in answer.text
    assert "this-was-typed-by-mistake" not in answer.text


def test_an_empty_form_says_what_is_missing_and_counts_as_no_attempt(app: Flask, desk: Desk) -> None:
    answer = desk.sign_in("", "")

    assert answer.status_code == 422
    assert errors(answer.text) == ["Geben Sie Ihre E-Mail-Adresse ein.", "Geben Sie Ihr Passwort ein."]
    assert "<title>Fehler: " in answer.text


def test_an_unknown_address_costs_a_hash_as_a_known_one_does(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = []
    monkeypatch.setattr(
        passwords, "check_password", lambda stored, password: checked.append((stored, password)) or False
    )

    desk.sign_in("nobody@beispielwerke.example", "x")
    desk.sign_in(MIRIAM, "x")

    assert [password for _, password in checked] == ["x", "x"]
    assert checked[0][0] is None and str(checked[1][0]).startswith("$argon2id$")


def test_who_may_not_sign_in_any_more_is_refused(app: Flask, company: dict[str, int], desk: Desk) -> None:
    change(app, update(Login).where(Login.person_id == company["Miriam Albrecht"]).values(active=False))

    assert errors(desk.sign_in().text) == [REFUSAL]


def test_switching_a_login_off_ends_its_sign_ins_at_once(app: Flask, company: dict[str, int], desk: Desk) -> None:
    desk.sign_in()

    change(app, update(Login).where(Login.person_id == company["Miriam Albrecht"]).values(active=False))

    assert desk.get("/staff/").status_code == 302


def test_who_has_left_is_refused_from_that_day_on(app: Flask, company: dict[str, int], desk: Desk) -> None:
    left = update(Person).where(Person.id == company["Miriam Albrecht"]).values(left_on=NOW.date())
    with time_machine.travel(NOW - timedelta(days=1), tick=False):
        desk.sign_in()
        change(app, left)
        assert desk.get("/staff/").status_code == 200

    with time_machine.travel(NOW - timedelta(hours=8), tick=False):  # 1:12 at night: the first day without her
        assert desk.get("/staff/").status_code == 302
        assert errors(desk.sign_in().text) == [REFUSAL]


def test_a_cookie_copied_before_signing_out_is_worth_nothing_afterwards(app: Flask, desk: Desk) -> None:
    desk.sign_in()
    desk.follow()
    copy = desk.client.get_cookie("durchwahl")
    assert copy is not None
    thief = app.test_client()
    thief.set_cookie("durchwahl", copy.value)
    assert thief.get("/staff/").status_code == 200

    answer = desk.submit("/staff/logout")

    assert (answer.status_code, answer.location) == (303, "/staff/login?done=signed-out")
    assert "Sie sind abgemeldet." in desk.follow().text
    assert desk.get("/staff/").status_code == 302
    assert thief.get("/staff/").status_code == 302


def test_signing_out_leaves_other_devices_signed_in(app: Flask, desk: Desk) -> None:
    elsewhere = Desk(app)
    elsewhere.sign_in()
    desk.sign_in()
    desk.follow()

    desk.submit("/staff/logout")

    assert elsewhere.get("/staff/").status_code == 200


def test_signing_in_again_changes_the_secret_and_ends_the_former_sign_in(app: Flask, desk: Desk) -> None:
    desk.get("/staff/login")
    token_before = desk.client.get_cookie("durchwahl")
    desk.submit("", email=MIRIAM, password="durchwahl im test")
    first = desk.client.get_cookie("durchwahl")
    assert first is not None and token_before is not None and first.value != token_before.value

    with desk.client.session_transaction() as cookie:
        secret = cookie["_user_id"]
    desk.client.post(
        "/staff/login",
        data={"email": MIRIAM, "password": "durchwahl im test", "csrf_token": token(desk)},
    )

    with desk.client.session_transaction() as cookie:
        assert cookie["_user_id"] != secret
    with app.app_context(), db.reading() as session:
        assert session.scalar(select(func.count()).where(SignIn.ended_at.is_(None))) == 1


def token(desk: Desk) -> str:
    """A CSRF token from the worklist."""
    return desk.get("/staff/").text.partition('name="csrf_token" value="')[2].partition('"')[0]


def test_only_a_hash_of_the_secret_is_stored(app: Flask, desk: Desk) -> None:
    desk.sign_in()

    with desk.client.session_transaction() as cookie:
        secret = cookie["_user_id"]
    with app.app_context(), db.reading() as session:
        stored = session.scalars(select(SignIn.id_hash)).one()
    assert len(secret) >= 22 and stored != secret and len(stored) == 64


def test_eight_hours_without_a_post_end_a_sign_in_however_much_was_read(desk: Desk) -> None:
    with time_machine.travel(NOW, tick=False):
        desk.sign_in()
    with time_machine.travel(NOW + timedelta(hours=7, minutes=59), tick=False):
        assert desk.get("/staff/").status_code == 200
    with time_machine.travel(NOW + timedelta(hours=8), tick=False):
        assert desk.get("/staff/").status_code == 302


def test_a_sign_in_ends_after_twelve_hours_in_any_case(app: Flask, desk: Desk) -> None:
    with time_machine.travel(NOW, tick=False):
        desk.sign_in()
    change(app, update(SignIn).values(seen_at=NOW + timedelta(hours=11)))

    with time_machine.travel(NOW + timedelta(hours=11, minutes=59), tick=False):
        assert desk.get("/staff/").status_code == 200
    with time_machine.travel(NOW + timedelta(hours=12), tick=False):
        assert desk.get("/staff/").status_code == 302


@pytest.fixture
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords compared without hashing, where a test makes many attempts."""
    monkeypatch.setattr(passwords, "check_password", lambda stored, password: password == PASSWORD and bool(stored))


@pytest.mark.usefixtures("quick_passwords")
def test_the_eleventh_attempt_in_ten_minutes_is_refused_even_with_the_right_password(desk: Desk) -> None:
    with time_machine.travel(NOW.replace(minute=10), tick=False):
        for _ in range(10):
            assert desk.sign_in(MIRIAM, "wrong wrong wrong").status_code == 422

        answer = desk.sign_in()

    assert answer.status_code == 429
    assert errors(answer.text) == [REFUSAL]
    assert answer.headers["Retry-After"] == "600"


@pytest.mark.usefixtures("quick_passwords")
def test_the_pause_ends_and_other_networks_and_colleagues_do_not_have_it(app: Flask, desk: Desk) -> None:
    with time_machine.travel(NOW.replace(minute=10), tick=False):
        for _ in range(11):
            desk.sign_in(MIRIAM, "wrong wrong wrong")

        elsewhere = Desk(app)
        elsewhere.client.environ_base["REMOTE_ADDR"] = "203.0.113.9"
        assert elsewhere.sign_in().status_code == 303
        assert Desk(app).sign_in("j.weidner@beispielwerke.example").status_code == 303
    with time_machine.travel(NOW.replace(minute=20), tick=False):
        assert desk.sign_in().status_code == 303


@pytest.mark.usefixtures("quick_passwords")
def test_a_forged_forwarded_address_escapes_no_pause(desk: Desk) -> None:
    with time_machine.travel(NOW.replace(minute=10), tick=False):
        for last in range(11):
            desk.client.environ_base["HTTP_X_FORWARDED_FOR"] = f"198.51.{last}.7"
            answer = desk.sign_in(MIRIAM, "wrong wrong wrong")

    assert answer.status_code == 429


@pytest.mark.parametrize("written", ["", "::ffff:"], ids=["as IPv4", "by a server that listens on IPv6, too"])
@pytest.mark.usefixtures("quick_passwords")
def test_the_fifty_first_attempt_of_a_network_is_refused_whatever_the_address(
    app: Flask, desk: Desk, written: str
) -> None:
    """One password tried on everybody stays below the limit of each address."""
    with time_machine.travel(NOW.replace(minute=10), tick=False):
        desk.get("/staff/login")
        for number in range(50):
            desk.client.environ_base["REMOTE_ADDR"] = f"{written}203.0.113.{number}"
            assert desk.submit("", email=f"colleague{number}@beispielwerke.example", password="x").status_code == 422
        answer = desk.submit("", email=MIRIAM, password=PASSWORD)

        elsewhere = Desk(app)
        elsewhere.client.environ_base["REMOTE_ADDR"] = f"{written}198.51.100.9"
        assert elsewhere.sign_in().status_code == 303

    assert answer.status_code == 429
    assert errors(answer.text) == [REFUSAL]


def test_a_sign_in_beside_as_many_as_may_be_checked_is_answered_at_once(desk: Desk) -> None:
    """Threads that wait for their turn to hash would be missing for customers."""
    with passwords._AT_A_TIME, passwords._AT_A_TIME:
        answer = desk.sign_in()

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "3")
    assert errors(answer.text) == [BUSY]
    assert f'value="{MIRIAM}"' in answer.text
    assert desk.sign_in().status_code == 303


@pytest.mark.parametrize("password", [PASSWORD, "wrong wrong wrong"])
def test_a_checked_password_leaves_its_turn_to_the_next(password_hash: str, password: str) -> None:
    for _ in range(3):
        assert passwords.check_password(password_hash, password) is (password == PASSWORD)


@pytest.mark.parametrize(
    ("asked", "lands_on"),
    [
        ("/staff/cases/K7P-3M9", "/staff/cases/K7P-3M9"),
        ("/staff/?scope=team", "/staff/?scope=team"),
        ("https://evil.example/", "/staff/"),
        ("//evil.example", "/staff/"),
        ("/\\evil.example", "/staff/"),
        ("/contact", "/staff/"),
    ],
)
def test_after_signing_in_only_a_staff_page_comes_next(desk: Desk, asked: str, lands_on: str) -> None:
    desk.get("/staff/login?" + "next=" + asked.replace("?", "%3F").replace("\\", "%5C"))

    answer = desk.submit("", email=MIRIAM, password="durchwahl im test")

    assert answer.location == lands_on


def test_a_page_asked_for_before_signing_in_comes_afterwards(desk: Desk) -> None:
    asked = desk.get("/staff/?scope=team")
    assert asked.status_code == 302
    assert asked.location == "/staff/login?next=%2Fstaff%2F%3Fscope%3Dteam"

    desk.follow()
    answer = desk.submit("", email=MIRIAM, password="durchwahl im test")

    assert answer.location == "/staff/?scope=team"


def test_a_login_without_its_csrf_token_is_refused(desk: Desk) -> None:
    desk.get("/staff/login")

    answer = desk.client.post("/staff/login", data={"email": MIRIAM, "password": "durchwahl im test"})

    assert answer.status_code == 400


def test_signing_out_by_a_foreign_form_is_refused(desk: Desk) -> None:
    desk.sign_in()

    assert desk.client.post("/staff/logout").status_code == 400
    assert desk.get("/staff/").status_code == 200


def test_signing_out_is_no_link(desk: Desk) -> None:
    desk.sign_in()

    assert desk.get("/staff/logout").status_code == 405


def test_an_outdated_hash_is_replaced_when_its_owner_signs_in(app: Flask, company: dict[str, int], desk: Desk) -> None:
    weak = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1).hash("durchwahl im test")
    change(app, update(Login).where(Login.person_id == company["Miriam Albrecht"]).values(password=weak))

    assert desk.sign_in().status_code == 303

    with app.app_context(), db.reading() as session:
        stored = session.get_one(Login, company["Miriam Albrecht"]).password
    assert stored != weak and not passwords.is_outdated(stored)
    assert Desk(app).sign_in().location == "/staff/"


def test_the_session_cookie_is_for_this_host_and_out_of_reach_of_scripts(desk: Desk) -> None:
    cookie = desk.sign_in().headers["Set-Cookie"]

    assert cookie.startswith("durchwahl=")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= {part.strip() for part in cookie.split(";")}


def test_the_login_page_speaks_english_when_asked(desk: Desk) -> None:
    assert '<html lang="de">' in desk.get("/staff/login").text
    assert "Sign in" in desk.get("/staff/login?lang=en").text


def test_pages_speak_the_language_of_the_person(app: Flask, company: dict[str, int], desk: Desk) -> None:
    change(app, update(Person).where(Person.id == company["Miriam Albrecht"]).values(language="en"))
    desk.sign_in()

    page = desk.follow()

    assert '<html lang="en">' in page.text and "Worklist" in page.text


def test_a_role_taken_away_counts_from_the_next_request_on(app: Flask, company: dict[str, int], desk: Desk) -> None:
    desk.sign_in("k.voss@beispielwerke.example")
    with desk.client.session_transaction() as cookie:
        secret = cookie["_user_id"]

    def role() -> Role | None:
        with app.app_context(), db.reading() as session:
            found = sign_ins.find(session, secret, now=clock.utc_now())
            return found and found.role

    assert role() == Role.LEAD
    change(app, update(Login).where(Login.person_id == company["Dr. Katharina Voss"]).values(role=Role.STAFF))
    assert role() == Role.STAFF


def test_reading_changes_no_row_of_a_sign_in(app: Flask, desk: Desk) -> None:
    with time_machine.travel(NOW, tick=False):
        desk.sign_in()
    with time_machine.travel(NOW + timedelta(hours=1), tick=False):
        desk.get("/staff/")
        desk.get("/staff/login")

    with app.app_context(), db.reading() as session:
        assert session.scalars(select(SignIn.seen_at)).one() == NOW
