"""The values each letter is filled with in the tests: Sabine Krüger asks, Miriam Albrecht answers.

Numbers come from the block kept free for the media (089 99998-000 to -999), addresses from example domains.
"""

from typing import Any

from portal.mail.letters import LetterKind

OF_THE_LADDER = {
    LetterKind.DELAY_NOTICE,
    LetterKind.LEAD_TAKES_OVER,
    LetterKind.WAITING_REMINDER,
    LetterKind.CLOSING_ANNOUNCED,
    LetterKind.STAFF_REMINDER,
    LetterKind.STAFF_DELAYED,
    LetterKind.STAFF_ESCALATION,
}
"""Kinds that nobody's act sends but the passing of time: a story in which everything is done at once has none."""

OF_APPOINTMENTS = {
    LetterKind.APPOINTMENT_CONFIRMED,
    LetterKind.APPOINTMENT_MOVED,
    LetterKind.APPOINTMENT_GIVEN,
    LetterKind.APPOINTMENT_CANCELLED,
    LetterKind.APPOINTMENT_FROZEN,
    LetterKind.APPOINTMENT_REMINDER,
    LetterKind.APPOINTMENT_LATE,
    LetterKind.APPOINTMENT_MISSED,
    LetterKind.RECAP,
    LetterKind.STAFF_APPOINTMENT,
}
"""Kinds of a case with an agreed call or visit: a story without one has none."""
TELL_A_TIME = {
    LetterKind.APPOINTMENT_CONFIRMED,
    LetterKind.APPOINTMENT_MOVED,
    LetterKind.APPOINTMENT_GIVEN,
    LetterKind.APPOINTMENT_REMINDER,
}
"""Kinds whose bold line is an agreed time, with its zone."""

REFERENCE = "K7P-3M9"
STATUS_URL = (
    "https://service.beispielwerke.example/s/bm9uY2VfMTIzNDU2Nzg5MDEy.Q2xpY2tfYWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXo"
)
TIMES_URL = f"{STATUS_URL}/appointment"
CASE_URL = "https://service.beispielwerke.example/staff/cases/K7P-3M9"

