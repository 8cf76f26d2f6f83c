"""Steps that wait for customers: remind them, announce the closing, close on the date that was announced."""

from portal.cases import waiting
from worker.promises import Watch


def go_on_waiting() -> Watch:
    """Reminds one customer of our question, or announces the closing of their case."""
    return Watch(waiting.reminder_due, waiting.go_on, failed="waiting did not go on")


def close_unanswered() -> Watch:
    """Closes cases on the date that was announced, whatever day it has become meanwhile; their letters wait."""
    return Watch(waiting.closing_due, waiting.go_on, failed="not closed", any_hour=True)
