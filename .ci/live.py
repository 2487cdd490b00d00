"""The live half of .ci/dashboards.py: two gateways under load, the agent, and Debian's Prometheus and Alertmanager.

Prometheus and Alertmanager run the shipped files; only ports and the list of replicas are replaced. In push mode it goes
through health and each drill, asks every query of every panel, looks at the states of the verdict, and reads what was
notified. In rules mode the same drill must give the same alert in the same words, by way of Prometheus.
"""
import calendar
import contextlib
import http.server
import json
import os
import pathlib
import queue
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time

from dashboards import DASHBOARDS, METRIC, ROOT, Prometheus, fetch, free_ports, panels, queries, wait_for

DESCRIPTORS = 4096  # of a gateway: low, so that the limit is in sight and its line is drawn
MOST_OUTSTANDING = 400  # requests of the load
REPLICAS = 2
MAIN_DRILL = "detached-tasks"
# What each drill is called by the alert, and with which share it is played so that it is found within a minute.
DRILLS = {"detached-tasks": ("timeout_without_cancellation", 1), "no-deadline": ("fan_out_without_deadline", 1), "unclosed-bodies": ("unclosed_bodies", 0.3),
          "client-per-request": ("idle_connections_unbounded", 0.5), "undrained-bodies": ("undrained_bodies", 1), "slow-drip": ("unclosed_bodies", 0.1)}
