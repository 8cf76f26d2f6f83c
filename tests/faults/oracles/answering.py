"""What visitors are told while the database is away (O12), and what nobody is told: the logs (O11)."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from tests.faults.told import Answer, Sent

ALLOWED = {200, 303, 503}
LONGEST_ANSWER = 12.0
AGAIN_WITHIN = 10.0
"""Seconds after the database is back in which the first page must come; also how long it may still say 503."""
NO_TURN = 0.01
"""The share that may hear of a busy database while it is there: a machine that does much else gives turns late."""
OURS = ("a page broke", "step failed", "lease lost", "leases ran out", "disorder not mended", "the clock was set")


def answered_well(
    answers: Sequence[Answer], windows: Sequence[tuple[float, float]]
) -> tuple[list[str], dict[str, Any]]:
    """O12: only 503 with Retry-After, hardly but while the database is away, soon over, and nobody waits for long."""
    codes = Counter(answer.code for answer in answers)
    wrong = [f"{count} answers {code} (O12)" for code, count in codes.items() if code not in ALLOWED]
    bare = sum(answer.code == 503 and not answer.retry_after for answer in answers)
    calm = sum(answer.code == 503 and not _within(answer, windows) for answer in answers)
    longest = max((answer.seconds for answer in answers), default=0.0)
    if bare:
        wrong.append(f"{bare} answers 503 without Retry-After (O12)")
    if calm > len(answers) * NO_TURN:
        wrong.append(f"{calm} answers 503 while the database was there (O12)")
    if longest > LONGEST_ANSWER:
        wrong.append(f"an answer took {longest:.1f} s (O12)")
    back = []
    for _, ended in windows:
        after = [answer.at + answer.seconds - ended for answer in answers if answer.code != 503 and answer.at > ended]
        back += [min(after)] if after else []
    if back and max(back) > AGAIN_WITHIN:
        wrong.append(f"the first page came {max(back):.1f} s after the database was back (O12)")
    figures = {
        "answers": {str(code): count for code, count in sorted(codes.items())},
        "longest_answer": round(longest, 2),
        "back_after": round(max(back, default=0.0), 2),
    }
    return wrong, figures


def _within(answer: Answer, windows: Sequence[tuple[float, float]]) -> bool:
    ended = answer.at + answer.seconds
    return any(begun <= ended and answer.at <= over + AGAIN_WITHIN for begun, over in windows)


def silent_logs(said: str, sent: Sequence[Sent], links: Iterable[str]) -> list[str]:
    """O11: no address, name, word, file or secret of a customer in any log."""
    secrets = {"quellmalz", "umwälzpumpen", "rohrverschraubung", "zeichnung"}
    secrets |= {link.rpartition("/")[2] for link in links} | {one.key for one in sent if one.key}
    told = said.lower()
    found = [secret for secret in secrets if secret.lower() in told]
    return [f"{len(found)} secrets in the logs (O11)"] if found else []


def faults_of_ours(said: str) -> dict[str, int]:
    """What the logs tell of faults, counted; for whoever reads the figures."""
    return {word: count for word in OURS if (count := said.count(word))}
