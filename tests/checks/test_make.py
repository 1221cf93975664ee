"""The Makefile: what `make help` lists, and what `make serve` becomes."""

import os
import re
import subprocess

from tests.checks.places import ROOT

MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
#: What an outer make, or a shell, hands down; `HOST` and its like are variables of the Makefile.
NOT_PASSED = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "HOST", "PORT", "WORKERS", "MODELS", "VENV"}


def make(*arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in NOT_PASSED}
    done = subprocess.run(["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def test_help_lists_every_target_that_says_what_it_does() -> None:
    described = dict(re.findall(r"^([a-z-]+):.*## (.+)$", MAKEFILE, re.MULTILINE))
    assert {"serve", "test", "check"} <= set(described)
    assert dict(re.findall(r"^([a-z-]+)\s+(.+)$", make("help"), re.MULTILINE)) == described


def test_every_target_that_is_described_is_phony() -> None:
    phony = re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    assert phony is not None
    described = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))
    assert described <= set(phony[1].split())


def test_make_without_a_target_shows_the_help() -> None:
    assert make() == make("help")


def test_serve_becomes_the_service_itself() -> None:
    assert last_command(make("-n", "serve")).split() == ["exec", "env", ".venv/bin/unroll", "serve"]


def test_serve_passes_its_settings_on() -> None:
    command = last_command(make("-n", "serve", "HOST=::1", "PORT=9000", "WORKERS=2", "MODELS=m")).split()
    given = ["UNROLL_HOST=::1", "UNROLL_PORT=9000", "UNROLL_WORKERS=2", "UNROLL_MODELS=m"]
    assert command == ["exec", "env", *given, ".venv/bin/unroll", "serve"]


def last_command(printed: str) -> str:
    """The last of the printed commands, with its continuation lines joined."""
    return printed.replace("\\\n", " ").strip().splitlines()[-1]
