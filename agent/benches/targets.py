"""Two hundred programs of a thousand series each, served from one process, and an endpoint that takes remote writes.

Each program exposes what a service in Go with a ledger exposes: runtime and process, the ledger's set, requests by
route and code, and then histograms and counters that nobody watches. A body, and what gzip makes of it, is rendered
once in each step of the scrape interval and handed to everybody who asks, so that serving costs little beside
scraping. `/t/N` is program N, in life `?life=L`: another life began later, from zero.
"""

import asyncio
import gzip
import pathlib
import random
import re
import time
import urllib.parse

RECORDED = pathlib.Path(__file__).resolve().parents[1] / "src/catalogue/recorded"
LEVELS = ("go_goroutines", "process_open_fds", "process_resident_memory_bytes")
BUCKETS = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf")
OUTCOMES = ("complete", "drained", "abandoned", "unread", "failed")
ROUTES = tuple(f"/api/v1/{word}" for word in
               "articles authors comments search topics videos images likes follows feeds alerts users".split())
GZIP_LEVEL = 5


class Family:
    """Name, type and series of one metric family; of a series, its text and how its value comes about."""

    def __init__(self, name, kind):
        self.name, self.kind, self.series = name, kind, []

    def add(self, text, rate=None, level=None, fixed=None):
        self.series.append((text, rate, level, fixed))


def runtime():
    """What client_golang exposes by itself, as it was recorded; its levels swing and its counters count."""
    families, kinds = {}, {}
    for line in (RECORDED / "client_golang.txt").read_text().splitlines():
        if line.startswith("# TYPE"):
            kinds[line.split()[2]] = line.split()[3]
        match = re.match(r"([a-zA-Z_:0-9]+)(\{.*\})? (\S+)$", line)
        if not match:
            continue
        name, labels, value = match[1], match[2] or "", float(match[3])
        family = name if name in kinds else re.sub("_(sum|count|bucket)$", "", name)
        own = families.setdefault(family, Family(family, kinds[family]))
        if name in LEVELS:
            own.add(name + labels, level=value)
        elif kinds[family] == "counter" or name.endswith(("_sum", "_count")):
            own.add(name + labels, rate=max(value, 1.0) / 1000)
        else:
            own.add(name + labels, fixed=value)
    return list(families.values())


def ledger(accounts):
    """A ledger's set of families for so many accounts of response bodies."""
    names = {"opened_total": "counter", "closed_total": "counter", "open": "gauge", "overdue": "gauge",
             "orphaned": "gauge", "oldest_age_seconds": "gauge"}
    families = {name: Family(f"resource_ledger_{name}", kind) for name, kind in names.items()}
    for number in range(accounts):
        labels = (f'resource="response_body",upstream="content-{number // len(ROUTES)}",'
                  f'route="{ROUTES[number % len(ROUTES)]}",site="instrumented-gateway/src/forward.rs"')
        families["opened_total"].add(f"resource_ledger_opened_total{{{labels}}}", rate=9.0)
        for outcome in OUTCOMES:
            rate = 9.0 if outcome == "complete" else 0.0
            families["closed_total"].add(f'resource_ledger_closed_total{{{labels},outcome="{outcome}"}}', rate=rate)
        families["open"].add(f"resource_ledger_open{{{labels}}}", level=12.0)
        families["overdue"].add(f"resource_ledger_overdue{{{labels}}}", fixed=0.0)
        families["orphaned"].add(f"resource_ledger_orphaned{{{labels}}}", fixed=0.0)
        families["oldest_age_seconds"].add(f"resource_ledger_oldest_age_seconds{{{labels}}}", fixed=0.4)
    return list(families.values())


def requests():
    """Requests by route and code: the counter that explains levels, and their durations."""
    count = Family("http_requests_total", "counter")
    for route in ROUTES:
        for code in ("200", "304", "404", "500"):
            count.add(f'http_requests_total{{method="GET",route="{route}",code="{code}"}}', rate=5.0)
    return [count, histogram("http_request_duration_seconds", [f'method="GET",route="{route}"' for route in ROUTES])]


def histogram(name, labels):
    family = Family(name, "histogram")
    for own in labels:
        for share, bucket in enumerate(BUCKETS, 1):
            family.add(f'{name}_bucket{{{own},le="{bucket}"}}', rate=20.0 * share / len(BUCKETS))
        family.add(f"{name}_sum{{{own}}}", rate=0.8137)
        family.add(f"{name}_count{{{own}}}", rate=20.0)
    return family


