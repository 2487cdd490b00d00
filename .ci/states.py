"""Holds the panels of three states against a truth table, by `promtool test rules`: what they say in each situation.

    python3 .ci/states.py

Each row is a situation in promtool's notation (a value every 30 s, the panel is read after ten minutes) and what *Verdict*
and *The agent* must say then. That stale or missing data never reads as health is what these panels are for.
"""
import json
import subprocess
import sys
import tempfile

from dashboards import DASHBOARDS, panels

SILENT, WELL, LEAKING, FUTURE, BLIND = 0, 1, 2, 3, 2
AGENT, OTHER = 'instance="a:9465",replica="a"', 'instance="b:9465",replica="b"'
JUDGING, NEVER_SINCE = "0+30x40", "0x40"
DEAD = "0+30x9 stale"  # the last word is five minutes old


def agent(own=AGENT, judged=JUDGING, up="1x40", job="gateway", leaking="0x40", watched="3x40"):
    """The series of one agent that watches one job."""
    if judged == DEAD:
        leaking, watched = (values.replace("x40", "x9 stale") for values in (leaking, watched))
    return {f'up{{job="leak-agent",{own}}}': up, f'leak_agent_last_evaluation_timestamp_seconds{{job="leak-agent",{own}}}': judged,
            f'leak_series{{job="{job}",verdict="leaking",{own}}}': leaking, f'leak_series{{job="{job}",verdict="healthy",{own}}}': watched,
            f'leak_agent_series_watched{{job="leak-agent",{own}}}': watched,
            f'leak_agent_series_dropped_total{{job="leak-agent",{own},reason="series_limit"}}': watched.replace("3x", "0x"),
            f'leak_agent_notifications_total{{job="leak-agent",{own},result="failed"}}': watched.replace("3x", "0x")}


def dead(own=AGENT, up="1x9 0x30", **more):
    return agent(own, DEAD, up, **more)


# Something that Prometheus scrapes in every situation.
OTHERS = {'up{job="gateway",instance="g:9901"}': "1x40"}
INCIDENT = {f'leak_incident{{job="gateway",signal="process_threads",state="stalled",{AGENT}}}': "1x40"}
PEER_DOWN = {f'leak_agent_peer_up{{job="leak-agent",{AGENT},peer="http://b:9465"}}': "1x9 0x30"}
TARGET_DOWN = {'leak_agent_target_up{job="gateway",instance="g:9901",replica="a"}': "1x9 0x30"}
# The situation, its series, the chosen job, and what *Verdict* and *The agent* say.
TABLE = [
    ("one agent, and nothing leaks", agent(), ".*", WELL, WELL),
    ("a series is convicted", agent(leaking="1x40"), ".*", LEAKING, WELL),
    ("nothing grows any more and an incident stands", agent() | INCIDENT, ".*", LEAKING, WELL),
    ("a series of another job is convicted", agent(leaking="1x40") | agent(job="shop"), "shop", WELL, WELL),
    ("no agent has ever been scraped", {}, ".*", SILENT, SILENT),
    ("the agent does not answer", dead(), ".*", SILENT, SILENT),
    ("the agent does not answer, and a leak was convicted", dead(leaking="1x40"), ".*", SILENT, SILENT),
    ("the agent is not listed any more", dead(up="1x9 stale"), ".*", SILENT, SILENT),
    ("the agent answers and has stopped judging", agent(judged="0+30x9 270x40"), ".*", SILENT, SILENT),
    ("the agent has not judged since its start", agent(judged=NEVER_SINCE), ".*", SILENT, SILENT),
    ("nobody watches this job", agent(job="shop"), "gateway", SILENT, WELL),
    ("a target of the agent does not answer", agent() | TARGET_DOWN, ".*", WELL, BLIND),
    ("two shards", agent() | agent(OTHER, job="shop"), ".*", WELL, WELL),
    ("one shard is silent", agent() | dead(OTHER, job="shop"), ".*", SILENT, BLIND),
    ("one shard has stopped judging", agent() | agent(OTHER, "0+30x9 270x40", job="shop"), ".*", SILENT, BLIND),
    ("one shard is silent, and another finds a leak", agent(leaking="1x40") | dead(OTHER, job="shop"), ".*", LEAKING, BLIND),
    ("one shard is silent; the chosen job is another's", agent() | dead(OTHER, job="shop"), "gateway", WELL, BLIND),
    ("one shard is silent, and half of the chosen job with it", agent() | dead(OTHER), "gateway", SILENT, BLIND),
    ("one shard was replaced under another address", agent() | dead(OTHER, up="1x9 stale"), ".*", WELL, WELL),
    ("one of a pair is silent, as the other says", agent() | dead(OTHER) | PEER_DOWN, ".*", WELL, WELL),
    ("both of a pair are silent", dead() | dead(OTHER), ".*", SILENT, SILENT),
    # No series goes on until the moment that is asked about.
    ("the range ends in the future", {own: values.replace("x40", "x6") for own, values in (OTHERS | agent(leaking="1x40")).items()}, ".*", FUTURE, SILENT),
    ("the range ends a little in the future", {own: values.replace("x40", "x14") for own, values in (OTHERS | agent()).items()}, ".*", FUTURE, SILENT),
]


