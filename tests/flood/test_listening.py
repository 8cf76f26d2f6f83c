"""How much the server waits for before a thread is lent to a request, and that nobody slips a second one through."""

import os
import re
import socket

import pytest

from portal import listening
from portal.heard import MOST_HEAD, PATIENCE, RATE, Heard
from portal.pages.uploads import BODY_BYTES
from tests.support.processes import Web

FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
PARTS = b"Content-Type: multipart/form-data; boundary=x\r\n"
NEXT = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def post(*headers: bytes, body: bytes = b"") -> bytes:
    lines = b"".join(header if header.endswith(b"\n") else header + b"\r\n" for header in headers)
    return b"POST /contact HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n" + body


def heard(data: bytes, by: int = 1 << 20) -> Heard:
    """What was heard when this came in pieces of that size."""
    request = Heard()
    for start in range(0, len(data), by):
        request.add(data[start : start + by])
    return request


def whole(request: Heard) -> bytes:
    try:
        return b"".join(request.pieces())
    finally:
        request.close()


BODY = os.urandom(200_000)
WHOLE = {
    "no body": NEXT,
    "a short body": post(FORM, b"Content-Length: 5", body=b"a=b&c"),
    "a long body": post(PARTS, b"content-LENGTH:  200000 ", body=BODY),
    "an empty body": post(FORM, b"Content-Length: 0"),
}


@pytest.mark.parametrize("by", [1, 7, 65_536, 1 << 20])
@pytest.mark.parametrize("kind", WHOLE)
def test_a_request_is_whole_with_its_last_byte_and_is_handed_on_as_it_came(kind: str, by: int) -> None:
    sent = WHOLE[kind]
    if by == 1:
        sent = sent.replace(b"200000", b"3000")[: len(sent) - 197_002 if kind == "a long body" else None]

    request, short = heard(sent, by), heard(sent[:-1], by)

    assert (request.is_whole, request.is_cut, request.rest) == (True, False, b"")
    assert not short.is_whole
    assert whole(request) == sent
    short.close()


def test_what_follows_belongs_to_the_next_request() -> None:
    request = heard(post(FORM, b"Content-Length: 5", body=b"a=b&c") + NEXT)

    assert request.rest == NEXT
    assert whole(request).endswith(b"\r\n\r\na=b&c")


@pytest.mark.parametrize(
    "headers",
    [
        (FORM, b"Content-Length: 70000"),
        (PARTS, b"Content-Length: %d" % (BODY_BYTES + 1)),
        (FORM, b"Content-Length: 5", b"Content-Length: 5"),
        (FORM, b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        (FORM, b"Transfer-Encoding: chunked"),
        (FORM, b"Content-Length: five"),
        (FORM, b"Content-Length : 5"),
        (FORM, b"Content-Length: " + b"0" * 30 + b"5"),
    ],
)
def test_a_body_that_is_refused_is_not_waited_for_and_ends_the_connection(headers: tuple[bytes, ...]) -> None:
    request = heard(post(*headers, body=b"a=b"))

    assert (request.is_whole, request.is_cut) == (True, True)
    assert whole(request) == post(*headers)


def test_a_body_of_the_largest_size_is_waited_for() -> None:
    request = heard(post(PARTS, b"Content-Length: %d" % BODY_BYTES, body=b"x"))

    assert (request.is_whole, request.is_cut) == (False, False)
    request.close()


def test_time_is_given_by_what_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening.time, "monotonic", lambda: 1000.0)

    begun, on_its_way = heard(b"G"), heard(post(PARTS, b"Content-Length: 5000000", body=b"x" * 3_000_000))

    assert begun.until == pytest.approx(1000 + PATIENCE, abs=0.01)
    assert on_its_way.until == pytest.approx(1000 + PATIENCE + 3_000_000 / RATE, abs=0.1)
    begun.close()
    on_its_way.close()


