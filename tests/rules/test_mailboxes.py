"""Mailboxes: all spellings of one are one, and two of different owners mostly are two."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.customers.mailboxes import mailbox_key
from portal.pages.contact import typed
from tests.support.spellings import VICTIM, spellings

LOCAL = st.from_regex(r"[a-z0-9_-][a-z0-9_.-]{0,20}[a-z0-9_-]", fullmatch=True)
DOMAIN = st.sampled_from(
    ["kunde.example", "müller.example", "straße.example", "bücher.kaufhaus.example", "日本.example"]
)


@pytest.mark.parametrize("spelling", spellings(100))
def test_a_hundred_spellings_are_one_mailbox_and_each_is_one_the_form_takes(spelling: str) -> None:
    assert mailbox_key(spelling) == mailbox_key(VICTIM)
    address = typed.email(spelling)
    assert address is not None and mailbox_key(address) == mailbox_key(VICTIM)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("m.meier@gmail.com", "MMeier+x@googlemail.com"),
        ("meier@kunde.example", "ｍｅｉｅｒ＠ｋｕｎｄｅ．ｅｘａｍｐｌｅ"),
        ("meier@kunde.example", "meier@kunde.example."),
        ("meier@kunde.example", "meier@kunde。example"),
        ("meier@kunde.example", '"meier"@kunde.example'),
        ("meier@kunde.example", "  meier@kunde.example\n"),
    ],
)
def test_odd_spellings_too(one: str, other: str) -> None:
    assert mailbox_key(one) == mailbox_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("meier@kunde.example", "maier@kunde.example"),
        ("meier@kunde.example", "meier@kunde.test"),
        ("meier@strasse.example", "meier@straße.example"),
        ("anna-maria@kunde.example", "annamaria@kunde.example"),
        ("a_b@kunde.example", "ab@kunde.example"),
        ("meier@sued.kunde.example", "meier@kunde.example"),
    ],
)
def test_different_mailboxes_stay_different(one: str, other: str) -> None:
    assert mailbox_key(one) != mailbox_key(other)


@given(LOCAL, DOMAIN, st.text("abc.+", max_size=8), st.integers(0, 20))
def test_case_dots_tags_and_the_domains_spelling_change_nothing(local: str, domain: str, tag: str, at: int) -> None:
    key = mailbox_key(f"{local}@{domain}")

    dotted = f"{local[:at]}.{local[at:]}"
    for same in (local.upper(), local.title(), dotted, f"{local}+{tag}"):
        for written in (domain, domain.upper().replace("SS", "ß"), _ascii(domain)):
            for form in ("NFC", "NFD", "NFKC", "NFKD"):
                assert mailbox_key(unicodedata.normalize(form, f"{same}@{written}")) == key


@given(LOCAL, DOMAIN)
def test_the_key_of_a_key_is_the_key(local: str, domain: str) -> None:
    key = mailbox_key(f"{local}@{domain}")

    assert mailbox_key(key) == key


@given(st.text(max_size=300))
def test_whatever_is_typed_has_a_key(text: str) -> None:
    assert "@" in mailbox_key(text)


def _ascii(domain: str) -> str:
    return mailbox_key(f"x@{domain}").partition("@")[2]
