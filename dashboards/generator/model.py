"""Panels, queries and dashboards as Grafana's classic JSON, and the names of the metrics that they may ask for.

Owns the shape of the JSON (`schemaVersion` 42) and what every panel must bring: a description, a unit, a text for no data.
The names come from the constants in the Rust sources: a query for a metric that nobody exports does not get as far as JSON.
"""
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SOURCES = ["instrumented-gateway/src/metrics", "instrumented-gateway/ledger/src/export.rs", "agent/src/telemetry"]
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
GREEN, ORANGE, RED, GREY, BLUE, PURPLE = "green", "orange", "red", "#8e8e8e", "blue", "purple"
NAME = re.compile(r'"((?:resource_ledger|gateway|leak|process|tokio)_[a-z_]+|ALERTS)"')
IN_EXPR = re.compile(r"\b((?:resource_ledger|gateway|leak|process|tokio)_[a-z_]+|ALERTS)\b(?=[{\[\s)]|$)")


def exported():
    """Every metric name that gateway or agent have a constant or a literal for; histograms with their series."""
    names = set()
    for source in SOURCES:
        path = ROOT / source
        files = path.rglob("*.rs") if path.is_dir() else [path]
        for file in files:
            names |= set(NAME.findall(file.read_text()))
    if "resource_ledger_open" not in names or "gateway_requests_total" not in names or "leak_verdict" not in names:
        raise SystemExit("the metric constants are not where they were: see SOURCES")
    return names | {f"{name}_{part}" for name in names if name.endswith("_seconds") for part in ("bucket", "sum", "count")}


EXPORTED = exported()


def known(expr):
    """`expr`, if all that it names is exported."""
    strangers = {name for name in IN_EXPR.findall(expr) if name not in EXPORTED}
    if strangers:
        raise SystemExit(f"nobody exports {sorted(strangers)}: {expr}")
    return expr


def query(ref, expr, legend="", instant=False, table=False):
    """One target. Tables and stats ask for one instant."""
    target = {"refId": ref, "datasource": DATASOURCE, "expr": known(expr), "legendFormat": legend}
    target |= {"instant": True, "range": False} if instant or table else {"instant": False, "range": True}
    if table:
        target["format"] = "table"
    return target


def steps(*pairs):
    return {"mode": "absolute", "steps": [{"color": colour, "value": value} for value, colour in pairs]}


def mapping(values):
    """{value: (text, colour)}."""
    options = {str(value): {"text": text, "color": colour, "index": index} for index, (value, (text, colour)) in enumerate(values.items())}
    return [{"type": "value", "options": options}]


def fixed(colour):
    return {"mode": "fixed", "fixedColor": colour}


def override(matcher, option, **properties):
    """Properties of a field; `__` stands for a dot."""
    return {"matcher": {"id": matcher, "options": option},
            "properties": [{"id": name.replace("__", "."), "value": value} for name, value in properties.items()]}


def by_name(name, **properties):
    return override("byName", name, **properties)


def by_ref(ref, **properties):
    return override("byFrameRefID", ref, **properties)


def by_regex(regex, **properties):
    return override("byRegexp", regex, **properties)


def link(title, url, blank=True):
    return {"type": "link", "title": title, "url": url, "icon": "external link" if blank else "dashboard", "tooltip": "", "tags": [], "asDropdown": False,
            "targetBlank": blank, "includeVars": False, "keepTime": False}


RUNBOOKS = "https://leaks.example.org/runbooks"


def runbook(page):
    return link(f"Runbook: {page}", f"{RUNBOOKS}/{page}")


def to(title, uid):
    """Another dashboard with the same time and variables."""
    return link(title, f"/d/{uid}?${{__url_time_range}}&${{__all_variables}}", False)


STAT = {"colorMode": "background", "percentChangeColorMode": "standard", "showPercentChange": False, "graphMode": "none", "justifyMode": "auto", "textMode": "auto", "wideLayout": True,
        "orientation": "auto", "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
SERIES = {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}, "tooltip": {"mode": "multi", "sort": "desc"}}
TABLE = {"showHeader": True, "cellHeight": "sm"}
LINE = {"drawStyle": "line", "lineWidth": 2, "fillOpacity": 8, "showPoints": "never", "spanNulls": False, "lineInterpolation": "linear", "axisSoftMin": 0}
# A cell without a value is not "no data": it has no such label.
BLANK = [{"matcher": {"id": "byType", "options": kind}, "properties": [{"id": "noValue", "value": "-"}]} for kind in ("string", "number")]
NOW = {"timeFrom": "5m", "hideTimeOverride": True}  # an instant query in a range that ends in the future is empty


