# SPDX-License-Identifier: BSD-2-Clause
"""The results as a table, as JSON and as a chart."""
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
from xml.sax.saxutils import escape

COLOURS = {"plain": "#9a9a9a", "tcpcrypt": "#1f6f8b", "tcpcrypt-resumed": "#1f6f8b"}
OTHER_COLOUR = "#c9b28a"


class Result:
    def __init__(self, kinds, metrics, values, rounds, seconds, took):
        self.kinds = kinds
        self.metrics = metrics
        self.values = values
        self.rounds = rounds
        self.seconds = seconds
        self.took = took

    def median(self, metric, kind):
        found = self.values.get(metric.key, {}).get(kind.name)
        return statistics.median(found) if found else None

    def ratio(self, metric, kind):
        """To plain TCP: the median of each round's own, as all of it may be slow in one round."""
        mine = self.values.get(metric.key, {}).get(kind.name)
        plain = self.values.get(metric.key, {}).get("plain")
        if not metric.ratio or not mine or not plain:
            return None
        if len(mine) != len(plain):
            return statistics.median(mine) / statistics.median(plain)
        return statistics.median(a / b for a, b in zip(mine, plain))

    def cell(self, metric, kind):
        value, ratio = self.median(metric, kind), self.ratio(metric, kind)
        if value is None:
            return "-"
        text = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        return text if ratio is None or kind.name == "plain" else f"{text} ({ratio:.2f})"

    def table(self):
        """Markdown: a line for each metric, a column for each subject."""
        head = [""] + [kind.title for kind in self.kinds]
        lines = [[f"{m.title}, {m.unit}"] + [self.cell(m, k) for k in self.kinds]
                 for m in self.metrics]
        widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]
        rule = ["-" * widths[0]] + ["-" * (w - 1) + ":" for w in widths[1:]]
        return "\n".join(
            "| " + " | ".join(cell.ljust(widths[i]) if i == 0 else cell.rjust(widths[i])
                              for i, cell in enumerate(line)) + " |"
            for line in [head, rule, *lines]
        )

    def save(self, directory):
        about = {
            "date": datetime.date.today().isoformat(),
            "commit": commit(),
            "kernel": platform.release(),
            "cpu": cpu_model(),
            "rounds": self.rounds,
            "seconds_each": self.seconds,
            "took_seconds": round(self.took),
            "load_before": os.getloadavg()[2],
        }
        (directory / "latest.json").write_text(
            json.dumps({**about, "values": self.values}, indent=1) + "\n"
        )
        (directory / "latest.svg").write_text(self.chart(about))

    def chart(self, about):
        """A panel for each metric that has a ratio to plain; bars that point right of plain's mark
        are better where more is better, worse where less is."""
        panels = [m for m in self.metrics if any(self.ratio(m, k) is not None for k in self.kinds)]
        kinds = [k for k in self.kinds if k.name != "plain"]
        row, gap, left, width = 16, 34, 210, 420
        height = 60 + sum(gap + row * len(kinds) for _ in panels)
        out = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 90}" height="{height}"'
            ' font-family="sans-serif" font-size="12">',
            '<rect width="100%" height="100%" fill="white"/>',
            f'<text x="10" y="22" font-size="15">Ratio to plain TCP, {about["date"]}, '
            f'{escape(about["commit"])}</text>',
        ]
        y = 40
        for metric in panels:
            y = self.panel(out, metric, kinds, y, (row, gap, left, width))
        return "\n".join([*out, "</svg>", ""])

    def panel(self, out, metric, kinds, y, shape):
        row, gap, left, width = shape
        ratios = {k: self.ratio(metric, k) for k in kinds}
        longest = max([1.0, *[r for r in ratios.values() if r is not None]])
        better = "more is better" if metric.more else "less is better"
        out.append(f'<text x="10" y="{y + 18}" font-weight="bold">{escape(metric.title)}'
                   f' <tspan font-weight="normal" fill="#777">{better}</tspan></text>')
        y += gap - 8
        for kind, ratio in ratios.items():
            if ratio is not None:
                colour = COLOURS.get(kind.name, OTHER_COLOUR)
                out.append(f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">'
                           f'{escape(kind.title)}</text>')
                out.append(f'<rect x="{left}" y="{y + 2}" height="{row - 4}" fill="{colour}"'
                           f' width="{width * ratio / longest:.1f}"/>')
                out.append(f'<text x="{left + width * ratio / longest + 5:.1f}" y="{y + 12}">'
                           f'{ratio:.2f}</text>')
            y += row
        mark = left + width / longest
        out.append(f'<line x1="{mark:.1f}" x2="{mark:.1f}" y1="{y - row * len(kinds)}" y2="{y}"'
                   f' stroke="{COLOURS["plain"]}" stroke-dasharray="3 2"/>')
        return y + 8


def commit():
    done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True,
                          text=True, cwd=pathlib.Path(__file__).parent)
    return done.stdout.strip() or "unknown"


def cpu_model():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