SENT: dict[str, tuple[bytes, list[int]]] = {
    "two in a row": (b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n" + NEXT, [200, 200]),
    "a form and the next": (post(FORM, b"Content-Length: 3", body=b"a=b") + NEXT, [422, 200]),
    "an empty line first": (b"\r\n" + NEXT, [200]),
    "an old protocol": (b"GET /healthz HTTP/1.0\r\n\r\n", [200]),
    "who waits to go on": (post(FORM, b"Content-Length: 3", b"Expect: 100-continue", b"Connection: close"), [100]),
    "the length twice": (post(FORM, b"Content-Length: 3", b"Content-Length: 3", body=b"a=b") + NEXT, [400]),
    "two kinds of length": (
        post(FORM, b"Content-Length: 3", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n") + NEXT,
        [400],
    ),
    "no length": (post(FORM, b"Transfer-Encoding: chunked", body=b"3\r\na=b\r\n0\r\n\r\n") + NEXT, [411]),
    "a length that is none": (post(FORM, b"Content-Length: three", body=b"a=b") + NEXT, [400]),
    "another request in what is too long": (post(FORM, b"Content-Length: 70000", body=NEXT), [413]),
    "line feeds alone": (b"GET /healthz HTTP/1.1\nHost: a\n\n", [400]),
    "a head without an end": (b"GET /healthz HTTP/1.1\r\nX: " + b"x" * (MOST_HEAD + 100), [431]),
    "an address too long": (b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", [414]),
}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_each_request_has_its_answer_and_what_is_refused_has_no_second(web: Web) -> None:
    answers = {}
    for name, (sent, _) in SENT.items():
        with socket.create_connection(("127.0.0.1", web.port), timeout=30) as connection:
            connection.sendall(sent)
            answers[name] = codes(connection, until=100 if "waits" in name else None)
            if "waits" in name:
                connection.sendall(b"a=b")
                assert codes(connection) == [422]

    assert answers == {name: expected for name, (_, expected) in SENT.items()}


REFUSED = {name: sent for name, (sent, expected) in SENT.items() if expected in ([400], [414], [431])}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_the_server_refuses_itself_is_protected_and_repeats_nothing(web: Web) -> None:
    sent = {**REFUSED, "an odd name": b"GET /contact HTTP/1.1\r\nHost: a\r\nge heim: x\r\n\r\n"}
    sent["an expectation"] = post(FORM, b"Content-Length: 0", b"Expect: geheim", b"Connection: close")

    answers = {name: answer_to(web, request) for name, request in sent.items()}

    wanted = (b"content-security-policy: default-src 'none'", b"x-content-type-options: nosniff", b"referrer-policy:")
    wanted += (b"permissions-policy:", b"cross-origin-opener-policy:", b"cache-control: no-store")
    assert [name for name, answer in answers.items() if not all(one in answer.lower() for one in wanted)] == []
    assert [name for name, answer in answers.items() if b"heim" in answer or b"xxxx" in answer] == []
    assert [name for name, answer in answers.items() if b"Bitte" not in answer] == []


FORGED = (
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Ssl: on",
    b"X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off",
    b"SCRIPT_NAME: /evil",
    b"SCRIPT_NAME: /contact",
    b"PATH_INFO: /staff/login",
)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_nobody_on_this_machine_speaks_for_a_proxy(web: Web) -> None:
    question = b"GET /link HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%s\r\n\r\n"

    plain, *answers = [without_date(answer_to(web, question % forged)) for forged in (b"X-A: a", *FORGED)]

    assert dict(zip(FORGED, answers, strict=True)) == dict.fromkeys(FORGED, plain)


def without_date(answer: bytes) -> bytes:
    return re.sub(rb"\r\nDate: [^\r]*", b"", answer)


def answer_to(web: Web, request: bytes) -> bytes:
    """All that the server says to this before it closes."""
    with socket.create_connection(("127.0.0.1", web.port), timeout=30) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def codes(connection: socket.socket, until: int | None = None) -> list[int]:
    """The status codes of all answers until the server closes, or this one has come."""
    said = b""
    while piece := connection.recv(65_536):
        said += piece
        if until is not None and b"HTTP/1.1 %d " % until in said:
            break
    return [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d{3}) ", said)]