class Board:
    """Panels in rows; a panel is placed after the one before it."""

    def __init__(self):
        self.panels, self.x, self.y, self.height = [], 0, 0, 0

    def _place(self, width, height):
        if self.x + width > 24:
            self.x, self.y, self.height = 0, self.y + self.height, 0
        at = {"x": self.x, "y": self.y, "w": width, "h": height}
        self.x, self.height = self.x + width, max(self.height, height)
        return at

    def _add(self, kind, title, size, description, unit, none, targets, options, defaults, links, **more):
        panel = {"id": len(self.panels) + 1, "type": kind, "title": title, "description": description, "datasource": DATASOURCE,
                 "gridPos": self._place(*size), "targets": targets,
                 "fieldConfig": {"defaults": {"unit": unit, "noValue": none} | defaults, "overrides": more.pop("overrides", [])},
                 "options": options, "links": links}
        self.panels.append(panel | more)

    def row(self, title):
        self.x, self.y, self.height = 0, self.y + self.height, 0
        self.panels.append({"id": len(self.panels) + 1, "type": "row", "title": title, "collapsed": False, "gridPos": self._place(24, 1), "panels": []})

    def stat(self, title, size, description, expr, unit, none, thresholds, links, values=None, legend="", **defaults):
        defaults |= {"mappings": mapping(values) if values else [], "thresholds": thresholds, "color": {"mode": "thresholds"}}
        self._add("stat", title, size, description, unit, none, [query("A", expr, legend or title.lower(), instant=True)], STAT, defaults, links, **NOW)

    def series(self, title, size, description, targets, unit, none, links, overrides=(), style=None, **defaults):
        defaults = {"custom": LINE | (style or {}), "color": {"mode": "palette-classic"}} | defaults
        self._add("timeseries", title, size, description, unit, none, targets, SERIES, defaults, links, overrides=list(overrides))

    def table(self, title, size, description, targets, unit, none, links, overrides, transformations):
        defaults = {"custom": {"align": "auto", "cellOptions": {"type": "auto"}}}
        self._add("table", title, size, description, unit, none, targets, TABLE, defaults, links, overrides=BLANK + list(overrides),
                  transformations=transformations, **NOW)


def columns(order, rename, hide=()):
    """The transformation that orders, names and hides a table's columns."""
    return {"id": "organize", "options": {"excludeByName": {name: True for name in ("Time", *hide)}, "includeByName": {},
                                          "indexByName": {name: index for index, name in enumerate(order)}, "renameByName": rename}}


MERGE = {"id": "merge", "options": {}}


def sort_by(field):
    return {"id": "sortBy", "options": {"fields": {}, "sort": [{"field": field, "desc": True}]}}


# --- variables and annotations ------------------------------------------------------------------------------------------

def variable(name, label, expr):
    # `.*`, not `.+`: a series without the label must stay in sight when all are chosen.
    return {"name": name, "label": label, "type": "query", "datasource": DATASOURCE, "definition": known(expr),
            "query": {"qryType": 1, "query": expr, "refId": "PrometheusVariableQueryEditor-VariableQuery"}, "refresh": 2, "sort": 1,
            "multi": True, "includeAll": True, "allValue": ".*", "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
            "options": [], "hide": 0, "regex": "", "skipUrlSync": False}


SOURCE = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "regex": "", "refresh": 1, "multi": False,
          "includeAll": False, "current": {"selected": False, "text": "default", "value": "default"}, "options": [], "hide": 0, "skipUrlSync": False}


def annotation(name, expr, title, text, colour, at_value=False):
    return {"name": name, "datasource": DATASOURCE, "enable": True, "hide": False, "iconColor": colour, "expr": known(expr), "step": "15s",
            "titleFormat": title, "textFormat": text, "tagKeys": "", "useValueForTime": at_value}


ANNOTATIONS = [
    annotation("Leak alerts", 'ALERTS{alertstate="firing",alertname=~"ResourceLeak|ResourceLeakUrgent|ConnectionReuseLost",job=~"$job"}',
               "{{alertname}}", "{{signal}} {{resource}} {{upstream}} {{route}}", RED),
    annotation("Agent and gateway alerts", 'ALERTS{alertstate="firing",alertname=~"LeakAgent.*|Gateway.*"}', "{{alertname}}",
               "{{job}} {{instance}} {{upstream}}", ORANGE),
    annotation("Onsets", 'leak_onset_timestamp_seconds{job=~"$job"} * 1000', "a leak began", "{{signal}} {{resource}} {{upstream}} {{instance}}", BLUE, True),
    annotation("Restarts", 'changes(process_start_time_seconds{job=~"$job",instance=~"$instance"}[1m]) > 0', "restart", "{{job}} {{instance}}", GREY),
    annotation("Drills", 'gateway_drill_active{job=~"$job",instance=~"$instance"} == 1', "drill {{drill}}", "{{instance}} leaks on purpose", PURPLE),
]

BOARDS = {"leak-suspects": "Leaks", "leakwatch-gateway": "Gateway", "leakwatch-runtime": "Runtime", "leakwatch-agent": "Agent"}


def dashboard(uid, description, board, variables, time):
    """The whole file; the other dashboards of the folder are its links."""
    links = [link(title, f"/d/{other}", False) | {"includeVars": True, "keepTime": True} for other, title in BOARDS.items() if other != uid]
    return {"uid": uid, "title": BOARDS[uid], "description": description, "tags": ["leakwatch"], "schemaVersion": 42, "version": 1, "editable": True,
            "graphTooltip": 1, "timezone": "browser", "refresh": "10s", "time": time, "fiscalYearStartMonth": 0, "weekStart": "", "preload": False,
            "liveNow": False, "links": links, "annotations": {"list": ANNOTATIONS}, "templating": {"list": variables}, "panels": board.panels}
