"""One mailbox under many spellings, each of which the form takes and its provider may deliver."""

from itertools import islice, product

VICTIM = "erika.muster@müller-bau.example"
_LOCALS = ("erikamuster", "erika.muster", "e.r.i.k.a.muster", "ErikaMuster", "ERIKA.MUSTER", "erikamuster+neu")
_TAGS = ("", "+1", "+werbung", "+a.b", "+x+y")
_DOMAINS = ("müller-bau.example", "xn--mller-bau-q9a.example", "MÜLLER-BAU.example", "Mu\u0308ller-Bau.Example")


def spellings(number: int) -> list[str]:
    """So many different spellings of the victim's address."""
    made = (f"{local}{tag}@{domain}" for tag, domain, local in product(_TAGS, _DOMAINS, _LOCALS))
    found = list(islice(dict.fromkeys(made), number))
    assert len(found) == number
    return found
