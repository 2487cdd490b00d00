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
        elif not variables[name].get("label"):
            yield f"variable {name} has no label"
    if variables.get("datasource", {}).get("type") != "datasource" or variables.get("datasource", {}).get("query") != "prometheus":
        yield "variable datasource does not choose among Prometheus' data sources"
    for name, variable in variables.items():
        if variable["type"] == "query" and not (variable.get("multi") and variable.get("includeAll") and variable.get("refresh") == 2):
            yield f"variable {name}: several, all, and read anew with the time range"
        if variable["type"] == "query" and variable.get("datasource", {}).get("uid") != "${datasource}":
            yield f"variable {name} does not use the variable datasource"
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


COUNTER = re.compile(r"\b\w+_(?:total|bucket|sum|count)\b(?=[{\[])")
ABOUT_THE_AGENT = re.compile(r"\bleak_agent_|\bleak_series\b|\bleak_incident\b|^min\(|^time\(\)")


def lint_query(expr):
    """The rules of dashboard-linter and mixtool on one expression, as far as they hold for any dashboard."""
    if re.search(r"\b(rate|irate|increase)\(\s*(sum|max|min|avg)\b", expr):
        yield "rate() of an aggregate: a counter's reset is lost; aggregate the rate"
    if "irate(" in expr:
        yield "irate() shows two samples of a range"
    for counter in COUNTER.finditer(expr):
        before = expr[:counter.start()]
        alone = not re.search(r"\b(rate|increase|count|timestamp|changes|resets|last_over_time)\($", before) and not before.rstrip().endswith("resource)")
        # Which places exist, and totals that are told as such.
        if alone and not re.search(r"on \(job, instance\) $|sum by \(reason\) \($", before):
            yield f"{counter[0]} is a counter: rate() it"
    if not ABOUT_THE_AGENT.search(expr) and not re.search(r'job=~"\$job"', expr):
        yield "does not choose by job"
    for metric, matchers in re.findall(r"\b((?:gateway|resource_ledger|process|tokio)_\w+)(\{[^}]*\})?", expr):
        if matchers and "$job" in matchers and "$instance" not in matchers:
            yield f"{metric} is chosen by job and not by instance"
    if re.search(r'=~"[^"|.*+$()\[\]?^\\]+"', expr):
        yield "=~ without a pattern: ="


def lint_panel(panel):
    defaults = panel["fieldConfig"]["defaults"]
    if not panel.get("links"):
        yield "no link onward"
    if not panel.get("title") or len(panel["title"]) > 70:
        yield "no title, or one that is cut"
    if len(panel.get("description", "")) < 60 or not re.search(r"(?i)normal|three states|is usual|in a correct program", panel["description"]):
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
        yield from (f"query {target['refId']}: {what}" for what in lint_query(expr))
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


def rules_of(text):
    """(name, text) of every alert in a file of rules."""
    return [(block.split("\n", 1)[0].strip(), block) for block in text.split("- alert: ")[1:]]


def lint_rules(text, tests, name):
    """The rules of mixtool on alerts, and a test of each: firing with its words, and silent."""
    for alert, block in rules_of(text):
        if not re.fullmatch(r"([A-Z][a-z]+)+", alert):
            yield f"{name}: {alert} is not in CamelCase"
        for part in ("severity", "summary", "description", "runbook_url", "dashboard_url") if "*labels" not in block else ():
            if not re.search(rf"\b{part}:", block):
                yield f"{name}: {alert} has no {part}"
        cases = re.findall(rf"(?:- eval_time: \S+\n\s+alertname: {alert}\n(\s+exp_alerts:)?|- {{ eval_time: \S+ alertname: {alert} (}}))", tests)
        if not any(firing for firing, _ in cases):
            yield f"{name}: no test shows {alert} firing"
        if not any(silent for _, silent in cases):
            yield f"{name}: no test shows {alert} silent"


def run_lint_rules():
    folder = ROOT / "dashboards" / "prometheus"
    wrong = []
    for name in ("rules", "leak-rules", "fallback-rules"):
        text, tests = ((folder / f"{name}{suffix}.yml").read_text() for suffix in ("", "_test"))
        wrong += lint_rules(text, tests, f"{name}.yml")
        for broken in (text.replace("- alert: ", "- alert: x", 1), text.replace("\n          summary:", "\n          title:")):
            if not list(lint_rules(broken, tests, name)):
                sys.exit(f"lint does not see what is broken in {name}.yml")
        if not list(lint_rules(text, tests.replace("exp_alerts:", "expected:"), name)):
            sys.exit(f"lint does not see that nothing fires in {name}_test.yml")
        print(f"dashboards/prometheus/{name}.yml: {len(rules_of(text))} alerts, each shown firing and silent")
    if wrong:
        sys.exit("\n".join(wrong))


def check_that_lint_finds():
    """A linter that finds nothing in a broken file guards nothing."""
    service = 'job=~"$job",instance=~"$instance"'
    sound = f"sum by (route) (rate(gateway_requests_total{{{service}}}[$__rate_interval]))"
    if list(lint_query(sound)):
        sys.exit(f"lint finds fault with {sound}: {list(lint_query(sound))}")
    for broken in (f"rate(sum(gateway_requests_total{{{service}}})[5m:])", f"sum(gateway_requests_total{{{service}}})", sound.replace("rate(", "irate("),
                   sound.replace(service, ""), sound.replace(',instance=~"$instance"', ""), sound.replace(service, service + ',code=~"500"')):
        if not list(lint_query(broken)):
            sys.exit(f"lint does not see what is wrong with {broken}")
    for path in DASHBOARDS:
        sound = path.read_text()
        for find, replace in [
            ('"schemaVersion": 42', '"schemaVersion": 39'), ('"allValue": ".*"', '"allValue": ".+"'), ('"noValue"', '"novalue"'),
            ('"unit"', '"units"'), ('"description"', '"remark"'), ('"timeFrom"', '"from"'), ("$__rate_interval", "1m"),
            ('"uid": "${datasource}"', '"uid": "prometheus"'), ('"multi": true', '"multi": false'), ('"links"', '"link"'), ('job=~\\"$job\\"', 'job!=\\"\\"'), ("ALERTS{", "OTHERS{"), ('"name": "instance"', '"name": "host"'),
        ]:
            if path.name == "agent.json" and find.startswith("job="):
                continue  # what the agent says of itself is asked whole
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

    def instant(self, expr, at=None):
        now = at or time.time()
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
        run_lint_rules()
    else:
        os.environ.setdefault("NO_PROXY", "127.0.0.1")
        import live
        live.run(arguments)


if __name__ == "__main__":
    main()
