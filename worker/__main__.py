"""The worker's start: settings, signals, loop."""

import json
import signal
import sys

from flask import Flask

from portal.core import create_core
from portal.mail.transport import Relay
from worker import appointments, cases, delivery, doubtful, letters, promises, replanning, scanning, waiting
from worker.jumps import Jumps
from worker.loop import Loop, Step
from worker.reconciling import Reconciling


def work(app: Flask) -> None:
    """Work until SIGTERM or SIGINT; the letter at hand is finished first."""
    with app.app_context():
        deliver = delivery.Delivery(Relay(app.extensions["portal.post"]))
        loop = Loop(steps_of(deliver, Jumps()))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: loop.stop())
        try:
            loop.run()
        finally:
            deliver.close()


def work_once(app: Flask) -> None:
    """Do everything that is due now and print one JSON line with counts per step."""
    with app.app_context():
        deliver = delivery.Delivery(Relay(app.extensions["portal.post"]))
        try:
            print(json.dumps(Loop(steps_of(deliver)).run_until_idle()))
        finally:
            deliver.close()


def steps_of(deliver: delivery.Delivery, jumps: Jumps | None = None) -> dict[str, Step]:
    """What a worker does, by name, in the order of its turns. ``jumps`` where the clock is the machine's own."""
    return {
        "deliver": deliver,
        "renew_letter": letters.renew_letter,
        "return_expired": delivery.ReturnExpired(jumps),
        "replan": replanning.Replan(),
        "go_on_waiting": waiting.go_on_waiting(),
        "close_unanswered": waiting.close_unanswered(),
        "give_notice": promises.give_notice(),
        "remind": promises.remind(),
        "end_on_hold": appointments.end_on_hold(),
        "outcome_due": appointments.outcome_due(),
        "alarm": appointments.alarm(),
        "tell_late": appointments.tell_late(),
        "ask_again": appointments.ask_again(),
        "remind_of_appointment": appointments.Remind(),
        "replace_absent": appointments.ReplaceAbsent(),
        "escalate_unread": doubtful.EscalateUnread(),
        "answer_link_wish": cases.answer_link_wish,
        "scan": scanning.Scanning(),
        "erase_due": cases.Erasing(),
        "forget": cases.Forgetting(),
        "reconcile": Reconciling(jumps),
    }


if __name__ == "__main__":
    (work_once if "--once" in sys.argv[1:] else work)(create_core())
