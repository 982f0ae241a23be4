"""The figures of `__main__.py` as the tables of docs/benchmarks.md."""

import glob
import math
import statistics

from measure import spread

BEGIN, END = "<!-- written by make bench-flink -->", "<!-- end of what make bench-flink wrote -->"
median = statistics.median


def quantiles(folder):
    """p50, p99 and the greatest latency in microseconds from the counts of the sink's subtasks."""
    counts = {}
    for path in glob.glob(folder + "/subtask-*"):
        for line in open(path):
            bucket, count = map(int, line.split())
            counts[bucket] = counts.get(bucket, 0) + count
    if not counts:
        raise RuntimeError("no row came to the sink that measures latency")
    total, out = sum(counts.values()), []
    for share in (0.5, 0.99):
        seen = 0
        for bucket in sorted(counts):
            seen += counts[bucket]
            if seen >= share * total:
                out.append(round(math.pow(1.02, bucket + 0.5)))
                break
    return [*out, round(math.pow(1.02, max(counts) + 1))]


def ratios(weir, flink):
    """The ratio of medians, and the least and greatest that single runs give."""
    middle = median(weir["rates"]) / median(flink["rates"])
    low = min(weir["rates"]) / max(flink["rates"])
    high = max(weir["rates"]) / min(flink["rates"])
    return middle, f"{middle:.1f}x ({low:.1f}-{high:.1f})"


def mean(values):
    return f"**{statistics.geometric_mean(values):.1f}x**" if values else "-"


def comparison(rows):
    lines = ["| query | events, Flink / Weir | Weir, M events/s | Flink default | Flink best (which) | x default "
             "| x best | CPU s per M events, Weir / default / best | load, Weir / Flink |",
             "|---|---|---|---|---|---|---|---|---|"]
    defaults, bests = [], []
    for query, row in rows.items():
        weir = row.get("weir", {})
        if "rates" not in weir:
            lines.append(f"| {query} | Weir: {weir.get('error', 'not run')} | | | | | | | |")
            continue
        found = {way: cell for way, cell in row.items()
                 if way not in ("weir", "same events") and "rates" in cell}
        rate = spread(weir["rates"], 1e-6)
        if "rocksdb" not in found:
            why = row.get("rocksdb", {}).get("error", "cannot run it")
            lines.append(f"| {query} | - / {weir['events'] / 1e6:g} M | {rate} | {why} | | | | "
                         f"{median(weir['cpu']):.3f} | {median(weir['load']):.1f} |")
            continue
        default = found["rocksdb"]
        best = max(found, key=lambda way: median(found[way]["rates"]))
        (d, d_said), (b, b_said) = ratios(weir, default), ratios(weir, found[best])
        defaults.append(d)
        bests.append(b)
        cpu = " / ".join(f"{median(c['cpu']):.{n}f}" for c, n in
                         ((weir, 3), (default, 2), (found[best], 2)))
        lines.append(
            f"| {query} | {default['events'] / 1e6:g} / {weir['events'] / 1e6:g} M | {rate} | "
            f"{spread(default['rates'], 1e-6, 3)} | {spread(found[best]['rates'], 1e-6, 3)} ({best}) | "
            f"{d_said} | {b_said} | {cpu} | "
            f"{median(weir['load']):.1f} / {median(default['load']):.1f} |")
    lines.append(f"| geometric mean | | | | | {mean(defaults)} | {mean(bests)} | | |")
    return lines


def memory(rows):
    lines = ["| query | Weir, as many events as Flink | Weir, as many as it was timed with | Flink default | Flink best | of the default |",
             "|---|---|---|---|---|---|"]
    for query, row in rows.items():
        if "peak" not in row.get("rocksdb", {}) or "peak" not in row.get("same events", {}):
            continue
        found = {way: cell for way, cell in row.items()
                 if way not in ("weir", "same events") and "rates" in cell}
        best = max(found, key=lambda way: median(found[way]["rates"]))
        same, default = median(row["same events"]["peak"]), median(row["rocksdb"]["peak"])
        lines.append(f"| {query} | {same:.0f} | {median(row['weir']['peak']):.0f} | {default:.0f} | "
                     f"{median(row[best]['peak']):.0f} ({best}) | {same / default:.2f} |")
    return lines


def latencies(rows):
    lines = ["| query | engine | load, events/s | p50 ms | p99 ms | max ms |", "|---|---|---|---|---|---|"]
    for query, row in rows.items():
        for column, name in (("weir", "Weir"), ("rocksdb", "Flink default")):
            runs = row.get(column, [])
            if runs:
                figures = [spread([r["us"][i] for r in runs], 1e-3, 1) for i in range(3)]
                lines.append(f"| {query} | {name} | {runs[0]['load']:,} | " + " | ".join(figures) + " |")
    return lines


def sweep(rows, what):
    lines = [f"| {what} | M events/s | peak MB |", "|---|---|---|"]
    rates = []
    for point, row in rows.items():
        cell = row.get("weir", {})
        if "rates" not in cell:
            lines.append(f"| {int(point):,} | {cell.get('error', 'not run')} | |")
            continue
        rates.append(median(cell["rates"]))
        lines.append(f"| {int(point):,} | {spread(cell['rates'], 1e-6)} | {median(cell['peak']):.0f} |")
    if rates:
        lines.append(f"| greatest / least | {max(rates) / min(rates):.1f} | |")
    return lines


def markdown(results):
    parts = [
        ("queries", "### Nexmark in SQL, events made in process", comparison),
        ("queries", "### Peak resident memory, MB", memory),
        ("json", "### The same events as JSON files", comparison),
        ("latency", "### Latency at half of each engine's rate", latencies),
        ("keys", "### Keys: a running count and sum per key", lambda r: sweep(r, "keys")),
        ("window", "### Windows: size / slide (10 s)", lambda r: sweep(r, "size / slide")),
    ]
    out = []
    for name, title, table in parts:
        if results.get(name):
            out += [title, "", *table(results[name]), ""]
    return "\n".join(out)


def write(path, text):
    """Replaces what stands between the marks."""
    with open(path) as f:
        page = f.read()
    if BEGIN not in page or END not in page:
        raise SystemExit(f"{path} has no place for the tables: the lines '{BEGIN}' and '{END}'")
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    with open(path, "w") as f:
        f.write(f"{before}{BEGIN}\n\n{text}\n{END}{after}")
