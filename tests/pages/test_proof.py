"""The contact form's proof of work: asked for where it is switched on, missed without refusing anybody."""

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from altcha import Challenge, Payload, Solution, create_challenge, solve_challenge
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from portal import db
from portal.cases.models import Case, CaseState, Doubt
from portal.links import Links, Purpose
from portal.pages.contact import proof
from portal.pages.contact.forms import read_ticket
from portal.people.models import Person
from tests.conftest import SECRET_KEY
from tests.pages.staff_desk import Desk, document, form_with_action, text, values

NOW = datetime(2026, 11, 24, 8, 12, tzinfo=UTC)
FORM = "/contact?lang=en"
TYPED = {
    "topic": "angebot",
    "name": "Sabine Krüger",
    "email": "sabine@kunde.example",
    "message": "Wir brauchen ein Angebot.\nDanke!",
}
VENDORED = Path(proof.__file__).parents[2] / "static" / "vendor" / "altcha"
WEIGHT = 40 * 1024
"""Bytes, compressed, that the proof may add to the form."""
links = Links([SECRET_KEY])

Send = Callable[..., TestResponse]


@pytest.fixture(autouse=True)
def tuesday() -> Any:
    """Every test happens on a Tuesday morning."""
    with time_machine.travel(NOW, tick=False) as travel:
        yield travel


