"""Headers and cookies of every answer on the map, errors included (OWASP ASVS 3.3, 3.4, 4.1.3, 14.3.2)."""

import fcntl
import os
import quopri
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import Flask, request
from sqlalchemy import create_engine, event, select
from sqlalchemy.engine import make_url
from werkzeug.test import TestResponse

from portal import db
from portal.app import create_app
from portal.mail.models import Letter
from tests.conftest import PASSWORD
from tests.map.conftest import ADDRESS, CLOSED, FRESH, OF_STAFF, House, csrf_of, database_gone, let_go
from tests.support.dump import Kept

SANDBOX = {"sandbox": "", "default-src": "'none'"}
"""Of a file that somebody sent."""
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    "object-src": "'none'",
}
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), browsing-topics=()",
}
SECRET = {"Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex, nofollow, noarchive", "Cache-Control": "no-store"}
"""Of pages whose address is itself the secret."""
FORGED = {
    "Host": "evil.example",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Port": "8443",
    "X-Forwarded-Prefix": "/evil",
    "X-Real-IP": "203.0.113.9",
    "Forwarded": "for=203.0.113.9;host=evil.example;proto=https",
}

pytestmark = pytest.mark.usefixtures("tuesday")


def of_customers(house: House) -> list[str]:
    """Every address a customer may ask for by GET, those with a parameter for a few cases."""
    ours = ("staff", "login", "mailbox")
    rules = [rule for rule in house.app.url_map.iter_rules() if "GET" in (rule.methods or ())]
    rules = [rule for rule in rules if rule.endpoint.partition(".")[0] not in ours]
    return [path for rule in rules for path in {*house.addresses(rule)[:2], house.addresses(rule)[-1]}]


def of_staff(house: House) -> list[str]:
    """Every address behind the login."""
    rules = [rule for rule in house.app.url_map.iter_rules() if "GET" in (rule.methods or ())]
    return [path for rule in rules if rule.endpoint.startswith("staff.") for path in house.addresses(rule)[:2]]


def policy_of(answer: TestResponse) -> dict[str, str]:
    """The directives of a content policy."""
    directives = [part.strip().partition(" ") for part in answer.headers["Content-Security-Policy"].split(";")]
    return {name: values for name, _, values in directives}


def unprotected(answers: dict[str, TestResponse]) -> dict[str, object]:
    """What is missing or wrong, by answer."""
    return {
        where: dict(answer.headers)
        for where, answer in answers.items()
        if policy_of(answer) != (SANDBOX if "/files/" in where and answer.status_code == 200 else POLICY)
        or not ALWAYS.items() <= dict(answer.headers).items()
        or answer.headers["Referrer-Policy"] not in ("no-referrer", "same-origin")
    }


def errors(house: House) -> dict[str, TestResponse]:
    """Every kind of answer that is no page, by its code and how it came about."""
    visitor, colleague = house.visitor(), house.colleague()
    reply = house.filled("staff.reply")
    return {
        "404": visitor.get("/there/is/nothing"),
        "404 as text": visitor.get("/there/is/nothing", headers={"Accept": "text/plain"}),
        "404 below a link": visitor.get(f"/s/{house.token(FRESH)}/nothing"),
        "404 of a link": visitor.post("/s/not-a-token/message", data={"message": "x"}),
        "404 of staff": colleague.get("/staff/cases/AAA-AAA"),
        "405": visitor.get(f"/s/{house.token(FRESH)}/message"),
        "405 of a form": visitor.open("/contact", method="PROPFIND"),
        "413": visitor.post("/contact", data={"message": "x" * 70_000}),
        "413 of a link": visitor.post(f"/s/{house.token(FRESH)}/message", data={"message": "x" * 70_000}),
        "400": colleague.post(reply.path, data=reply.data),
        "400 of the login": visitor.post("/staff/login", data={"email": "a@b.example", "password": "x"}),
        "409": visitor.post(f"/s/{house.token(CLOSED)}/close", data={"outcome": "done"}),
        "422": visitor.post("/contact", data={}),
        "302": visitor.get("/staff/"),
        "308": visitor.get("/staff"),
    }


# Every answer


