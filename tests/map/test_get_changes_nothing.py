"""Law 5 over the whole map: reading changes nothing, whoever reads and however often (OWASP ASVS 3.5.3).

Mail scanners open every link of every letter, browsers fetch pages before anybody clicks: each of them only looks.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.routing import Rule

from portal import db, tables
from portal.people.models import Company
from tests.map.conftest import ADMIN, CLOSED, FRESH, House
from tests.support.dump import changes

READING = ("GET", "HEAD", "OPTIONS")
BAIT = "lang=en&done=message&before=3&scope=all&next=/staff/&message=x&outcome=done&state=closed&_method=POST"
"""What a page might take for a wish to change something."""
OVERRIDING = {"X-HTTP-Method-Override": "POST", "X-HTTP-Method": "DELETE"}

Visitor = Callable[[House], FlaskClient]

pytestmark = pytest.mark.usefixtures("tuesday")


def anybody(house: House) -> FlaskClient:
    return house.visitor()


def colleague(house: House) -> FlaskClient:
    return house.colleague(ADMIN)  # may read every page


def reading_rules(app: Flask) -> list[Rule]:
    return [rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ())]


def read(client: FlaskClient, path: str) -> int:
    """The status code of an address."""
    return client.get(path, buffered=True).status_code


def read_every_way(client: FlaskClient, path: str) -> set[int]:
    """The status codes of an address, asked for by every method that only reads, with and without bait."""
    return {
        client.open(address, method=method, headers=headers, buffered=True).status_code
        for address, headers in ((path, {}), (f"{path}?{BAIT}", OVERRIDING))
        for method in READING
    }


def walk(house: House, client: FlaskClient, rules: list[Rule]) -> tuple[dict[str, set[int]], list[str]]:
    """Every rule with every sample: the codes by rule, and the rules after which the database was another."""
    codes: dict[str, set[int]] = {}
    changed, before = [], house.dump()
    for rule in rules:
        paths = house.addresses(rule)
        codes[rule.rule] = {read(client, path) for path in paths[1:]} | read_every_way(client, paths[0])
        if (after := house.dump()) != before:
            changed += [rule.rule, *changes(before, after)]
            before = after
    return codes, changed


@pytest.mark.parametrize(
    ("visitor", "later"),
    [
        pytest.param(anybody, timedelta(0), id="anybody"),
        pytest.param(anybody, timedelta(days=60), id="anybody in two months"),
        pytest.param(colleague, timedelta(0), id="colleague"),
    ],
)
def test_reading_any_address_of_the_map_changes_nothing(
    house: House, visitor: Visitor, later: timedelta, tuesday: Any
) -> None:
    tuesday.shift(later)  # by then promises have lapsed, nothing can be reopened any more, and a link has expired

    codes, changed = walk(house, visitor(house), reading_rules(house.app))

    assert changed == []
    assert {rule: sorted(found) for rule, found in codes.items() if max(found) >= 500} == {}
    assert [rule for rule, found in codes.items() if not found & {200, 302}] == []
    assert {200, 404} <= codes["/s/<token>"]


@pytest.mark.parametrize("visitor", [anybody, colleague])
def test_asking_an_address_of_a_button_changes_nothing(house: House, visitor: Visitor) -> None:
    client, before = visitor(house), house.dump()
    only_posts = [rule for rule in house.app.url_map.iter_rules() if "POST" in (rule.methods or ())]

    codes = {
        (rule.rule, method): client.open(path, method=method, headers=OVERRIDING).status_code
        for rule in only_posts
        for path in house.addresses(rule)[:1]
        for method in (*READING, "PUT", "DELETE", "PATCH", "PROPFIND", "TRACE")
    }

    assert changes(before, house.dump()) == []
    assert {where: code for where, code in codes.items() if code >= 500} == {}


def test_a_customer_may_open_every_link_three_times(house: House) -> None:
    client, before = house.visitor(), house.dump()
    paths = [f"/s/{house.token(story)}{page}" for story in (FRESH, CLOSED) for page in ("", "/not-me", "/close")]

    codes = [client.open(path, method=method).status_code for path in paths * 3 for method in ("GET", "HEAD")]

    assert set(codes) == {200, 302}  # a closed case is not asked to be closed: that page leads to the status
    assert house.dump() == before


# Whether the test itself is awake


def test_a_route_without_sample_values_fails_the_walk(own_house: House) -> None:
    own_house.app.add_url_rule("/planted/<colour>", "planted", lambda colour: colour)

    with pytest.raises(AssertionError, match="no sample value for 'colour'"):
        walk(own_house, own_house.visitor(), [own_house.rule("planted")])


def test_a_page_that_tries_to_write_is_stopped_by_the_database(own_house: House) -> None:
    def paint() -> str:
        with db.transaction() as session:
            session.execute(update(Company).values(accent="#123456"))
            session.commit()
        return "painted"

    own_house.app.add_url_rule("/planted", "planted", paint)
    before = own_house.dump()

    answer = own_house.visitor().get("/planted")

    assert answer.status_code >= 500
    assert own_house.dump() == before


def test_a_page_that_gets_round_the_rule_is_found(own_house: House) -> None:
    def paint() -> str:
        with db.writing() as session:
            session.execute(update(Company).values(accent="#123456"))
        return "painted"

    own_house.app.add_url_rule("/planted", "planted", paint)

    _, changed = walk(own_house, own_house.visitor(), [own_house.rule("planted")])

    assert changed[0] == "/planted"


def test_the_dump_holds_every_table(house: House) -> None:
    named = {line.partition(":")[0] for line in house.dump().splitlines()}
    empty = {"channel", "closure", "counter", "link_wish", "replanning", "route", "sign_in", "worker"}

    assert named == set(tables.metadata.tables) - empty | {"alembic_version"}
