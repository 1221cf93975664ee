"""The committed configuration as the drill runs it: with ports of its own, with TLS to replicas that have a certificate
there, and with short windows and waits.

Nothing else is changed, so what the drill sees to fire are the rules that operators load.
"""

import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.server import ROOT

DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "rules"
#: Prometheus scrapes and evaluates as often in the drill.
INTERVAL = "1s"
#: Label of a target that is scraped over TLS.
TLS = {"__scheme__": "https"}
#: An address at which nothing listens.
NOBODY = "127.0.0.1:1"
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def shortened(duration: str) -> str:
    """Return a window or wait of the rules as the drill takes it: 5m becomes 6s, 1h 12s, 3d 24s, 7d 26s.

    The scale is logarithmic, so short windows still have several scrapes, and longer ones stay longer.
    """
    seconds = int(duration[:-1]) * UNITS[duration[-1]]
    return f"{max(1, round(6 * math.log10(seconds / 30)))}s"


def shorten_query(query: str) -> str:
    """Return a query with short windows and offsets."""
    return re.sub(r"(?<=\[)\d+[smhd](?=\])|(?<=\boffset )\d+[smhd]\b", lambda found: shortened(found[0]), query)


def drill_rules(path: Path) -> dict[str, Any]:
    """Return the groups of a rules file with short windows, offsets and waits. The names of records stay."""
    rules: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule["expr"] = shorten_query(rule["expr"])
            if "for" in rule:
                rule["for"] = shortened(rule["for"])
    return rules


def write_prometheus(folder: Path, addresses: Mapping[str, str], over_tls: Collection[str] = ()) -> Path:
    """Write prometheus.yml and its rules into a folder. `addresses` are those of the targets, by their names."""
    config: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text("utf-8"))
    config["global"] = {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL, "evaluation_interval": INTERVAL}
    for scraped in config["scrape_configs"]:
        scraped["static_configs"] = [
            {"targets": [addresses[target]], "labels": {"instance": target} | (TLS if target in over_tls else {})}
            for static in scraped["static_configs"]
            for target in static["targets"]
        ]
        scraped["tls_config"] = {"insecure_skip_verify": True}
    for alertmanager in config["alerting"]["alertmanagers"]:
        for static in alertmanager["static_configs"]:
            static["targets"] = [addresses[target] for target in static["targets"]]
    (folder / "rules").mkdir(parents=True, exist_ok=True)
    for path in RULES.glob("*.yml"):
        (folder / "rules" / path.name).write_text(yaml.safe_dump(drill_rules(path)), "utf-8")
    written = folder / "prometheus.yml"
    written.write_text(yaml.safe_dump(config), "utf-8")
    return written


def write_haproxy(folder: Path, addresses: Mapping[str, str], service: int, metrics: int, grpc: int) -> Path:
    """Write haproxy.cfg into a folder, with the ports that it binds. Nothing listens where a replica has no address."""
    text = (DEPLOY / "haproxy" / "haproxy.cfg").read_text("utf-8")
    for name in set(re.findall(r"^    server \S+ (\S+)", text, re.MULTILINE)):
        text = re.sub(rf"(^    server \S+ ){name}\b", rf"\g<1>{addresses.get(name, NOBODY)}", text, flags=re.MULTILINE)
    for bound, port in ((8000, service), (8001, grpc), (8404, metrics)):
        text, found = re.subn(rf"bind :{bound}\b", f"bind 127.0.0.1:{port}", text)
        assert found == 1
    written = folder / "haproxy.cfg"
    written.write_text(text, "utf-8")
    return written