def test_every_page_of_the_map_is_protected(house: House) -> None:
    visitor, colleague = house.visitor(), house.colleague()
    answers = {path: visitor.get(path, buffered=True) for path in of_customers(house)}
    answers |= {path: colleague.get(path) for path in of_staff(house)}

    assert unprotected(answers) == {}


def test_every_error_is_protected_and_is_what_it_should_be(house: House) -> None:
    answers = errors(house)

    assert {name: answer.status_code for name, answer in answers.items()} == {
        name: int(name.partition(" ")[0]) for name in answers
    }
    assert unprotected(answers) == {}


def test_a_fault_of_ours_is_protected_and_tells_nothing(own_house: House) -> None:
    def break_down() -> str:
        raise RuntimeError("a secret of the inside")

    own_house.app.add_url_rule("/planted", "planted", break_down)

    answer = own_house.visitor().get("/planted")

    assert answer.status_code == 500
    assert "secret" not in answer.text and "Traceback" not in answer.text
    assert unprotected({"500": answer}) == {}


def test_without_a_database_every_page_says_so_with_a_number_and_keeps_what_was_typed(house: House, kept: Kept) -> None:
    contact, message = house.filled("contact.send"), house.filled("status.message", **{"attachments-held": "f" * 22})
    visitor, colleague = house.visitor(), house.colleague()
    reply = house.filled("staff.reply", csrf=csrf_of(colleague))

    with database_gone(house.app):
        answers = {
            "form": visitor.get("/contact"),
            "status": visitor.get(message.path.removesuffix("/message")),
            "sent": visitor.post(contact.path, data=contact.data),
            "written": visitor.post(message.path, data=message.data),
            "staff": visitor.get("/staff/login"),
            "answered": colleague.post(reply.path, data=reply.data),
        }

    assert {answer.status_code for answer in answers.values()} == {503}
    assert unprotected(answers) == {}
    assert {answer.headers["Retry-After"] for answer in answers.values()} == {"30"}
    assert [where for where, answer in answers.items() if "089 99998-100" not in answer.text] == []
    assert contact.data["message"] in answers["sent"].text
    assert given_back(answers["written"]) == message.data["message"]
    assert given_back(answers["answered"]) == reply.data["reply-text"]


def given_back(answer: TestResponse) -> str:
    """What stands in the answer's field to copy."""
    return answer.text.partition('id="typed"')[2].partition(">")[2].partition("</textarea>")[0].strip()


def test_who_got_no_turn_to_write_is_asked_to_try_again(
    own_house: House, monkeypatch: pytest.MonkeyPatch, kept: Kept
) -> None:
    message, before = own_house.filled("status.message"), own_house.dump()
    monkeypatch.setattr(db, "LOCK_WAIT", 0.2)
    wait_only_briefly(own_house.app)

    with everything_locked(kept.url):
        answer = own_house.visitor().post(message.path, data=message.data)

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert message.data["message"] in answer.text
    assert unprotected({"503": answer}) == {}
    assert own_house.dump() == before


# Pages with a secret address, pages of staff


def test_a_secret_address_leaves_no_trace(house: House) -> None:
    visitor = house.visitor()
    addresses = [path for path in of_customers(house) if path.startswith(("/s/", "/thanks/"))]
    addresses += [f"/s/{house.token(FRESH)}/nothing", f"/s/{house.token(FRESH)}/message"]

    loose = {path: dict(answer.headers) for path in addresses if not_covered(answer := visitor.get(path), SECRET)}

    assert loose == {}


def test_what_is_posted_to_a_secret_address_leaves_no_trace(house: House) -> None:
    answer = house.send(house.visitor(), "status.message")

    assert answer.status_code == 303
    assert not_covered(answer, SECRET) == {}


def test_pages_behind_the_login_are_kept_nowhere(house: House) -> None:
    colleague = house.colleague()
    wanted = {"Cache-Control": "no-store", "Referrer-Policy": "same-origin"}

    answers = [colleague.get(path) for path in [*of_staff(house), "/staff/login", "/staff/nothing"]]

    assert [not_covered(answer, wanted) for answer in answers if not_covered(answer, wanted)] == []
    assert [answer.request.path for answer in answers[:-1] if "Cookie" not in answer.headers.get("Vary", "")] == []


