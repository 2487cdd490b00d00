"""Checks dashboards/: `lint` reads the files, `live` asks every query of every panel of a running system (live.py).

    python3 .ci/dashboards.py lint
    python3 .ci/dashboards.py live [--mode push|rules] [--drill all|NAME,...] [--write] [--record] [--keep rest|leak]

`live` needs both binaries (in target/release, or where LEAKWATCH_BINARIES says) and Debian's Prometheus and Alertmanager.
`--write` and `--record` write anew what is compared: the words of the drill's alerts, and the names of what is exported.
`--keep` then stays up, at rest or in the drill, so that the dashboards can be drawn.
Python 3.9 or later, nothing but its standard library.
"""
import argparse
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
DASHBOARDS = sorted((ROOT / "dashboards" / "grafana").glob("*.json"))
PATIENCE = 120.0  # seconds that anything waited for may take
METRIC = re.compile(r"\b(?:resource_ledger|gateway|leak|process|tokio)_\w+|\bup\b|\bALERTS\b")


# --- lint ---------------------------------------------------------------------------------------------------------------

def panels(dashboard):
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def lint(dashboard):
    """What is wrong with one dashboard, as sentences."""
    if dashboard.get("schemaVersion") != 42:
        yield "schemaVersion is not 42"
    if not dashboard.get("uid") or not dashboard.get("description"):
        yield "needs a uid, so that links survive an import, and a description"
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    for name in ("datasource", "job", "instance"):
        if name not in variables:
            yield f"no variable {name}"
    for name, variable in variables.items():
        if variable.get("allValue") == ".+":
            yield f"variable {name}: allValue .+ hides series that lack the label"
    if not any("ALERTS{" in note["expr"] for note in dashboard["annotations"]["list"]):
        yield "alerts are not annotations"
    ids = [panel["id"] for panel in dashboard["panels"]]
    if len(ids) != len(set(ids)):
        yield "panel ids repeat"
    yield from overlaps(dashboard["panels"])
    for panel in panels(dashboard):
        yield from (f"panel {panel['title']!r}: {what}" for what in lint_panel(panel))


def lint_panel(panel):
    defaults = panel["fieldConfig"]["defaults"]
    if len(panel.get("description", "")) < 60:
        yield "the description must say what is normal, what is bad and what to do"
    if not defaults.get("unit"):
        yield "no unit"
    if not defaults.get("noValue"):
        yield "no text for no data"
    elif re.fullmatch(r"(?i)0|ok|none|no data|-", defaults["noValue"]):
        yield "the text for no data can be mistaken for health"
    if not panel.get("targets"):
        yield "no query"
    for target in panel.get("targets", []):
        expr = target["expr"]
        if target.get("datasource", {}).get("uid") != "${datasource}":
            yield f"query {target['refId']} does not use the variable datasource"
        if not target.get("legendFormat") and target.get("format") != "table":
            yield f"query {target['refId']} has no legend"
        if re.search(r"\b(rate|increase)\(", expr) and "$__rate_interval" not in expr and not target.get("instant"):
            yield f"query {target['refId']}: rate() needs $__rate_interval"
        if target.get("instant") and not panel.get("timeFrom"):
            yield f"query {target['refId']}: an instant query in a range that ends in the future is empty; set timeFrom"
    if panel["type"] in ("stat", "gauge") and "thresholds" not in defaults:
        yield "no thresholds"


def overlaps(placed):
    taken = {}
    for panel in placed:
        at = panel["gridPos"]
        if at["x"] + at["w"] > 24:
            yield f"panel {panel['title']!r} is wider than the page"
        for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
            if cell in taken:
                yield f"panels {taken[cell]!r} and {panel['title']!r} overlap"
                return
            taken[cell] = panel["title"]


def run_lint():
    check_that_lint_finds()
    count = 0
    if len(DASHBOARDS) < 2:
        sys.exit("dashboards/grafana: fewer than two dashboards")
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text())
        wrong = list(lint(dashboard))
        for what in wrong:
            print(f"{path.relative_to(ROOT)}: {what}", file=sys.stderr)
        count += len(wrong)
        print(f"{path.relative_to(ROOT)}: {len(panels(dashboard))} panels, {len(queries(dashboard))} queries, {len(wrong)} wrong")
    uids = [json.loads(path.read_text())["uid"] for path in DASHBOARDS]
    if len(uids) != len(set(uids)) or count:
        sys.exit(1)