WORDS: dict[str, dict[str, str]] = {
    "de": {
        "topic": "Wartungsvertrag",
        "role": "Vertrieb Süd",
        "hours": "Montag bis Donnerstag 8 bis 17 Uhr, Freitag 8 bis 14 Uhr",
        "today": "Mittwoch, 25. November",
        "now_moment": "Mittwoch, 25. November, 10:05 Uhr",
        "received": "Dienstag, 24. November, 9:12 Uhr",
        "due": "Donnerstag, 26. November, 14 Uhr",
        "short_due": "Do., 26. November, 14 Uhr",
        "sentence": "{name} antwortet bis Donnerstag, 26. November, 14 Uhr.",
        "short": "{name} antwortet bis Do., 26. November, 14 Uhr",
        "again": "{name} meldet sich bis Mittwoch, 2. Dezember, 12 Uhr wieder bei Ihnen.",
        "short_again": "{name} meldet sich bis Mi., 2. Dezember, 12 Uhr wieder bei Ihnen",
        "again_due": "Mittwoch, 2. Dezember, 12 Uhr",
        "closes": "{name} schließt den Vorgang am Mittwoch, 2. Dezember, 12 Uhr, wenn wir bis dahin nichts von "
        "Ihnen hören.",
        "short_closes": "{name} schließt den Vorgang am Mi., 2. Dezember, 12 Uhr, wenn wir bis dahin nichts von "
        "Ihnen hören",
        "before": "Mittwoch, 25. November, 12 Uhr",
        "notice": "Donnerstag, 26. November, 13 Uhr",
        "left": "noch 4 Arbeitsstunden",
        "reopen_until": "Mittwoch, 9. Dezember",
        "link_until": "Montag, 22. Februar 2027",
        "erase_on": "Donnerstag, 27. Mai 2027",
        "outcome": "Erledigt",
        "outcome_text": "Der Wartungsvertrag beginnt am 1. Januar. Die Unterlagen haben Sie seit gestern.",
        "what": "Preis für die jährliche Wartung von vier Anlagen",
        "second_what": "Termin für die erste Wartung",
        "lead_role": "Leitung Vertrieb",
        "reason": "Die Lieferzeit für Ihr Modell bestätigt das Werk erst morgen.",
        "reply": "der Preis für die jährliche Wartung steht fest: 1.840 Euro für vier Anlagen, Anfahrt "
        "inbegriffen. Das Angebot finden Sie unter https://www.beispielwerke.example/angebote/2026-4711?seite=1&druck=ja.\n\n"
        "Dazu gehören:\n- die Prüfung aller Dichtungen und der elektrischen Anschlüsse, "
        "jeweils im Frühjahr vor der Saison\n"
        "- ein Bericht\n\nOffen ist nur noch die Lieferzeit der Filter.",
        "question": "welche Baujahre haben Ihre vier Anlagen? Das Typenschild neben der Tür nennt sie.",
        "why_doubtful": "Ein Feld, das Menschen nicht sehen, war ausgefüllt.",
        "why_undeliverable": "Das Postfach gibt es nicht.",
        "zone": "deutsche Zeit",
        "agreed": "Mittwoch, 2. Dezember, 15 Uhr (MEZ)",
        "agreed_due": "Mittwoch, 2. Dezember, 15 Uhr",
        "short_agreed": "Mi., 2. Dezember, 15 Uhr",
        "agreed_before": "Dienstag, 1. Dezember, 10:30 Uhr (MEZ)",
        "change_until": "Mittwoch, 2. Dezember, 13 Uhr",
        "calls": "{name} ruft Sie am {at} an",
        "visits": "{name} besucht Sie am {at}",
        "times": "Montag, 14. Dezember, 9 Uhr|Montag, 14. Dezember, 14 Uhr|Dienstag, 15. Dezember, 10 Uhr",
        "talk": "Vier Anlagen, Wartung im Frühjahr.\n\nDazu diese Filter:\n- 40 x 60 cm\n- 30 x 60 cm",
    },
    "en": {
        "topic": "Maintenance contract",
        "role": "Sales South",
        "hours": "Monday to Thursday 8 am to 5 pm, Friday 8 am to 2 pm",
        "today": "Wednesday 25 November",
        "now_moment": "10:05 am on Wednesday 25 November",
        "received": "9:12 am on Tuesday 24 November",
        "due": "2 pm on Thursday 26 November",
        "short_due": "Thu 26 November, 2 pm",
        "sentence": "{name} will reply by 2 pm on Thursday 26 November.",
        "short": "{name} will reply by Thu 26 November, 2 pm",
        "again": "{name} gets in touch with you again by 12 noon on Wednesday 2 December.",
        "short_again": "{name} gets in touch with you again by Wed 2 December, 12 noon",
        "again_due": "12 noon on Wednesday 2 December",
        "closes": "Unless we hear from you, {name} closes the request after 12 noon on Wednesday 2 December.",
        "short_closes": "Unless we hear from you, {name} closes the request after Wed 2 December, 12 noon",
        "before": "12 noon on Wednesday 25 November",
        "notice": "1 pm on Thursday 26 November",
        "left": "4 working hours left",
        "reopen_until": "Wednesday 9 December",
        "link_until": "Monday 22 February 2027",
        "erase_on": "Thursday 27 May 2027",
        "outcome": "Done",
        "outcome_text": "The maintenance contract starts on 1 January. You received the documents yesterday.",
        "what": "Price of the yearly maintenance of four machines",
        "second_what": "Date of the first maintenance",
        "lead_role": "Head of Sales",
        "reason": "The factory confirms the delivery time of your model tomorrow.",
        "reply": "The price of the yearly maintenance is settled: 1,840 euros for four machines, travel "
        "included. The offer is at https://www.beispielwerke.example/angebote/2026-4711?seite=1&druck=ja.\n\n"
        "It includes:\n- a check of all seals and of the electrical connections, "
        "each spring before the season begins\n"
        "- a report\n\nOnly the delivery time of the filters is still open.",
        "question": "In which years were your four machines built? The type plate beside the door says so.",
        "why_doubtful": "A field that people do not see was filled in.",
        "why_undeliverable": "The mailbox does not exist.",
        "zone": "German time",
        "agreed": "3 pm on Wednesday 2 December (CET)",
        "agreed_due": "3 pm on Wednesday 2 December",
        "short_agreed": "Wed 2 December, 3 pm",
        "agreed_before": "10:30 am on Tuesday 1 December (CET)",
        "change_until": "1 pm on Wednesday 2 December",
        "calls": "{name} will call you at {at}",
        "visits": "{name} will visit you at {at}",
        "times": "9 am on Monday 14 December|2 pm on Monday 14 December|10 am on Tuesday 15 December",
        "talk": "Four machines, maintenance in spring.\n\nWith these filters:\n- 40 x 60 cm\n- 30 x 60 cm",
    },
}


