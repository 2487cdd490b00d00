"""Checks dashboards/: `lint` reads the files, `live` asks every query of every panel of a running system.

    python3 .ci/dashboards.py lint
    python3 .ci/dashboards.py live [--drill NAME] [--keep]      needs target/release, Debian's Prometheus and Alertmanager

`live` starts upstreams, the gateway, the agent, Prometheus and Alertmanager on loopback, the latter two with the shipped
files (only ports are replaced), and looks at the three states of the verdict: nothing leaks, leaking, agent silent.
During the drill every query must return data. `--keep` then stays up, so that the dashboards can be drawn.
Python 3.9 or later, nothing but its standard library.
"""
import argparse
import contextlib
import http.server
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
DASHBOARDS = sorted((ROOT / "dashboards" / "grafana").glob("*.json"))
PATIENCE = 120.0  # seconds that anything waited for may take
DESCRIPTORS = 4096  # of the gateway: low, so that the limit is in sight and its line is drawn
MOST_OUTSTANDING = 400  # requests of the load
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
        if re.search(r"\b(rate|increase)\(", expr) and "$__rate_interval" not in expr:
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
        for name, value in {"$job": ".*", "$instance": ".*", "$__rate_interval": f"{4 * step}s",
                            "${__to:date:seconds}": str(int(to))}.items():
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


# --- the system under load ----------------------------------------------------------------------------------------------

