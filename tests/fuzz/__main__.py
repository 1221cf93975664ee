"""`python -m tests.fuzz --seed 1 --count 100000`: fuzzes all readers, and fails if there are findings."""

import argparse
import sys

from tests.fuzz.run import run
from tests.fuzz.targets import TARGETS

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--count", type=int, default=100_000)
parser.add_argument("--first", type=int, default=0)
parser.add_argument("--only", default="", choices=["", *TARGETS])
arguments = parser.parse_args()
result = run(arguments.seed, arguments.count, arguments.only, arguments.first)
sys.stdout.write(result.render() + "\n")
sys.exit(bool(result.findings))
