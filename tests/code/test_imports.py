"""The ring rule of DESIGN.md section 5, read from the source: arrows only inwards, inside the domain only to the right.

pages, worker, commands → cases → appointments → promises → customers → people → mail → journal → ground
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOMAIN = ("cases", "appointments", "promises", "customers", "people", "mail", "journal")
GROUND = ("db", "blobs", "clock", "links", "config", "languages", "limits", "logs", "wakeup")
BETWEEN = {
    "core": ("mail.message", "mail.transport", *GROUND),
    "heartbeat": ("mail.models", *GROUND),
    "schema": ("tables", *GROUND),
    "tables": (*DOMAIN, *GROUND),
}
"""What belongs to no ring, and all it may import."""
PURE = ("portal.promises.business_time", "portal.people.presence", "portal.appointments.slots")
PURE_MAY_NOT = ("flask", "sqlalchemy", "portal.db", "portal.config")
ONLY = {
    "altcha": "portal.pages.contact",
    "flask_mail": "portal.mail.transport",
    "flask_login": "portal.pages.staff.login",
    "flask_wtf": "portal.pages|portal.app",
    "wtforms": "portal.pages",
    "gunicorn": "portal.serving|portal.listening",
    "icalendar": "portal.appointments.ics",
    "alembic": "portal.schema",
}
"""A library and the one part of the house that may know it."""
REQUEST = ("flask.request", "flask.session", "flask.g", "flask.has_request_context")
ASKS_THE_TIME = {"now", "utcnow", "today", "current_timestamp"}
ASKS_THE_SECONDS = {"time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.ctime"}

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for folder in ("portal", "worker")
    for path in sorted((ROOT / folder).rglob("*.py"))
}


def violations(module: str, source: str) -> list[str]:
    """Every breach of the ring rule in one module's source."""
    tree = ast.parse(source)
    names = set(imported(module, tree))
    return [
        *(f"{module} imports {name}" for name in sorted(names) if not may_import(module, name)),
        *(f"{module} {breach}" for breach in _calls(module, tree)),
    ]


def imported(module: str, tree: ast.AST) -> Iterator[str]:
    """The full names a module imports, wherever in it the import stands; relative ones resolved."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = module if MODULES.get(module, Path()).name == "__init__.py" else module.rpartition(".")[0]
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def may_import(module: str, name: str) -> bool:
    """Whether the rings let ``module`` import ``name``."""
    library = name.partition(".")[0]
    if name in ASKS_THE_SECONDS:
        return False
    if library in ONLY and not module.startswith(tuple(ONLY[library].split("|"))):
        return False
    if module in PURE and name.startswith(PURE_MAY_NOT):
        return False
    part = _part(module)
    if name.startswith(REQUEST):
        return part not in (*DOMAIN, *GROUND) or module == "portal.db"
    if library not in ("portal", "worker"):
        return True
    return _inwards(module, part, _part(name), name)


def _inwards(module: str, part: str, other: str, name: str) -> bool:
    if module.startswith("worker"):
        return other == "worker" or other in (*DOMAIN, *GROUND, "core", "heartbeat")
    if part == "simulation":
        return other != "pages"
    if other in ("simulation", "worker") or name.startswith("portal.commands"):
        return part in ("commands", "__main__")
    if part in GROUND:
        return other in GROUND
    if part in DOMAIN:
        return other in GROUND or other in DOMAIN[DOMAIN.index(part) :]
    if part in BETWEEN:
        return name.removeprefix("portal.").startswith(BETWEEN[part])
    return part != "pages" or other in (*DOMAIN, *GROUND, "pages", "heartbeat", "schema")


def _part(name: str) -> str:
    """The part of the house: ``cases`` of ``portal.cases.opening``, ``worker`` of ``worker.loop``."""
    parts = name.split(".")
    return parts[1] if parts[0] == "portal" and len(parts) > 1 else parts[0]


def _calls(module: str, tree: ast.AST) -> Iterator[str]:
    """What a module calls and must not: a clock of its own; in the domain, a transaction of its own."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        name = called.rpartition(".")[2]
        if (name in ASKS_THE_TIME or called in ASKS_THE_SECONDS) and module != "portal.clock":
            yield f"asks the time: {called}()"
        if called in ("__import__", "importlib.import_module", "import_module"):
            yield f"hides an import: {called}()"
        if _part(module) in DOMAIN and name in ("commit", "rollback", "begin", "writing", "reading", "transaction"):
            yield f"opens or ends a transaction: {called}()"


@pytest.mark.parametrize("module", MODULES)
def test_arrows_point_inwards_only(module: str) -> None:
    assert violations(module, MODULES[module].read_text(encoding="utf-8")) == []