def sample_values(
    kind: LetterKind, language: str, country: str = "DE", *, deputy: bool = False, **changes: Any
) -> dict[str, Any]:
    """Exactly the values a kind documents, in a language and country; ``deputy`` lets Jonas Weidner stand in.

    ``changes`` replace single values.
    """
    words = WORDS[language]
    name = "Jonas Weidner" if deputy else "Miriam Albrecht"
    owner = "Miriam Albrecht" if deputy else None
    if kind.is_for_staff:
        common = _staff_values(words, name)
        own = _own_staff_values(kind, words, name, owner)
    else:
        common = _customer_values(words, country, name, owner, kind)
        own = _own_customer_values(kind, words, name)
    return {**common, **own, **changes}


def _company() -> dict[str, Any]:
    return {
        "name": "Beispielwerke GmbH",
        "legal_lines": [
            "Beispielwerke GmbH, Musterstraße 12, 80331 München",
            "Amtsgericht München, HRB 000000",
            "Geschäftsführung: Dr. Katharina Voss, Heinz Groß",
        ],
        "privacy_url": "https://www.beispielwerke.example/datenschutz",
        "imprint_url": "https://www.beispielwerke.example/impressum",
        "accent": "#0b5c6b",
    }


def _step(words: dict[str, str], name: str, kind: LetterKind) -> dict[str, str] | None:
    if kind is LetterKind.CLOSED:
        return None
    if kind in TELL_A_TIME | {LetterKind.APPOINTMENT_LATE}:
        return appointment_step(words, name)
    waits = kind in (
        LetterKind.QUESTION,
        LetterKind.WAITING_REMINDER,
        LetterKind.CLOSING_ANNOUNCED,
        LetterKind.APPOINTMENT_CANCELLED,
        LetterKind.APPOINTMENT_FROZEN,
    )
    closes = kind is LetterKind.CLOSING_ANNOUNCED
    said, short = ("closes", "short_closes") if closes else ("again", "short_again") if waits else ("sentence", "short")
    return {
        "name": name,
        "sentence": words[said].format(name=name),
        "short": words[short].format(name=name),
        "due": words["again_due" if waits else "due"],
        "kind": "follow_up" if waits else "reply",
        "medium": "mail",
    }


def _customer_values(
    words: dict[str, str], country: str, name: str, owner: str | None, kind: LetterKind
) -> dict[str, Any]:
    return {
        "customer": "Sabine Krüger",
        "topic": words["topic"],
        "reference": REFERENCE,
        "person": {
            "name": name,
            "role": words["role"],
            "line": "089 99998-231" if owner else "089 99998-214",
            "tel": "+498999998231" if owner else "+498999998214",
            "email": f"{name.lower().replace(' ', '.')}@beispielwerke.example",
            "hours": words["hours"],
            "for_name": owner,
        },
        "company": _company(),
        "status_url": STATUS_URL,
        "country": country,
        "zone": words["zone"],
        "step": _step(words, name, kind),
        "agreed": agreed(words, name, calendar=kind is not LetterKind.APPOINTMENT_REMINDER)
        if kind in TELL_A_TIME
        else None,
    }


