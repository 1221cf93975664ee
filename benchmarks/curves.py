"""Plot of a run's latency over throughput, one curve per server, one point per number of connections.

    python -m benchmarks.curves FILE.json FILE.svg

A name that ends in .png gives a PNG.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.targets import Results, medians

#: Not a server to choose, but an upper bound for the others.
EXCLUDED = {"empty"}


def draw(results: Results, path: Path) -> None:
    """Write the plot; the suffix of the name selects the format."""
    mpl.rcParams["svg.hashsalt"] = "unroll"  # equal figures give equal files
    mpl.rcParams["svg.fonttype"] = "none"
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    rows = medians(results["rows"])
    for name, title in results["servers"].items():
        points = [row for row in rows if (row["server"], row["manner"]) == (name, "stay")]
        if points and name not in EXCLUDED:
            _draw_curve(axes, title, sorted(points, key=lambda row: row["connections"]))
    axes.set(xscale="log", yscale="log", xlabel="session steps per second", ylabel="latency, ms")
    axes.set_title("p99 (solid) and median (dotted) at 1 to 256 connections, two cores", fontsize=10)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _draw_curve(axes: Axes, title: str, points: list[dict[str, Any]]) -> None:
    """Draw p99 and median of one server, with the number of connections at each point."""
    rates = [row["rate"] for row in points]
    [line] = axes.plot(rates, [row["p99"] for row in points], marker="o", label=title)
    axes.plot(rates, [row["p50"] for row in points], ":", color=line.get_color())
    for row in points:
        point = (row["rate"], row["p99"])
        axes.annotate(str(row["connections"]), point, (4, 4), textcoords="offset points", fontsize=8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("drawing", type=Path)
    arguments = parser.parse_args()
    draw(json.loads(arguments.results.read_text("utf-8")), arguments.drawing)
    print(f"wrote {arguments.drawing}")


if __name__ == "__main__":
    main()
