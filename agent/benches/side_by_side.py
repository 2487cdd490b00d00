#!/usr/bin/env python3
"""What watching costs, beside Prometheus, VictoriaMetrics and vmagent on the same targets, in one run.

    cargo build --release -p leak-agent --bins
    agent/benches/side_by_side.py [--seconds 60] [--targets 200] [--series 1000] [--only agent,vmagent] [--plain]
    agent/benches/side_by_side.py --minutes 60          # a soak: 10 % of all series are replaced each minute

All of them scrape at the same time, so that whatever else the machine does falls on each. Prints samples a second,
samples for each second of CPU, memory for each series, and ratios to vmagent, which writes to an endpoint that takes
everything. The agent judges at every interval. What one watched series costs it is told by more agents: one whose targets expose
nothing that it watches, two whose targets expose levels without and with limits. In a soak, pods are replaced: 10 % of
the targets each minute come again as others, from zero. Processor time and memory are the kernel's, samples the
program's own count.
"""

import argparse
import json
import multiprocessing
import os
import pathlib
import re
import sys
import time
import urllib.request

sys.dont_write_bytecode = True  # leaves nothing beside the scripts
sys.path.insert(1, str(pathlib.Path(__file__).resolve().parents[2] / "instrumented-gateway/benches"))
import stand
import targets

# Instances of one workload.
REPLICAS = 8
# A churn of 10 % a minute, in so many portions.
CHURN_A_MINUTE, PORTIONS_A_MINUTE = 0.10, 4
# After so long the agent has stored its detectors more than once, which takes memory too.
STORED_SECONDS = 130
# Times vmagent's samples for each second of CPU, bytes for each series seen, and for each series watched.
AIMS = {"samples": 2.0, "seen": 400, "watched": 5 * 1024}


class Fleet:
    """The targets: a server of their own, and the file that lists them to whoever discovers."""

    def __init__(self, place, name, arguments, watched):
        self.port, self.arguments = stand.free_port(), arguments
        self._lives = [0] * arguments.targets
        self._next = 0
        self.path = place.directory / f"{name}.json"
        process = multiprocessing.Process(target=targets.serve, daemon=True, args=(
            self.port, arguments.targets, arguments.series, watched, arguments.interval, not arguments.plain))
        process.start()
        self.list()

    def list(self):
        """Writes the file whole, or not at all."""
        groups = [{"targets": [f"127.0.0.1:{self.port}"], "labels": {
            "__metrics_path__": f"/t/{number}", "__param_life": str(life),
            "instance": f"pod-{number}-{life}:9100", "service": f"service-{number // REPLICAS}",
        }} for number, life in enumerate(self._lives)]
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(groups))
        new.rename(self.path)

    def replace(self, pods):
        for _ in range(pods):
            self._lives[self._next] += 1
            self._next = (self._next + 1) % len(self._lives)
        self.list()

    def jobs(self):
        """The jobs of everybody's configuration: Prometheus' own words."""
        return f"""
scrape_configs:
  - job_name: programs
    file_sd_configs: [{{ files: ["{self.path}"] }}]
"""