def check_that_lint_finds():
    """A linter that finds nothing in a broken file guards nothing."""
    for path in DASHBOARDS:
        sound = path.read_text()
        for find, replace in [
            ('"schemaVersion": 42', '"schemaVersion": 39'), ('"allValue": ".*"', '"allValue": ".+"'), ('"noValue"', '"novalue"'),
            ('"unit"', '"units"'), ('"description"', '"remark"'), ('"timeFrom"', '"from"'), ("$__rate_interval", "1m"),
            ('"uid": "${datasource}"', '"uid": "prometheus"'), ("ALERTS{", "OTHERS{"), ('"name": "instance"', '"name": "host"'),
        ]:
            broken = sound.replace(find, replace)
            if broken == sound or not list(lint(json.loads(broken))):
                sys.exit(f"lint does not see {find} changed to {replace} in {path.name}")


# --- asking -------------------------------------------------------------------------------------------------------------

def queries(dashboard):
    """(panel title, refId, expression, instant) of every query."""
    return [(panel["title"], target["refId"], target["expr"], bool(target.get("instant")))
            for panel in panels(dashboard) for target in panel["targets"]]


def fetch(url, method="GET"):
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=30) as answer:
        return answer.read().decode()


class Prometheus:
    def __init__(self, address):
        self.address = address

    def api(self, path, **parameters):
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            return json.loads(fetch(url))["data"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{path}: {error.read().decode()}") from error

    def substitute(self, expr, step, to):
        """What Grafana does with the variables when everything is chosen."""
        if "$signal" in expr:
            names = self.api("label/signal/values", **{"match[]": "leak_verdict"})
            expr = expr.replace("$signal", "(" + "|".join(names) + ")")
        for name, value in {"$job": ".*", "$instance": ".*", "$upstream": ".*", "$route": ".*", "$resource": ".*",
                            "$__rate_interval": f"{4 * step}s", "$__range": "120s", "${__to:date:seconds}": str(int(to))}.items():
            expr = expr.replace(name, value)
        if "$" in expr.replace('"$1"', ""):  # of label_replace
            raise ValueError(f"a variable was not replaced: {expr}")
        return expr

    def instant(self, expr):
        now = time.time()
        return [float(row["value"][1]) for row in self.api("query", query=self.substitute(expr, 5, now), time=now)["result"]]

    def range(self, expr, back=60, ahead=0):
        now = time.time()
        step = 5
        found = self.api("query_range", query=self.substitute(expr, step, now + ahead), start=now - back, end=now + ahead, step=step)
        return [float(value) for row in found["result"] for _, value in row["values"]]

    def values(self, expr, instant):
        # The dashboards draw into the future; so does the check.
        found = self.instant(expr) if instant else self.range(expr, ahead=60)
        return [value for value in found if value == value]


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def wait_for(what, condition, patience=PATIENCE):
    """Polls until `condition` gives something true; returns it."""
    deadline = time.monotonic() + patience
    last = None
    while time.monotonic() < deadline:
        try:
            last = condition()
            if last:
                return last
        except (OSError, RuntimeError) as error:
            last = error
        time.sleep(0.5)
    raise TimeoutError(f"{what}: not within {patience:.0f} s; last: {last}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("lint")
    live = commands.add_parser("live")
    live.add_argument("--mode", choices=["push", "rules"], default="push")
    live.add_argument("--drill", default="all")
    live.add_argument("--write", action="store_true", help="write the drill's words anew")
    live.add_argument("--record", action="store_true", help="write the names of what is exported anew")
    live.add_argument("--keep", choices=["rest", "leak"], help="stay up, for drawing")
    arguments = parser.parse_args()
    if arguments.command == "lint":
        run_lint()
    else:
        os.environ.setdefault("NO_PROXY", "127.0.0.1")
        import live
        live.run(arguments)


if __name__ == "__main__":
    main()
