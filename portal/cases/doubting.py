"""Doubting: what makes a person look at an entry of the form before it becomes a case. Pure rules, and their sentences.

A doubt refuses nobody: it costs the customer some hours and us a look. So each rule must be one that plausible messages
do not meet (a corpus of honest and of spam messages holds them to it); what is merely odd passes.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping

from portal.cases.models import Doubt
from portal.languages import marked

MANY_LINKS = 5
WORDS_PER_LINK = 2
"""Fewer words than this for each link, and the links are the message."""
LEAST_REPEATED = 40
"""Characters from which on the same text from many places is no coincidence."""

_URL = re.compile(r"(?:https?://|www\.)[^\s<>\"\]\[]+", re.IGNORECASE)
_MARKUP = re.compile(r"<a\s[^>]{0,200}href|\[(?:url|link|img)\b[^\]]{0,200}\]", re.IGNORECASE)
_SHORTENERS = (
    "bit.ly|tinyurl.com|t.co|goo.gl|is.gd|ow.ly|cutt.ly|rb.gy|rebrand.ly|shorturl.at|shorte.st|adf.ly|t.ly|v.gd|t.me"
)
_SHORTENED = re.compile(rf"(?<![\w.@-])(?:{_SHORTENERS.replace('.', '[.]')})/\w", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+(?:[-’'][^\W\d_]+)*")
_REACHED_AT = re.compile(r"\S+@\S+|[+\d][\d\s()/.+-]{4,}")
_PITCHES = (
    r"(?:first|1st|top) (?:page|position)s? (?:of|on|in) google",
    r"(?:auf|in) (?:die )?(?:seite 1|platz 1|erste seite) (?:bei|von|in) google",
    r"\brank(?:ing)? your (?:web)?site",
    r"\b(?:seo|suchmaschinen)[ -]?(?:optimi\w+|paket|services?|agentur|packages?)\b.{0,80}"
    r"\b(?:kostenlos\w*|free|audit|analyse|ranking|festpreis)",
    r"\b(?:high|quality|dofollow|real)[ -](?:quality )?backlinks?\b",
    r"\bbacklinks? (?:service|package|paket)",
    r"\bguest post(?:s|ing)? (?:on|service|opportunit)",
    r"\b(?:crypto|bitcoin|forex)\b.{0,60}\b(?:invest|profit|rendite|earn|verdien)",
    r"\binvest\w* .{0,20}\b(?:crypto|bitcoin|forex)\b",
    r"\bpassive[sn]? (?:income|einkommen)\b",
    r"\bonline[ -]?casino\b",
    r"\b(?:viagra|cialis|tramadol)\b",
    r"\bto unsubscribe\b",
    r"\bmillionen? (?:e-?mail|kontakt)-?(?:adressen|formular)",
    r"\b(?:send|submit|post)\w* (?:your |this )?(?:message|ad|offer)s? to (?:\w+ )?(?:million|thousand|contact form)s?",
)
"""Phrases of advertisements that forms get; each is long enough that a customer of ours would hardly write it."""
_PITCH = re.compile("|".join(_PITCHES), re.IGNORECASE | re.DOTALL)


def doubt_of(text: str, *, calls: bool = False) -> Doubt | None:
    """Why a person should look at this message first, or None. ``calls``: the topic is answered by phone."""
    plain = unicodedata.normalize("NFKC", text)
    for doubt, is_met in _RULES.items():
        if is_met(plain):
            return doubt
    return Doubt.NOTHING_SAID if not calls and _says_nothing(plain) else None


def sentence(doubt: Doubt) -> str:
    """Why an entry waits, in English, for staff; pages and letters say it in the reader's language."""
    return _SENTENCES[doubt]


def sameness(text: str) -> str | None:
    """What equal texts have in common, however spaced, cased or numbered; None for one too short to compare."""
    same = " ".join(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))
    return same if len(same) >= LEAST_REPEATED else None


def _is_links(text: str) -> bool:
    links, words = len(_URL.findall(text)), len(_WORD.findall(_URL.sub(" ", text)))
    return links >= MANY_LINKS or (links > 0 and words < (WORDS_PER_LINK * links if links > 1 else 1))


def _mixes_scripts(text: str) -> bool:
    """Whether a word is written in letters of two alphabets that look alike: nobody's keyboard does that."""
    return any(len(_scripts(word)) > 1 for word in _WORD.findall(text) if not word.isascii())


def _scripts(word: str) -> set[str]:
    names = (unicodedata.name(letter, "").partition(" ")[0] for letter in word if len(word) > 2)
    return {name for name in names if name in ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE")}


def _says_nothing(text: str) -> bool:
    """Whether there is nothing but a number or an address to reach somebody at."""
    return bool(_REACHED_AT.search(text)) and not _WORD.search(_REACHED_AT.sub(" ", text))


_RULES: Mapping[Doubt, Callable[[str], bool]] = {
    Doubt.MARKUP: lambda text: bool(_MARKUP.search(text)),
    Doubt.SHORTENED: lambda text: bool(_SHORTENED.search(text)),
    Doubt.PITCH: lambda text: bool(_PITCH.search(text)),
    Doubt.LINKS: _is_links,
    Doubt.MIXED_SCRIPTS: _mixes_scripts,
}
"""In this order; the first that is met is what staff read."""
_SENTENCES: Mapping[Doubt, str] = {
    Doubt.HONEYPOT: marked("A field that people do not see was filled in."),
    Doubt.TOO_FAST: marked("The form was filled in faster than people type."),
    Doubt.MARKUP: marked("The text holds links in the form that forums and pages use."),
    Doubt.SHORTENED: marked("The text holds a shortened link that hides where it leads."),
    Doubt.LINKS: marked("The text is mostly links."),
    Doubt.MIXED_SCRIPTS: marked("Words mix letters of two alphabets that look alike."),
    Doubt.PITCH: marked("The text reads like an advertisement that is sent to many."),
    Doubt.NOTHING_SAID: marked("The text is only a number or an address."),
    Doubt.NO_PROOF: marked(
        "The browser did not solve the form’s small sum. That happens to people too, for example without JavaScript."
    ),
    Doubt.REPEATED: marked("The same text came from many places within a day."),
    Doubt.LIMITS: marked("More messages came in than usual."),
    Doubt.NOT_ME: marked("Whoever reads this mailbox says: “That was not me.”"),
}
