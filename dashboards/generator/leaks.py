"""*Leaks*: from the page to the cause on one screen. What leaks, why, since when, how fast, until when, where.

The fit is drawn into the future, so the range ends there; what is asked for one instant has a range of its own (`NOW`).
A verdict vanishes when its series is healthy again, so that drawing it needs `last_over_time`, and showing it as living
needs the proof that it was still exported when the agent judged last (`PRESENT`).
"""
from model import (BLUE, GREEN, GREY, MERGE, ORANGE, RED, SOURCE, Board, by_name, by_ref, by_regex, columns, dashboard, fixed, link, mapping, query,
                   runbook, sort_by, steps, to, variable)
from verdict import SEEN, SILENT, add_verdict

LABELS = 'resource=~"$resource",upstream=~"$upstream",route=~"$route"'
CHOSEN = f'job=~"$job",instance=~"$instance",{LABELS}'
# Of one leak there is one incident, and as many suspects as it has faces.
INCIDENT = f'job=~"$job",{LABELS}'
NO_SUSPECT = "No suspect is reported. If the verdict says so, nothing leaks; if the agent is silent, nobody knows."
NO_INCIDENT = "No incident is reported. If the verdict says so, nothing leaks; if the agent is silent, nobody knows."
NO_LINE = "Nothing to draw: read the verdict above; an agent that is silent draws nothing either"
NO_LOAD = "NO DATA: the service is not scraped, or counts neither requests nor entries"


def last(metric):
    return f'last_over_time({metric}{{{CHOSEN},signal=~"$signal"}}[12h])'


PRESENT = (f'(max_over_time(timestamp(leak_verdict{{{CHOSEN},signal=~"$signal"}})[12h:1m]) > on () group_left () '
           "(max(last_over_time(leak_agent_last_evaluation_timestamp_seconds[12h])) - 150))")
# What carries an incident; where several resources leak alike, the incident names none of them.
INCIDENTS = 'last_over_time(leak_incident{job=~"$job"}[12h])'
CARRIES = (f'({last("leak_limit")} or {last("leak_verdict")} and on (job, signal, resource) {INCIDENTS} '
           f'or {last("leak_verdict")} and on (job, signal) last_over_time(leak_incident{{job=~"$job",resource=""}}[12h]))')
CONVICTED = f'{last("leak_verdict")} == 2 and {PRESENT} and {CARRIES}'
FIT = f'{last("leak_fit_start_value")} + {last("leak_growth_per_second")} * (time() - {last("leak_fit_start_timestamp_seconds")})'


def or_state(expr, none, silent):
    """`expr`, or where it is empty one row that says why: `none` from a living agent, else `silent`. A table without rows says nothing."""
    return f"{expr} or ((vector({none}) and on () {SEEN} or on () vector({silent})) unless on () ({expr}))"


LINKS = [runbook("ResourceLeak"), to("Gateway: what it holds", "leakwatch-gateway")]


def stats(board):
    # Of what carries an incident, where something does: a connection that was reused for long is older than the leak that holds it.
    began = f"(leak_onset_timestamp_seconds{{{CHOSEN}}} and leak_verdict{{{CHOSEN}}} == 2)"
    board.stat("Runs out first in", (5, 4), "Time until the first convicted resource reaches its limit, by the fit. Normal: no leak, no forecast. Under four hours it is a page. "
               "No number: no convicted series has a known limit, which is not the same as no leak; the notification may know one before that.",
               f"min(leak_seconds_to_exhaustion{{{CHOSEN}}})", "s", "no forecast: see verdict and notification", steps((None, RED), (14400, ORANGE), (86400, BLUE)),
               [runbook("ResourceLeakUrgent")], legend="runs out in", decimals=1)
    board.stat("Growth per hour", (5, 4), "Of the convicted series the one that grows fastest, bytes left out (they are in the suspects below). Per hour, because small rates are "
               "unreadable per second. Normal: no leak, no growth.",
               f'topk(1, max by (signal) (leak_growth_per_second{{{CHOSEN},signal!~".*bytes.*"}} and leak_verdict{{{CHOSEN}}} == 2) * 3600)', "short",
               "no growth: see the verdict", steps((None, BLUE)), LINKS, legend="{{signal}}", decimals=1)
    board.stat("Leaking since", (5, 4), "The earliest onset of what carries an incident. Compare it with your deployments and with what else moved (below). Normal: no leak, no onset.",
               f"min({began} and on (job, signal, resource) leak_incident{{{INCIDENT}}}) * 1000 or min({began}) * 1000", "dateTimeFromNow", "no onset: see the verdict",
               steps((None, BLUE)), LINKS, legend="since")
    board.stat("Instances", (4, 4), "How many instances hold what leaks. Normal: 0. All of them: the release. One: its host, its shard or its customers.",
               f"count(count by (job, instance) (leak_verdict{{{CHOSEN}}} == 2)) or on () (0 * max(leak_agent_series_watched) and on () {SEEN})", "none", SILENT,
               steps((None, GREEN), (1, RED)), LINKS, legend="instances")
    board.stat("Last judged", (5, 4), "Age of the agent's last evaluation, of several agents the oldest. Normal: a few seconds. Older than two minutes: everything that agent shows is old; bring it back first.",
               "time() - min(leak_agent_last_evaluation_timestamp_seconds > 0)", "s", "AGENT SILENT", steps((None, GREEN), (60, ORANGE), (120, RED)),
               [runbook("LeakAgentEvaluationStale")], legend="ago", decimals=0)


