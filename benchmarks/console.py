"""First paint of the console, and frames of a chart that gets 10 observations a second, in a headless Chromium.

    python -m benchmarks.console [--loads 9] [--seconds 8]

It starts `unroll serve` with one worker and the bundled models on a free port. Each load of / has a fresh context of
the browser, whose caches are empty. The paints are those that the browser reports (`paint` of its performance
timeline). Each observation of the chart is a step of a session, whose forecast is drawn behind the newest
observations, as the forecasting panel does. Frames are the times between callbacks of requestAnimationFrame; long tasks
take at least 50 ms.
"""

import argparse
import shutil
import statistics
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.ours import service

VIEWPORT: Any = {"width": 1200, "height": 900}
PAINTS = "performance.getEntriesByType('paint').map((entry) => [entry.name, entry.startTime])"
#: Resolves when models are shown: after the page, its scripts and a call of the service.
SHOWN = """() => new Promise((resolve) => {
    const look = () => document.querySelector("main a") ? resolve(performance.now()) : requestAnimationFrame(look);
    look();
})"""
#: Steps a session for some seconds; returns the times between frames, of steps and drawings, and long tasks.
FEED = """async (seconds) => {
    const { LiveSession } = await import("/console/js/live_session.js");
    const charts = await import("/console/js/charts.js");
    const node = document.createElement("div");
    node.style.blockSize = "24rem";
    document.querySelector("main").replaceChildren(node);
    const session = new LiveSession("taxi-forecast");
    const start = Date.UTC(2015, 0, 5), half_hour = 1800_000;
    const value = (row) => 15000 + 8000 * Math.sin(row / 48 * 2 * Math.PI) + 500 * Math.sin(row * 7.3);
    const time = (row) => new Date(start + row * half_hour).toISOString();
    const rows = Array.from({ length: 384 }, (_, row) => row);
    const feed = (from, count) => session.step({ values: rows.slice(0, count).map((_, row) => value(from + row)),
        timestamps: { start: time(from), step_seconds: 1800 } }, { horizon: 96, quantiles: [0.1, 0.5, 0.9] });
    const draw = (row, output) => {
        const seen = rows.map((past) => row - rows.length + past + 1);
        const band = (level) => ({ x: output.timestamps, y: output.quantiles[level].flat(), mode: "lines" });
        return charts.draw(node, [{ x: seen.map(time), y: seen.map(value), mode: "lines" }, band("0.1"),
            { ...band("0.9"), fill: "tonexty" }, band("0.5")], {}, { label: "forecast" });
    };
    let row = rows.length - 1;
    await draw(row, (await feed(0, rows.length)).output);
    const frames = [], steps = [], drawings = [], long = [];
    new PerformanceObserver((list) => long.push(...list.getEntries().map(({ duration }) => duration)))
        .observe({ entryTypes: ["longtask"] });
    const end = performance.now() + seconds * 1000;
    let last = performance.now();
    const frame = (now) => { frames.push(now - last); last = now; if (now < end) requestAnimationFrame(frame); };
    requestAnimationFrame((now) => { last = now; requestAnimationFrame(frame); });
    while (performance.now() < end) {
        const began = performance.now();
        row += 1;
        const { output } = await feed(row, 1);
        const answered = performance.now();
        await draw(row, output);
        steps.push(answered - began);
        drawings.push(performance.now() - answered);
        await new Promise((resolve) => setTimeout(resolve, Math.max(0, 100 - (performance.now() - began))));
    }
    return { frames, steps, drawings, long };
}"""


def median(values: list[float]) -> float:
    return statistics.median(values)


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def load(browser: Browser, url: str) -> dict[str, float]:
    """Load the console with empty caches; returns milliseconds since the navigation began."""
    with browser.new_context(viewport=VIEWPORT) as context:
        page = context.new_page()
        page.goto(url)
        shown = page.evaluate(SHOWN)
        return {**dict(page.evaluate(PAINTS)), "models shown": shown}


def report_feeding(page: Page, seconds: int) -> None:
    found = page.evaluate(FEED, seconds)
    print(f"{len(found['steps']) / seconds:.1f} observations/s for {seconds} s")
    print(f"a step: {spread(found['steps'])}; its drawing: {spread(found['drawings'])}")
    print(f"{len(found['frames']) / seconds:.0f} frames/s; from frame to frame: {spread(found['frames'])}")
    print(f"{len(found['long'])} long tasks, the longest {max(found['long'], default=0):.0f} ms")


def spread(values: list[float]) -> str:
    return f"{min(values):.0f} ms least, {median(values):.0f} ms median, {percentile(values, 0.99):.0f} ms p99"


def main() -> None:
    """Print the medians of the paints, and what feeding a chart costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loads", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=8)
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with service() as running, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        url = f"http://localhost:{running.port}/"
        loads = [load(browser, url) for _ in range(arguments.loads)]
        for name in loads[0]:
            values = [each[name] for each in loads]
            print(f"{name}: {median(values):.0f} ms median of {len(values)}, {min(values):.0f} to {max(values):.0f} ms")
        with browser.new_context(viewport=VIEWPORT) as context:
            page = context.new_page()
            page.goto(url)
            report_feeding(page, arguments.seconds)
        browser.close()


if __name__ == "__main__":
    main()