def appointment_step(words: dict[str, str], name: str, medium: str = "call") -> dict[str, str]:
    """An agreed time that is the next step."""
    says = words["visits" if medium == "visit" else "calls"]
    return {
        "name": name,
        "sentence": f"{says.format(name=name, at=words['agreed_due'])}.",
        "short": says.format(name=name, at=words["short_agreed"]),
        "due": words["agreed_due"],
        "kind": "appointment",
        "medium": medium,
    }


def agreed(words: dict[str, str], name: str, medium: str = "call", **changes: Any) -> dict[str, Any]:
    """What every letter to a customer gets where a time is agreed and ahead."""
    return {
        "when": words["agreed"],
        "short": words["short_agreed"],
        "minutes": 20,
        "medium": medium,
        "name": name,
        "line": "089 99998-231" if name == "Jonas Weidner" else "089 99998-214",
        "ends_with": "47",
        "change_until": words["change_until"],
        "times_url": TIMES_URL,
        "calendar": True,
        **changes,
    }


def times(words: dict[str, str]) -> list[str]:
    """Free times that are offered."""
    return words["times"].split("|")


def move(words: dict[str, str], name: str, number: int = 0) -> dict[str, str]:
    """A promise that a delay notice moves: the first becomes the next step, the second comes after it."""
    if number:
        return {
            "before": words["notice"],
            "sentence": words["again"].format(name=name),
            "what": words["second_what"],
        }
    return {"before": words["before"], "sentence": words["sentence"].format(name=name), "what": words["what"]}


def lead(words: dict[str, str]) -> dict[str, str]:
    """Who is there too from the second notice on."""
    return {
        "name": "Dr. Katharina Voss",
        "role": words["lead_role"],
        "line": "089 99998-200",
        "tel": "+498999998200",
        "email": "katharina.voss@beispielwerke.example",
    }