class Peer:
    """A program that scrapes the fleet: how it starts, and where it counts its samples."""

    def __init__(self, name, place, fleet, label=None):
        self.name, self.label = name, label or name
        self.port = stand.free_port()
        arguments = getattr(self, f"_{name}")(place, fleet)
        self.process = place.start(arguments, self.port)

    def _agent(self, place, fleet):
        configuration = place.write(f"{self.label}.yml", f"""
global: {{ scrape_interval: {fleet.arguments.interval}s, scrape_timeout: {fleet.arguments.interval}s }}
storage: {{ path: {place.directory / (self.label + "-data")} }}
web: {{ listen: "127.0.0.1:{self.port}" }}
{fleet.jobs()}""")
        return [stand.built("leak-agent", package="leak-agent"), "run", "--config", configuration]

    def _prometheus(self, place, fleet):
        return [stand.program("prometheus", "prometheus"), "--config.file", self._configuration(place, fleet),
                f"--storage.tsdb.path={place.directory / 'prometheus-data'}",
                f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"]

    def _victoria(self, place, fleet):
        return [stand.program("victoria-metrics", "victoria-metrics"),
                f"-promscrape.config={self._configuration(place, fleet)}", "-promscrape.fileSDCheckInterval=1s",
                f"-storageDataPath={place.directory / 'victoria-data'}", f"-httpListenAddr=127.0.0.1:{self.port}",
                "-loggerLevel=WARN"]

    def _vmagent(self, place, fleet):
        return [stand.program("vmagent", "victoria-metrics"),
                f"-promscrape.config={self._configuration(place, fleet)}", "-promscrape.fileSDCheckInterval=1s",
                f"-remoteWrite.url=http://127.0.0.1:{fleet.port}/write",
                f"-remoteWrite.tmpDataPath={place.directory / 'vmagent-data'}",
                f"-httpListenAddr=127.0.0.1:{self.port}", "-loggerLevel=WARN"]

    def _configuration(self, place, fleet):
        interval = fleet.arguments.interval
        return place.write(f"{self.label}.yml",
                           f"global: {{ scrape_interval: {interval}s, scrape_timeout: {interval}s }}\n{fleet.jobs()}")

    def metric(self, name):
        """The sum of one of its own metrics."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=stand.PATIENCE_SECONDS) as answer:
            text = answer.read().decode()
        found = re.findall(rf"^{re.escape(name)}(?:{{[^\n]*}})? (\S+)$", text, re.M)
        return sum(map(float, found)) if found else stand.fail(f"{self.label} does not export {name}")

    def samples(self):
        return self.metric({"agent": "leak_agent_samples_total",
                            "prometheus": "prometheus_tsdb_head_samples_appended_total"}
                           .get(self.name, "vm_promscrape_scraped_samples_sum"))

    def look(self):
        """When, how many samples until then, and the CPU time that they took."""
        if self.process.poll() is not None:
            stand.fail(f"{self.label} has ended by itself")
        return time.monotonic(), self.samples(), stand.cpu_seconds(self.process.pid)

    def resident_bytes(self):
        return stand.resident_bytes(self.process.pid)

    def own_bytes(self):
        """Of it, what is no file's."""
        text = pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return int(re.search(r"Anonymous:\s+(\d+) kB", text)[1]) * 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="how long is measured")
    parser.add_argument("--warm-up", type=int, default=30, help="seconds before that")
    parser.add_argument("--targets", type=int, default=200)
    parser.add_argument("--series", type=int, default=1000, help="of each target")
    parser.add_argument("--interval", type=int, default=5, help="seconds from one scrape of a target to the next")
    parser.add_argument("--only", 
                        help="some of agent, prometheus, victoria, vmagent, and watched: what one watched series costs")
    parser.add_argument("--plain", action="store_true", help="targets that do not compress, whatever is asked")
    parser.add_argument("--minutes", type=int, help="a soak of the agent alone, or of those that --only names")
    arguments = parser.parse_args()
    place = stand.Stand()
    everybody = "agent" if arguments.minutes else "agent,prometheus,victoria,vmagent,watched"
    names = (arguments.only or everybody).split(",")
    print(f"{arguments.targets} targets of {arguments.series} series every {arguments.interval} s, "
          f"{'plain' if arguments.plain else 'gzip'}; {os.cpu_count()} processors for everybody")
    if arguments.minutes:
        soak(place, arguments, names)
        return
    peers_named = [name for name in names if name != "watched"]
    if peers_named:
        side_by_side(place, arguments, peers_named)
    if "watched" in names:
        watched_series(place, arguments)


def side_by_side(place, arguments, names):
    fleet = Fleet(place, "usual", arguments, "usual")
    peers = [Peer(name, place, fleet) for name in names]
    report(peers, measure(peers, arguments), arguments)
    for peer in peers:
        place.stop(peer.process)


def measure(peers, arguments):
    """For each: samples, seconds and seconds of CPU."""
    time.sleep(arguments.warm_up)
    before = [peer.look() for peer in peers]
    time.sleep(arguments.seconds)
    after = [peer.look() for peer in peers]
    measured = {}
    for peer, old, new in zip(peers, before, after):
        seconds, samples, cpu = (b - a for a, b in zip(old, new))
        measured[peer.name] = (samples / seconds, samples / cpu)
    return measured