def incidents(board):
    # The verdict and the cause come first, on a telephone too, where panels stand below each other.
    add_verdict(board, (5, 5), [to("Agent: is it seeing everything", "leakwatch-agent")])
    labels = "job, namespace, signal, resource, upstream, route"
    board.table("Incidents: what leaks, why, and where", (19, 5),
                "One row for each living incident. Normal: none. The cause is a heading of the runbook: click it. The site is the file that opened what is held; its line is in the "
                "alert. stalled: held, but no longer growing.",
                [query("A", f"max by ({labels}, cause, site) (leak_incident_info{{{INCIDENT}}})", table=True),
                 query("B", f"max by ({labels}, state) (leak_incident{{{INCIDENT}}})", table=True),
                 query("C", or_state(f"max by ({labels}) (leak_incident_urgent{{{INCIDENT}}})", 2, 3), table=True)],
                "none", NO_INCIDENT, LINKS,
                [by_name("cause", custom__width=235, custom__cellOptions={"type": "color-text"}, color=fixed(RED),
                         links=[link("Runbook of this cause", "https://leaks.example.org/runbooks/ResourceLeak#${__value.text}")]),
                 by_name("site", custom__width=280), by_name("signal", custom__width=205), by_name("resource", custom__width=110),
                 by_name("upstream", custom__width=80), by_name("route", custom__width=90), by_name("state", custom__width=75), by_name("job", custom__width=85),
                 by_name("urgent", custom__width=115, mappings=mapping({0: ("ticket", ORANGE), 1: ("PAGE", RED), 2: ("none convicted", GREEN), 3: ("see the verdict", ORANGE)}),
                         custom__cellOptions={"type": "color-background", "mode": "basic"})],
                [MERGE, columns(["Value #C", "cause", "job", "site", "resource", "upstream", "route", "state", "signal"], {"Value #C": "urgent"}, ["Value #A", "Value #B"])])


def line(board):
    measured = (f'label_replace({{__name__=~"$signal",{CHOSEN},job!=""}}, "signal", "$1", "__name__", "(.+)") and on (job, instance) '
                f'(time() - timestamp(up{{job=~"$job",instance=~"$instance"}}) < 30) and ignoring (replica) ({last("leak_verdict")} == 2 and {CARRIES})')
    ahead = FIT.replace("time()", "${__to:date:seconds}")
    what = "{{signal}} {{resource}} {{upstream}} {{instance}}"
    board.series("Measured, the agent's fit into the future, and the limit", (24, 9),
                 "Solid: what Prometheus measured. Dashed: the agent's fitted line, drawn on into the future. Red: the limit, drawn where the fit comes near it in this range; where "
                 "the lines cross is the outage. Normal: nothing is drawn. Of the many faces of one leak only what carries the incident and what has a limit is drawn.",
                 [query("A", measured, f"measured {what}"), query("B", f"({FIT}) and ({CONVICTED})", f"fit {what}"),
                  query("C", f'{last("leak_limit")} and ({CONVICTED}) and ({ahead} > 0.2 * {last("leak_limit")})', "limit of {{signal}} {{upstream}} {{instance}}")],
                 "short", NO_LINE, LINKS,
                 [by_ref("A", custom__spanNulls=300000), by_ref("B", custom__lineStyle={"fill": "dash", "dash": [8, 8]}), by_ref("C", color=fixed(RED), custom__lineWidth=1)],
                 {"fillOpacity": 0})


