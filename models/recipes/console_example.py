"""The series that the console forecasts as an example: golden data of the taxi model, as CSV.

    python -m models.recipes.console_example

writes service/http/console/examples/taxi.csv: eight days of December 2014 with Christmas among them, from the golden
vectors of models/taxi-forecast.
"""

from pathlib import Path
from typing import Final

from safetensors.numpy import load_file

ROOT: Final = Path(__file__).resolve().parents[2]
GOLDEN: Final = ROOT / "models" / "taxi-forecast" / "1" / "golden.safetensors"
EXAMPLE: Final = ROOT / "service" / "http" / "console" / "examples" / "taxi.csv"


def example() -> str:
    """Return the second series of the golden vectors as CSV."""
    vectors = load_file(GOLDEN)
    times = vectors["inputs.timestamps"][1].astype("datetime64[us]").astype("datetime64[s]")
    rows = [f"{time}Z,{value:.0f}\n" for time, value in zip(times, vectors["inputs.values"][1, :, 0], strict=True)]
    return "".join(["timestamp,passengers\n", *rows])


if __name__ == "__main__":
    EXAMPLE.parent.mkdir(exist_ok=True)
    EXAMPLE.write_text(example(), "utf-8")
    print(EXAMPLE.relative_to(ROOT))