@pytest.fixture(autouse=True)
def easy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sum for tests, not for robots."""
    monkeypatch.setattr(proof, "COST", 2)
    monkeypatch.setattr(proof, "TRIES", 20)


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    """The settings of all tests, with the proof switched on."""
    return {**environment, "PORTAL_PROOF_OF_WORK": "true"}


def solution(challenge: str) -> str:
    """What the widget would make of a challenge."""
    asked = Challenge.from_dict(json.loads(challenge))
    found = solve_challenge(asked)
    assert found is not None
    return Payload(asked, found).to_base64()


def challenge_of(html: str) -> str:
    """The challenge that a page shows."""
    (widget,) = document(html).iter("altcha-widget")
    return widget.get("challenge", "")


@pytest.fixture
def send(client: FlaskClient, company: dict[str, int]) -> Send:
    """Send the form of a page, or of a new one, with this solution (None: without) and some fields changed."""

    def send_form(solved: str | None, page: str | None = None, **changes: str) -> TestResponse:
        data = dict(values(form_with_action(page or client.get(FORM).text, FORM))) | TYPED | changes
        return client.post(FORM, data=data if solved is None else {**data, "altcha": solved})

    return send_form


def doubts(app: Flask) -> list[tuple[CaseState, Doubt | None]]:
    with app.app_context(), db.reading() as session:
        return [(case.state, case.doubt) for case in session.scalars(select(Case).order_by(Case.id))]


OPEN, WAITS = (CaseState.OPEN, None), (CaseState.RECEIVED, Doubt.NO_PROOF)


# The form


class TestSwitchedOff:
    @pytest.fixture
    def environment(self, environment: dict[str, str]) -> dict[str, str]:
        return {name: value for name, value in environment.items() if name != "PORTAL_PROOF_OF_WORK"}

    def test_the_form_knows_nothing_of_it(self, client: FlaskClient, company: dict[str, int]) -> None:
        page = client.get(FORM).text

        assert "altcha" not in page and "proof" not in page and "<noscript" not in page

    def test_nobody_needs_one(self, app: Flask, send: Send) -> None:
        send(None)
        send("nonsense", email="other@kunde.example")

        assert doubts(app) == [OPEN, OPEN]


@pytest.mark.parametrize(
    ("language", "label"),
    [
        ("en", "A short check against automatic messages"),
        ("de", "Eine kurze Prüfung gegen automatische Nachrichten"),
    ],
)
def test_the_form_brings_the_widget_its_words_and_its_challenge(
    client: FlaskClient, company: dict[str, int], language: str, label: str
) -> None:
    page = client.get(f"/contact?lang={language}").text

    (widget,) = document(page).iter("altcha-widget")
    said = {name: widget.get(f"data-{name}", "") for name in ("label", "verifying", "verified", "error")}
    assert said["label"] == label and all(said.values())
    assert (widget.get("language"), widget.get("name")) == (language, proof.FIELD)
    assert json.loads(widget.get("configuration", "")) == {
        "hideLogo": True,
        "hideFooter": True,
        "humanInteractionSignature": False,
    }
    assert [script.get("src") for script in document(page).iter("script")] == [
        "/static/enhance.js",
        "/static/contact.js",
        "/static/proof.js",
    ]


def test_other_pages_load_nothing_of_it(client: FlaskClient, company: dict[str, int], send: Send) -> None:
    thanks = send(None).location
    assert thanks is not None

    assert [path for path in ("/link", thanks, "/staff/login") if "altcha" in client.get(path).text] == []


def test_a_challenge_holds_the_forms_key_and_nothing_else_of_anybody(
    client: FlaskClient, company: dict[str, int]
) -> None:
    page = client.get(FORM).text

    parameters = json.loads(challenge_of(page))["parameters"]
    ticket = read_ticket(links, dict(values(form_with_action(page, FORM)))["csrf_token"], now=NOW)
    assert ticket is not None
    assert parameters["data"] == {"form": ticket.key}
    assert set(parameters) == {
        *("algorithm", "cost", "data", "keyLength", "keyPrefix", "keySignature", "nonce", "salt"),
    }


def test_the_sum_is_as_hard_as_it_says(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()

    assert proof.COST * proof.TRIES / 2 == 2_500_000
    assert json.loads(proof.challenge("a", links))["parameters"]["cost"] == proof.COST


# What is sent


def test_a_solved_one_opens_the_case_at_once(app: Flask, client: FlaskClient, send: Send) -> None:
    page = client.get(FORM).text

    assert send(solution(challenge_of(page)), page).status_code == 303
    assert doubts(app) == [OPEN]


@pytest.mark.parametrize("solved", [None, ""])
def test_without_one_the_entry_waits_for_a_look(app: Flask, client: FlaskClient, send: Send, solved: Any) -> None:
    answer = send(solved)

    assert answer.status_code == 303
    assert doubts(app) == [WAITS]
    assert "Petra Lindner looks at it by" in text(client.get(answer.location or "").text)


def test_one_solution_serves_one_form_only(app: Flask, client: FlaskClient, send: Send) -> None:
    page = client.get(FORM).text
    solved = solution(challenge_of(page))

    send(solved, page)
    send(solved, email="other@kunde.example")
    send(solved, email="third@kunde.example")

    assert doubts(app) == [OPEN, WAITS, WAITS]


def test_the_same_form_sent_twice_is_one_case_whatever_comes_with_the_second(
    app: Flask, client: FlaskClient, send: Send
) -> None:
    page = client.get(FORM).text

    first, second = send(solution(challenge_of(page)), page), send(None, page)

    assert first.location == second.location
    assert doubts(app) == [OPEN]


def test_another_message_under_the_same_key_needs_a_new_solution(app: Flask, client: FlaskClient, send: Send) -> None:
    page = client.get(FORM).text
    solved = solution(challenge_of(page))
    send(solved, page)

    again = send(solved, page, message="Something else.")
    send(solved, again.text, message="Something else.")

    assert again.status_code == 422
    assert doubts(app) == [OPEN, WAITS]


def test_a_form_that_comes_back_keeps_its_key_and_so_its_solution(app: Flask, client: FlaskClient, send: Send) -> None:
    page = client.get(FORM).text
    back = send(None, page, email="sabine@")
    assert back.status_code == 422

    send(solution(challenge_of(page)), back.text)

    assert doubts(app) == [OPEN]


def test_a_solution_ends_with_its_form_and_nothing_typed_is_lost(
    app: Flask, client: FlaskClient, send: Send, tuesday: Any
) -> None:
    page = client.get(FORM).text
    old = solution(challenge_of(page))
    tuesday.shift(timedelta(hours=24))

    back = send(old, page)
    kept = dict(values(form_with_action(back.text, FORM)))
    send(old, back.text)
    send(solution(challenge_of(back.text)), client.get(FORM).text, email="other@kunde.example")
    fresh = client.get(FORM).text
    send(solution(challenge_of(fresh)), fresh, email="third@kunde.example")

    assert back.status_code == 422 and TYPED.items() <= {**kept, "message": TYPED["message"]}.items()
    assert doubts(app) == [WAITS, WAITS, OPEN]


def test_a_day_less_a_second_is_in_time(app: Flask, client: FlaskClient, send: Send, tuesday: Any) -> None:
    page = client.get(FORM).text
    tuesday.shift(timedelta(hours=24, seconds=-1))

    send(solution(challenge_of(page)), page)

    assert doubts(app) == [OPEN]


def test_what_else_is_odd_says_more_than_a_missing_proof(app: Flask, send: Send) -> None:
    send(None, website="https://x.example")
    send(None, email="other@kunde.example", message="https://a.example https://b.example")

    assert [doubt for _, doubt in doubts(app)] == [Doubt.HONEYPOT, Doubt.LINKS]


@pytest.mark.parametrize(
    ("language", "reason"),
    [
        ("en", "The browser did not solve the form’s small sum. That happens to people too"),
        ("de", "Der Browser hat die kleine Rechenaufgabe des Formulars nicht gelöst. Das kommt auch bei Menschen vor"),
    ],
)
def test_staff_read_why_it_waits(app: Flask, send: Send, language: str, reason: str) -> None:
    send(None)
    with app.app_context(), db.writing() as session:
        session.execute(update(Person).values(language=language))
        reference = session.scalars(select(Case.reference)).one()

    assert reason in text(Desk.of(app, "Petra Lindner").get(f"/staff/doubtful/{reference}").text)


@pytest.mark.speaks_of_people
def test_a_database_that_is_away_gives_back_what_was_typed_and_no_solution(
    app: Flask, client: FlaskClient, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = client.get(FORM).text
    solved = solution(challenge_of(page))
    monkeypatch.setattr("portal.pages.contact.views._look_up", lambda *_, **__: 1 / 0)
    app.testing = False
    app.config["PROPAGATE_EXCEPTIONS"] = False

    answer = send(solved, page)

    assert answer.status_code == 500
    assert TYPED["email"] in answer.text and solved not in answer.text


# What anybody may post


def encoded(payload: object) -> str:
    return base64.b64encode(json.dumps(payload).encode()).decode()


def altered(**changes: Any) -> str:
    """A sound solution for the form "a", with some of its parameters changed after it was signed."""
    payload = json.loads(base64.b64decode(solution(proof.challenge("a", links))))
    payload["challenge"]["parameters"].update(changes)
    return encoded(payload)


def own(signed_with: bytes | None, **given: Any) -> str:
    """A challenge of somebody else's making, solved."""
    made = create_challenge("SHA-256", 1, counter=0, data={"form": "a"}, hmac_secret=signed_with, **given)
    return solution(json.dumps(made.to_dict()))


