"""What scanners of others find in our code: nothing; and each of them finds what is planted."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from detect_secrets import SecretsCollection
from detect_secrets.settings import default_settings, transient_settings

ROOT = Path(__file__).parents[2]
CODE = ("portal", "worker", "migrations")
TOLD = {".py", ".md", ".toml", ".html", ".txt", ".js", ".css", ".yml", ".cfg", ".po", ""}
KEYS = {
    "plugins_used": [
        {"name": f"{kind}Detector"}
        for kind in ("AWSKey", "BasicAuth", "GitHubToken", "JwtToken", "PrivateKey", "Slack", "Stripe", "TwilioKey")
    ]
}
"""For tests, which are full of passwords of people that do not exist: only what a provider gave out."""
NONE = {
    ("README.md", "Basic Auth Credentials"),  # how a database address is written
    ("drafting.py", "Base64 High Entropy String"),  # the letters of references
    ("smtp_sink.py", "Private Key"),  # of a relay that lives as long as a test
    ("test_commands.py", "Basic Auth Credentials"),
    ("test_config.py", "Basic Auth Credentials"),
}
"""What only looks like one."""
PLANTED_KEY = "AKIA" + "QYLPMN5HHHFPZAM2"
PLANTED_WORD = "secret_key = '" + "c3VwZXIgc2VjcmV0IHN0cmluZyBubyBvbmU" + "'\n"


def bandit(*paths: Path) -> subprocess.CompletedProcess[str]:
    """Bandit's word on these, from medium severity on; SQL put together from text is left to ruff (S608)."""
    command = [sys.executable, "-m", "bandit", "-q", "-ll", "-s", "B608", "-r", *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def secrets(paths: Iterable[Path], only: dict[str, list[dict[str, str]]] | None = None) -> set[tuple[str, str]]:
    """Files in which something looks like a secret, each with what it looks like."""
    found = SecretsCollection()
    with default_settings() if only is None else transient_settings(only):
        for path in paths:
            found.scan_file(str(path))
    return {(Path(name).name, secret.type) for name, secret in found}


def files(*folders: str) -> list[Path]:
    """Every text of ours below these folders."""
    within = (path for folder in folders for path in (ROOT / folder).rglob("*"))
    return [path for path in within if path.is_file() and path.suffix in TOLD and not _foreign(path)]


def _foreign(path: Path) -> bool:
    return bool({"vendor", "__pycache__"} & set(path.parts))


@pytest.mark.slow
def test_bandit_finds_nothing_in_our_code() -> None:
    found = bandit(*(ROOT / folder for folder in CODE))

    assert (found.returncode, found.stdout) == (0, "")


def test_bandit_finds_what_is_planted(tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text("import subprocess\nsubprocess.call('ls ' + input(), shell=True)\n")

    assert bandit(tmp_path).returncode == 1


def test_no_secret_is_written_into_our_code() -> None:
    ours = [path for path in ROOT.iterdir() if path.is_file() and path.suffix in TOLD]

    assert secrets([*ours, *files(*CODE, "docs", ".ci")]) - NONE == set()


def test_no_key_of_a_provider_is_written_into_our_tests() -> None:
    assert secrets(files("tests"), KEYS) - NONE == set()


@pytest.mark.parametrize("planted", [f"key = '{PLANTED_KEY}'\n", PLANTED_WORD])
def test_a_planted_secret_is_found(tmp_path: Path, planted: str) -> None:
    (tmp_path / "planted.py").write_text(planted)

    assert secrets([tmp_path / "planted.py"]) != set()


def test_a_planted_key_of_a_provider_is_found_in_tests_too(tmp_path: Path) -> None:
    (tmp_path / "test_planted.py").write_text(f"key = '{PLANTED_KEY}'\n")

    assert secrets([tmp_path / "test_planted.py"], KEYS) != set()
