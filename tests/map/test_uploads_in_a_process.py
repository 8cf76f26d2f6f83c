"""Files against a real web process: what it refuses it does not read, what it takes and gives it does not pile up."""

import hashlib
import http.client
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select

from portal import clock, db
from portal.journal.files import File, attach
from portal.journal.models import Attachment, Entry
from portal.links import new_secret
from portal.pages.uploads import BODY_BYTES, MOST_BYTES, MOST_TOGETHER
from tests.map.conftest import FRESH, House
from tests.support.files import pdf
from tests.support.processes import Web

MEGABYTE = 1024 * 1024
MOST_MEMORY = 150 * MEGABYTE
"""What is promised is 200 MB; a process that has served some pages has 110 of them."""
BOUNDARY = "a-boundary-of-these-tests"
AT_ONCE = 4
"""As many requests as one process works on at a time."""


@pytest.fixture
def web(house: House, environment: dict[str, str], tmp_path: Path) -> Iterator[Web]:
    """`durchwahl serve` with one process."""
    with Web({**environment, "PORTAL_UPLOAD_LIMIT": "1000 MB per hour"}, tmp_path / "web.log") as server:
        yield server


def body_of(token: str, *files: bytes) -> bytes:
    """A contact form with these files."""
    fields = {"csrf_token": token, "topic": "angebot", "name": "Erika", "email": "e@kunde.example", "message": "x"}
    parts = [f'name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
    parts += [
        f'name="attachments"; filename="{i}.pdf"\r\nContent-Type: application/pdf\r\n\r\n'.encode() + data
        for i, data in enumerate(files)
    ]
    lead = f"--{BOUNDARY}\r\nContent-Disposition: form-data; ".encode()
    return b"".join(lead + part + b"\r\n" for part in parts) + f"--{BOUNDARY}--\r\n".encode()


def send(web: Web, body: bytes, *, chunked: bool = False) -> int:
    """The status code of a contact form with this body."""
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=60)
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    try:
        pieces = (body[start : start + 65536] for start in range(0, len(body), 65536))
        connection.request("POST", "/contact", pieces if chunked else body, headers, encode_chunked=chunked)
    except (BrokenPipeError, ConnectionResetError):
        pass  # it answered before it had heard all
    try:
        return connection.getresponse().status
    except ConnectionResetError:
        return 0
    finally:
        connection.close()


def taken(web: Web, body: bytes) -> int:
    """As ``send``, and again where a slow disk kept the others from having their turn in time."""
    codes = (send(web, body) for _ in range(AT_ONCE))
    return next((code for code in codes if code != 503), 503)


def tokens(web: Web, count: int) -> list[str]:
    """The hidden fields of freshly opened forms."""
    found = []
    for _ in range(count):
        connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=30)
        connection.request("GET", "/contact")
        match = re.search(r'name="csrf_token" value="([^"]+)"', connection.getresponse().read().decode())
        assert match is not None
        found.append(match[1])
        connection.close()
    return found


def peak(web: Web) -> int:
    """The most memory that any process of the server has had, in bytes."""
    children = Path(f"/proc/{web.pid}/task/{web.pid}/children").read_text().split()
    states = [Path(f"/proc/{pid}/status").read_text() for pid in (*children, str(web.pid))]
    return max(int(match[1]) * 1024 for state in states if (match := re.search(r"VmHWM:\s+(\d+) kB", state)))


def stored(house: House) -> int:
    """How many bytes of files there are."""
    with house.app.app_context(), db.reading() as session:
        return session.scalar(select(func.coalesce(func.sum(Attachment.bytes), 0))) or 0


@pytest.mark.slow
def test_bodies_at_the_limit_are_taken_whole_and_in_bounds(house: House, web: Web) -> None:
    files, before = [pdf(MOST_BYTES), pdf(MOST_BYTES), pdf(MOST_TOGETHER - 2 * MOST_BYTES)], stored(house)
    bodies = [body_of(token, *files) for token in tokens(web, AT_ONCE)]

    with ThreadPoolExecutor(AT_ONCE) as threads:
        codes = list(threads.map(lambda body: taken(web, body), bodies))

    assert codes == [303] * AT_ONCE
    assert stored(house) - before == AT_ONCE * MOST_TOGETHER
    assert peak(web) < MOST_MEMORY, f"{peak(web) / MEGABYTE:.0f} MB"


def keep(house: House, name: str, data: bytes) -> str:
    """Have a file come with the newest entry of a case, whoever sent it; its path."""
    case_id, digest = house.case(FRESH).id, hashlib.sha256(data).hexdigest()
    file = File(new_secret(), name, "application/pdf", len(data), digest, read=lambda: [data])
    with house.app.app_context(), db.writing() as session:
        entry_id = session.scalars(select(func.max(Entry.id)).where(Entry.case_id == case_id, Entry.visible)).one()
        attach(session, entry_id, [file], now=clock.utc_now())
    return f"/s/{house.token(FRESH)}/files/{file.id}"


def asked_for(web: Web, path: str, **headers: str) -> tuple[int, int, str]:
    """The status code of a download, the length it was said to have, and a hash of what came."""
    connection, digest = http.client.HTTPConnection("127.0.0.1", web.port, timeout=60), hashlib.sha256()
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    length = answer.length or 0
    while piece := answer.read(65536):
        digest.update(piece)
    connection.close()
    return answer.status, length, digest.hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("of", ["noise", "repeats"])  # a database may compress what repeats itself
def test_the_largest_files_are_given_whole_and_in_bounds(house: House, web: Web, of: str) -> None:
    data = os.urandom(MOST_BYTES) if of == "noise" else bytes(range(256)) * (MOST_BYTES // 256)
    path = keep(house, "large.pdf", data)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        answers = list(threads.map(lambda _: asked_for(web, path), range(2 * AT_ONCE)))

    assert answers == [(200, MOST_BYTES, hashlib.sha256(data).hexdigest())] * 2 * AT_ONCE
    part = hashlib.sha256(data[5_000_000:]).hexdigest()
    assert asked_for(web, path, Range="bytes=5000000-") == (206, MOST_BYTES - 5_000_000, part)
    assert asked_for(web, path, Range="bytes=99999999-")[0] == 416
    assert peak(web) < MOST_MEMORY, f"{peak(web) / MEGABYTE:.0f} MB"


@pytest.mark.slow
@pytest.mark.parametrize(("chunked", "codes"), [(False, {413, 0}), (True, {411, 0})], ids=["with length", "chunked"])
def test_one_byte_beyond_is_refused_whole_in_every_framing(
    house: House, web: Web, chunked: bool, codes: set[int]
) -> None:
    [token] = tokens(web, 1)
    body, before = body_of(token, pdf(MOST_BYTES)), stored(house)
    body = body_of(token, pdf(MOST_BYTES + BODY_BYTES - len(body) + 1))
    assert len(body) == BODY_BYTES + 1

    assert send(web, body, chunked=chunked) in codes
    assert stored(house) == before
    assert peak(web) < MOST_MEMORY


@pytest.mark.slow
def test_files_one_byte_beyond_are_refused_with_the_form(house: House, web: Web) -> None:
    [token], before = tokens(web, 1), stored(house)
    too_much = [pdf(MOST_BYTES), pdf(MOST_BYTES), pdf(MOST_TOGETHER - 2 * MOST_BYTES + 1)]

    assert send(web, body_of(token, *too_much)) == 422
    assert stored(house) - before == 2 * MOST_BYTES  # held, so that they need not be chosen again
    assert peak(web) < MOST_MEMORY