def _own_customer_values(kind: LetterKind, words: dict[str, str], name: str) -> dict[str, Any]:
    own: dict[LetterKind, dict[str, Any]] = {
        LetterKind.CONFIRMATION: {"received": words["received"], "not_me_url": f"{STATUS_URL}/not-me"},
        LetterKind.MESSAGE_RECEIVED: {"received": words["received"]},
        LetterKind.PROMISE_GIVEN: {
            "what": words["what"],
            "moved": False,
            "before": None,
            "reason": None,
            "passed": None,
        },
        LetterKind.REPLY: {"text": words["reply"]},
        LetterKind.QUESTION: {"text": words["question"]},
        LetterKind.CLOSED: {
            "by_customer": False,
            "closed_on": words["today"],
            "outcome": words["outcome"],
            "outcome_text": words["outcome_text"],
            "reopen_until": words["reopen_until"],
            "link_until": words["link_until"],
            "erase_on": words["erase_on"],
        },
        LetterKind.REOPENED: {"by_customer": True, "reopened_on": words["today"]},
        LetterKind.LINK: {"reopen_until": None, "replaced": False},
        LetterKind.ERASURE: {
            "stage": "confirm",
            "is_open": True,
            "confirm_url": f"{STATUS_URL}/erase/bm9uY2U.Q2xpY2tfYWJjZGVmZ2hpamts",
            "confirm_until": words["again_due"],
            "erase_on": words["erase_on"],
            "kept_until": None,
            "reopen_until": None,
        },
        LetterKind.DELAY_NOTICE: {
            "number": 1,
            "late": False,
            "moves": [move(words, name)],
            "reason": None,
            "lead": None,
        },
        LetterKind.LEAD_TAKES_OVER: {
            "late": False,
            "moves": [move(words, name)],
            "again": True,
            "before_name": "Tarek Yilmaz",
            "reason": None,
        },
        LetterKind.WAITING_REMINDER: {"question": words["question"], "asked": words["received"]},
        LetterKind.CLOSING_ANNOUNCED: {"question": words["question"], "asked": words["received"]},
        LetterKind.CALL_ATTEMPTED: {
            "called": words["now_moment"],
            "mailbox": False,
            "given": False,
            "what": words["what"],
            "moved": False,
            "before": None,
            "reason": None,
            "stands": False,
            "visit": False,
            "late": False,
        },
        LetterKind.APPOINTMENT_CONFIRMED: {"by_customer": True, "stays": False},
        LetterKind.APPOINTMENT_MOVED: {
            "before": words["agreed_before"],
            "by_customer": True,
            "reason": None,
            "times_left": True,
        },
        LetterKind.APPOINTMENT_GIVEN: {"before_name": "Tarek Yilmaz", "times": times(words)},
        LetterKind.APPOINTMENT_CANCELLED: {
            "lapsed": None,
            "before": words["agreed_before"],
            "by_customer": True,
            "reason": None,
            "times": times(words),
        },
        LetterKind.APPOINTMENT_FROZEN: {"before": words["agreed_before"], "ours": False, "times": times(words)},
        LetterKind.APPOINTMENT_REMINDER: {},
        LetterKind.APPOINTMENT_LATE: {"before": words["agreed"], "until": words["due"]},
        LetterKind.APPOINTMENT_MISSED: {"before": words["agreed_before"], "times": times(words)},
        LetterKind.RECAP: {"text": words["talk"]},
    }
    return own[kind]


def _staff_values(words: dict[str, str], name: str) -> dict[str, Any]:
    return {
        "person": {"name": name},
        "case_url": CASE_URL,
        "reference": REFERENCE,
        "topic": words["topic"],
        "customer": "Sabine Krüger",
        "company": _company(),
    }


def _own_staff_values(kind: LetterKind, words: dict[str, str], name: str, owner: str | None) -> dict[str, Any]:
    own: dict[LetterKind, dict[str, Any]] = {
        LetterKind.STAFF_NEW_CASE: {
            "due": words["due"],
            "step_sentence": words["sentence"].format(name=name),
            "for_name": owner,
        },
        LetterKind.STAFF_MESSAGE: {"due": words["due"]},
        LetterKind.STAFF_DOUBTFUL: {"check_by": words["due"], "why": words["why_doubtful"]},
        LetterKind.STAFF_NOT_ME: {"erase_on": words["erase_on"], "check_by": words["due"]},
        LetterKind.STAFF_UNDELIVERABLE: {
            "letter": LetterKind.CONFIRMATION,
            "why": words["why_undeliverable"],
            "due": words["due"],
            "has_number": True,
        },
        LetterKind.STAFF_REOPENED: {"due": words["due"]},
        LetterKind.STAFF_CLOSED: {"no_answer": False, "reopen_until": words["reopen_until"]},
        LetterKind.STAFF_REMINDER: {
            "due": words["due"],
            "notice": words["notice"],
            "left": words["left"],
            "number": 0,
            "for_name": owner,
        },
        LetterKind.STAFF_DELAYED: {"before": words["before"], "due": words["due"], "number": 1},
        LetterKind.STAFF_ESCALATION: {
            "number": 2,
            "owner": "Tarek Yilmaz",
            "takes_over": False,
            "customer_reads": True,
            "due": words["due"],
        },
        LetterKind.STAFF_APPOINTMENT: {
            "what": "moved",
            "medium": "call",
            "before": words["agreed_before"],
            "when": words["agreed"],
            "by_customer": True,
            "other": None,
            "due": words["agreed_due"],
            "is_appointment": True,
        },
    }
    return own[kind]
