#!/usr/bin/env python3
"""What counting costs: instructions for a request with the ledger, and with one that counts nothing.

    cargo build --release -p instrumented-gateway --examples
    instrumented-gateway/benches/counting_cost.py [--seconds 10]

The same gateway runs twice under valgrind's callgrind, which counts the instructions of the process itself; its start and a
first load do not count. Without counting the wrappers of
bodies and sockets are still there and only forward; owners still carry the request's id. The aim is at most 3 %.
"""

import argparse
import pathlib
import re
import subprocess
import sys

sys.dont_write_bytecode = True  # leaves nothing beside the scripts
import stand

AIM_PERCENT = 3
WARM_UP_SECONDS = 1
# One at a time: what the runtime does between requests that come together depends on the machine, and is more than counting.
CONNECTIONS = 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10)
    arguments = parser.parse_args()
    place = stand.Stand()
    backend = stand.free_port()
    place.backend(backend)
    missed = False
    for path in ("/100", "/10k", "/home"):
        each = {}
        for how in ("with", "without"):
            each[how] = instructions(place, backend, how, path, arguments.seconds)
        share = (each["with"] / each["without"] - 1) * 100
        missed = missed or share > AIM_PERCENT
        print(f"{path:<6} {each['with']:>9.0f} instructions a request, {each['without']:>9.0f} without counting: "
              f"{share:+.2f} % (at most {AIM_PERCENT} %)")
    sys.exit(1 if missed else 0)


def instructions(place, backend, how, path, seconds):
    """Instructions of the whole process for each request that it served."""
    port = stand.free_port()
    configuration = place.gateway_configuration(port, backend)
    out = place.directory / "callgrind"
    process = place.start(
        [stand.program("valgrind", "valgrind"), "--tool=callgrind", f"--callgrind-out-file={out}",
         stand.built("examples/counting_gateway"), how, configuration],
        port,
    )
    url = f"http://127.0.0.1:{port}{path}"
    stand.wrk(url, WARM_UP_SECONDS, CONNECTIONS)
    control(process, "--zero")
    load = stand.wrk(url, seconds, CONNECTIONS)
    control(process, "--dump")
    if load.errors:
        stand.fail(f"{path}: {load.errors} requests failed")
    process.terminate()
    process.wait(60)
    dumped = pathlib.Path(f"{out}.1").read_text()
    return int(re.search(r"^(?:totals|summary): (\d+)", dumped, re.M)[1]) / load.requests


def control(process, action):
    subprocess.run([stand.program("callgrind_control", "valgrind"), action, str(process.pid)], check=True, capture_output=True)


if __name__ == "__main__":
    main()
