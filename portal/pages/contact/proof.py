"""Proof of work: a sum that costs a browser about a second, and a thousand forms a quarter of an hour.

The format is ALTCHA's (PoW v2), whose widget solves it while the form is filled in. The challenge stands in the page,
is signed, and names the form's key: its solution is good for that one form, however often it comes back or is sent
again, and for as long as the form is (``forms.TOKEN_LIFE``). Nothing of it is stored, nothing in it tells of a person.

Only the contact form asks for it, because there an entry without can wait for a look by a person. Whoever asks for a
link gets the same answer in any case, and nothing could be held.
"""

import json
import secrets

from altcha import Payload, create_challenge, verify_solution

from portal.links import Links, Purpose

FIELD = "altcha"
ALGORITHM = "PBKDF2/SHA-256"
COST = 1000
"""Rounds for one key. We derive one for each page (1 ms), a browser as many as it takes to meet the same."""
TRIES = 5000
"""How many keys a browser derives at most; on average half of them, which is 2.5 million rounds.

ALTCHA measured 25 million rounds in 9.5 s on a cheap phone (Samsung Galaxy A14, Chrome) and in 1.6 s on a MacBook Pro
(altcha-org/altcha, src/playground/about.md, "Benchmarks"): a second on that phone, two at most.
"""
LONGEST = 4096
"""Characters that are looked at; a solution has about 900."""


def challenge(form_key: str, links: Links) -> str:
    """A challenge for the form with this key, as the JSON that the widget takes."""
    made = create_challenge(
        ALGORITHM,
        COST,
        # From 0 on: a robot would begin at any least number that we set, only people would count up to it.
        counter=secrets.randbelow(TRIES),
        data={"form": form_key},
        hmac_secret=links.keys(Purpose.CHALLENGE)[-1],
        hmac_key_secret=links.keys(Purpose.SOLUTION)[-1],
    )
    return json.dumps(made.to_dict())


def is_solved(text: str, form_key: str, links: Links) -> bool:
    """Whether this is the solution of a challenge for the form with this key; False for whatever else it is."""
    if len(text) > LONGEST:
        return False
    try:
        payload = Payload.from_base64(text)
    except (ValueError, KeyError, TypeError, RecursionError):  # anybody may post anything
        return False
    if payload.challenge.parameters.data != {"form": form_key}:
        return False
    keys = zip(links.keys(Purpose.CHALLENGE), links.keys(Purpose.SOLUTION), strict=True)
    return any(verify_solution(payload, ours, hmac_key_secret=theirs).verified for ours, theirs in keys)
