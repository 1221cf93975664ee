"""The whole drill, and that it leaves no alert out."""

import subprocess
import sys

import pytest

from tests.drill.acts import ACTS
from tests.drill.programs import PACKAGES, require
from tests.drill.rule_cases import CASES
from tests.server import ROOT


def test_every_alert_is_caused_by_one_act() -> None:
    assert sorted(alert for act in ACTS for alert in act.alerts) == sorted(CASES)


@pytest.mark.slow
def test_every_alert_fires_for_its_cause_and_clears_after_it() -> None:
    require(*PACKAGES)
    done = subprocess.run(
        [sys.executable, "-m", "tests.drill"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=1800
    )
    assert done.returncode == 0, done.stdout + done.stderr