def rest(series):
    """Histograms and counters that nobody watches."""
    per_label = len(BUCKETS) + 2
    many = series // per_label * 3 // 4
    labels = [f'database="articles",table="table_{n % 9}",operation="select_{n}"' for n in range(many)]
    families = [histogram("database_query_duration_seconds", labels)] if many else []
    counter = Family("messages_consumed_total", "counter")
    for number in range(series - many * per_label):
        counter.add(f'messages_consumed_total{{topic="topic-{number % 7}",partition="{number}",group="feeds"}}', rate=3.0)
    return families + [counter]


def pools(number, have_limits):
    """So many levels, each with the series of its limit or without: what an agent pays most for."""
    active = Family("hikaricp_connections_active", "gauge")
    most = Family("hikaricp_connections_max", "gauge")
    for pool in range(number):
        active.add(f'hikaricp_connections_active{{pool="articles-{pool}"}}', level=20.0)
        if have_limits:
            most.add(f'hikaricp_connections_max{{pool="articles-{pool}"}}', fixed=50.0)
    return [active, most] if have_limits else [active]


# What a program exposes beside what nobody watches.
WATCHED = {
    "usual": lambda: runtime() + ledger(6) + requests(),
    "nothing": lambda: [],
    "levels": lambda: pools(100, False),
    "levels with limits": lambda: pools(100, True),
}


def program(series, watched):
    """The families of one program of exactly so many series."""
    families = WATCHED[watched]()
    have = sum(len(family.series) for family in families)
    return families + rest(series - have)


class Program:
    """One program: its text with places for the values, which are rendered for a moment of its life."""

    def __init__(self, number, families):
        self._random = random.Random(number)
        lines, self._values = [], []
        for family in families:
            lines.append(f"# HELP {family.name} One of the measurements that this program takes of itself.\n"
                         f"# TYPE {family.name} {family.kind}\n")
            for text, rate, level, fixed in family.series:
                lines.append(text.replace("%", "%%") + " %.12g\n")
                # A counter that never moved is as common as one that does.
                share = 0.0 if rate and self._random.random() < 0.3 else self._random.uniform(0.2, 2.0)
                self._values.append((text.startswith("process_start_time_seconds"), (rate or 0.0) * share,
                                     level, fixed or 0.0))
        self._template = "".join(lines)
        self._rendered = (None, b"", b"")

    def body(self, step, began, compressed):
        """The body in this step of the clock (its number, its seconds), of the life that began then."""
        number, now = step
        key = (number, began)
        if self._rendered[0] != key:
            age, values = now - began, []
            for is_start, rate, level, fixed in self._values:
                if is_start:
                    values.append(began)
                elif level is not None:
                    values.append(round(level * self._random.uniform(0.8, 1.2)))
                elif rate < 0.1:
                    values.append(fixed + rate * age)
                else:
                    values.append(fixed + int(rate * age))
            plain = (self._template % tuple(values)).encode()
            self._rendered = (key, plain, gzip.compress(plain, GZIP_LEVEL, mtime=0))
        return self._rendered[2 if compressed else 1]


class Server:
    """Answers scrapes and swallows remote writes, on one port of loopback."""

    def __init__(self, port, programs, interval, has_gzip):
        self._port, self._interval, self._has_gzip = port, interval, has_gzip
        self._programs, self._began = programs, time.time()
        self._lives = {}

    def run(self):
        asyncio.run(self._serve())

    async def _serve(self):
        server = await asyncio.start_server(self._connection, "127.0.0.1", self._port, backlog=1024)
        async with server:
            await server.serve_forever()

    async def _connection(self, reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                path = head.split(" ", 2)[1]
                fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
                await reader.readexactly(int(fields.get("content-length", 0)))
                if path.startswith("/t/"):
                    compressed = self._has_gzip and "gzip" in fields.get("accept-encoding", "")
                    body = self._body(path, compressed)
                    encoding = "content-encoding: gzip\r\n" if compressed else ""
                    head = (f"HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n{encoding}"
                            f"content-length: {len(body)}\r\n\r\n")
                    writer.write(head.encode() + body)
                else:
                    writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _body(self, path, compressed):
        url = urllib.parse.urlsplit(path)
        life = urllib.parse.parse_qs(url.query).get("life", ["0"])[0]
        number = int(url.path.removeprefix("/t/"))
        now = time.time()
        began = self._began if life == "0" else self._lives.setdefault((number, life), now)
        step = int(now / self._interval)
        return self._programs[number].body((step, step * self._interval), began, compressed)


def serve(port, targets, series, watched, interval, has_gzip):
    families = program(series, watched)
    Server(port, [Program(number, families) for number in range(targets)], interval, has_gzip).run()
