"""The limits: a bare Flask view with one INSERT and COMMIT, a bare Flask page with one SELECT.

No ORM, no session, no CSRF; one database connection kept per thread. Started by gunicorn as ours is.
"""

import os
import sqlite3
import threading
from typing import Any

import psycopg
from flask import Flask, request
from jinja2 import DictLoader

URL = os.environ["BENCH_DATABASE_URL"]
SQLITE = URL.startswith("sqlite")
MARK = "?" if SQLITE else "%s"
PAGE = (
    "<!doctype html><title>{{ row[1] }}</title><h1>{{ row[1] }}</h1>"
    + "<p>{{ row[2] }}</p>" * 4
    + "<ul>{% for n in range(50) %}<li>{{ n }}: {{ row[1] }}</li>{% endfor %}</ul>"
)

app = Flask(__name__)
app.jinja_loader = DictLoader({"page.html": PAGE})
kept = threading.local()


def connection() -> Any:
    """This thread's connection."""
    if not hasattr(kept, "connection"):
        if SQLITE:
            kept.connection = sqlite3.connect(URL.removeprefix("sqlite:///"), isolation_level=None, timeout=5)
            for pragma in ("journal_mode=WAL", "synchronous=FULL"):
                kept.connection.execute(f"PRAGMA {pragma}")
        else:
            kept.connection = psycopg.connect(URL.replace("+psycopg", ""), autocommit=True)
    return kept.connection


@app.post("/contact")
def insert() -> tuple[str, int]:
    """One INSERT, one COMMIT."""
    form = request.form
    statement = f"INSERT INTO bare (name, message) VALUES ({MARK}, {MARK})"
    link = connection()
    link.execute("BEGIN IMMEDIATE" if SQLITE else "BEGIN")
    link.execute(statement, (form["name"], form["message"]))
    link.execute("COMMIT")
    return "", 303


@app.get("/page")
def page() -> str:
    """One SELECT, one template from a loader."""
    row = connection().execute("SELECT id, name, message FROM bare WHERE id = 1").fetchone()
    return app.jinja_env.get_template("page.html").render(row=row)
