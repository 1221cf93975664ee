"""Build the image, or test it.

python -m tests.image build --image TAG [--torch cpu|cuda] [--builder COMMAND] [-- OPTIONS]
python -m tests.image test --image TAG
"""

import argparse

from tests.image.engines import build, find_engine
from tests.image.smoke import smoke_test


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.image", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    building, testing = commands.add_parser("build"), commands.add_parser("test")
    for command in (building, testing):
        command.add_argument("--image", required=True)
    building.add_argument("--torch", choices=("cpu", "cuda"), default="cpu")
    building.add_argument("--builder", default="")
    testing.add_argument("--engine", default="")
    building.add_argument("options", nargs="*")
    given = parser.parse_args()
    if given.command == "build":
        build(given.image, given.torch, given.builder, given.options)
    else:
        smoke_test(find_engine(given.image, given.engine))
        print(f"image: {given.image} passes")


if __name__ == "__main__":
    main()
