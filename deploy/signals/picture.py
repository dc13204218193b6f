"""Dashboards and traces as pages without a server of their own: what Grafana and a trace viewer would show, drawn from the
same definitions and the same data, for the check and for the book."""

import html
import pathlib

COLOURS = ["#7eb26d", "#eab839", "#6ed0e0", "#ef843c", "#e24d42", "#1f78c1", "#ba43a9", "#705da0", "#508642", "#cca300"]
STYLE = """
body { background: #111217; color: #ccccdc; font: 12px "DejaVu Sans", sans-serif; margin: 12px; width: 1240px }
h1 { font-size: 17px; margin: 4px 0 10px } .board { display: grid; grid-template-columns: repeat(24, 1fr); gap: 8px }
.panel { background: #181b1f; border: 1px solid #2c2f36; border-radius: 3px; padding: 6px 8px; min-width: 0 }
.panel h2 { font-size: 12px; font-weight: 600; margin: 0 0 4px } .legend { color: #9fa7b3; font-size: 10px; line-height: 1.5 }
.legend i { display: inline-block; width: 10px; height: 3px; margin: 0 4px 3px 0 } .stat { font-size: 30px; color: #7eb26d }
.stat small { font-size: 12px; color: #9fa7b3 } svg text { fill: #9fa7b3; font-size: 9px }
"""
#: Of a plot, in its own units.
WIDTH, HEIGHT, LEFT, BOTTOM = 380, 130, 54, 14


def shown(value, unit):
    """A number as people read it."""
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s" and value >= 172_800:
        return f"{value / 86_400:.3g} days"
    if unit == "s":
        return f"{1000 * value:.3g} ms" if value < 1 else f"{value:.3g} s"
    if unit == "bytes" or value >= 100_000:
        for factor, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if value >= factor:
                return f"{value / factor:.3g} {name}"
    return f"{value:.3g}{ {'ops': '/s'}.get(unit, '') }"


def dashboard(board, values):
    """A page of a dashboard; `values` gives the series of an expression."""
    panels = []
    for panel in board["panels"]:
        series = []
        for target in panel["targets"]:
            for found in values(target["expr"]):
                name = target["legendFormat"]
                for label, value in found["metric"].items():
                    name = name.replace("{{%s}}" % label, value)
                points = [(at, float(value)) for at, value in found["values"] if value not in ("NaN", "+Inf")]
                if points:
                    series.append((name, points))
        unit = panel["fieldConfig"]["defaults"]["unit"]
        body = stat(series, unit) if panel["type"] == "stat" else plot(series, unit)
        width = panel["gridPos"]["w"]
        title = html.escape(panel["title"])
        panels.append(f'<div class="panel" style="grid-column: span {width}"><h2>{title}</h2>{body}</div>')
    return f'<h1>{html.escape(board["title"])}</h1><div class="board">{"".join(panels)}</div>'


def stat(series, unit):
    """The last values, large."""
    one = [f'<div class="stat">{shown(points[-1][1], unit)} <small>{html.escape(name)}</small></div>' for name, points in series]
    return "".join(one[:3])


def plot(series, unit):
    """Lines over time."""
    series = series[:12]
    times = [at for _, points in series for at, _ in points] or [0, 1]
    first, last = min(times), max(max(times), min(times) + 1)
    top = max((value for _, points in series for _, value in points), default=1) or 1
    x = lambda at: LEFT + (WIDTH - LEFT) * (at - first) / (last - first)  # noqa: E731
    y = lambda value: (HEIGHT - BOTTOM) * (1 - value / top) + 4  # noqa: E731
    lines, legend = [], []
    for step in range(5):
        value = top * step / 4
        lines.append(f'<line x1="{LEFT}" x2="{WIDTH}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#2c2f36"/>')
        lines.append(f'<text x="{LEFT - 4}" y="{y(value) + 3:.1f}" text-anchor="end">{shown(value, unit)}</text>')
    for number, (name, points) in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in points)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.3"/>')
        legend.append(f'<span><i style="background: {colour}"></i>{html.escape(name)}&ensp;</span>')
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="100%">{"".join(lines)}</svg>'
    return f'{svg}<div class="legend">{"".join(legend)}</div>'


def trace(spans):
    """A trace as a waterfall."""
    first, last = min(span["start"] for span in spans), max(span["end"] for span in spans)
    colours = {"edge-proxy": "#eab839", "gateway": "#6ed0e0"}
    depth, rows, order = {}, [], []

    def visit(span, level):
        depth[span["id"]] = level
        order.append(span)
        for child in spans:
            if child["parent"] == span["id"]:
                visit(child, level + 1)

    for span in spans:
        if not any(span["parent"] == other["id"] for other in spans):
            visit(span, 0)
    width, row, left = 1180, 30, 330
    for number, span in enumerate(order):
        top, level = number * row, depth[span["id"]]
        x = left + (width - left - 70) * (span["start"] - first) / max(last - first, 1)
        long = max((width - left - 70) * (span["end"] - span["start"]) / max(last - first, 1), 2)
        told = {key.removeprefix("causeway."): value for key, value in span["attributes"].items()}
        told = ", ".join(f"{key} {told[key]}" for key in ("stanza", "partner", "link.peer", "sip.status_code") if key in told)
        colour = colours.get(span["service"], "#9fa7b3")
        rows.append(
            f'<text x="{8 + 16 * level}" y="{top + 13}" style="fill: #ccccdc; font-size: 12px">{html.escape(span["name"])}</text>'
            f'<text x="{8 + 16 * level}" y="{top + 25}">{html.escape(span["service"])}, {span["kind"]}</text>'
            f'<rect x="{x:.1f}" y="{top + 5}" width="{long:.1f}" height="12" rx="2" fill="{colour}"/>'
            f'<text x="{min(x + long + 5, width - 60):.1f}" y="{top + 15}">{(span["end"] - span["start"]) / 1e6:.2f} ms</text>'
            f'<text x="{x:.1f}" y="{top + 26}">{html.escape(told)}</text>'
        )
    height = len(order) * row + 6
    svg = f'<svg viewBox="0 0 {width} {height}" width="{width}">{"".join(rows)}</svg>'
    return f'<h1>A message from a partner: trace {spans[0]["trace"]}</h1><div class="panel">{svg}</div>'


def shoot(pages, folder, wanted, book):
    """Writes every page, takes its picture, and puts those that the book wants there."""
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    book.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1264, "height": 120})
        for name, body in pages.items():
            text = f"<!doctype html><meta charset=utf-8><title>{name}</title><style>{STYLE}</style>{body}"
            (folder / f"{name}.html").write_text(text, encoding="utf-8")
            page.set_content(text)
            page.screenshot(path=folder / f"{name}.png", full_page=True)
            if name in wanted:
                pathlib.Path(book / f"{wanted[name]}.png").write_bytes((folder / f"{name}.png").read_bytes())
        browser.close()
