#!/usr/bin/env python3
"""What counting costs: instructions for a request with the ledger, and with one that counts nothing.

    cargo build --release -p instrumented-gateway --examples
    instrumented-gateway/benches/counting_cost.py [--seconds 10]

The same gateway runs twice under valgrind's callgrind (which counts the instructions of the process itself, the same on any
machine), and once more without a request each time, so that its start does not count. Without counting the wrappers of
bodies and sockets are still there and only forward; owners still carry the request's id. The aim is at most 3 %.
"""

import argparse
import pathlib
import re
import sys

sys.dont_write_bytecode = True  # leaves nothing beside the scripts
import stand

AIM_PERCENT = 3
# One at a time: what the runtime does between requests that come together depends on the machine, and is more than counting.
CONNECTIONS = 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10)
    arguments = parser.parse_args()
    place = stand.Stand()
    backend = stand.free_port()
    place.backend(backend)
    at_rest = {how: instructions(place, backend, how, None, 0)[0] for how in ("with", "without")}
    missed = False
    for path in ("/100", "/10k", "/home"):
        each = {}
        for how in ("with", "without"):
            count, requests = instructions(place, backend, how, path, arguments.seconds)
            each[how] = (count - at_rest[how]) / requests
        share = (each["with"] / each["without"] - 1) * 100
        missed = missed or share > AIM_PERCENT
        print(f"{path:<6} {each['with']:>9.0f} instructions a request, {each['without']:>9.0f} without counting: "
              f"{share:+.2f} % (at most {AIM_PERCENT} %)")
    sys.exit(1 if missed else 0)


def instructions(place, backend, how, path, seconds):
    """Instructions of the whole process, and the requests that it served."""
    port = stand.free_port()
    configuration = place.write("gateway.yml", f"""
listen: 127.0.0.1:{port}
metrics: 127.0.0.1:{stand.free_port()}
upstreams: [{{ name: backend, endpoints: ["http://127.0.0.1:{backend}"] }}]
routes:
  - {{ path: /*, proxy: backend }}
  - path: /home
    fan_out: {{ policy: error, calls: [
      {{ name: a, upstream: backend, path: /a }}, {{ name: b, upstream: backend, path: /b }},
      {{ name: c, upstream: backend, path: /c }}] }}
""")
    out = place.directory / "callgrind"
    process = place.start(
        [stand.program("valgrind", "valgrind"), "--tool=callgrind", f"--callgrind-out-file={out}",
         stand.built("examples/counting_gateway"), how, configuration],
        port,
    )
    requests = 0
    if path:
        load = stand.wrk(f"http://127.0.0.1:{port}{path}", seconds, CONNECTIONS)
        if load.errors:
            stand.fail(f"{path}: {load.errors} requests failed")
        requests = load.requests
    process.terminate()
    process.wait(60)
    return int(re.search(r"^totals: (\d+)", pathlib.Path(out).read_text(), re.M)[1]), requests


if __name__ == "__main__":
    main()
