"""Settings: what is wrong stops the start with one sentence that names the variable."""

import dataclasses
import secrets
from pathlib import Path
from typing import Any

import pytest

from portal import config
from portal.config import Rate, Settings, SettingsError
from portal.core import create_core
from tests.support.smtp_sink import CERTIFICATE

KEY = "a-key-for-tests-0123456789-abcdefghij"
OLD, OLDER = "an-old-key-0123456789-abcdefghijklmn", "an-older-key-0123456789-abcdefghijkl"
REQUIRED = {"PORTAL_SECRET_KEY": KEY}

WRONG = [
    ("DATABASE_URL", "mysql://user@host/name"),
    ("DATABASE_URL", "postgresql://user@host/name"),
    ("DATABASE_URL", "durchwahl.sqlite3"),
    ("DATABASE_URL", "sqlite:////var/lib/durchwahl.sqlite3?foo=bar"),
    ("DATABASE_URL", "sqlite:////var/lib/durchwahl.sqlite3?timeout=1"),
    ("DATABASE_URL", "postgresql+psycopg://user@host:port/name"),
    ("SECRET_KEY", "short"),
    ("SECRET_KEY", "changeme"),
    ("SECRET_KEY", "x" * 64),
    ("SECRET_KEY", "0123456789abcdef0123456789abcde"),
    ("SECRET_KEY", "0123456789abcdef0123456789abcdef"),
    ("SECRET_KEY", "change-me-change-me-change-me-change-me"),
    ("SECRET_KEY", "Change_Me_Please_This-is-your-Secret-Key"),
    ("SECRET_KEY_FALLBACKS", "x"),
    ("SECRET_KEY_FALLBACKS", f"{OLD},x"),
    ("SECRET_KEY_FALLBACKS", f"{OLD},change-me-change-me-change-me-change-me"),
    ("BASE_URL", "service.firma.example"),
    ("BASE_URL", "ftp://service.firma.example"),
    ("BASE_URL", "https://"),
    ("BASE_URL", "https://service.firma.example/?a=b"),
    ("BASE_URL", "https://service.firma.example/#top"),
    ("BASE_URL", 'https://service.firma.example:99999/"<'),
    ("BASE_URL", "https://service.firma.example:99999"),
    ("BASE_URL", "https://service.firma.example:0"),
    ("BASE_URL", "https://service.firma.example/a b"),
    ("BASE_URL", "https://service.firma.example/a\nb"),
    ("BASE_URL", "https://service.firma.example/'x"),
    ("BASE_URL", 'https://service.firma.example"'),
    ("BASE_URL", "https://somebody@service.firma.example"),
    ("MAIL_SERVER", "bad host!"),
    ("MAIL_SERVER", "relay.firma.example:25"),
    ("MAIL_SERVER", "relay..example"),
    ("MAIL_CA_FILE", "/nowhere/roots.pem"),
    ("MAIL_CA_FILE", __file__),
    ("MAIL_PORT", "0"),
    ("MAIL_PORT", "65536"),
    ("MAIL_PORT", "smtp"),
    ("MAIL_USE_TLS", "maybe"),
    ("MAIL_USE_SSL", "ja"),
    ("MAIL_DEFAULT_SENDER", "nobody"),
    ("MAIL_DEFAULT_SENDER", "Service <service@firma.example>"),
    ("MAIL_DEFAULT_SENDER", "service@firma.example, other@firma.example"),
    ("MAIL_DEFAULT_SENDER", "service@firma.example\r\nBcc: eve@example.org"),
    ("MAIL_RETRY_BASE", "0"),
    ("MAIL_RETRY_BASE", "nan"),
    ("MAIL_DEADLINE", "-1"),
    ("MAIL_DEADLINE", "inf"),
    ("MAIL_LEASE", "soon"),
    ("MAIL_CAP", "many"),
    ("MAIL_CAP", "3 per week"),
    ("UPLOAD_LIMIT", "100 per hour"),
    ("UPLOAD_LIMIT", "many MB per hour"),
    ("UPLOAD_LIMIT", "100 MB per week"),
    ("CLAMD", "scanner"),
    ("CLAMD", "scanner:0"),
    ("CLAMD", ":3310"),
    ("CLAMD", "var/clamd.sock"),
    ("MAIL_CAP", "3 per hour,10 per day"),
    ("FORM_MIN_SECONDS", "-1"),
    ("PROOF_OF_WORK", "contact"),
    ("TIMEZONE", "Europe/Entenhausen"),
    ("TIMEZONE", "Europe"),
    ("TIMEZONE", "../../etc/passwd"),
    ("LOG_FORMAT", "xml"),
    ("TRUSTED_PROXIES", "-1"),
    ("TRUSTED_PROXIES", "all"),
]
GIVEN: list[tuple[str, str, Any]] = [
    ("DATABASE_URL", "postgresql+psycopg://user@host/name", "postgresql+psycopg://user@host/name"),
    ("BASE_URL", "https://service.firma.example/", "https://service.firma.example"),
    ("BASE_URL", "https://service.firma.example:8443/portal", "https://service.firma.example:8443/portal"),
    ("MAIL_SERVER", "relay.firma.example", "relay.firma.example"),
    ("MAIL_SERVER", "192.0.2.25", "192.0.2.25"),
    ("MAIL_SERVER", "2001:db8::25", "2001:db8::25"),
    ("MAIL_PORT", "587", 587),
    ("MAIL_USE_TLS", "True", True),
    ("MAIL_USE_SSL", "yes", True),
    ("MAIL_DEFAULT_SENDER", "service@firma.example", "service@firma.example"),
    ("MAIL_RETRY_BASE", "0.05", 0.05),
    ("MAIL_DEADLINE", "5", 5.0),
    ("MAIL_LEASE", "300", 300.0),
    ("MAIL_CAP", "1 per minute; 20 per day", (Rate(1, 60), Rate(20, 86400))),
    ("UPLOAD_LIMIT", "1 MB per hour; 9 MB per day", (Rate(1024 * 1024, 3600), Rate(9 * 1024 * 1024, 86400))),
    ("CLAMD", "127.0.0.1:3310", "127.0.0.1:3310"),
    ("CLAMD", "[::1]:3310", "[::1]:3310"),
    ("CLAMD", "/run/clamav/clamd.ctl", "/run/clamav/clamd.ctl"),
    ("FORM_MIN_SECONDS", "0", 0.0),
    ("PROOF_OF_WORK", "true", True),
    ("TIMEZONE", "Europe/Vienna", "Europe/Vienna"),
    ("LOG_FORMAT", "json", "json"),
    ("TRUSTED_PROXIES", "1", 1),
    ("FALLBACK_CONTACT", "Petra Lindner, 089 99998-100", "Petra Lindner, 089 99998-100"),
    ("MAILBOX_DIR", "var/mailbox", Path("var/mailbox")),
]


