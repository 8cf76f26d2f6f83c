"""The customers, who are never killed: they send until they are answered, and write down what they were told.

The truth file is on disk before a form is sent and before its answer counts. Every answer is kept with its time.
"""

import json
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import requests

from tests.faults.plan import Act, Plan, Upload
from tests.faults.told import Answer, Sent

PATIENCE = 90.0
"""Seconds after which a customer gives up; none should."""
READ_TIMEOUT = 30.0
HIDDEN = re.compile(r'name="(csrf_token|key)"[^>]* value="([^"]+)"')


def write_once(address: str, email: str) -> None:
    """One form, opened and sent in peace. Raises AssertionError where it is not taken."""
    page = requests.get(f"{address}/contact", timeout=READ_TIMEOUT).text
    token = next(value for name, value in HIDDEN.findall(page) if name == "csrf_token")
    form = {"csrf_token": token, "topic": "angebot", "name": "Erika Quellmalz", "email": email}
    form["message"] = f"Vorgemerkt für {email}: zwölf Umwälzpumpen."
    answer = requests.post(f"{address}/contact", data=form, allow_redirects=False, timeout=READ_TIMEOUT)
    assert answer.status_code == 303, answer.status_code


class Driver:
    """All customers of a plan, a few at a time."""

    def __init__(self, plan: Plan, address: str, truth: Path, links: Callable[[], Mapping[str, str]]) -> None:
        self._plan, self._address, self._links = plan, address, links
        self._truth = truth.open("ab", buffering=0)
        self._writing = threading.Lock()
        self.sent = [Sent(visit) for visit in plan.visits]
        self.answers: list[Answer] = []
        self.errors = 0
        self.done = 0
        self.waits = threading.Condition()

    def run(self, *, at_once: int = 4) -> threading.Thread:
        """Begin; the thread ends when every customer has been answered or has given up."""
        thread = threading.Thread(target=self._all, args=(at_once,), daemon=True)
        thread.start()
        return thread

    def wait_for(self, count: int) -> None:
        """Until so many forms have been answered."""
        with self.waits:
            self.waits.wait_for(lambda: self.done >= count)

    def _all(self, at_once: int) -> None:
        forms: queue.SimpleQueue[Sent | None] = queue.SimpleQueue()
        visitors = [
            threading.Thread(target=self._each, args=(forms, self._write_first), daemon=True) for _ in range(at_once)
        ]
        coming_back = threading.Thread(target=self._come_back, daemon=True)
        for thread in (*visitors, coming_back):
            thread.start()
        pause = self._plan.profile.spread / max(len(self.sent), 1)
        for sent in self.sent:
            forms.put(sent)
            time.sleep(pause)
        for _ in visitors:
            forms.put(None)
        for thread in (*visitors, coming_back):
            thread.join()
        self._truth.close()

    def _each(self, forms: "queue.SimpleQueue[Sent | None]", do: Callable[[Sent], None]) -> None:
        while (sent := forms.get()) is not None:
            try:
                do(sent)
            except TimeoutError as fault:
                sent.wrong.append(str(fault))
            with self.waits:
                self.done += 1
                self.waits.notify_all()

    def _write_first(self, sent: Sent) -> None:
        """Open the form and send it until it is taken; some press the button twice."""
        visit = sent.visit
        token = self._field("/contact", "csrf_token")
        sent.key = token.partition(".")[0]
        self._note(key=sent.key, email=visit.email, told="sent")
        form = {"csrf_token": token, "topic": "angebot", "name": "Erika Quellmalz"}
        form |= {"email": visit.email, "message": visit.text}
        sent.location = self._send_until_taken(sent, "/contact", form, visit.files)
        sent.answered_at = time.time()
        self._note(key=sent.key, email=visit.email, told="answered")
        if visit.twice and self._send_until_taken(sent, "/contact", form, visit.files) != sent.location:
            sent.wrong.append("a second press of the button was answered differently")

    def _come_back(self) -> None:
        """Whoever has had the letter with the link may write again or close."""
        waiting = [sent for sent in self.sent if sent.visit.act is not None]
        patience, all_in_at = 1.5 * self._plan.profile.patience, time.monotonic()
        while waiting and time.monotonic() < all_in_at + patience:
            all_in_at = all_in_at if self.done == len(self.sent) else time.monotonic()
            links = self._links()
            ready = [sent for sent in waiting if sent.visit.email in links and sent.location]
            for sent in ready:
                try:
                    self._act(sent, links[sent.visit.email])
                except TimeoutError as fault:
                    sent.wrong.append(str(fault))
            waiting = [sent for sent in waiting if sent not in ready]
            time.sleep(0.1)
        for sent in waiting:
            sent.wrong.append("the letter with the link did not come")

    def _act(self, sent: Sent, link: str) -> None:
        visit = sent.visit
        sent.began = True
        if visit.act in (Act.CLOSE, Act.REOPEN):
            self._do(sent, f"{link}/close", f"{link}/close", {"outcome": "done"})
        if visit.act in (Act.MESSAGE, Act.REOPEN):
            self._do(sent, link, f"{link}/{visit.act}", {"message": visit.later_text}, visit.later_files)
        sent.acted = True

    def _do(self, sent: Sent, page: str, path: str, form: Mapping[str, str], files: Sequence[Upload] = ()) -> None:
        """Press one button of the customer's pages until it is taken."""
        key = self._field(page, "key")
        self._note(key=key, email=sent.visit.email, told=f"{sent.visit.act} sent")
        self._send_until_taken(sent, path, {"key": key, **form}, files)
        self._note(key=key, email=sent.visit.email, told=f"{sent.visit.act} answered")

    # --- the wire ---

    def _field(self, path: str, name: str) -> str:
        page = self._until("GET", path, 200).text
        return next(value for found, value in HIDDEN.findall(page) if found == name)

    def _send_until_taken(self, sent: Sent, path: str, form: Mapping[str, str], files: Sequence[Upload] = ()) -> str:
        return self._until("POST", path, 303, form, sent, files).headers["Location"]

    def _until(
        self,
        method: str,
        path: str,
        wanted: int,
        form: Mapping[str, str] | None = None,
        sent: Sent | None = None,
        files: Sequence[Upload] = (),
    ) -> requests.Response:
        brought = [("attachments", (file.name, file.data, "application/pdf")) for file in files]
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if sent is not None:
                sent.tries += 1
            begun = time.monotonic()
            try:
                answer = requests.request(
                    method,
                    self._address + path,
                    data=form,
                    files=brought or None,
                    allow_redirects=False,
                    timeout=READ_TIMEOUT,
                )
            except requests.RequestException:
                self.errors += 1
                time.sleep(0.1)
                continue
            took = time.monotonic() - begun
            where = re.sub(r"/s/[^/]+", "/s/…", path)
            self.answers.append(
                Answer(begun, took, method, where, answer.status_code, answer.headers.get("Retry-After"))
            )
            if answer.status_code == wanted:
                return answer
            time.sleep(0.3)
        raise TimeoutError(f"{method} was not answered by {wanted}")

    def _note(self, **words: str) -> None:
        with self._writing:
            self._truth.write(json.dumps(words).encode() + b"\n")
            os.fsync(self._truth.fileno())
