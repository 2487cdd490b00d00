"""Checks dashboards/alertmanager/ with Debian's Alertmanager: what is said, to whom, and what is kept quiet.

    python3 .ci/alerting.py            compares with the golden files
    python3 .ci/alerting.py --write    writes them anew: read the difference before you commit it

Two Alertmanagers run on loopback, with alertmanager.yml (webhooks) and with receivers.yml (mail, Slack, PagerDuty). Only
ports and the time that they wait to group are replaced. The alerts have fixed times, so that every word of a notification
is in a golden file. Python 3.9 or later, nothing but its standard library.
"""
import argparse
import contextlib
import datetime
import email
import email.policy
import http.server
import json
import os
import pathlib
import re
import socketserver
import subprocess
import sys
import tempfile
import threading
import urllib.parse
import urllib.request

from dashboards import ROOT, fetch, free_ports, wait_for

SHIPPED = ROOT / "dashboards" / "alertmanager"
GOLDEN = SHIPPED / "golden"
SINCE, FAR = "2026-03-01T02:13:20Z", "2100-01-01T00:00:00Z"
RUNBOOKS = "https://leaks.example.org/runbooks"

# The words are those of the agent (agent/src/alert/text.rs), of a drill with detached tasks on two replicas.
LEAK = {"job": "gateway", "cluster": "example", "signal": "resource_ledger_orphaned", "resource": "fan_out_task",
        "upstream": "social", "route": "/home/{id}"}
SAID = {
    "summary": "gateway: 412 fan-out tasks towards social live on after their requests have ended",
    "description": "412 in 2 instances, growing by 1,440 an hour (1,410 to 1,470).\n"
                   "Since 2026-03-01 02:11:05 UTC, 2 minutes ago.\n"
                   "Looks like timeout_without_cancellation: the answer goes out at the deadline, but the tasks behind it are not "
                   "cancelled and live on with all they hold.\n"
                   "Where: instrumented-gateway/src/drill.rs:87 (412 of them, the oldest for 2 minutes; one more place in the evidence).",
    "cause": "timeout_without_cancellation",
    "site": "instrumented-gateway/src/drill.rs:87",
    "first_action": "Restart the leaking instances one at a time, g:9901 first: that buys time and keeps this incident open. If social "
                    "hangs, take it out of the route.",
    "instances": "g:9901 (260), h:9901 (152)",
    "evidence_url": "https://leaks.example.org/leaks/0123456789abcdef",
    "dashboard_url": "https://grafana.example.org/d/leak-suspects?var-job=gateway",
}
URGENT = "; users are hit: 9 % of the calls to social are refused or time out"


def alert(name, severity, labels, annotations):
    """As the API takes it."""
    return {"labels": {"alertname": name, "severity": severity, **labels}, "annotations": annotations,
            "startsAt": SINCE, "endsAt": FAR, "generatorURL": annotations.get("evidence_url", "https://prometheus.example.org/graph")}


def leak(name, severity, **more):
    page = name == "ResourceLeakUrgent"
    said = {**SAID, "summary": SAID["summary"] + (URGENT if page else ""), "runbook_url": f"{RUNBOOKS}/{name}#{SAID['cause']}"}
    return alert(name, severity, {**LEAK, **more}, said)


def symptom(instance, job="gateway"):
    return alert("GatewayPoolSaturated", "warning", {"scope": "symptom", "job": job, "cluster": "example", "instance": instance, "upstream": "social"}, {
        "summary": "The pool to social is 93.75% taken",
        "description": f"{instance} for five minutes. <b>Either</b> the upstream is slow, the load has outgrown the limit & more, or connections are held.",
        "runbook_url": f"{RUNBOOKS}/GatewayPoolSaturated",
        "dashboard_url": f"https://grafana.example.org/d/leakwatch-gateway?var-job={job}"})


def felt():
    return alert("GatewayUpstreamFailing", "critical", {"scope": "users", "job": "gateway", "cluster": "example", "upstream": "social"}, {
        "summary": "Upstream social fails 9% of the calls of gateway",
        "description": "Failed or timed out, over five minutes. Users see 502 and 504, or answers without this upstream's part.",
        "runbook_url": f"{RUNBOOKS}/GatewayUpstreamFailing"})


# --- the other end ------------------------------------------------------------------------------------------------------

