"""What the scripts beside this file stand on: processes that end with them, ports, and what /proc and /metrics say.

Everything listens on loopback, writes below one temporary directory, and is ended by its id.
"""

import atexit
import collections
import contextlib
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) 
PATIENCE_SECONDS = 10
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
NGINX_MODULES = pathlib.Path("/usr/lib/nginx/modules")

Load = collections.namedtuple("Load", "requests_per_second p50_ms p99_ms requests errors")


def fail(message):
    sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {message}")


def program(name, package):
    """The path of a program, or an exit that says how to get it."""
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")
    return found or fail(f"{name} is missing: apt-get install {package}")


def built(name, profile="release", package="instrumented-gateway"):
    path = TARGET / profile / name
    return path if path.exists() else fail(
        f"{path} is missing: cargo build --profile {profile} -p {package} --bins --examples"
    )


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Stand:
    """A temporary directory and the processes that live in it."""

    def __init__(self):
        self._directory = tempfile.TemporaryDirectory()
        self.directory = pathlib.Path(self._directory.name)
        self._processes = []
        atexit.register(self.end)

    def write(self, name, text):
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def start(self, arguments, port=None, **options):
        log = open(self.directory / f"log-{len(self._processes)}", "wb")
        process = subprocess.Popen(
            [str(a) for a in arguments], stdout=options.pop("stdout", log), stderr=log, **options
        )
        self._processes.append(process)
        if port is not None:
            self._wait_until_it_listens(process, port, log.name)
        return process

    def _wait_until_it_listens(self, process, port, log):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.02)
        fail(f"{process.args[0]} does not listen on {port}:\n{pathlib.Path(log).read_text()}")

    def stop(self, process):
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def end(self):
        for process in reversed(self._processes):
            if process.poll() is None:
                process.kill()
                process.wait()
        self._directory.cleanup()

    def nginx(self, name, http, port):
        """Debian's nginx as one process, with what stands in its `http` block."""
        modules = ["ndk_http_module.so", "ngx_http_lua_module.so"] if "_by_lua" in http else []
        loads = "".join(f"load_module {NGINX_MODULES / module};\n" for module in modules)
        directory = self.directory / name
        directory.mkdir()
        configuration = self.write(f"{name}/nginx.conf", f"""{loads}
daemon off; master_process off; pid {directory}/pid; error_log {directory}/error.log warn;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 600s; sendfile on; tcp_nopush on;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/f;
  uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  {http}
}}
""")
        return self.start([program("nginx", "nginx-light"), "-c", configuration, "-p", directory], port)

    def gateway_configuration(self, port, backend, more=""):
        """A route to the backend, and one that asks it three times; `more` is what else the gateway is told."""
        return self.write("gateway.yml", f"""
listen: 127.0.0.1:{port}
metrics: 127.0.0.1:{free_port()}
{more}
upstreams: [{{ name: backend, endpoints: ["http://127.0.0.1:{backend}"] }}]
routes:
  - {{ path: /*, proxy: backend }}
  - path: /home
    fan_out: {{ policy: error, calls: [
      {{ name: a, upstream: backend, path: /a }}, {{ name: b, upstream: backend, path: /b }},
      {{ name: c, upstream: backend, path: /c }}] }}
""")

    def backend(self, port):
        """Bodies of three sizes, and three small JSON values."""
        files = self.directory / "files"
        files.mkdir()
        for name, size in SIZES.items():
            (files / name).write_bytes(b"x" * size)
        value = '"' + "x" * 98 + '"'
        values = "".join(f"location = /{name} {{ return 200 '{value}'; }}\n" for name in "abc")
        small = "x" * SIZES["100"]
        return self.nginx("backend", f"""
  default_type application/json; open_file_cache max=16;
  server {{ listen 127.0.0.1:{port} backlog=4096; root {files}; location = /100 {{ return 200 '{small}'; }} {values} }}
""", port)


SIZES = {"100": 100, "10k": 10_000, "1m": 1_000_000}


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def resident_bytes(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) * 1024


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def wrk(url, seconds, connections):
    """wrk's own words as numbers."""
    out = subprocess.run(
        [program("wrk", "wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "--latency", url],
        check=True, capture_output=True, text=True,
    ).stdout
    return read_wrk(out)


def read_wrk(out):
    latency = lambda percentile: _milliseconds(re.search(rf"^\s+{percentile}%\s+([\d.]+)(us|ms|s)", out, re.M))
    errors = sum(map(int, re.findall(r"(?:connect|read|write|timeout) (\d+)", out)))
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    return Load(
        requests_per_second=float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]),
        p50_ms=latency(50),
        p99_ms=latency(99),
        requests=int(re.search(r"(\d+) requests in", out)[1]),
        errors=errors + (int(refused[1]) if refused else 0),
    )


def _milliseconds(match):
    return float(match[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[match[2]]


def scrape(port):
    """The samples of one scrape, as (name, labels, value)."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_SECONDS) as answer:
        text = answer.read().decode()
    samples = []
    for line in text.splitlines():
        match = re.match(r"([a-z_]+)(?:\{(.*)\})? (\S+)$", line)
        if match:
            samples.append((match[1], dict(re.findall(r'(\w+)="([^"]*)"', match[2] or "")), float(match[3])))
    return samples


def total(samples, name, **labels):
    return sum(
        value for n, have, value in samples if n == name and all(have.get(k) == v for k, v in labels.items())
    )


def held(samples):
    """What is open and not an idle connection, and what is orphaned or overdue."""
    open_ = sum(total(samples, "resource_ledger_open", resource=r) for r in
                ("request", "response_body", "fan_out_task", "pool_connection"))
    idle = total(samples, "gateway_pool_connections", state="idle")
    late = total(samples, "resource_ledger_orphaned") + total(samples, "resource_ledger_overdue")
    return open_ - idle, late