def expressions():
    """{panel: {reference: expression}}, the same wherever a panel of that name stands."""
    found = {}
    for path in DASHBOARDS:
        for panel in panels(json.loads(path.read_text())):
            own = {target["refId"]: target["expr"] for target in panel["targets"]}
            if panel["title"] == "Verdict" and found.setdefault("Verdict", own) != own:
                sys.exit(f"{path.name}: its Verdict is another")
            found[panel["title"]] = own
    return found


def expected(said, seen):
    """(panel, reference, value or None for no data): what a panel says where *Verdict* and *The agent* say that."""
    yield "Verdict", "A", said
    yield "The agent", "A", seen
    if said != LEAKING:
        # A zero, or a row that says "none", is health: not where somebody is silent.
        yield "Instances", "A", 0 if said == WELL else None
        yield "Incidents: what leaks, why, and where", "C", 2 if said == WELL else 3
        yield "Suspects, most urgent first", "A", 0 if said == WELL else -1
    if seen == SILENT:
        for panel in ("Undelivered", "Dropped", "Targets down"):
            yield panel, "A", None


def filled(expr, job):
    expr = expr.replace("$job", job)
    for name in ("$instance", "$resource", "$upstream", "$route", "$signal"):
        expr = expr.replace(name, ".*")
    return expr


def tests(found, table):
    return {"evaluation_interval": "30s", "tests": [
        {"name": name, "interval": "30s", "input_series": [{"series": own, "values": values} for own, values in (OTHERS | series).items()],
         "promql_expr_test": [{"expr": filled(found[panel][reference], job), "eval_time": "10m",
                               "exp_samples": [] if value is None else [{"labels": "{}", "value": value}]}
                              for panel, reference, value in expected(said, seen)]}
        for name, series, job, said, seen in table]}


def promtool(content):
    """Whether promtool finds it so, and what it says; its YAML takes JSON."""
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        json.dump(content, file)
        file.flush()
        done = subprocess.run(["promtool", "test", "rules", file.name], capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stdout + done.stderr


def main():
    found = expressions()
    well, said = promtool(tests(found, TABLE))
    if not well:
        sys.exit(said)
    for row in TABLE:
        # A table that holds for any answer guards nothing.
        if promtool(tests(found, [(*row[:3], LEAKING if row[3] == WELL else WELL, row[4])]))[0]:
            sys.exit(f"the opposite holds as well: {row[0]}")
    print(f"the panels of three states say what is true in {len(TABLE)} situations, and nothing beside them reads as health in silence")


if __name__ == "__main__":
    main()
