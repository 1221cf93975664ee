"""What a running service tells by /metrics."""

import math

import httpx
from prometheus_client.parser import text_string_to_metric_families


class Metrics:
    """One reading."""

    def __init__(self, http: httpx.Client) -> None:
        response = http.get("/metrics")
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/plain")
        self.text = response.text
        families = text_string_to_metric_families(self.text)
        self.samples = [sample for family in families for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """The sum of all samples of that name which carry these labels."""
        found = [
            sample.value
            for sample in self.samples
            if sample.name == f"unroll_{name}" and labels.items() <= sample.labels.items()
        ]
        return math.fsum(found)
