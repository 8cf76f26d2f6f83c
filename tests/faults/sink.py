"""The relay of the fault plan: a sink that fails by dice and keeps a log on disk of every letter it was handed.

    python -m tests.faults.sink --log sink.jsonl --seed 1 --share 0.2

What it keeps of a letter: when it came, its Message-ID, its recipient, what it is and of which case, how this attempt
ended, and the status link of a confirmation, by which customers come back.
"""

import argparse
import json
import os
import random
import re
import signal
import threading
import time
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from tests.support.smtp_sink import Received, SmtpSink

ATTEMPTS = (
    "rcpt_421",
    "rcpt_451",
    "data_451",
    "close_mid_data",
    "close_after_store",
    "hang_after_dot",
    "close_after_250",
    "drip",
)
"""How an attempt at a letter fails; and how a connection does before any."""
CONNECTIONS = ("refuse_421", "starttls_454", "mail_451")
AMBIGUOUS = ("close_after_store", "hang_after_dot")
"""Stored, and no 250: nobody can know."""
DOOMED = ("rcpt_550", "data_552", "rcpt_550_5.1.1")
SLOW_SHARE, SLOW = 0.05, 0.4
"""Some letters are taken only after so many seconds, well within the deadline."""
LINK = re.compile(r"https?://\S+(/s/[^\s/]+)")


class FaultSink(SmtpSink):
    """The sink with its log; the dice are the same for the same seed."""

    def __init__(self, port: int, log: Path, *, seed: int, share: float) -> None:
        super().__init__(port, rule=self._mode_of, tls="starttls", keep=False)
        self._seed, self._share = seed, share
        self._kept = log.open("ab", buffering=0)
        self._writing = threading.Lock()
        dice = random.Random(f"{seed} connections")
        self.script(*(dice.choice(CONNECTIONS) if dice.random() < share / 2 else "ok" for _ in range(50_000)))

    def _mode_of(self, recipient: str, attempt: int) -> str:
        dice = random.Random(f"{self._seed} {recipient} {attempt}")
        if recipient.startswith("tot"):
            return dice.choice(DOOMED)
        if attempt == 1 and dice.random() < self._share / 10:
            return "greylist_451"
        return dice.choice(ATTEMPTS) if dice.random() < self._share else "ok"

    def note(self, letter: Received, *, stored: bool) -> None:
        """Log it, on disk before anybody is told; some are slow."""
        message = message_from_bytes(letter.data, policy=policy.default)
        assert isinstance(message, EmailMessage)
        line = {
            "at": time.time(),
            "message_id": letter.message_id,
            "recipient": letter.rcpt_to[0],
            "kind": message["X-Portal-Letter"],
            "case": message["X-Portal-Case"],
            "mode": letter.mode,
            "stored": stored,
            "link": _link(message) if stored else None,
        }
        with self._writing:
            self._kept.write(json.dumps(line).encode() + b"\n")
            os.fsync(self._kept.fileno())
        super().note(letter, stored=stored)
        if random.Random(f"{self._seed} {letter.message_id}").random() < SLOW_SHARE:
            self.stopping.wait(SLOW)


def _link(message: EmailMessage) -> str | None:
    if message["X-Portal-Letter"] != "confirmation":
        return None
    body = message.get_body(("plain",))
    found = LINK.search(str(body.get_content())) if body is not None else None
    return found[1] if found else None


def main() -> None:
    """Serve until SIGTERM; prints the port first."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--share", type=float, required=True)
    options = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with FaultSink(options.port, options.log, seed=options.seed, share=options.share) as sink:
        print(json.dumps({"port": sink.port}), flush=True)
        ended.wait()


if __name__ == "__main__":
    main()
