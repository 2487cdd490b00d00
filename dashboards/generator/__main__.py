"""Writes the dashboards.

    python3 dashboards/generator            writes dashboards/grafana/*.json
    python3 dashboards/generator --check    fails where a file is not what would be written

Change the panels here, never in the JSON. Names of metrics come from the constants in the Rust sources.
"""
import json
import sys

import agent
import gateway
import leaks
import runtime
from model import ROOT

MADE = {"leaks": leaks, "gateway": gateway, "runtime": runtime, "agent": agent}


def main():
    wrong = []
    for name, module in MADE.items():
        path = ROOT / "dashboards" / "grafana" / f"{name}.json"
        text = json.dumps(module.build(), indent=2, ensure_ascii=False) + "\n"
        if "--check" not in sys.argv:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            wrong.append(str(path.relative_to(ROOT)))
    if wrong:
        sys.exit(f"not what dashboards/generator writes: {', '.join(wrong)}")
    print(f"{len(MADE)} dashboards are what dashboards/generator writes")


if __name__ == "__main__":
    main()