def test_every_part_of_the_house_is_looked_at() -> None:
    parts = {_part(module) for module in MODULES}

    assert {"cases", "promises", "customers", "people", "mail", "journal", "pages", "worker", "db", "commands"} <= parts


PLANTED = {
    "a page in the domain": ("portal.cases.opening", "from portal.pages.contact import forms"),
    "a page in the domain, inside a function": ("portal.cases.opening", "def f():\n    import portal.pages.contact"),
    "a page in the domain, by a relative name": ("portal.cases.opening", "from ..pages import contact"),
    "a page by a name of the package": ("portal.cases.opening", "from portal import pages"),
    "the request in the domain": ("portal.cases.opening", "from flask import request"),
    "the session of a browser in the domain": ("portal.people.presence", "from flask import session"),
    "g in the domain": ("portal.mail.outbox", "from flask import g"),
    "the request in the ground": ("portal.limits", "from flask import request"),
    "a form in the domain": ("portal.cases.opening", "from wtforms import Form"),
    "a form library in the domain": ("portal.cases.opening", "import flask_wtf.csrf"),
    "to the left: journal knows mail": ("portal.journal.service", "from portal.mail import outbox"),
    "to the left: mail knows people": ("portal.mail.letters", "from portal.people.models import Person"),
    "to the left: promises know cases": ("portal.promises.service", "from portal.cases.models import Case"),
    "to the left: people know promises": ("portal.people.presence", "from portal.promises import business_time"),
    "the ground knows the domain": ("portal.db", "from portal.journal.models import Entry"),
    "the ground knows the core": ("portal.config", "from portal import core"),
    "the core knows pages": ("portal.core", "from portal.pages import errors"),
    "the core knows cases": ("portal.core", "from portal.cases import opening"),
    "Flask-Mail elsewhere": ("portal.mail.outbox", "from flask_mail import Message"),
    "Flask-Login elsewhere": ("portal.pages.staff.views", "from flask_login import current_user"),
    "the worker knows pages": ("worker.delivery", "from portal.pages import speaking"),
    "the worker knows the application": ("worker.loop", "from portal.app import create_app"),
    "pages know the worker": ("portal.pages.operation", "from worker import loop"),
    "pages know the application": ("portal.pages.operation", "from portal.app import create_app"),
    "somebody knows the simulation": ("portal.pages.operation", "import portal.simulation.judge"),
    "a pure rule knows the database": ("portal.promises.business_time", "from sqlalchemy import select"),
    "the domain asks the time": ("portal.cases.opening", "from datetime import datetime\ndatetime.now(UTC)"),
    "the domain asks the time, in full": ("portal.cases.opening", "import datetime\ndatetime.datetime.now()"),
    "a page asks the day": ("portal.pages.errors", "date.today()"),
    "a page asks the seconds": ("portal.pages.errors", "import time\ntime.time()"),
    "a page asks the seconds, by a bare name": ("portal.pages.errors", "from time import time"),
    "a page asks the time, by another name": (
        "portal.pages.errors",
        "from datetime import datetime as dt\ndt.now(UTC)",
    ),
    "the worker asks the time": ("worker.loop", "datetime.utcnow()"),
    "SQL asks the time": ("portal.mail.outbox", "func.now()"),
    "the domain commits": ("portal.cases.opening", "session.commit()"),
    "the domain opens a transaction": ("portal.cases.opening", "with db.writing() as session: ..."),
    "an import in a string": ("portal.cases.opening", "importlib.import_module('portal.pages')"),
}
ALLOWED = {
    "to the right": (
        "portal.cases.opening",
        "from portal.promises import service\nfrom portal.journal.models import Kind",
    ),
    "down to the ground": (
        "portal.cases.opening",
        "from portal import config, db, limits\nfrom flask import current_app",
    ),
    "a clock for durations": ("worker.loop", "import time\ntime.monotonic()"),
    "an instant of given seconds": ("portal.links", "datetime.fromtimestamp(1, UTC)"),
    "a page that reads the clock once": ("portal.pages.link.views", "from portal import clock\nclock.utc_now()"),
    "the method of the request, in db alone": ("portal.db", "from flask import request"),
    "commands know all": ("portal.commands", "from portal.pages import x\nfrom worker import __main__"),
}


@pytest.mark.parametrize(("module", "source"), PLANTED.values(), ids=PLANTED)
def test_a_planted_breach_is_seen(module: str, source: str) -> None:
    assert len(violations(module, source)) == 1


@pytest.mark.parametrize(("module", "source"), ALLOWED.values(), ids=ALLOWED)
def test_what_the_rule_allows_is_allowed(module: str, source: str) -> None:
    assert violations(module, source) == []