def garbage() -> dict[str, str]:
    sound = solution(proof.challenge("a", links))
    payload = json.loads(base64.b64decode(sound))
    return {
        "nothing": "",
        "no base64": "§$%&",
        "no JSON": base64.b64encode(b"\xff\xfe{").decode(),
        "a number": encoded(7),
        "a list": encoded([payload]),
        "a text": encoded("challenge"),
        "no solution": encoded({"challenge": payload["challenge"]}),
        "no challenge": encoded({"solution": payload["solution"]}),
        "null everywhere": encoded({"challenge": None, "solution": None}),
        "parameters of a wrong kind": encoded({**payload, "challenge": {"parameters": [], "signature": "x"}}),
        "no signature": encoded({**payload, "challenge": {"parameters": payload["challenge"]["parameters"]}}),
        "a signature of a wrong kind": encoded({**payload, "challenge": {**payload["challenge"], "signature": 1}}),
        "another key found": encoded({**payload, "solution": {"counter": 0, "derivedKey": "00" * 32}}),
        "the published half of the key": encoded(
            {**payload, "solution": {"counter": 0, "derivedKey": payload["challenge"]["parameters"]["keyPrefix"]}}
        ),
        "a key of a wrong kind": encoded({**payload, "solution": {"counter": "x", "derivedKey": ["00"]}}),
        "a huge number": encoded({**payload, "solution": {"counter": 10**400, "derivedKey": None}}),
        "deep": base64.b64encode(b"[" * 3000).decode(),
        "deep inside": base64.b64encode(b'{"challenge":{"parameters":{"data":' + b'{"form":' * 300 + b"1}").decode(),
        "too long": sound + "=" * 4096,
        "another form's": altered(data={"form": "b"}),
        "an easier sum": altered(cost=1),
        "any key": altered(keyPrefix="", keySignature=None),
        "more than was signed": altered(expiresAt=2**40),
        "surrogates": altered(nonce="\ud800"),
        "not signed": own(None),
        "signed with the key itself": own(SECRET_KEY.encode()),
        "signed with the other key": own(links.keys(Purpose.SOLUTION)[-1]),
        "version 1": encoded(
            {"algorithm": "SHA-256", "challenge": "a", "number": 1, "salt": "a?form=a", "signature": "b"}
        ),
    }