def suspects(board):
    labels = "job, instance, signal, resource, upstream, route, site"
    verdict, left = (f"max by ({labels}) ({name}{{{CHOSEN}}})" for name in ("leak_verdict", "leak_seconds_to_exhaustion"))
    board.table("Suspects, most urgent first", (24, 7),
                "Every series that is not healthy: convicted, or watched because it grows. Normal: none, or undecided ones after a start. Growth by the hour, when it began, its limit "
                "and when it runs out. What is convicted is an incident above, or a symptom of one.",
                [query("A", or_state(verdict, 0, -1), table=True), query("B", left, table=True), query("C", f"max by ({labels}) (leak_growth_per_second{{{CHOSEN}}}) * 3600", table=True),
                 query("D", f"max by ({labels}) (leak_onset_timestamp_seconds{{{CHOSEN}}}) * 1000", table=True),
                 query("E", f"max by ({labels}) (leak_limit{{{CHOSEN}}})", table=True),
                 # For the order, and hidden: convicted before undecided, then what runs out first.
                 query("F", f"{verdict} * 1e9 - (clamp_max({left}, 5e8) or {verdict} * 0 + 5e8)", table=True)],
                "short", NO_SUSPECT, LINKS,
                [by_name("verdict", mappings=mapping({-1: ("see the verdict", ORANGE), 0: ("none", GREEN), 1: ("undecided", GREY), 2: ("LEAKING", RED)}), custom__cellOptions={"type": "color-background", "mode": "basic"}),
                 by_name("runs out in", unit="s", decimals=1), by_name("since", unit="dateTimeFromNow", custom__width=130),
                 by_name("growth per hour", unit="short", decimals=1, custom__width=130), by_name("verdict", custom__width=125), by_regex("runs out in|limit", custom__width=105),
                 by_name("resource", custom__width=120), by_name("upstream", custom__width=85), by_name("route", custom__width=95), by_name("site", custom__width=260),
                 by_name("signal", custom__width=205)],
                [MERGE, sort_by("Value #F"),
                 columns(["Value #A", "Value #B", "Value #C", "Value #D", "Value #E", "signal", "resource", "upstream", "route", "site", "job", "instance"],
                         {"Value #A": "verdict", "Value #B": "runs out in", "Value #C": "growth per hour", "Value #D": "since", "Value #E": "limit"}, ["Value #F"])])


def moved(board):
    """Each line against its own mean over the range: 1 is usual, and what moved at the onset stands out."""
    service = 'job=~"$job",instance=~"$instance"'
    rate = "[$__rate_interval]"
    lines = {"requests": f"sum(rate(gateway_requests_total{{{service}}}{rate}))",
             "entries opened": f'sum(rate(resource_ledger_opened_total{{{service},resource=~"request|response_body|fan_out_task"}}{rate}))',
             "instances": f"count(up{{{service}}} == 1)",
             "processor": f"sum(rate(process_cpu_seconds_total{{{service}}}{rate}))",
             "upstream duration, 99 %": f'histogram_quantile(0.99, sum by (le) (rate(gateway_upstream_request_duration_seconds_bucket{{{service},upstream=~"$upstream"}}{rate})))',
             "connections to upstreams": f'sum(gateway_pool_connections{{{service},upstream=~"$upstream"}})'}
    # The range ends in the future, and a level would be drawn there for as long as Prometheus looks back.
    past = f"and on () (max(timestamp(up{{{service}}})) > time() - 30)"
    targets = [query(ref, f"({expr}) / scalar(avg_over_time(({expr})[$__range:1m] @ end())) >= 0 {past}", name) for ref, (name, expr) in zip("ABCDEF", lines.items())]
    board.row("What else moved at the onset")
    board.series("Against the mean of this range", (12, 8), "Each line divided by its own mean: 1 is usual. Compare with the blue annotation of the onset. Load up with the leak: it may be load, read "
                 "the evidence. Duration up first: the upstream began it. Nothing moved: look at the release (grey annotations are restarts).",
                 targets, "none", NO_LOAD, [to("Gateway: what it holds", "leakwatch-gateway"), to("Runtime", "leakwatch-runtime")])
    failing = f'sum by (upstream) (rate(gateway_upstream_requests_total{{{service},upstream=~"$upstream",result=~"failed|timed_out"}}{rate}))'
    calls = f'sum by (upstream) (rate(gateway_upstream_requests_total{{{service},upstream=~"$upstream"}}{rate}))'
    board.series("Calls that fail, by upstream", (12, 8), "Share of calls that failed or timed out. Normal: 0. Rising before the onset: the upstream began it. Rising after: the leak reaches users, which is a page.",
                 [query("A", f"{failing} / {calls} >= 0", "{{upstream}}")], "percentunit", "No calls in this time, or not scraped", [runbook("GatewayUpstreamFailing")], max=1)


def build():
    board = Board()
    for part in (incidents, stats, line, suspects, moved):
        part(board)
    signal = variable("signal", "Signal", 'label_values(leak_verdict{job=~"$job",instance=~"$instance"}, signal)')
    del signal["allValue"]  # all that is convicted, and not all that Prometheus has
    return dashboard("leak-suspects", "What grows without bound, since when, how fast, until when, and where; and whether the agent that says so is alive.", board,
                     [SOURCE, variable("job", "Job", "label_values(leak_series, job)"), variable("instance", "Instance", 'label_values(leak_agent_target_up{job=~"$job"}, instance)'),
                      variable("resource", "Resource", 'label_values(leak_verdict{job=~"$job"}, resource)'), variable("upstream", "Upstream", 'label_values(leak_verdict{job=~"$job"}, upstream)'),
                      variable("route", "Route", 'label_values(leak_verdict{job=~"$job"}, route)'), signal],
                     {"from": "now-3h", "to": "now+3h"})
