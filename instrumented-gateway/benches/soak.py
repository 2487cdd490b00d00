#!/usr/bin/env python3
"""An hour under load, with clients that leave and an upstream that fails: memory and descriptors stay flat.

    cargo build --release -p instrumented-gateway --bins --examples
    instrumented-gateway/benches/soak.py [--seconds 3600] [--every 10]

Samples resident memory, descriptors and what the ledger calls late. The first tenth is warm-up. Ends with 1 where the mean
of the last tenth is more than 5 % or 8 descriptors above that of the second, where anything was ever late, or where
something is left when the load has gone.
"""

import argparse
import random
import socket
import statistics
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True  # leaves nothing beside the scripts
import stand

MEMORY_PERCENT = 5
DESCRIPTORS = 8
SETTLE_SECONDS = 15
CONNECTIONS = 16
LEAVING_CLIENTS = 4


class Failing:
    """An upstream that hangs, breaks off in the middle, resets, or talks nonsense, in turn."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        turn, hanging = 0, []
        while True:
            connection = self.listener.accept()[0]
            turn += 1
            if turn % 4 == 0:
                hanging.append(connection)
                for old in hanging[:-50]:
                    old.close()
                del hanging[:-50]
            elif turn % 4 == 1:
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbegun")
                connection.close()
            elif turn % 4 == 2:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                connection.close()
            else:
                connection.sendall(b"what?\r\n\r\n")
                connection.close()


def leave(port, over):
    """A client that asks for anything and leaves at any moment."""
    draw = random.Random(1)
    while not over.is_set():
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as client:
                path = draw.choice(["/1m", "/failing/x", "/home", "/10k"])
                client.sendall(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode()[: draw.randrange(10, 60)])
                client.settimeout(draw.random() * 0.05 + 0.001)
                client.recv(draw.choice([1, 1000, 100_000]))
        except OSError:
            pass
        over.wait(0.01)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--every", type=float, default=10)
    arguments = parser.parse_args()
    place = stand.Stand()
    backend, port, metrics = stand.free_port(), stand.free_port(), stand.free_port()
    place.backend(backend)
    failing = Failing()
    configuration = place.write("gateway.yml", f"""
listen: 127.0.0.1:{port}
metrics: 127.0.0.1:{metrics}
upstreams:
  - {{ name: backend, endpoints: ["http://127.0.0.1:{backend}"], idle_timeout: 5s }}
  - {{ name: failing, endpoints: ["http://127.0.0.1:{failing.port}"], idle_timeout: 5s }}
routes:
  - {{ path: /*, proxy: backend }}
  - {{ path: /failing/*, proxy: failing, deadline: 500ms, body_idle_timeout: 1s }}
  - path: /home
    deadline: 500ms
    fan_out: {{ policy: partial, calls: [
      {{ name: a, upstream: backend, path: /a }}, {{ name: b, upstream: backend, path: /b }},
      {{ name: c, upstream: failing, path: /c }}] }}
""")
    gateway = place.start([stand.built("instrumented-gateway"), "--config", configuration], port)
    over = threading.Event()
    clients = [threading.Thread(target=leave, args=(port, over)) for _ in range(LEAVING_CLIENTS)]
    for client in clients:
        client.start()
    loads = [
        place.start([stand.program("wrk", "wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{arguments.seconds}s",
                     f"http://127.0.0.1:{port}{path}"], stdout=subprocess.DEVNULL)
        for path in ("/10k", "/home")
    ]
    samples = watch(gateway.pid, metrics, arguments)
    over.set()
    for client in clients:
        client.join()
    for load in loads:
        load.wait(60)
    sys.exit(report(samples, left(metrics), gateway.pid))


def watch(pid, metrics, arguments):
    samples = []
    begin = time.monotonic()
    while (elapsed := time.monotonic() - begin) < arguments.seconds:
        time.sleep(min(arguments.every, arguments.seconds - elapsed))
        scraped = stand.scrape(metrics)
        samples.append((stand.resident_bytes(pid) / 2**20, stand.descriptors(pid), stand.held(scraped)[1]))
        requests = stand.total(scraped, "gateway_requests_total")
        memory, descriptors, late = samples[-1]
        print(f"{elapsed:7.0f} s  {requests:>12.0f} requests  {memory:7.1f} MiB  {descriptors:5} descriptors  {late:.0f} late",
              flush=True)
    return samples


def left(metrics):
    """What is still open when the load has gone."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        open_, late = stand.held(stand.scrape(metrics))
        if (open_, late) == (0, 0) or time.monotonic() > deadline:
            return open_, late
        time.sleep(0.2)


def report(samples, left_open, pid):
    tenth = max(1, len(samples) // 10)
    first, last = samples[tenth:2 * tenth] or samples[:1], samples[-tenth:]
    mean = lambda part, index: statistics.mean(sample[index] for sample in part)
    grown = (mean(last, 0) / mean(first, 0) - 1) * 100
    more = mean(last, 1) - mean(first, 1)
    most_late = max(sample[2] for sample in samples)
    print(f"resident memory {mean(first, 0):.1f} MiB, then {mean(last, 0):.1f} MiB: {grown:+.1f} % (at most {MEMORY_PERCENT} %)")
    print(f"descriptors {mean(first, 1):.0f}, then {mean(last, 1):.0f}: {more:+.0f} (at most {DESCRIPTORS})")
    print(f"orphaned or overdue at the worst sample: {most_late:.0f}; left open {left_open[0]:.0f}, late {left_open[1]:.0f}; "
          f"{stand.descriptors(pid)} descriptors after it")
    return int(grown > MEMORY_PERCENT or more > DESCRIPTORS or most_late > 0 or left_open != (0, 0))


if __name__ == "__main__":
    main()
