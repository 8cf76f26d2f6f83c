"""A colleague's browser without JavaScript: submits a page's forms as they stand, with some fields changed."""

from typing import Any
from xml.etree.ElementTree import Element

import html5lib
from flask import Flask
from sqlalchemy import select
from werkzeug.datastructures import MultiDict
from werkzeug.test import TestResponse

from portal import clock, db
from portal.pages.staff.login import sign_ins
from portal.people.models import Person

PASSWORD = "durchwahl im test"
MIRIAM = "m.albrecht@beispielwerke.example"


class Desk:
    """One signed-in (or not yet signed-in) colleague."""

    def __init__(self, app: Flask) -> None:
        self.app, self.client = app, app.test_client()
        self.page: TestResponse | None = None

    @classmethod
    def of(cls, app: Flask, name: str) -> "Desk":
        """The desk of somebody who has signed in already; saves the quarter of a second that a password costs."""
        desk = cls(app)
        with app.app_context(), db.writing() as session:
            person_id = session.scalars(select(Person.id).where(Person.name == name)).one()
            secret = sign_ins.begin(session, person_id, now=clock.utc_now())
        with desk.client.session_transaction() as cookie:
            cookie["_user_id"] = secret
        return desk

    def get(self, path: str) -> TestResponse:
        """Open a page."""
        self.page = self.client.get(path)
        return self.page

    def sign_in(self, email: str = MIRIAM, password: str = PASSWORD, *, path: str = "/staff/login") -> TestResponse:
        """Open the login page and send the form."""
        self.get(path)
        return self.submit("", email=email, password=password)

    def submit(self, action: str, **changes: Any) -> TestResponse:
        """Send the form with this action from the page last opened; a change to None leaves a field out."""
        assert self.page is not None
        form = form_with_action(self.page.text, action)
        data = values(form)
        for name, value in changes.items():
            name = name.replace("__", "-")
            data.poplist(name)
            data.setlist(name, [str(one) for one in value] if isinstance(value, list | tuple) else [str(value)])
            if value is None:
                data.poplist(name)
        self.page = self.client.post(action or self.page.request.full_path.rstrip("?"), data=data)
        return self.page

    def follow(self) -> TestResponse:
        """Open the page that the last answer redirects to."""
        assert self.page is not None and self.page.location is not None
        return self.get(self.page.location)


def document(html: str) -> Element:
    """The page as a tree."""
    return html5lib.parse(html, namespaceHTMLElements=False)


def text(html: str) -> str:
    """All words of the page's main part, with single spaces."""
    main = document(html).find(".//main")
    assert main is not None
    return " ".join(" ".join(main.itertext()).split())


def form_with_action(html: str, action: str) -> Element:
    """The one form that posts to this address ("" for the page's own)."""
    forms = [form for form in document(html).iter("form") if form.get("action", "") == action]
    assert len(forms) == 1, f"{len(forms)} forms post to {action!r}"
    return forms[0]


def actions(html: str) -> set[str]:
    """Where the forms of a page post to."""
    return {form.get("action", "") for form in document(html).iter("form")}


def values(form: Element) -> MultiDict[str, str]:
    """What a browser would send if nothing was touched."""
    data: MultiDict[str, str] = MultiDict()
    for field in form.iter():
        name = field.get("name")
        if name is None:
            continue
        if field.tag == "textarea":
            data.add(name, (field.text or "").removeprefix("\n"))
        elif field.tag == "select":
            options = list(field.iter("option"))
            chosen = [option for option in options if option.get("selected") is not None] or options[:1]
            data.add(name, chosen[0].get("value", ""))
        elif field.get("type") in ("radio", "checkbox"):
            if field.get("checked") is not None:
                data.add(name, field.get("value", "on"))
        elif field.tag == "input":
            data.add(name, field.get("value", ""))
    return data


def errors(html: str) -> list[str]:
    """The sentences of the error summary, in order."""
    tree = document(html)
    summaries = [part for part in tree.iter("div") if part.get("class") == "summary"]
    return [" ".join("".join(item.itertext()).split()) for part in summaries for item in part.iter("li")]
