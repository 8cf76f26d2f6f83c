"""Signed texts: one purpose, one spelling, and keys that can be changed."""

import string
from datetime import UTC, datetime, timedelta

import pytest

from portal.links import InvalidLink, Links, Purpose, new_secret

OLD, KEY, NEXT = (
    "old-key-0123456789-abcdefghijklmnop",
    "a-key-0123456789-abcdefghijklmnopqr",
    "next-key-0123456789-abcdef",
)
NOW = datetime(2026, 11, 24, 8, 12, 30, tzinfo=UTC)
TEXT = "jZ3k9-_Qw8eRtYuIoPaSdF"
ALPHABET = string.ascii_letters + string.digits + "-_"

links = Links([KEY])
TOKEN = links.sign(Purpose.STATUS, TEXT)


@pytest.mark.parametrize("text", [TEXT, "", "a.b.c", "1:2"])
@pytest.mark.parametrize("purpose", Purpose)
def test_a_signed_text_comes_back(purpose: Purpose, text: str) -> None:
    assert links.read(purpose, links.sign(purpose, text)) == text


@pytest.mark.parametrize("purpose", Purpose)
@pytest.mark.parametrize("other", Purpose)
def test_a_token_is_good_for_its_own_purpose_only(purpose: Purpose, other: Purpose) -> None:
    token = links.sign(purpose, TEXT)

    assert readable(token, other) == (purpose is other)


def readable(token: str, purpose: Purpose = Purpose.STATUS, signer: Links = links) -> bool:
    try:
        signer.read(purpose, token)
    except InvalidLink:
        return False
    return True


def test_every_purpose_has_a_salt_of_its_own() -> None:
    assert len({purpose.value for purpose in Purpose}) == len(Purpose)


def test_keys_handed_out_belong_to_one_purpose_and_stand_in_the_order_of_ours() -> None:
    handed_out = [key for purpose in Purpose for key in Links([OLD, KEY]).keys(purpose)]

    assert len({*handed_out, OLD.encode(), KEY.encode()}) == 2 * len(Purpose) + 2
    assert Links([OLD, KEY]).keys(Purpose.CHALLENGE) == [
        *Links([OLD]).keys(Purpose.CHALLENGE),
        *Links([KEY]).keys(Purpose.CHALLENGE),
    ]


@pytest.mark.parametrize("position", range(len(TOKEN)))
def test_a_changed_character_is_refused_wherever_it_stands(position: int) -> None:
    """The last one, too: base64 leaves two spare bits there, so three other letters stand for the same signature."""
    others = [letter for letter in ALPHABET + "." if letter != TOKEN[position]]

    assert [x for x in others if readable(TOKEN[:position] + x + TOKEN[position + 1 :])] == []


@pytest.mark.parametrize("length", range(len(TOKEN)))
def test_a_token_that_was_cut_off_is_refused(length: int) -> None:
    assert not readable(TOKEN[:length])


@pytest.mark.parametrize(
    "token",
    [
        TOKEN + TOKEN,
        TOKEN + ".",
        "." + TOKEN,
        TOKEN + "=",
        TOKEN + "==",
        TOKEN + "\x00",
        TOKEN + "%00",
        TOKEN + "\n",
        TOKEN + " ",
        " " + TOKEN,
        TOKEN + "/",
        TOKEN.upper(),
        TOKEN.lower(),
        TOKEN.replace(".", "..", 1),
        TOKEN.replace(".", "%2E"),
        TOKEN[::-1],
        "ü" + TOKEN,
        TOKEN + "ü",
        "\udc80" + TOKEN,
        "🦊",
        "",
        ".",
        "..",
        "null",
        "A" * 100_000,
    ],
    ids=lambda token: ascii(token)[:40],
)
def test_what_is_not_exactly_a_token_of_ours_is_refused(token: str) -> None:
    with pytest.raises(InvalidLink):
        links.read(Purpose.STATUS, token)


def test_a_token_is_safe_in_a_path() -> None:
    assert set(TOKEN) <= set(ALPHABET + ".")


class TestWhenKeysChange:
    def test_an_old_link_still_works(self) -> None:
        assert readable(TOKEN, signer=Links([OLD, KEY, NEXT]))

    def test_the_newest_key_signs(self) -> None:
        token = Links([KEY, NEXT]).sign(Purpose.STATUS, TEXT)

        assert (readable(token, signer=Links([NEXT])), readable(token, signer=Links([KEY]))) == (True, False)

    def test_a_key_that_leaves_the_list_kills_its_links(self) -> None:
        assert not readable(TOKEN, signer=Links([NEXT]))


class TestATokenWithATime:
    def test_gives_back_text_and_instant(self) -> None:
        token = links.sign_with_time(Purpose.CONTACT_FORM, TEXT, now=NOW)

        assert links.read_with_time(Purpose.CONTACT_FORM, token) == (TEXT, NOW)

    def test_carries_an_instant_whatever_the_zone_it_was_said_in(self) -> None:
        there = NOW.astimezone(datetime.strptime("+0530", "%z").tzinfo)
        token = links.sign_with_time(Purpose.CONTACT_FORM, TEXT, now=there)

        assert links.read_with_time(Purpose.CONTACT_FORM, token)[1] == NOW

    def test_cannot_be_given_another_time(self) -> None:
        token = links.sign_with_time(Purpose.CONTACT_FORM, TEXT, now=NOW)
        later = token.replace(str(int(NOW.timestamp())), str(int((NOW + timedelta(days=1)).timestamp())))

        with pytest.raises(InvalidLink):
            links.read_with_time(Purpose.CONTACT_FORM, later)

    @pytest.mark.parametrize("text", ["", "no-time", "a.b", "a.", "a.-5", "a.1e9"])
    def test_is_not_any_signed_text(self, text: str) -> None:
        with pytest.raises(InvalidLink):
            links.read_with_time(Purpose.CONTACT_FORM, links.sign(Purpose.CONTACT_FORM, text))

    def test_is_good_for_its_own_purpose_only(self) -> None:
        token = links.sign_with_time(Purpose.CONTACT_FORM, TEXT, now=NOW)

        with pytest.raises(InvalidLink):
            links.read_with_time(Purpose.STATUS, token)


def test_secrets_are_128_random_bits_in_22_safe_characters() -> None:
    secrets = {new_secret() for _ in range(1000)}

    assert len(secrets) == 1000
    assert {len(secret) for secret in secrets} == {22}
    assert set("".join(secrets)) <= set(ALPHABET)