def read(**values: str) -> Settings:
    return config.read({**REQUIRED, **{f"PORTAL_{name}": value for name, value in values.items()}})


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_is_one_sentence_that_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read(**{name: value})

    sentence = str(raised.value)
    assert sentence.startswith(f"PORTAL_{name} ")
    assert sentence.endswith(".") and "\n" not in sentence


@pytest.mark.parametrize(
    ("name", "value"), [("DATABASE_URL", "postgresql+psycopg://user:geheim@host:port/name"), ("SECRET_KEY", "geheim")]
)
def test_the_sentence_does_not_tell_a_secret(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read(**{name: value})

    assert "geheim" not in str(raised.value)


@pytest.mark.parametrize(("name", "value", "meaning"), GIVEN)
def test_a_value_is_read_as_what_it_means(name: str, value: str, meaning: Any) -> None:
    assert getattr(read(**{name: value}), name.lower()) == meaning


@pytest.mark.parametrize("name", sorted({name for name, _, _ in GIVEN}))
def test_an_empty_value_counts_as_not_set(name: str) -> None:
    assert getattr(read(**{name: ""}), name.lower()) == getattr(read(), name.lower())


def test_only_the_secret_key_must_be_set() -> None:
    settings = read()

    assert settings.database_url == "sqlite:///var/durchwahl.sqlite3"
    assert settings.mail_cap == (Rate(3, 3600), Rate(10, 86400))
    assert (settings.mail_deadline, settings.mail_lease, settings.mail_retry_base) == (240, 270, 10)
    assert (settings.timezone, settings.log_format, settings.trusted_proxies) == ("Europe/Berlin", "text", 0)
    assert (settings.form_min_seconds, settings.proof_of_work) == (3, False)
    assert settings.mailbox_dir is None


def test_a_login_at_the_relay_is_name_and_password() -> None:
    settings = read(MAIL_USERNAME="durchwahl", MAIL_PASSWORD="geheim")

    assert (settings.mail_username, settings.mail_password) == ("durchwahl", "geheim")


@pytest.mark.parametrize(("given", "missing"), [("USERNAME", "PASSWORD"), ("PASSWORD", "USERNAME")])
def test_half_a_login_at_the_relay_is_refused(given: str, missing: str) -> None:
    with pytest.raises(SettingsError, match=rf"^PORTAL_MAIL_{missing} is missing: [^.\n]+\.$"):
        read(**{f"MAIL_{given}": "geheim"})


def test_roots_of_the_relay_are_read_from_their_file(tmp_path: Path) -> None:
    (tmp_path / "roots.pem").write_text(CERTIFICATE, encoding="ascii")

    assert read(MAIL_CA_FILE=str(tmp_path / "roots.pem")).mail_ca_file == str(tmp_path / "roots.pem")


def test_random_keys_of_every_spelling_are_strong_enough() -> None:
    for _ in range(200):
        keys = (secrets.token_hex(16), secrets.token_urlsafe(24), secrets.token_urlsafe(48))
        assert read(SECRET_KEY_FALLBACKS=",".join(keys)).secret_keys == (*reversed(keys), KEY)


@pytest.mark.parametrize("sender", ["kündigung@firma.de", "a,b@firma.de", '"a b"@firma.de', "service@-firma.de"])
def test_a_sender_no_letter_can_carry_stops_the_start(sender: str, tmp_path: Path) -> None:
    environment = {"PORTAL_MAIL_DEFAULT_SENDER": sender, "PORTAL_DATABASE_URL": f"sqlite:///{tmp_path}/var/x"}

    with pytest.raises(SettingsError, match=r"^PORTAL_MAIL_DEFAULT_SENDER must be [^\n]+\.$"):
        create_core({**REQUIRED, **environment})

    assert list(tmp_path.iterdir()) == []


def test_a_sender_of_a_domain_with_umlauts_is_none_of_them(tmp_path: Path) -> None:
    environment = {"PORTAL_MAIL_DEFAULT_SENDER": "service@müller.de", "PORTAL_DATABASE_URL": f"sqlite:///{tmp_path}/x"}

    assert create_core({**REQUIRED, **environment}).config["MAIL_DEFAULT_SENDER"] == "service@müller.de"


@pytest.mark.parametrize("environment", [{}, {"PORTAL_SECRET_KEY": ""}, {"SECRET_KEY": KEY}])
def test_a_missing_secret_key_stops_the_start(environment: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"^PORTAL_SECRET_KEY is missing"):
        config.read(environment)


@pytest.mark.parametrize("environment", [{}, {"PORTAL_SECRET_KEY": "secret"}, {**REQUIRED, "PORTAL_MAIL_PORT": "x"}])
def test_wrong_settings_stop_the_program_before_it_touches_anything(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SettingsError):
        create_core(environment)

    assert list(tmp_path.iterdir()) == []


def test_keys_are_listed_oldest_to_newest() -> None:
    settings = read(SECRET_KEY_FALLBACKS=f"{OLD}, {OLDER}")

    assert settings.secret_keys == (OLDER, OLD, KEY)
    assert settings.counter_key == OLDER


def test_flask_signs_with_the_newest_key_and_reads_with_the_old_ones(tmp_path: Path) -> None:
    environment = {
        **REQUIRED,
        "PORTAL_SECRET_KEY_FALLBACKS": f"{OLD},{OLDER}",
        "PORTAL_DATABASE_URL": f"sqlite:///{tmp_path}/x",
    }

    app = create_core(environment)

    assert (app.config["SECRET_KEY"], app.config["SECRET_KEY_FALLBACKS"]) == (KEY, [OLD, OLDER])


@pytest.mark.parametrize("lease", ["5", "4.9"])
def test_a_lease_must_outlive_the_deadline(lease: str) -> None:
    with pytest.raises(SettingsError, match=r"^PORTAL_MAIL_LEASE must be longer than PORTAL_MAIL_DEADLINE"):
        read(MAIL_DEADLINE="5", MAIL_LEASE=lease)


def test_a_longer_deadline_brings_its_lease_along() -> None:
    assert read(MAIL_DEADLINE="600").mail_lease == 630


def test_tls_and_ssl_exclude_each_other() -> None:
    with pytest.raises(SettingsError, match="PORTAL_MAIL_USE_TLS and PORTAL_MAIL_USE_SSL"):
        read(MAIL_USE_TLS="true", MAIL_USE_SSL="true")


class TestAFileTwin:
    """Every variable can come from a file, for secrets."""

    @pytest.mark.parametrize(("name", "value", "meaning"), GIVEN)
    def test_takes_the_place_of_the_variable(self, tmp_path: Path, name: str, value: str, meaning: Any) -> None:
        (tmp_path / "value").write_text(f"{value}\n", encoding="utf-8")

        assert getattr(read(**{f"{name}_FILE": str(tmp_path / "value")}), name.lower()) == meaning

    def test_holds_the_secret_key(self, tmp_path: Path) -> None:
        (tmp_path / "key").write_text(f"{KEY}\n", encoding="utf-8")

        assert config.read({"PORTAL_SECRET_KEY_FILE": str(tmp_path / "key")}).secret_keys == (KEY,)

    def test_yields_to_the_variable_itself(self, tmp_path: Path) -> None:
        (tmp_path / "port").write_text("2525", encoding="utf-8")

        assert read(MAIL_PORT="587", MAIL_PORT_FILE=str(tmp_path / "port")).mail_port == 587

    def test_that_is_missing_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"^PORTAL_MAIL_PASSWORD_FILE: the file cannot be read"):
            read(MAIL_PASSWORD_FILE=str(tmp_path / "missing"))

    def test_that_is_no_text_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")

        with pytest.raises(SettingsError, match=r"^PORTAL_MAIL_PASSWORD_FILE: the file cannot be read"):
            read(MAIL_PASSWORD_FILE=str(tmp_path / "bytes"))

    def test_that_is_empty_is_a_missing_key(self, tmp_path: Path) -> None:
        (tmp_path / "key").write_text("\n", encoding="utf-8")

        with pytest.raises(SettingsError, match=r"^PORTAL_SECRET_KEY is missing"):
            config.read({"PORTAL_SECRET_KEY_FILE": str(tmp_path / "key")})


def test_settings_never_change_afterwards() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        read().mail_port = 1  # type: ignore[misc]  # what the test is about