def report(peers, measured, arguments):
    seen = arguments.targets * arguments.series
    print(f"{'program':<11} {'samples/s':>10} {'samples/CPU s':>14} {'CPU % of a core':>16} {'RSS MB':>8} "
          f"{'bytes/series':>13} {'not of files':>13}")
    for peer in peers:
        rate, per_core = measured[peer.name]
        resident = peer.resident_bytes()
        print(f"{peer.label:<11} {rate:>10.0f} {per_core:>14.0f} {rate / per_core * 100:>16.2f} {resident / 1e6:>8.1f} "
              f"{resident / seen:>13.0f} {peer.own_bytes() / seen:>13.0f}")
    if {"agent", "vmagent"} <= measured.keys():
        print(f"the agent to vmagent: {measured['agent'][1] / measured['vmagent'][1]:.2f} times the samples for each second "
              f"of CPU, judging included (aim: {AIMS['samples']:.0f}); at most {AIMS['seen']} bytes for each series seen")
    for peer in peers:
        if peer.name == "agent":
            print(f"the agent watches {peer.metric('leak_agent_series_watched'):.0f} of {seen} series")


def watched_series(place, arguments):
    """What a watched series costs: agents that watch many, less one that watches none."""
    agents = {}
    for watched in ("nothing", "levels", "levels with limits"):
        name = watched.replace(" ", "-")
        fleet = Fleet(place, name, arguments, watched)
        agents[watched] = Peer("agent", place, fleet, label=f"agent-{name}")
    time.sleep(max(arguments.warm_up, STORED_SECONDS))
    without = agents.pop("nothing")
    bytes_without = without.resident_bytes()
    if without.metric("leak_agent_series_watched"):
        stand.fail("the targets expose what they should not")
    for watched, agent in agents.items():
        series, resident = agent.metric("leak_agent_series_watched"), agent.resident_bytes()
        print(f"{series:.0f} {watched} watched: {resident / 1e6:.1f} MB, without them {bytes_without / 1e6:.1f} MB: "
              f"{(resident - bytes_without) / max(series, 1):.0f} bytes for each (aim: {AIMS['watched']})")


def soak(place, arguments, names):
    """Memory and cost minute by minute while the targets come and go."""
    fleet = Fleet(place, "usual", arguments, "usual")
    peers = [Peer(name, place, fleet) for name in names]
    time.sleep(arguments.warm_up)
    pods = round(arguments.targets * CHURN_A_MINUTE / PORTIONS_A_MINUTE)
    print(f"{pods * PORTIONS_A_MINUTE} of {arguments.targets} targets are replaced each minute")
    looks = {peer.label: peer.look() for peer in peers}
    resident = {peer.label: [peer.resident_bytes()] for peer in peers}
    begun = time.monotonic()
    for minute in range(1, arguments.minutes + 1):
        for portion in range(1, PORTIONS_A_MINUTE + 1):
            fleet.replace(pods)
            passed = time.monotonic() - begun
            time.sleep(max(0.0, 60 * (minute - 1 + portion / PORTIONS_A_MINUTE) - passed))
        for peer in peers:
            before, now = looks[peer.label], peer.look()
            seconds, samples, cpu = (b - a for a, b in zip(before, now))
            looks[peer.label] = now
            resident[peer.label].append(peer.resident_bytes())
            watched = f"{peer.metric('leak_agent_series_watched'):.0f} watched" if peer.name == "agent" else ""
            print(f"{minute:>4} min {peer.label:<11} {samples / seconds:>8.0f} samples/s {samples / cpu:>9.0f} samples/CPU s "
                  f"{resident[peer.label][-1] / 1e6:>7.1f} MB {watched}", flush=True)
    for label, known in resident.items():
        half = known[len(known) // 2]
        print(f"{label}: {known[0] / 1e6:.1f} MB at the beginning, {half / 1e6:.1f} MB at half time, "
              f"{known[-1] / 1e6:.1f} MB at the end, at most {max(known) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