class Sink(http.server.ThreadingHTTPServer):
    """Keeps every POST as (path, JSON)."""
    daemon_threads = True

    def __init__(self):
        self.received = []
        super().__init__(("127.0.0.1", 0), SinkHandler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def of(self, path):
        return [body for at, body in self.received if at == path]


class SinkHandler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.received.append((self.path, body))
        answer = b"ok" if "slack" in self.path else b'{"status":"success"}'
        self.send_response(202 if "pagerduty" in self.path else 200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


class MailSink(socketserver.ThreadingTCPServer):
    """As much of SMTP (RFC 5321) as Alertmanager speaks; keeps the messages."""
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self):
        self.messages = []
        super().__init__(("127.0.0.1", 0), MailHandler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class MailHandler(socketserver.StreamRequestHandler):
    def handle(self):
        self.say("220 sink")
        while line := self.rfile.readline():
            word = line[:4].upper()
            if word == b"DATA":
                self.say("354 go on")
                lines = []
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(line[1:] if line.startswith(b"..") else line)
                self.server.messages.append(email.message_from_bytes(b"".join(lines), policy=email.policy.default))
            self.say("221 bye" if word == b"QUIT" else "250 sink")
            if word == b"QUIT":
                return

    def say(self, line):
        self.wfile.write(line.encode() + b"\r\n")


class Alertmanager:
    """Debian's, with a shipped file."""

    def __init__(self, directory, shipped, replace):
        self.sink, self.mail = Sink(), MailSink()
        self.directory = pathlib.Path(directory) / shipped
        self.directory.mkdir()
        text = (SHIPPED / shipped).read_text()
        # A second, so that alerts that are posted together are told together, and no longer.
        text = re.sub(r"group_wait: \w+", "group_wait: 1s", text)
        text = text.replace("templates/*.tmpl", str(SHIPPED / "templates" / "*.tmpl"))
        for old, new in {"127.0.0.1:5001": f"127.0.0.1:{self.sink.server_port}", "127.0.0.1:5025": f"127.0.0.1:{self.mail.server_address[1]}", **replace}.items():
            text = text.replace(old, new)
        (self.directory / "alertmanager.yml").write_text(text)
        self.at = f"127.0.0.1:{free_ports(1)[0]}"
        self.log = open(self.directory / "log", "wb")
        # The external URL is fixed, so that links in golden files are; its path is / and so is the API's.
        self.process = subprocess.Popen(
            ["prometheus-alertmanager", f"--config.file={self.directory}/alertmanager.yml", f"--storage.path={self.directory}/data",
             f"--web.listen-address={self.at}", "--web.external-url=https://alerts.example.org", "--cluster.listen-address="],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        wait_for("Alertmanager", lambda: fetch(f"http://{self.at}/-/ready"))

    def post(self, *alerts):
        request = urllib.request.Request(f"http://{self.at}/api/v2/alerts", json.dumps(alerts).encode(), {"content-type": "application/json"})
        urllib.request.urlopen(request, timeout=10).close()

    def states(self):
        """(alertname, job, instance or '') to active or suppressed."""
        return {(each["labels"]["alertname"], each["labels"]["job"], each["labels"].get("instance", "")): each["status"]["state"]
                for each in json.loads(fetch(f"http://{self.at}/api/v2/alerts"))}

    def stop(self):
        self.process.terminate()
        self.process.wait(15)
        self.sink.shutdown()
        self.mail.shutdown()

    def show_log(self):
        print((self.directory / "log").read_text()[-3000:], file=sys.stderr)


@contextlib.contextmanager
def running(shipped, replace=()):
    with tempfile.TemporaryDirectory(prefix="leakwatch-alerting-") as directory:
        manager = Alertmanager(directory, shipped, dict(replace))
        try:
            yield manager
        except BaseException:
            manager.show_log()
            raise
        finally:
            manager.stop()


# --- the checks ---------------------------------------------------------------------------------------------------------

class Golden:
    def __init__(self, write):
        self.write, self.wrong = write, []

    def check(self, name, text):
        path = GOLDEN / name
        if self.write:
            GOLDEN.mkdir(exist_ok=True)
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            self.wrong.append(name)
            print(f"--- golden/{name} is not what is said now:\n{text}", file=sys.stderr)
        else:
            print(f"golden/{name}: word for word")


def check_same_routes():
    """receivers.yml differs from alertmanager.yml in its receivers and addresses alone."""
    parts = [re.search(r"\ntemplates:\n.*?(?=\nreceivers:\n)", (SHIPPED / name).read_text(), re.S).group(0) for name in ("alertmanager.yml", "receivers.yml")]
    if parts[0] != parts[1]:
        raise AssertionError("alertmanager.yml and receivers.yml differ in templates, routes or inhibition")
    names = [sorted(re.findall(r"^  - name: (\w+)$", (SHIPPED / name).read_text(), re.M)) for name in ("alertmanager.yml", "receivers.yml")]
    if names[0] != names[1]:
        raise AssertionError(f"receivers differ: {names}")
    print("receivers.yml routes and mutes as alertmanager.yml does")


def check_muting():
    """Page over ticket, page over symptoms, and nothing over what users feel."""
    with running("alertmanager.yml") as manager:
        page, ticket = leak("ResourceLeakUrgent", "critical"), leak("ResourceLeak", "warning")
        other = leak("ResourceLeak", "warning", job="shop")
        # The page first, as the agent sends it: an alert that began long ago is told at once, whatever `group_wait` says,
        # and Alertmanager's inhibition must have heard of the page by then.
        manager.post(page)
        wait_for("the page", lambda: manager.sink.of("/pager"), 30)
        manager.post(ticket, symptom("g:9901"), symptom("h:9901"), felt(), other, symptom("s:9901", job="shop"))
        expected = {
            ("ResourceLeakUrgent", "gateway", ""): "active",
            ("ResourceLeak", "gateway", ""): "suppressed",
            ("GatewayPoolSaturated", "gateway", "g:9901"): "suppressed",
            ("GatewayPoolSaturated", "gateway", "h:9901"): "suppressed",
            ("GatewayUpstreamFailing", "gateway", ""): "active",
            # Of another workload: nothing of the page concerns it.
            ("ResourceLeak", "shop", ""): "active",
            ("GatewayPoolSaturated", "shop", "s:9901"): "active",
        }
        wait_for("each alert active or muted", lambda: manager.states() == expected, 30)
        wait_for("four notifications", lambda: len(manager.sink.received) >= 4, 30)
        told = sorted((path, body["groupLabels"]["alertname"], body["groupLabels"]["job"]) for path, body in manager.sink.received)
        if told != [("/pager", "GatewayUpstreamFailing", "gateway"), ("/pager", "ResourceLeakUrgent", "gateway"),
                    ("/tickets", "GatewayPoolSaturated", "shop"), ("/tickets", "ResourceLeak", "shop")]:
            raise AssertionError(f"told: {told}")
        print("the page is told and mutes its ticket and its symptoms; what users feel and what another workload does is told")


def check_two_replicas():
    """Two replicas are one notification: of a leak, and of a symptom that names its instance."""
    with running("alertmanager.yml") as manager:
        manager.post(symptom("g:9901"), symptom("h:9901"), leak("ResourceLeak", "warning"))
        wait_for("two notifications", lambda: len(manager.sink.of("/tickets")) >= 2, 30)
        told = {body["groupLabels"]["alertname"]: len(body["alerts"]) for body in manager.sink.of("/tickets")}
        if told != {"GatewayPoolSaturated": 2, "ResourceLeak": 1} or len(manager.sink.received) != 2:
            raise AssertionError(f"told: {told}, {len(manager.sink.received)} notifications")
        print("two replicas are one notification")


def check_words(golden):
    """Every word that a person reads."""
    with running("receivers.yml") as manager:
        manager.post(leak("ResourceLeakUrgent", "critical"))
        wait_for("PagerDuty's event", lambda: manager.sink.of("/pagerduty"), 30)
        wait_for("Slack's message", lambda: manager.sink.of("/slack"), 30)
        event = manager.sink.of("/pagerduty")[0]
        golden.check("page.pagerduty.json", dump(event))
        golden.check("page.slack.json", dump(manager.sink.of("/slack")[0]))
        check_silence(manager, next(link["href"] for link in event["links"] if link["text"] == "Silence"))
    with running("receivers.yml") as manager:
        manager.post(leak("ResourceLeak", "warning"), symptom("g:9901"), symptom("h:9901"))
        wait_for("two mails", lambda: len(manager.mail.messages) >= 2, 30)
        wait_for("two messages in Slack", lambda: len(manager.sink.of("/slack")) >= 2, 30)
        mails = {message["subject"]: message for message in manager.mail.messages}
        ticket = next(message for subject, message in mails.items() if "fan-out" in subject)
        symptoms = next(message for subject, message in mails.items() if "pool" in subject)
        golden.check("ticket.mail.txt", f"Subject: {ticket['subject']}\n\n{part(ticket, 'plain')}")
        golden.check("ticket.mail.html", part(ticket, "html"))
        golden.check("symptom.mail.txt", f"Subject: {symptoms['subject']}\n\n{part(symptoms, 'plain')}")
        golden.check("symptom.mail.html", part(symptoms, "html"))
        slack = next(body for body in manager.sink.of("/slack") if "pool" in body["attachments"][0]["title"])
        golden.check("symptom.slack.json", dump(slack))
    check_links()


def check_resolved(golden):
    """What is said when it is over, rendered by amtool without a system."""
    over = leak("ResourceLeak", "warning")
    labels = {"alertname": "ResourceLeak", "cluster": "example", "job": "gateway"}
    data = {"receiver": "tickets", "status": "resolved", "groupLabels": labels, "commonLabels": over["labels"], "commonAnnotations": over["annotations"],
            "externalURL": "https://alerts.example.org",
            "alerts": [{**over, "status": "resolved", "endsAt": "2026-03-01T02:41:00Z", "fingerprint": "0123456789abcdef"}]}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(data, file)
        file.flush()
        said = "".join(f"=== {name}\n{render(name, file.name)}\n" for name in ("title", "text", "slack.text", "slack.color", "link"))
        page = render("mail.html", file.name, "html")
    golden.check("resolved.txt", said)
    golden.check("resolved.mail.html", page + "\n")


def render(name, data, kind="text"):
    done = subprocess.run(["amtool", "template", "render", f"--template.glob={SHIPPED}/templates/*.tmpl", f"--template.type={kind}", f"--template.data={data}",
                           '--template.text={{ template "leakwatch.%s" . }}' % name], check=True, capture_output=True, text=True)
    return done.stdout


def check_silence(manager, link):
    """The link's matchers, given to amtool as they stand there, mute the page."""
    text = urllib.parse.unquote(link.split("filter=", 1)[1])
    matchers = re.findall(r'\w+="[^"]*"', text)
    subprocess.run(["amtool", f"--alertmanager.url=http://{manager.at}", "silence", "add", "--author=test", "--comment=test", "--duration=1h", *matchers],
                   check=True, stdout=subprocess.DEVNULL)
    wait_for("the silence to mute the page", lambda: set(manager.states().values()) == {"suppressed"}, 30)
    print("the link's silence mutes the page")


def check_links():
    """The links of the golden page lead where they say: the silence holds the group, the dashboard the time."""
    event = json.loads((GOLDEN / "page.pagerduty.json").read_text())
    links = {link["text"]: link["href"] for link in event["links"]}
    silence = urllib.parse.unquote(links["Silence"].split("filter=", 1)[1])
    if silence != '{alertname="ResourceLeakUrgent", cluster="example", job="gateway"}':
        raise AssertionError(f"the silence is for {silence}")
    text = event["payload"]["custom_details"]["notification"]
    frozen = urllib.parse.urlparse(re.search(r"As fired  (\S+)", text).group(1))
    query = urllib.parse.parse_qs(frozen.query)
    fired = int(datetime.datetime.fromisoformat(SINCE.replace("Z", "+00:00")).timestamp()) * 1000
    # A range that ends later is in the future for whoever is called, and has no present.
    if (int(query["from"][0]), int(query["to"][0])) != (fired - 3_600_000, fired + 60_000) or query["var-job"] != ["gateway"]:
        raise AssertionError(f"the dashboard is frozen at {query}")
    if re.search(r"Dashboard (\S+)", text).group(1) != SAID["dashboard_url"]:
        raise AssertionError(f"the dashboard of now is not linked: {text}")
    if links["Evidence"] != SAID["evidence_url"] or links["Dashboard"] != SAID["dashboard_url"] or not links["Runbook"].endswith(SAID["cause"]):
        raise AssertionError(f"links: {links}")
    print("silence, evidence, runbook and frozen dashboard lead where they say")


def dump(value):
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def part(message, kind):
    return message.get_body((kind,)).get_content().replace("\r\n", "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="write the golden files anew")
    golden = Golden(parser.parse_args().write)
    os.environ.setdefault("NO_PROXY", "127.0.0.1")
    check_same_routes()
    check_muting()
    check_two_replicas()
    check_words(golden)
    check_resolved(golden)
    if golden.wrong:
        sys.exit(f"differs: {', '.join(golden.wrong)}; see above, and --write")


if __name__ == "__main__":
    main()