def test_a_letter_in_the_local_mailbox_is_shut_in(house: House) -> None:
    name = house.addresses(house.rule("mailbox.html"))[0]

    answer = house.visitor().get(name)

    policy = policy_of(answer)
    assert policy["default-src"] == "'none'" and "sandbox" in policy
    assert "script-src" not in policy and "allow-scripts" not in policy["sandbox"]


def not_covered(answer: TestResponse, wanted: dict[str, str]) -> dict[str, str | None]:
    """The headers that are not as wanted."""
    return {name: answer.headers.get(name) for name, value in wanted.items() if answer.headers.get(name) != value}


# Cookies


def test_customers_get_no_cookie_even_from_a_colleagues_browser(house: House) -> None:
    visitor, colleague = house.visitor(), house.colleague()
    addresses = [*of_customers(house), "/there/is/nothing", "/s/not-a-token/message"]

    answers = [client.get(path, buffered=True) for path in addresses for client in (visitor, colleague)]
    answers += [house.send(visitor, endpoint) for endpoint in ("contact.send", "link.wish", "status.message")]
    answers += [answer for name, answer in errors(house).items() if "staff" not in name and name[:3] in ("404", "413")]

    assert [answer.request.path for answer in answers if "Set-Cookie" in answer.headers] == []


def test_the_session_cookie_cannot_be_read_by_scripts_or_sent_by_other_sites(house: House) -> None:
    cookie = house.visitor().get("/staff/login").headers["Set-Cookie"]

    assert cookie.startswith("durchwahl=")
    assert {"HttpOnly", "Path=/", "SameSite=Lax"} <= {part.strip() for part in cookie.split(";")}
    assert "Domain" not in cookie


def test_over_https_the_cookie_is_bound_to_the_host_and_to_https(environment: dict[str, str]) -> None:
    app = create_app({**environment, "PORTAL_BASE_URL": "https://service.example"})

    answer = app.test_client().get("/staff/login", base_url="https://service.example")

    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-durchwahl=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= {part.strip() for part in cookie.split(";")}
    assert "Domain" not in cookie
    let_go(app)


def test_signing_in_and_out_leaves_a_cookie_that_is_worth_nothing(house: House) -> None:
    browser = house.visitor()
    house.send(browser, "login.sign_in")
    copy = browser.get_cookie("durchwahl")
    assert copy is not None

    house.send(browser, "login.sign_out")

    thief = house.visitor()
    thief.set_cookie("durchwahl", copy.value)
    answers = [thief.get(path) for path in of_staff(house)]
    assert {answer.status_code for answer in answers} == {302}
    assert {(answer.location or "").partition("?")[0] for answer in answers} == {"/staff/login"}


# https


def test_over_https_every_answer_says_to_stay_there(environment: dict[str, str], house: House) -> None:
    app = create_app({**environment, "PORTAL_BASE_URL": "https://service.example"})
    client = app.test_client()
    paths = ["/contact", f"/s/{house.token(FRESH)}", "/staff/login", "/there/is/nothing", "/static/app.css", "/healthz"]

    answers = [client.get(path, base_url="https://service.example", buffered=True) for path in paths]
    answers.append(client.post("/contact", data={"message": "x" * 70_000}, base_url="https://service.example"))

    assert {answer.headers["Strict-Transport-Security"] for answer in answers} == {
        "max-age=31536000; includeSubDomains"
    }
    let_go(app)


def test_over_https_a_form_of_another_site_is_refused(environment: dict[str, str]) -> None:
    app = create_app({**environment, "PORTAL_BASE_URL": "https://localhost"})
    house = House(app)
    browser = app.test_client()
    form = browser.get("/staff/login", base_url="https://localhost").text
    token = form.partition('name="csrf_token" value="')[2].partition('"')[0]
    body = {"email": "m.albrecht@beispielwerke.example", "password": PASSWORD, "csrf_token": token}
    before = house.dump()

    answers = [
        browser.post("/staff/login", data=body, base_url="https://localhost", headers=headers)
        for headers in ({"Referer": "https://evil.example/"}, {})
    ]

    assert {answer.status_code for answer in answers} == {400}
    assert house.dump() == before
    let_go(app)


# Headers that visitors may forge


