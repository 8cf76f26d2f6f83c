"""Visitors to the running site, and what their hands do there.

Each visitor has a browser context of their own, as if it were another machine, and notes what no page may ever do: an
error in the console (a breach of the content policy is one), a request to another host, a part of a page that is
missing. A customer must also leave without a cookie and without anything stored.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response, WebError

from portal import demo
from tests.conftest import PASSWORD
from tests.support.site import Site

PATIENCE = 10_000
"""Milliseconds until a browser gives something up; a page of ours takes a tenth of a second."""

OpenVisitor = Callable[..., "Visitor"]
"""Opens a visitor; takes the options of a browser context, and ``staff=True`` for a colleague."""
OpenColleague = Callable[..., "Visitor"]
"""Opens a colleague, by name, who is signed in already."""


class Visitor:
    """One person at a machine of their own, in front of ``page``."""

    def __init__(self, browser: Browser, site: Site, *, staff: bool = False, **options: Any) -> None:
        machine = {"locale": "de-DE", "timezone_id": "Europe/Berlin", "base_url": site.address, **options}
        self.complaints: list[str] = []
        self._staff, self._hosts = staff, {urlsplit(site.address).hostname}
        self.context: BrowserContext = browser.new_context(**machine)
        self.context.set_default_timeout(PATIENCE)
        self.context.on("console", self._heard)
        self.context.on("weberror", self._broke)
        self.context.on("request", self._asked)
        self.context.on("response", self._got)
        self.page: Page = self.context.new_page()

    def go(self, address: str) -> int:
        """Open a page; its status code."""
        answer = self.page.goto(address)
        assert answer is not None
        return answer.status

    def words(self) -> str:
        """All words of the page's main part as they are laid out; every run of white space is one space."""
        self.page.wait_for_load_state()
        return " ".join(self.page.locator("main").inner_text().split())

    def leave(self) -> None:
        """Note what a customer must not leave behind, and go."""
        kept = self.context.storage_state()
        if not self._staff and (kept["cookies"] or kept["origins"]):
            self.complaints.append(f"a customer's browser was made to store {kept}")
        self.context.close()

    def _heard(self, said: ConsoleMessage) -> None:
        # A page that answers 404 or 422 is an "error" to the console, too; parts of pages are looked at in _got.
        if said.type == "error" and not said.text.startswith("Failed to load resource"):
            self.complaints.append(f"console: {said.text}")

    def _broke(self, error: WebError) -> None:
        self.complaints.append(f"script: {error.error}")

    def _asked(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme in ("http", "https", "ws", "wss") and address.hostname not in self._hosts:
            self.complaints.append(f"asked another host: {request.url}")

    def _got(self, response: Response) -> None:
        if response.status >= 400 and not response.request.is_navigation_request():
            self.complaints.append(f"{response.status} for {response.url}")


def sign_in(visitor: Visitor, name: str) -> None:
    """Go to the staff pages and sign in there."""
    visitor.go("/staff/")
    visitor.page.fill("#email", dict(demo.logins())[name])
    visitor.page.fill("#password", PASSWORD)
    send(visitor.page)


def signed_in(visitor: OpenVisitor, site: Site, name: str) -> Any:
    """What the browser of a signed-in colleague has stored."""
    if name not in site.signed_in:
        first = visitor(staff=True)
        sign_in(first, name)
        site.signed_in[name] = first.context.storage_state()
    return site.signed_in[name]


def fill_in(page: Page, *, topic: str = "angebot", **typed: str) -> None:
    """Fill in the contact form; ``typed`` are fields by name, on top of what everybody must type."""
    page.check(f"[name=topic][value={topic}]")
    for field, words in {"message": "Was kosten 40 Pumpen?", **typed}.items():
        page.fill(f"#{field}", words)


def send(page: Page) -> None:
    """Press the first button of the page that sends something; one that looks like a link only shows more."""
    page.click("main form button.button[type=submit]")


def work_on(page: Page, form: str, **answers: Any) -> None:
    """Open one of the forms of the staff's case page, fill it in and send it, as ``complete`` does."""
    page.click(f"#{form} > summary")
    complete(page, form, **answers)


def complete(page: Page, form: str, *, text: str, keeps: bool = False, promise: str = "", **chosen: str) -> None:
    """Fill in an open form of the staff and send it.

    With ``keeps`` every promise counts as kept; ``promise`` gives a new one, for the day and hour the form proposes;
    ``chosen`` are radio buttons, by name.
    """
    for name, value in chosen.items():
        page.check(f"[name={form}-{name}][value={value}]")
    page.fill(f"#{form}-text", text)
    for tick in page.locator(f"[name={form}-keeps]").all() if keeps else []:
        tick.check()
    if promise:
        page.check(f"[name={form}-then][value=new]")
        page.select_option(f"#{form}-promise", promise)
    page.locator("form").filter(has=page.locator(f"#{form}-text")).locator("button[type=submit]").click()
