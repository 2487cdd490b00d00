#!/usr/bin/env python3
"""Strangers at the gateway's door: slowhttptest in its four modes, h2load, and a WebSocket client and server.

    cargo build --release -p instrumented-gateway --bins
    instrumented-gateway/benches/strangers.py [--seconds 12] [slow websocket h2load]

While slow clients crowd in, an honest one asks all the time: each of its answers must be whole and soon. What a slow client
sends or takes must not hold a connection to the upstream past the limits, and when it is over nothing is left open.
Everything is Debian's: slowhttptest, nghttp2-client, python3-websockets, nginx-light.
"""

import argparse
import asyncio
import re
import statistics
import subprocess
import sys
import threading
import time
import urllib.request

sys.dont_write_bytecode = True  # leaves nothing beside the scripts
import stand

SLOW_CLIENTS = 300
HONEST_PAUSE_SECONDS = 0.02
# On a machine whose two processors do this and more; a gateway that is held up takes seconds.
HONEST_P99_SECONDS = 1.0
LIMIT_SECONDS = 3
LEFT_SECONDS = 15
# -r: connections a second; -i: seconds between two drips.
MODES = {
    "slow headers": ["-H", "-i", "1"],
    "slow body": ["-B", "-i", "1", "-s", "8192"],
    "range": ["-R", "-t", "HEAD"],
    "slow read": ["-X", "-k", "3", "-n", "1", "-w", "512", "-y", "1024", "-z", "32"],
}


class Place:
    """A gateway with short limits in front of Debian's nginx."""

    def __init__(self, more=""):
        self.stand = stand.Stand()
        self.backend, self.port, self.metrics = (stand.free_port() for _ in range(3))
        self.stand.backend(self.backend)
        configuration = self.stand.write("gateway.yml", f"""
listen: 127.0.0.1:{self.port}
metrics: 127.0.0.1:{self.metrics}
http2: prior_knowledge
limits: {{ header_read_timeout: {LIMIT_SECONDS}s }}
upstreams: [{{ name: backend, endpoints: ["http://127.0.0.1:{self.backend}"] }}{more}]
routes:
  - {{ path: /*, proxy: backend, deadline: {LIMIT_SECONDS}s, body_idle_timeout: {LIMIT_SECONDS}s }}
  - {{ path: /ws/*, proxy: {"websocket" if more else "backend"} }}
""")
        self.gateway = self.stand.start([stand.built("instrumented-gateway"), "--config", configuration], self.port)

    def wait_until_nothing_is_left(self):
        deadline = time.monotonic() + LEFT_SECONDS
        while (held := stand.held(stand.scrape(self.metrics))) != (0, 0):
            if time.monotonic() > deadline:
                stand.fail(f"left open {held[0]:.0f}, orphaned or overdue {held[1]:.0f}")
            time.sleep(0.1)


class Honest:
    """Asks all the time, over connections of its own, and remembers how long each answer took."""

    def __init__(self, url):
        self.url, self.taken, self.over = url, [], threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.over.wait(HONEST_PAUSE_SECONDS):
            begin = time.monotonic()
            with urllib.request.urlopen(self.url, timeout=stand.PATIENCE_SECONDS) as answer:
                assert answer.status == 200 and len(answer.read()) == stand.SIZES["100"]
            self.taken.append(time.monotonic() - begin)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def slow(seconds):
    for name, options in MODES.items():
        place = Place()
        # What the fourth mode reads slowly must not fit into the buffers of two kernels.
        path = "/1m" if name == "slow read" else "/100"
        arguments = [stand.program("slowhttptest", "slowhttptest"), *options, "-c", str(SLOW_CLIENTS), "-r", "100",
                     "-l", str(seconds), "-p", "3", "-u", f"http://127.0.0.1:{place.port}{path}"]
        most = 0
        with Honest(f"http://127.0.0.1:{place.port}/100") as honest:
            test = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=place.stand.directory)
            while test.poll() is None:
                most = max(most, stand.total(stand.scrape(place.metrics), "gateway_pool_connections", state="in_use"))
                time.sleep(0.2)
            out = re.sub(r"\x1b\[[\d;]*m", "", test.stdout.read())
        p99 = statistics.quantiles(honest.taken, n=100)[98]
        available = re.findall(r"service available:\s+(\w+)", out)[-1:]
        print(f"{name:<13} {len(honest.taken):>4} honest answers, p99 {p99 * 1000:.0f} ms; "
              f"at most {most:.0f} connections to the upstream in use; slowhttptest: available {available}", flush=True)
        if p99 > HONEST_P99_SECONDS or available != ["YES"]:
            stand.fail(f"{name}: the honest client had to wait\n{out[-1500:]}")
        if name == "slow headers" and most > 5:
            stand.fail("requests whose heads never end hold connections to the upstream")
        place.wait_until_nothing_is_left()


async def echo_server(port, started):
    import websockets

    async def echo(socket, _path=None):
        async for message in socket:
            await socket.send(message)

    async with websockets.serve(echo, "127.0.0.1", port):
        started.set()
        await asyncio.Future()


async def talk(port, clients, messages):
    import websockets

    async def client(number):
        async with websockets.connect(f"ws://127.0.0.1:{port}/ws/echo") as socket:
            for turn in range(messages):
                said = f"{number} {turn} " + "x" * (turn * 500)
                await socket.send(said)
                assert await asyncio.wait_for(socket.recv(), stand.PATIENCE_SECONDS) == said

    await asyncio.gather(*(client(number) for number in range(clients)))


def websocket(_seconds):
    port, started = stand.free_port(), threading.Event()
    threading.Thread(target=lambda: asyncio.run(echo_server(port, started)), daemon=True).start()
    if not started.wait(stand.PATIENCE_SECONDS):
        stand.fail("the WebSocket server did not start: apt-get install python3-websockets")
    place = Place(f', {{ name: websocket, endpoints: ["http://127.0.0.1:{port}"] }}')
    clients, messages = 20, 20
    asyncio.run(talk(place.port, clients, messages))
    upgraded = stand.total(stand.scrape(place.metrics), "resource_ledger_closed_total", outcome="upgraded")
    print(f"websocket     {clients} clients, {messages} messages each way and back; {upgraded:.0f} connections upgraded")
    place.wait_until_nothing_is_left()


def h2load(_seconds):
    place = Place()
    out = subprocess.run(
        [stand.program("h2load", "nghttp2-client"), "-n", "20000", "-c", "20", "-m", "10", f"http://127.0.0.1:{place.port}/10k"],
        check=True, capture_output=True, text=True,
    ).stdout
    done = re.search(r"requests: .*", out)[0]
    print(f"h2load        {done}")
    if " 20000 succeeded, 0 failed, 0 errored" not in done:
        stand.fail(out)
    place.wait_until_nothing_is_left()


def main():
    strangers = {"slow": slow, "websocket": websocket, "h2load": h2load}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=12)
    parser.add_argument("strangers", nargs="*", default=list(strangers), metavar="stranger")
    arguments = parser.parse_args()
    for name in arguments.strangers:
        if name not in strangers:
            stand.fail(f"{name}: there are {', '.join(strangers)}")
        strangers[name](arguments.seconds)


if __name__ == "__main__":
    main()
