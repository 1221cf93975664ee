"""Write the rules of deploy/prometheus/rules/ into the PrometheusRule of the manifests and of the chart.

    python deploy/kubernetes/rules.py            writes both
    python deploy/kubernetes/rules.py --check    fails if one of them is not what would be written

The files there are the only source: `make manifests` runs this after a change of them.
"""

import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "deploy" / "prometheus" / "rules"
MANIFEST = ROOT / "deploy" / "kubernetes" / "components" / "monitoring" / "prometheus-rule.yaml"
CHART = ROOT / "deploy" / "helm" / "unroll" / "files" / "rules.yaml"
NOTE = (
    "# Written by deploy/kubernetes/rules.py from deploy/prometheus/rules/: after a change there, `make manifests`.\n"
)


class Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


Dumper.add_representer(str, _text)


def groups() -> list[dict[str, Any]]:
    """Return the groups of all files, in the order of their names."""
    files = sorted([*SOURCE.glob("*.yml"), *SOURCE.glob("*.yaml")])
    return [group for file in files for group in yaml.safe_load(file.read_text("utf-8"))["groups"]]


def rendered() -> dict[Path, str]:
    """Return the text of each file that is written."""
    spec = {"groups": groups()}
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "unroll", "labels": {"app.kubernetes.io/name": "unroll"}},
        "spec": spec,
    }
    return {MANIFEST: NOTE + _dump(rule), CHART: NOTE + _dump(spec)}


def _dump(value: object) -> str:
    return str(yaml.dump(value, Dumper=Dumper, sort_keys=False, width=120, allow_unicode=True))


def main() -> int:
    """Write the files, or compare them; return the exit status."""
    outdated = [path for path, text in rendered().items() if not path.exists() or path.read_text("utf-8") != text]
    if "--check" in sys.argv[1:]:
        for path in outdated:
            print(f"{path.relative_to(ROOT)} is outdated: run `make manifests`", file=sys.stderr)
        return 1 if outdated else 0
    for path in outdated:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rendered()[path], "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