FROZEN_AFTER = 60  # seconds after an alert fired, at which its notification freezes the dashboard
SPOKEN = "leak_incident_annotations"  # in rules mode alone
RECORDED = ROOT / "dashboards" / "recorded"
GOLDEN = ROOT / "dashboards" / "alertmanager" / "golden" / "drill.txt"


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
        # Larger than what the pool's bounded drain reads, so that a body dropped unread costs its connection.
        body = json.dumps({"path": self.path, "text": "x" * (400_000 if self.path.startswith("/content/large") else 2000)}).encode()
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

    def firing(self, alertname):
        return [body for _, body in self.notifications if body["status"] == "firing" and body["groupLabels"]["alertname"] == alertname]


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

    def __init__(self, addresses, rate=24):
        self.addresses, self.rate, self.stopped = addresses, rate, threading.Event()
        self.under_way, self.room = 0, threading.Semaphore(MOST_OUTSTANDING)
        self.lock = threading.Lock()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        number = 0
        each = len(self.addresses)
        due = time.monotonic()
        while not self.stopped.is_set():
            due += 1 / self.rate
            self.stopped.wait(max(0.0, due - time.monotonic()))
            if self.room.acquire(blocking=False):
                number += 1
                path = ("/home/{}", "/content/{}", "/home/{}", "/content/large/{}")[number // each % 4].format(number)
                threading.Thread(target=self.ask, args=(self.addresses[number % each], path), daemon=True).start()

    def outstanding(self):
        with self.lock:
            return self.under_way

    def ask(self, address, path):
        self.count(1)
        with contextlib.suppress(OSError):
            fetch(f"http://{address}{path}")
        self.count(-1)
        self.room.release()

    def count(self, by):
        with self.lock:
            self.under_way += by


class System:
    def __init__(self, directory, binaries, mode="push"):
        self.directory, self.binaries, self.mode, self.processes = directory, binaries, mode, {}
        addresses = [f"127.0.0.1:{port}" for port in free_ports(3 * REPLICAS + 4)]
        self.gateways = [tuple(addresses[3 * index:3 * index + 3]) for index in range(REPLICAS)]  # listen, metrics, admin
        self.agent, prometheus, self.alertmanager, nobody = addresses[3 * REPLICAS:]
        self.nobody = nobody.rpartition(":")[2]
        self.content, self.social, self.receiver = Upstream(), Upstream(), Receiver()
        self.prometheus = Prometheus(prometheus)

    def shipped(self, name):
        """A file of dashboards/ with the ports of this run."""
        text = (ROOT / "dashboards" / name).read_text()
        replicas = ", ".join(f'"{metrics}"' for _, metrics, _ in self.gateways)
        ours = {'"127.0.0.1:9901"': replicas, "127.0.0.1:9465": self.agent, "127.0.0.1:9090": self.prometheus.address,
                "127.0.0.1:9093": self.alertmanager, "127.0.0.1:5001": f"127.0.0.1:{self.receiver.server_port}"}
        # A second drill of the same kind would wait for the rest of the five minutes.
        ours["group_interval: 5m"] = "group_interval: 5s"
        if self.mode == "rules":
            ours["  # - leak-rules.yml"] = "  - leak-rules.yml"
        for theirs, own in ours.items():
            text = text.replace(theirs, own)
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
        for rules in ("rules", "leak-rules"):
            self.shipped(f"prometheus/{rules}.yml")
        self.run("prometheus", "prometheus", f"--config.file={self.shipped('prometheus/prometheus.yml')}",
                 f"--storage.tsdb.path={self.directory}/tsdb", f"--web.listen-address={self.prometheus.address}")
        self.run("alertmanager", "prometheus-alertmanager", f"--config.file={self.shipped('alertmanager/alertmanager.yml')}",
                 f"--storage.path={self.directory}/alertmanager", f"--web.listen-address={self.alertmanager}", "--cluster.listen-address=")
        for index, addresses in enumerate(self.gateways):
            self.start_gateway(index, *addresses)
        self.start_agent()
        for _, metrics, _ in self.gateways:
            wait_for("the gateway", lambda: fetch(f"http://{metrics}/ready") or True)
        wait_for("the agent", lambda: fetch(f"http://{self.agent}/-/ready") or True)
        wait_for("Prometheus", lambda: fetch(f"http://{self.prometheus.address}/-/ready"))
        self.load = Load([listen for listen, _, _ in self.gateways])

    def start_gateway(self, index, listen, metrics, admin):
        configuration = self.write(f"gateway-{index}.yml", f"""
listen: {listen}
metrics: {metrics}
admin: {admin}
admin_drills: true
upstreams:
  - name: content
    endpoints: ["http://127.0.0.1:{self.content.server_port}"]
    idle_timeout: 5s
    max_lifetime: 10s
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
        self.run(f"gateway-{index}", self.binaries / "instrumented-gateway", "--config", configuration, descriptors=DESCRIPTORS)

    def start_agent(self):
        self.write("targets.json", json.dumps([{"targets": [metrics], "labels": {"__evidence_address__": admin}} for _, metrics, admin in self.gateways]))
        sends = f'[{{ static_configs: [{{ targets: ["{self.alertmanager}"] }}] }}]'
        agent = self.write("agent.yml", f"""
global: {{ scrape_interval: 2s, scrape_timeout: 1s, external_labels: {{ cluster: example }} }}
scrape_configs:
  - job_name: gateway
    evidence: [ledger, tasks]
    file_sd_configs: [{{ files: ["{self.directory}/targets.json"] }}]
sources:
  - {{ url: "http://{self.prometheus.address}", name: prometheus, lookback: 0s }}
alerting:
  mode: {self.mode}
  keep_firing_for: 10s
  runbook_url: "https://leaks.example.org/runbooks/{{alertname}}#{{cause}}"
  dashboard_url: "https://grafana.example.org/d/leak-suspects?var-job={{job}}"
{f"  alertmanagers: {sends}" if self.mode == "push" else ""}
# The other of the pair is never there: what a pair exports is seen, and the one that is left goes on alone.
pair: {{ peers: ["http://127.0.0.1:{self.nobody}"], timeout: 1s, down_after: 5s }}
storage: {{ path: {self.directory}/state }}
web: {{ listen: {self.agent} }}
""")
        self.run("agent", self.binaries / "leak-agent", "run", "--config", agent)

    def drill(self, name, share):
        if name in ("detached-tasks", "no-deadline"):
            self.social.go_on.clear()
        for _, _, admin in self.gateways:
            fetch(f"http://{admin}/drill/{name}?share={share}", "POST")

    def end_drill(self, name):
        for _, _, admin in self.gateways:
            fetch(f"http://{admin}/drill/{name}", "DELETE")
        self.social.go_on.set()

    def alerts(self):
        """What Alertmanager holds, muted or not, by alertname."""
        return {alert["labels"]["alertname"]: alert for alert in json.loads(fetch(f"http://{self.alertmanager}/api/v2/alerts"))}

    def leaks(self):
        return [leak for leak in json.loads(fetch(f"http://{self.agent}/api/v1/leaks"))["data"]["leaks"] if leak["living"]]

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


# --- the check in push mode ---------------------------------------------------------------------------------------------

def find_query(title):
    return next(expr for path in DASHBOARDS for panel, _, expr, _ in queries(json.loads(path.read_text())) if panel == title)


def show(system, state):
    wait_for(f"verdict {state}", lambda: system.prometheus.instant(find_query("Verdict")) == [float(state)], 180)
    print({0: "the verdict says that the agent is silent", 1: "the verdict says that nothing leaks", 2: "the verdict says leaking"}[state])


def watch_push(system, arguments):
    prometheus = system.prometheus
    show(system, 1)
    held = prometheus.instant("sum(resource_ledger_orphaned) + sum(resource_ledger_overdue)")
    if held != [0.0]:
        raise AssertionError(f"orphaned and overdue in health: {held}")
    wait_for("the agent sees all", lambda: prometheus.instant(find_query("The agent")) == [1.0])
    if arguments.keep == "rest":
        return stay(system)

    chosen = list(DRILLS) if arguments.drill == "all" else arguments.drill.split(",")
    for name in chosen:
        play(system, name, arguments)
        if arguments.keep:
            return stay(system)

    system.end("agent")
    show(system, 0)
    if prometheus.instant(find_query("The agent")) != [0.0]:
        raise AssertionError("the panel of the agent does not say that it is silent")


def play(system, name, arguments):
    """One drill, from health to health."""
    prometheus, (cause, share) = system.prometheus, DRILLS[name]
    told = len(system.receiver.notifications)
    system.drill(name, share)
    since = time.monotonic()
    show(system, 2)
    wait_for("the cause", lambda: [leak for leak in system.leaks() if leak["cause"] == cause])
    print(f"{name}: {cause} after {time.monotonic() - since:.0f} s")
    wait_for("a notification", lambda: any(body["status"] == "firing" for _, body in system.receiver.notifications[told:]))
    if name == MAIN_DRILL:
        check_notifications(system, arguments.write)
        ask_everything(prometheus, [path.name for path in DASHBOARDS], 240)
        check_names(system, arguments.record)
    else:
        # Which suspects there are depends on the drill; what the service does, does not.
        ask_everything(prometheus, ["gateway.json", "runtime.json", "agent.json"], 120, but=idle_panels())
        wait_for("the incident on the dashboard", lambda: prometheus.instant('max by (cause) (leak_incident_info{job="gateway",cause="%s"})' % cause))
    if arguments.keep:
        return
    system.end_drill(name)
    show(system, 1)


def check_notifications(system, write):
    """Two leaking replicas are one alert, told once; its page mutes it; its words are in the golden file."""
    def settled():
        alerts = system.alerts()
        ticket, page = alerts.get("ResourceLeak"), alerts.get("ResourceLeakUrgent")
        known = ticket and page and ticket["annotations"]["site"].count(":") == 1 and ticket["annotations"]["instances"].count("127.0.0.1") == REPLICAS
        return alerts if known and ticket["status"]["state"] == "suppressed" else None

    alerts = wait_for("the page that mutes its ticket, of both replicas", settled)
    wait_for("the page's notification", lambda: system.receiver.firing("ResourceLeakUrgent"))
    if alerts["ResourceLeakUrgent"]["status"]["state"] != "active":
        raise AssertionError("the page is muted")
    for name in ("ResourceLeak", "ResourceLeakUrgent"):
        told = system.receiver.firing(name)
        if len(told) > 1 or any(len(body["alerts"]) != 1 for body in told):
            raise AssertionError(f"{name}: {len(told)} notifications of {[len(body['alerts']) for body in told]} alerts: two replicas are one")
    print("two leaking replicas are one notification; the ticket is muted by its page")
    # What the notification's second link shows, to whoever follows it at once and to whoever reads it next week.
    fired = calendar.timegm(time.strptime(alerts["ResourceLeakUrgent"]["startsAt"][:19], "%Y-%m-%dT%H:%M:%S"))
    frozen = system.prometheus.instant(find_query("Verdict"), fired + FROZEN_AFTER)
    if frozen != [2.0]:
        raise AssertionError(f"the dashboard as it fired says {frozen}")
    print("the dashboard as it fired says leaking")
    compare(alerts, write)


def words(alerts):
    """An alert as it is said, less its figures: those depend on the machine."""
    lines = []
    for name in ("ResourceLeakUrgent", "ResourceLeak"):
        alert = alerts[name]
        lines.append(f"=== {name}\n" + "".join(f"{label}={value}\n" for label, value in sorted(alert["labels"].items())))
        for label, value in sorted(alert["annotations"].items()):
            value = re.sub(r"/leaks/[0-9a-f]+", "/leaks/ID", value)
            value = re.sub(r"\d[\d,.:-]*\d|\d", "#", value)
            value = re.sub(r"# (s|min|h|d)\b( # (s|min|h)\b)?", "TIME", value)
            value = re.sub(r"(Held by it, or with it: ).*", r"\1SIGNALS.", value)  # more of them as time passes
            lines.append(f"{label}:\n    " + value.replace("\n", "\n    ") + "\n")
    return "".join(lines)


def compare(alerts, write=False):
    text = words(alerts)
    if write:
        GOLDEN.write_text(text)
    elif GOLDEN.read_text() != text:
        raise AssertionError(f"said, and not in {GOLDEN.relative_to(ROOT)}:\n{text}")
    print(f"{GOLDEN.relative_to(ROOT)}: word for word")


def idle_panels():
    """Titles of panels that may be empty while all is seen, and say so ("No ... in this time"), unlike "NO DATA"."""
    return {panel["title"] for path in DASHBOARDS for panel in panels(json.loads(path.read_text())) if panel["fieldConfig"]["defaults"]["noValue"].startswith("No ")}


def ask_everything(prometheus, names, patience, but=()):
    """Every query of every panel, until all have answered with data: some need a minute of history."""
    asked = [(path.name, *query) for path in DASHBOARDS if path.name in names for query in queries(json.loads(path.read_text())) if query[0] not in but]
    empty = {}

    def ask():
        empty.clear()
        for name, panel, reference, expr, instant in asked:
            if not prometheus.values(expr, instant):
                empty[f"{name}: {panel} ({reference})"] = expr
        return not empty

    try:
        wait_for("data for every query", ask, patience)
    except TimeoutError:
        for where, expr in empty.items():
            print(f"no data: {where}\n    {expr}", file=sys.stderr)
        raise
    known = set(prometheus.api("label/__name__/values"))
    named = {metric for *_, expr, _ in asked for metric in METRIC.findall(expr)}
    if named - known:
        raise AssertionError(f"metrics that nobody exports: {sorted(named - known)}")
    print(f"{len(asked)} queries of {len(names)} dashboards returned data; {len(named)} metrics, all exported")


# --- what is exported ---------------------------------------------------------------------------------------------------

def shape(text):
    """{metric: names of its labels} of an exposition."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, labels = line.partition("{")
            name = name.split(" ")[0]
            found.setdefault(name, set()).update(re.findall(r'[{,]([a-z_]+)="', "{" + labels))
    return found


def check_names(system, record):
    """What is recorded, and read by the test of all queries, is exported now. And `promtool check metrics`."""
    for name, address in {"instrumented-gateway": system.gateways[0][1], "leak-agent": system.agent}.items():
        text = fetch(f"http://{address}/metrics")
        said = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True, check=False)
        complaints = [line for line in (said.stdout + said.stderr).splitlines() if line and not accepted(line)]
        if complaints:
            raise AssertionError(f"promtool check metrics, {name}: {complaints}")
        path, now = RECORDED / f"{name}.txt", shape(text)
        if record:
            RECORDED.mkdir(exist_ok=True)
            spoken = [line for line in path.read_text().splitlines(True) if line.startswith(SPOKEN)] if path.exists() else []
            path.write_text("".join(sorted([*one_of_each(text), *spoken])))
        recorded = shape(path.read_text())
        # What a dashboard may ask for must be there; what is new is recorded by the next --record.
        gone = sorted(metric for metric, labels in recorded.items() if metric != SPOKEN and (metric not in now or now[metric].isdisjoint(labels) and labels))
        if gone:
            raise AssertionError(f"{path.relative_to(ROOT)} has what is not exported now: {gone}; see --record")
        new = sorted(now.keys() - recorded.keys() - {SPOKEN})
        if new:
            print(f"{name}: exported and not recorded yet: {', '.join(new)}")
        print(f"{name}: {len(now)} metrics, all that are recorded among them, and promtool has nothing to say")


def accepted(line):
    # `ALERTS` has the name that Prometheus itself gives it.
    return line.startswith("ALERTS ") or "no help text" in line and "ALERTS" in line


def one_of_each(text):
    """One sample for each set of label names of a metric, with its value as 1: a recording of names."""
    seen = set()
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name = re.split(r"[{ ]", line)[0]
            key = (name, tuple(re.findall(r'[{,]([a-z_]+)="', line)))
            if key not in seen:
                seen.add(key)
                yield line.rsplit(" ", 1)[0] + " 1\n"


# --- the check in rules mode --------------------------------------------------------------------------------------------

def watch_rules(system, arguments):
    """The same drill by way of Prometheus: the same alerts in the same words, once; and none is resolved by silence."""
    show(system, 1)
    system.drill(MAIN_DRILL, 1)
    show(system, 2)

    def settled():
        alerts = system.alerts()
        ticket, page = alerts.get("ResourceLeak"), alerts.get("ResourceLeakUrgent")
        known = ticket and page and ticket["annotations"]["site"].count(":") == 1 and ticket["annotations"]["instances"].count("127.0.0.1") == REPLICAS
        return alerts if known and ticket["status"]["state"] == "suppressed" else None

    alerts = wait_for("the page that mutes its ticket, by way of Prometheus", settled, 420)
    compare(alerts)
    if 'leak_agent_notifications_total{' in fetch(f"http://{system.agent}/metrics"):
        raise AssertionError("an agent in rules mode sends")
    if RECORDED.exists() and arguments.record:
        path = RECORDED / "leak-agent.txt"
        lines = set(path.read_text().splitlines(True)) | {line for line in one_of_each(fetch(f"http://{system.agent}/metrics")) if line.startswith(SPOKEN)}
        path.write_text("".join(sorted(lines)))
    system.end("agent")
    show(system, 0)
    said = wait_for("the alert to say that its agent is silent", lambda: (
        alert := system.alerts().get("ResourceLeak")) and "is silent" in alert["annotations"]["summary"] and alert)
    print(f"the agent is gone, and the alert stands: {said['annotations']['summary']}")
    system.start_agent()
    show(system, 2)
    again = wait_for("the agent's words again", lambda: (
        alert := system.alerts().get("ResourceLeak")) and "is silent" not in alert["annotations"]["summary"] and alert)
    if again["startsAt"] != alerts["ResourceLeak"]["startsAt"]:
        raise AssertionError(f"the alert began anew: {alerts['ResourceLeak']['startsAt']}, {again['startsAt']}")
    print("the agent is back, and it is the same alert")
    system.end_drill(MAIN_DRILL)
    show(system, 1)
    wait_for("the end of the alert", lambda: "ResourceLeak" not in system.alerts(), 180)
    print("released, and resolved")


def stay(system):
    """Until it is told to end; SIGUSR1 starts the drill."""
    print(f"Prometheus http://{system.prometheus.address}, agent http://{system.agent}; SIGUSR1 to {os.getpid()} starts {MAIN_DRILL}, SIGTERM or ^C ends")
    sys.stdout.flush()
    asked = queue.SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda which, _: asked.put(which))
    while asked.get() == signal.SIGUSR1:
        system.drill(MAIN_DRILL, 1)


def run(arguments):
    binaries = pathlib.Path(os.environ.get("LEAKWATCH_BINARIES", ROOT / "target" / "release"))
    with tempfile.TemporaryDirectory(prefix="leakwatch-dashboards-") as directory:
        system = System(pathlib.Path(directory), binaries, arguments.mode)
        try:
            system.start()
            (watch_push if arguments.mode == "push" else watch_rules)(system, arguments)
        except BaseException:
            system.show_logs()
            raise
        finally:
            system.stop()