def test_the_sound_solution_that_garbage_is_made_of_is_one() -> None:
    assert proof.is_solved(solution(proof.challenge("a", links)), "a", links)


@pytest.mark.parametrize("kind", garbage())
def test_garbage_is_no_solution(kind: str) -> None:
    assert not proof.is_solved(garbage()[kind], "a", links)


def test_garbage_of_every_kind_is_an_entry_that_waits(app: Flask, client: FlaskClient, send: Send) -> None:
    pieces = [*garbage().values(), "\x00", "\u202e", "x" * 60_000]

    codes = {send(piece, email=f"{number}@kunde.example").status_code for number, piece in enumerate(pieces)}

    assert codes == {303}
    assert len(doubts(app)) == len(pieces) and {state for state, _ in doubts(app)} == {CaseState.RECEIVED}


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = ("algorithm", "cost", "data", "keyLength", "keyPrefix", "keySignature", "nonce", "salt", "expiresAt")


@given(
    parameters=st.dictionaries(st.sampled_from(NAMES), ANY_JSON) | ANY_JSON,
    signature=ANY_JSON,
    solved=st.fixed_dictionaries({"counter": ANY_JSON, "derivedKey": ANY_JSON}) | ANY_JSON,
)
def test_whatever_the_parts_are_the_answer_is_no(parameters: Any, signature: Any, solved: Any) -> None:
    if isinstance(parameters, dict):
        parameters = {**dict.fromkeys(NAMES[:-1]), "data": {"form": "a"}, **parameters}

    text = encoded({"challenge": {"parameters": parameters, "signature": signature}, "solution": solved})

    assert not proof.is_solved(text, "a", links)


@given(st.text() | st.binary().map(lambda data: base64.b64encode(data).decode()))
def test_whatever_the_text_is_the_answer_is_no(text: str) -> None:
    assert not proof.is_solved(text, "a", links)


# Keys


def test_a_form_open_while_the_key_changes_is_still_good() -> None:
    old, new = "an-old-key-0123456789-abcdefghijklmn", SECRET_KEY
    solved = solution(proof.challenge("a", Links([old])))

    assert proof.is_solved(solved, "a", Links([old, new]))
    assert not proof.is_solved(solved, "a", Links([new]))


def test_nothing_is_signed_with_the_secret_key_itself() -> None:
    solved = Solution(0, "00" * 32)
    made = json.loads(proof.challenge("a", links))

    assert made["signature"] != create_challenge("SHA-256", 1, hmac_secret=SECRET_KEY).signature
    assert not proof.is_solved(Payload(Challenge.from_dict(made), solved).to_base64(), "a", links)


# The files of others


def named_hashes() -> dict[str, str]:
    readme = (VENDORED / "README.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| `([\w.]+)` .*`([0-9a-f]{64})` \|$", readme, re.MULTILINE))


def test_the_vendored_files_are_those_their_readme_names() -> None:
    files = [path for path in VENDORED.iterdir() if path.suffix in (".js", ".css")]

    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files} == named_hashes()
    assert len(files) == 3
    assert "# ALTCHA 3.2.2\n" in (VENDORED / "README.md").read_text(encoding="utf-8")
    assert '"3.2.2"' in (VENDORED / "altcha.min.js").read_text(encoding="utf-8")


def test_the_form_does_not_grow_too_heavy() -> None:
    ours = [VENDORED.parents[1] / name for name in ("proof.js", "proof.css")]
    files = [*ours, *(VENDORED / name for name in named_hashes())]

    assert sum(len(gzip.compress(path.read_bytes())) for path in files) <= WEIGHT


def test_everything_the_form_loads_is_there(client: FlaskClient, company: dict[str, int]) -> None:
    page = document(client.get(FORM).text)
    wanted = [link.get("href", "") for link in page.iter("link") if "static" in link.get("href", "")]
    wanted += [script.get("src", "") for script in page.iter("script")]
    script = (VENDORED.parents[1] / "proof.js").read_text(encoding="utf-8")
    wanted += [f"/static/{name}" for name in re.findall(r"vendor/altcha/[\w.]+", script)]

    assert len(wanted) == 8
    assert {client.get(path, buffered=True).status_code for path in wanted} == {200}
