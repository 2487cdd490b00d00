"""Attaches the real tokio-console to a gateway that leaks thousands of tasks, and reads its screen.

    python3 .ci/console.py          needs cargo, tmux and python3; installs tokio-console under target/tools

The console's own protocol once showed 249 of 13,200 tasks: its aggregator stopped at the runtime's budget at each
wake-up. So it is not enough that it connects: the number on its screen must be that of the tasks that are held, and they
must stand under the line that spawned them. Python 3.9 or later, nothing but its standard library.
"""
import contextlib
import json
import os
import pathlib
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

sys.dont_write_bytecode = True  # leaves nothing beside the scripts
from dashboards import ROOT, fetch, free_ports, wait_for
from live import Load, Upstream

LEAKED = 2000
STILL_ENDING = 100  # more than the calls that are under way at a time
TOOLS = ROOT / "target" / "tools"
BUILD = ROOT / "target" / "console"  # of its own: the feature changes tokio, and with it everything above


class Hanging:
    """An upstream that accepts and never answers."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.held = []
        threading.Thread(target=self.run, daemon=True).start()

    @property
    def port(self):
        return self.listener.getsockname()[1]

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                self.held.append(self.listener.accept()[0])


class Terminal:
    """tokio-console in a tmux server of its own, so that ending it ends nothing else."""

    def __init__(self, directory, command):
        self.tmux = ["tmux", "-S", str(directory / "tmux"), "-f", "/dev/null"]
        subprocess.run([*self.tmux, "new-session", "-d", "-x", "240", "-y", "50", command], check=True, stdin=subprocess.DEVNULL)

    def screen(self):
        return subprocess.run([*self.tmux, "capture-pane", "-p"], check=True, capture_output=True, text=True).stdout

    def end(self):
        subprocess.run([*self.tmux, "kill-server"], check=False, stderr=subprocess.DEVNULL)


def console_binary():
    found = shutil.which("tokio-console")
    if found:
        return found
    binary = TOOLS / "bin" / "tokio-console"
    if not binary.exists():
        subprocess.run(["cargo", "install", "tokio-console", "--locked", "--root", str(TOOLS), "--target-dir", str(TOOLS / "build")],
                       check=True, cwd=TOOLS.parent)
    return str(binary)


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else 65536, hard))
    os.environ.setdefault("NO_PROXY", "127.0.0.1")
    TOOLS.mkdir(parents=True, exist_ok=True)
    binary = console_binary()
    subprocess.run(["cargo", "build", "--locked", "-p", "instrumented-gateway", "--features", "console", "--target-dir", str(BUILD)],
                   check=True, cwd=ROOT)
    with tempfile.TemporaryDirectory(prefix="leakwatch-console-") as directory:
        look(pathlib.Path(directory), binary)


def look(directory, binary):
    content, social = Upstream(), Hanging()
    listen, metrics, admin, console = (f"127.0.0.1:{port}" for port in free_ports(4))
    configuration = directory / "gateway.yml"
    configuration.write_text(f"""
listen: {listen}
metrics: {metrics}
admin: {admin}
admin_drills: true
console: {console}
upstreams:
  - name: content
    endpoints: ["http://127.0.0.1:{content.server_port}"]
  - name: social
    endpoints: ["http://127.0.0.1:{social.port}"]
routes:
  - path: /content/*
    proxy: content
  - path: /home/{{id}}
    deadline: 200ms
    fan_out:
      policy: partial
      calls:
        - {{ name: article, upstream: content, path: "/content/{{id}}" }}
        - {{ name: likes, upstream: social, path: "/likes?of={{id}}" }}
""")
    log = open(directory / "gateway.log", "wb")
    gateway = subprocess.Popen([BUILD / "debug" / "instrumented-gateway", "--config", configuration],
                               stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    terminal = None
    try:
        wait_for("the gateway", lambda: fetch(f"http://{metrics}/ready") or True)
        fetch(f"http://{admin}/drill/detached-tasks", "POST")
        load = Load([listen], rate=150)

        # The gateway's own registry says how many tasks live, and which line spawned the leaked ones. What the ledger holds
        # under load is more: tasks among it that will still end.
        def registry():
            tasks = json.loads(fetch(f"http://{admin}/debug/tasks"))
            return tasks, max(tasks["places"], key=lambda place: place["count"] * bool(re.search(r"/(drill|fan_out)\.rs:", place["site"])))

        wait_for(f"{LEAKED} leaked tasks", lambda: registry()[1]["count"] >= LEAKED + STILL_ENDING, 120)
        load.stopped.set()
        wait_for("the last requests to be answered", lambda: load.outstanding() == 0)
        tasks, place = registry()
        if place["count"] < LEAKED:
            raise AssertionError(f"/debug/tasks names no line that spawned {LEAKED} tasks: {tasks}")
        terminal = Terminal(directory, f"{binary} --lang en_US.UTF-8 http://{console}")

        def shown():
            screen = terminal.screen()
            number = re.search(r"Running \((\d+)\).*Idle \((\d+)\)", screen)
            complete = number and int(number[1]) + int(number[2]) >= tasks["total"]
            return screen if "CONNECTED" in screen and complete and place["site"] in screen else None

        try:
            screen = wait_for("tokio-console to show every leaked task under its line", shown, 60)
        except TimeoutError:
            print(terminal.screen(), file=sys.stderr)
            raise
        lines = [line.rstrip() for line in screen.splitlines()]
        print("\n".join(line for line in lines if "CONNECTED" in line or "Running (" in line or line.startswith("│Warn")))
        print(next(line for line in lines if place["site"] in line))
        print(f"{tasks['total']} tasks live, {place['count']} of them leaked by {place['site']}; tokio-console lists them all")
    except BaseException:
        print((directory / "gateway.log").read_text()[-3000:], file=sys.stderr)
        raise
    finally:
        if terminal:
            terminal.end()
        gateway.terminate()
        try:
            gateway.wait(20)
        except subprocess.TimeoutExpired:
            gateway.kill()
            gateway.wait()


if __name__ == "__main__":
    main()