def test_no_header_moves_the_links_in_our_letters(house: House) -> None:
    form = house.filled("contact.send", email="neu@kunde.example")

    answer = house.visitor().post(form.path, data=form.data, headers=FORGED)

    assert answer.status_code == 303
    assert (answer.location or "").startswith("/thanks/")
    found = [address for letter in letters(house) for address in ADDRESS.findall(letter)]
    assert {address.split("/")[2] for address in found if "/s/" in address or "/staff/" in address} == {"localhost"}
    assert not any("evil" in letter or "203.0.113.9" in letter for letter in letters(house))


def test_no_header_moves_a_link_of_a_page(house: House) -> None:
    visitor, colleague = house.visitor(), house.colleague()
    paths = [*of_customers(house), *of_staff(house)]

    pages = [client.get(path, headers=FORGED, buffered=True) for path in paths for client in (visitor, colleague)]

    assert [page.request.path for page in pages if "evil" in page.text or "evil" in (page.location or "")] == []
    assert [page.request.path for page in pages if "Strict-Transport-Security" in page.headers] == []


def test_changing_forwarded_addresses_do_not_escape_the_limit_of_the_login(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portal.pages.staff.login.passwords.check_password", lambda *_: False)  # it takes long
    browser = house.visitor()
    form = house.filled("login.sign_in", csrf=csrf_of(browser))

    codes = [
        browser.post(form.path, data=form.data, headers={"X-Forwarded-For": f"203.0.{n}.7, 198.51.{n}.7"}).status_code
        for n in range(50)
    ]

    assert codes == [422] * 10 + [429] * 40


def test_behind_a_trusted_proxy_its_words_count_but_not_the_host(environment: dict[str, str]) -> None:
    app = create_app({**environment, "PORTAL_TRUSTED_PROXIES": "1"})
    seen: list[tuple[str | None, str, str]] = []
    app.before_request(lambda: seen.append(caller()))

    app.test_client().get(
        "/healthz", headers={**FORGED, "Host": "localhost", "X-Forwarded-For": "192.0.2.1, 203.0.113.9"}
    )

    assert seen == [("203.0.113.9", "https", "localhost")]
    let_go(app)


def test_without_a_trusted_proxy_nobody_speaks_for_anybody(own_house: House) -> None:
    seen: list[tuple[str | None, str, str]] = []
    own_house.app.before_request(lambda: seen.append(caller()))

    own_house.visitor().get("/healthz", headers={**FORGED, "Host": "localhost"})

    assert seen == [("127.0.0.1", "http", "localhost")]


def caller() -> tuple[str | None, str, str]:
    """Who asks, by which scheme and for which host, as the application sees it."""
    return request.remote_addr, request.scheme, request.host


def letters(house: House) -> list[str]:
    """The letters about the newest case, decoded as far as a search needs it."""
    case_id = house.case("neu@kunde.example").id
    with house.app.app_context(), db.reading() as session:
        found = session.scalars(select(Letter.message).where(Letter.case_id == case_id)).all()
    assert len(found) == 2
    return [quopri.decodestring(message).decode() for message in found]


# Faults


def wait_only_briefly(app: Flask) -> None:
    """Let PostgreSQL's locks be waited for as briefly as SQLite's turn."""
    with app.app_context():
        engine = db.db.engine
    if engine.dialect.name == "postgresql":
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("SET lock_timeout = 200"))


@contextmanager
def everything_locked(url: str) -> Iterator[None]:
    """Another writer is at work in this block and does not end."""
    way = turn_taken if url.startswith("sqlite") else table_locked
    with way(url):
        yield


@contextmanager
def turn_taken(url: str) -> Iterator[None]:
    handle = os.open(f"{make_url(url).database}.turn", os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)
    yield
    os.close(handle)


@contextmanager
def table_locked(url: str) -> Iterator[None]:
    engine = create_engine(url)
    with engine.connect() as connection:
        connection.exec_driver_sql('LOCK TABLE "case" IN EXCLUSIVE MODE')
        yield
    engine.dispose()


def test_every_staff_page_is_in_the_walk(house: House) -> None:
    assert len(of_staff(house)) >= 4
    assert set(OF_STAFF) <= {rule.endpoint for rule in house.app.url_map.iter_rules()}