class Upstream(http.server.ThreadingHTTPServer):
    """Answers with JSON at once, or, while `hangs`, not at all until it is told to go on."""
    daemon_threads = True
    request_queue_size = 256

    def __init__(self):
        self.go_on = threading.Event()
        self.go_on.set()
        super().__init__(("127.0.0.1", 0), UpstreamHandler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # a gateway that cancels a call resets the connection


class UpstreamHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.go_on.wait()
        body = json.dumps({"path": self.path, "text": "x" * 2000}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Receiver(http.server.ThreadingHTTPServer):
    """The webhook that Alertmanager notifies: keeps (path, notification)."""
    daemon_threads = True

    def __init__(self):
        self.notifications = []
        super().__init__(("127.0.0.1", 0), ReceiverHandler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class ReceiverHandler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.notifications.append((self.path, body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


class Load:
    """Open loop: requests start by the clock, whether or not earlier ones were answered; bounded."""

    def __init__(self, address, rate=25):
        self.address, self.rate, self.stopped = address, rate, threading.Event()
        self.under_way, self.room = 0, threading.Semaphore(MOST_OUTSTANDING)
        self.lock = threading.Lock()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        number = 0
        due = time.monotonic()
        while not self.stopped.is_set():
            due += 1 / self.rate
            self.stopped.wait(max(0.0, due - time.monotonic()))
            if self.room.acquire(blocking=False):
                number += 1
                path = f"/home/{number}" if number % 2 else f"/content/{number}"
                threading.Thread(target=self.ask, args=(path,), daemon=True).start()

    def outstanding(self):
        with self.lock:
            return self.under_way

    def ask(self, path):
        self.count(1)
        with contextlib.suppress(OSError):
            fetch(f"http://{self.address}{path}")
        self.count(-1)
        self.room.release()

    def count(self, by):
        with self.lock:
            self.under_way += by


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


class System:
    def __init__(self, directory):
        self.directory, self.processes = directory, {}
        names = ["gateway", "metrics", "admin", "agent", "prometheus", "alertmanager"]
        self.at = {name: f"127.0.0.1:{port}" for name, port in zip(names, free_ports(len(names)))}
        self.content, self.social, self.receiver = Upstream(), Upstream(), Receiver()
        self.prometheus = Prometheus(self.at["prometheus"])

    def shipped(self, name):
        """A file of dashboards/ with the ports of this run."""
        text = (ROOT / "dashboards" / name).read_text()
        ports = {"127.0.0.1:9901": self.at["metrics"], "127.0.0.1:9465": self.at["agent"], "127.0.0.1:9090": self.at["prometheus"],
                 "127.0.0.1:9093": self.at["alertmanager"], "127.0.0.1:5001": f"127.0.0.1:{self.receiver.server_port}"}
        for shipped, ours in ports.items():
            text = text.replace(shipped, ours)
        return self.write(pathlib.Path(name).name, text)

    def write(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return str(path)

    def run(self, name, *command, descriptors=None):
        log = open(self.directory / f"{name}.log", "ab")
        limit = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))) if descriptors else None
        self.processes[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=limit)

    def start(self):
        self.run("prometheus", "prometheus", f"--config.file={self.shipped_prometheus()}", f"--storage.tsdb.path={self.directory}/tsdb",
                 f"--web.listen-address={self.at['prometheus']}")
        self.run("alertmanager", "prometheus-alertmanager", f"--config.file={self.shipped('alertmanager/alertmanager.yml')}",
                 f"--storage.path={self.directory}/alertmanager", f"--web.listen-address={self.at['alertmanager']}", "--cluster.listen-address=")
        gateway = self.write("gateway.yml", f"""
listen: {self.at['gateway']}
metrics: {self.at['metrics']}
admin: {self.at['admin']}
admin_drills: true
upstreams:
  - name: content
    endpoints: ["http://127.0.0.1:{self.content.server_port}"]
    idle_timeout: 5s
  - name: social
    endpoints: ["http://127.0.0.1:{self.social.server_port}"]
    idle_timeout: 5s
routes:
  - path: /content/*
    proxy: content
  - path: /home/{{id}}
    deadline: 1s
    fan_out:
      policy: partial
      calls:
        - {{ name: article, upstream: content, path: "/content/{{id}}" }}
        - {{ name: likes, upstream: social, path: "/likes?of={{id}}" }}
""")
        release = ROOT / "target" / "release"
        self.run("gateway", release / "instrumented-gateway", "--config", gateway, descriptors=DESCRIPTORS)
        self.start_agent()
        wait_for("the gateway", lambda: fetch(f"http://{self.at['metrics']}/ready") or True)
        wait_for("the agent", lambda: fetch(f"http://{self.at['agent']}/-/ready") or True)
        wait_for("Prometheus", lambda: fetch(f"http://{self.at['prometheus']}/-/ready"))
        self.load = Load(self.at["gateway"])

    def start_agent(self):
        agent = self.write("agent.yml", f"""
global: {{ scrape_interval: 2s, scrape_timeout: 1s }}
scrape_configs:
  - job_name: gateway
    static_configs: [{{ targets: ["{self.at['metrics']}"], labels: {{ __evidence_address__: "{self.at['admin']}" }} }}]
    evidence: [ledger, tasks]
alerting:
  alertmanagers: [{{ static_configs: [{{ targets: ["{self.at['alertmanager']}"] }}] }}]
storage: {{ path: {self.directory}/state }}
web: {{ listen: {self.at['agent']} }}
""")
        self.run("agent", ROOT / "target" / "release" / "leak-agent", "run", "--config", agent)

    def shipped_prometheus(self):
        self.shipped("prometheus/rules.yml")
        return self.shipped("prometheus/prometheus.yml")

    def drill(self, name):
        if name in ("detached-tasks", "no-deadline"):
            self.social.go_on.clear()
        fetch(f"http://{self.at['admin']}/drill/{name}", "POST")

    def end_drill(self, name):
        fetch(f"http://{self.at['admin']}/drill/{name}", "DELETE")
        self.social.go_on.set()

    def end(self, name):
        process = self.processes.pop(name)
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop(self):
        if hasattr(self, "load"):
            self.load.stopped.set()
        self.social.go_on.set()
        for name in list(self.processes):
            self.end(name)

    def show_logs(self):
        for log in sorted(self.directory.glob("*.log")):
            print(f"--- {log.name}\n{log.read_text()[-3000:]}", file=sys.stderr)


# --- the live check -----------------------------------------------------------------------------------------------------

def find_query(title):
    return next(expr for path in DASHBOARDS for panel, _, expr, _ in queries(json.loads(path.read_text())) if panel == title)


def run_live(arguments):
    with tempfile.TemporaryDirectory(prefix="leakwatch-dashboards-") as directory:
        system = System(pathlib.Path(directory))
        try:
            system.start()
            watch(system, arguments)
        except BaseException:
            system.show_logs()
            raise
        finally:
            system.stop()


def watch(system, arguments):
    prometheus, verdict = system.prometheus, find_query("Verdict")

    wait_for("verdict 'nothing leaks' in health", lambda: prometheus.instant(verdict) == [1.0])
    held = prometheus.instant("sum(resource_ledger_orphaned) + sum(resource_ledger_overdue)")
    if held != [0.0]:
        raise AssertionError(f"orphaned and overdue in health: {held}")
    print("healthy: the verdict says that nothing leaks")

    system.drill(arguments.drill)
    since = time.monotonic()
    wait_for("verdict 'leaking' in the drill", lambda: prometheus.instant(verdict) == [2.0])
    print(f"drill {arguments.drill}: the verdict says leaking after {time.monotonic() - since:.0f} s")
    wait_for("a notification", lambda: any(body["status"] == "firing" for _, body in system.receiver.notifications))
    path, body = next((path, body) for path, body in system.receiver.notifications if body["status"] == "firing")
    alert = body["alerts"][0]
    print(f"Alertmanager notified {path}: {alert['labels']['alertname']}, {alert['annotations'].get('summary')}")

    ask_everything(prometheus)
    if arguments.keep:
        print(f"Prometheus http://{prometheus.address}, agent http://{system.at['agent']}, admin http://{system.at['admin']}; end with SIGTERM or ^C")
        sys.stdout.flush()
        signal.sigwait([signal.SIGINT, signal.SIGTERM])
        return

    system.end("agent")
    wait_for("verdict 'agent silent' without the agent", lambda: prometheus.instant(verdict) == [0.0], 180)
    print("agent ended: the verdict says that the agent is silent")


def ask_everything(prometheus):
    """Every query of every panel, until all have answered with data: some need a minute of history."""
    asked = [(path.name, *query) for path in DASHBOARDS for query in queries(json.loads(path.read_text()))]
    empty = {}

    def ask():
        empty.clear()
        for name, panel, reference, expr, instant in asked:
            if not prometheus.values(expr, instant):
                empty[f"{name}: {panel} ({reference})"] = expr
        return not empty

    try:
        wait_for("data for every query", ask, 240)
    except TimeoutError:
        for where, expr in empty.items():
            print(f"no data: {where}\n    {expr}", file=sys.stderr)
        raise
    known = set(prometheus.api("label/__name__/values"))
    named = {metric for *_, expr, _ in asked for metric in METRIC.findall(expr)}
    if named - known:
        raise AssertionError(f"metrics that nobody exports: {sorted(named - known)}")
    print(f"{len(asked)} queries of {len(DASHBOARDS)} dashboards returned data; {len(named)} metrics, all exported")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("lint")
    live = commands.add_parser("live")
    live.add_argument("--drill", default="detached-tasks")
    live.add_argument("--keep", action="store_true", help="stay up after the check, for drawing")
    arguments = parser.parse_args()
    if arguments.command == "lint":
        run_lint()
    else:
        os.environ.setdefault("NO_PROXY", "127.0.0.1")
        run_live(arguments)


if __name__ == "__main__":
    main()
