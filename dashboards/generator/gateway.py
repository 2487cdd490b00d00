"""*Gateway*: what a service that uses resource-ledger holds, what its users feel, and, for the gateway, each upstream's pool.

The first screen is for the cause: held too long, by which place, and whether users feel it. The ledger's panels work for
any service with resource-ledger; those of the pool and the upstreams are the gateway's own and say so when they are empty.
"""
from model import (BLUE, GREEN, GREY, MERGE, ORANGE, PURPLE, RED, SOURCE, Board, by_name, by_regex, columns, dashboard, fixed, query, runbook, sort_by,
                   steps, to, variable)
from verdict import add_verdict

CHOSEN = 'job=~"$job",instance=~"$instance"'
HELD = f'{CHOSEN},upstream=~"$upstream",route=~"$route",resource=~"$resource"'
UPSTREAM = f'{CHOSEN},upstream=~"$upstream"'
ROUTE = f'{CHOSEN},route=~"$route"'
# What the catalogue judges: a connection's own task and upkeep live as long as they must.
JUDGED = 'resource!~"request|connection_task|service_task"'
NOT_SCRAPED = "NO DATA: the service is not scraped, or has no such series"
NO_CALLS = "No calls in this time, or not scraped"
NO_REQUESTS = "No requests in this time, or not scraped"
ZERO_IS_GOOD = steps((None, GREEN), (1, RED))
LEAKS = to("Leaks: is it convicted, and since when", "leak-suspects")
RATE = "[$__rate_interval]"


def stats(board):
    add_verdict(board, (4, 4), [LEAKS])
    board.stat("Orphaned", (4, 4), "Tasks, bodies and connections whose request ended more than the grace (2 s) ago. Normal: 0, always. Above 0: a timeout or a "
               "departed client did not cancel what it started; the table below names the place.",
               f"sum(resource_ledger_orphaned{{{HELD}}})", "short", NOT_SCRAPED, ZERO_IS_GOOD, [runbook("ResourceLeak"), LEAKS])
    board.stat("Overdue", (4, 4), "Entries open more than the grace past their own deadline. Normal: 0, always. Above 0: a promised bound is not kept (a body "
               "held, a fan-out without deadline, idle connections past their limit); the table below names the place.",
               f"sum(resource_ledger_overdue{{{HELD}}})", "short", NOT_SCRAPED, ZERO_IS_GOOD, [runbook("ResourceLeak"), LEAKS])
    board.stat("Oldest held", (3, 4), "Age of the oldest open response body or fan-out task. Normal: below the route's deadline, or the length of your longest "
               "download. A leak moves it by a second each second: look at the table below.",
               f'max(resource_ledger_oldest_age_seconds{{{HELD},resource=~"response_body|fan_out_task"}})', "s", NOT_SCRAPED,
               steps((None, GREEN), (60, ORANGE), (600, RED)), [runbook("ResourceLeak")], decimals=0)
    board.stat("Pool taken", (3, 4), "Connections connecting, in use or draining, against what the pools may have. Normal: below half at the daily peak. Near 100 % "
               "requests wait, then are refused. More than 100 %: something holds connections outside the pool's limit.",
               f'sum(gateway_pool_connections{{{UPSTREAM},state!="idle"}}) / sum(gateway_pool_limit{{{UPSTREAM}}})', "percentunit", NOT_SCRAPED,
               steps((None, GREEN), (0.7, ORANGE), (0.9, RED)), [runbook("GatewayPoolSaturated")], decimals=0)
    board.stat("Drill", (3, 4), "Whether this gateway leaks on purpose. Normal: none. A drill left on is an alert after an hour; stop it with DELETE /drill/NAME on "
               "the admin listener.", f"max(gateway_drill_active{{{CHOSEN}}})", "none", NOT_SCRAPED, steps((None, GREEN)),
               [runbook("GatewayDrillLeftOn")], {0: ("none", GREEN), 1: ("RUNNING", PURPLE)})
    board.stat("Not scraped", (3, 4), "How many of the chosen instances that count with the ledger did not answer the last scrape. Normal: 0. Above 0: every other panel "
               "shows the others alone, and what is held there is not in sight; look for the alert GatewayDown.",
               f"count(up{{{CHOSEN}}} == 0 and on (job, instance) last_over_time(resource_ledger_opened_total{{{CHOSEN}}}[12h])) "
               f"or on () (0 * max(up{{{CHOSEN}}} and on (job, instance) resource_ledger_opened_total))", "none", "NO DATA: no such target",
               steps((None, GREEN), (1, RED)), [runbook("GatewayDown")], decimals=0)


def place(board):
    labels = "instance, resource, upstream, route, site"
    holds = f"sum by ({labels}) (resource_ledger_open{{{HELD},{JUDGED}}}) > 0"
    # For the order, and hidden: what is held too long, then what is old. A connection that is held is a symptom of the task
    # or body that holds it, and comes after those.
    worst = (f"(sum by ({labels}) (resource_ledger_orphaned{{{HELD},{JUDGED}}}) + sum by ({labels}) (resource_ledger_overdue{{{HELD},{JUDGED}}})) * 1e9"
             f" + max by ({labels}) (resource_ledger_oldest_age_seconds{{{HELD},{JUDGED}}})")
    order = f"(({worst}) * (1 - 0.99 * count by ({labels}) (resource_ledger_open{{{HELD},resource=\"pool_connection\"}})) or {worst}) and {holds}"
    board.table("Where: places that hold something now, the worst first", (24, 6),
                "Open entries by the place that opened them (site: crate and file; the line is in /debug/open). Normal: young entries, nothing orphaned or overdue. "
                "Orphaned or overdue above 0: that place leaks, read its code. Otherwise an old age is only old.",
                [query("A", f"sum by ({labels}) (resource_ledger_orphaned{{{HELD},{JUDGED}}}) and {holds}", table=True),
                 query("B", f"sum by ({labels}) (resource_ledger_overdue{{{HELD},{JUDGED}}}) and {holds}", table=True),
                 query("C", holds, table=True),
                 query("D", f"max by ({labels}) (resource_ledger_oldest_age_seconds{{{HELD},{JUDGED}}}) and {holds}", table=True),
                 query("E", order, table=True)],
                "short", "NO DATA: the service is not scraped, or holds nothing", [runbook("ResourceLeak"), LEAKS],
                [by_name("oldest", unit="s"),
                 by_regex("orphaned|overdue", custom__cellOptions={"type": "color-background", "mode": "basic"},
                          thresholds=steps((None, "transparent"), (1, RED)), color={"mode": "thresholds"}),
                 by_regex("orphaned|overdue|open|oldest", custom__width=95), by_name("resource", custom__width=150), by_name("upstream", custom__width=120),
                 by_name("route", custom__width=170), by_name("site", custom__width=360)],
                [MERGE, sort_by("Value #E"), columns(["Value #A", "Value #B", "Value #C", "Value #D", "resource", "upstream", "route", "site", "instance"],
                                                     {"Value #A": "orphaned", "Value #B": "overdue", "Value #C": "open", "Value #D": "oldest"}, ["Value #E"])])


def held(board):
    board.series("Orphaned and overdue", (8, 7), "The two counts that need no statistics: 0 in a correct program at every scrape. Which of them rises tells the fault: "
                 "tasks orphaned, a timeout without cancellation; tasks overdue, a fan-out without deadline; bodies, not closed; connections alone, idle "
                 "ones without bound. The runbook has each.",
                 # The last is drawn on top: connections rise with what holds them, and what is orphaned is mostly overdue too.
                 [query(ref, f"sum by (resource) (resource_ledger_{kind}{{{HELD},{JUDGED},resource{which}\"pool_connection\"}})", f"{kind} {{{{resource}}}}")
                  for ref, kind, which in (("A", "overdue", "="), ("B", "orphaned", "="), ("C", "overdue", "!="), ("D", "orphaned", "!="))],
                 "short", NOT_SCRAPED, [runbook("ResourceLeak"), LEAKS],
                 [by_regex(".* pool_connection", color=fixed(GREY), custom__fillOpacity=0, custom__lineWidth=1),
                  by_regex(".* tunnel", color=fixed(GREEN)),
                  by_name("orphaned fan_out_task", color=fixed(RED)), by_name("overdue fan_out_task", color=fixed(ORANGE)),
                  by_name("orphaned response_body", color=fixed(PURPLE)), by_name("overdue response_body", color=fixed(BLUE))])
    board.series("Oldest age", (8, 7), "Age of the oldest open entry, connections left out (they are reused and grow old in health). Load moves counts; only what is held moves "
                 "the oldest age, by a second each second. Normal: a band. A long WebSocket or download rises as well: that alone convicts nothing; ask /debug/open who owns it.",
                 [query("A", f'max by (resource, upstream) (resource_ledger_oldest_age_seconds{{{HELD},resource!~"pool_connection|connection_task|service_task"}})', "{{resource}} {{upstream}}")],
                 "s", NOT_SCRAPED, [runbook("ResourceLeak")])
    board.series("Requests per second, by route and code", (8, 7), "Answers sent, 499 where the client left first. Normal: 2xx. 503: the gateway refuses (limits). 502 and "
                 "504: the upstream failed, or the deadline passed; go on at Upstream calls.",
                 [query("A", f"sum by (route, code) (rate(gateway_requests_total{{{ROUTE}}}{RATE})) > 0", "{{code}} {{route}}")], "reqps", NO_REQUESTS,
                 [runbook("GatewayErrors")])


def users(board):
    board.row("What users feel")
    board.series("Errors, share of answers", (8, 7), "Answers with 5xx among all. Normal: 0. Above 5 % for five minutes is a page (GatewayErrors); which code says where to go on.",
                 [query("A", f'sum by (route) (rate(gateway_requests_total{{{ROUTE},code=~"5.."}}{RATE})) / sum by (route) (rate(gateway_requests_total{{{ROUTE}}}{RATE})) >= 0',
                        "{{route}}")], "percentunit", NO_REQUESTS, [runbook("GatewayErrors")], max=1)
    board.series("Request duration, 50 and 99 of 100 below", (8, 7), "From request head to the end of the answer. Normal: flat. The upper line at the route's deadline: an upstream "
                 "hangs. Both lines up: load, or a busy process; see Runtime.",
                 [query("A", f"histogram_quantile(0.99, sum by (le, route) (rate(gateway_request_duration_seconds_bucket{{{ROUTE}}}{RATE}))) >= 0", "99 % {{route}}"),
                  query("B", f"histogram_quantile(0.5, sum by (le, route) (rate(gateway_request_duration_seconds_bucket{{{ROUTE}}}{RATE}))) >= 0", "50 % {{route}}")],
                 "s", NO_REQUESTS, [to("Runtime", "leakwatch-runtime")])
    board.series("Waiting and refused", (8, 7), "Requests that wait for a connection (a level), and calls refused per second. Normal: 0. Waiting: the pool is at its limit. Refused: "
                 "in_flight and waiters are limits reached, draining is a shutdown.",
                 [query("A", f"sum by (upstream) (gateway_pool_waiters{{{UPSTREAM}}})", "waiting {{upstream}}"),
                  query("B", f"sum by (upstream, reason) (rate(gateway_upstream_rejected_total{{{UPSTREAM}}}{RATE}))", "refused/s {{upstream}} {{reason}}")],
                 "short", NOT_SCRAPED, [runbook("GatewayRefusing")])


def upstreams(board):
    board.row("Each upstream")
    board.series("Upstream calls per second, by result", (8, 7), "Normal: ok. timed_out: the upstream is slow or hangs. failed: refused, reset or an error. cancelled: the client "
                 "left, or a sibling of the same fan-out failed.",
                 [query("A", f"sum by (upstream, result) (rate(gateway_upstream_requests_total{{{UPSTREAM}}}{RATE})) > 0", "{{upstream}} {{result}}")], "reqps", NO_CALLS,
                 [runbook("GatewayUpstreamFailing")])
    board.series("Upstream duration, 50 and 99 of 100 below", (8, 7), "Time to the response head of a call. Normal: flat. Compare with the request's duration: what is only there is "
                 "waiting in the gateway, what is here is the upstream.",
                 [query("A", f"histogram_quantile(0.99, sum by (le, upstream) (rate(gateway_upstream_request_duration_seconds_bucket{{{UPSTREAM}}}{RATE}))) >= 0", "99 % {{upstream}}"),
                  query("B", f"histogram_quantile(0.5, sum by (le, upstream) (rate(gateway_upstream_request_duration_seconds_bucket{{{UPSTREAM}}}{RATE}))) >= 0", "50 % {{upstream}}")],
                 "s", NO_CALLS, [runbook("GatewayUpstreamFailing")])
    reuses, connects = (f"sum by (upstream) (rate({name}{{{UPSTREAM}}}{RATE}))" for name in ("gateway_pool_reuses_total", "gateway_pool_connects_total"))
    board.series("Connection reuse", (8, 7), "Share of calls that got a connection which had served before. Normal: above 95 % under steady load. Towards 0: each call connects "
                 "anew, since bodies are dropped unread or the idle limit is below the concurrency that returns.",
                 [query("A", f"{reuses} / ({reuses} + {connects}) >= 0", "{{upstream}}")], "percentunit", NO_CALLS, [runbook("ConnectionReuseLost")], min=0, max=1)
    board.series("Pool taken, by state, against its limit", (8, 7), "Sockets to upstreams that are not idle. Normal: in use follows the load, connecting and draining near 0. In use "
                 "rising without load: leased and not returned. Draining that stays: bodies larger than the bounded drain.",
                 [query("A", f'sum by (upstream, state) (gateway_pool_connections{{{UPSTREAM},state!="idle"}})', "{{upstream}} {{state}}"),
                  query("B", f"sum by (upstream) (gateway_pool_limit{{{UPSTREAM}}})", "{{upstream}} limit")], "short", NOT_SCRAPED, [runbook("GatewayPoolSaturated")],
                 [by_regex(".* limit", color=fixed(RED), custom__lineStyle={"fill": "dash", "dash": [10, 10]}, custom__fillOpacity=0)])
    board.series("Idle connections", (8, 7), "The stock that waits for the next call. Normal: a flat line near the concurrency of the last minutes. Above the pool's limit and rising: "
                 "pools that nothing bounds (a client for each request). A saw: the idle time is shorter than the pause between bursts.",
                 [query("A", f'sum by (upstream) (gateway_pool_connections{{{UPSTREAM},state="idle"}})', "{{upstream}}")], "short", NOT_SCRAPED,
                 [runbook("ResourceLeak#idle_connections_unbounded")], [by_regex(".*", color=fixed(GREY))])
    board.series("Connections closed per second, by outcome", (8, 7), "Why connections end. Normal: idle_timeout and max_lifetime now and then. undrained in numbers: reuse is lost. "
                 "peer_closed in numbers: the upstream's idle time is shorter than ours. connect_failed: it is not there.",
                 [query("A", f'sum by (upstream, outcome) (rate(resource_ledger_closed_total{{{HELD},resource="pool_connection"}}{RATE})) > 0', "{{upstream}} {{outcome}}")],
                 "ops", "No connection was closed in this time, or not scraped", [runbook("ConnectionReuseLost")])


def resources(board):
    board.row("Bodies and tasks")
    board.series("Open response bodies", (8, 7), "Upstream responses begun and not yet read to their end or dropped. Normal: follows the load and returns. Rising without the load: "
                 "bodies are kept; the oldest age rises with them.",
                 [query("A", f'sum by (upstream, route) (resource_ledger_open{{{HELD},resource="response_body"}})', "{{upstream}} {{route}}")], "short", NOT_SCRAPED,
                 [runbook("ResourceLeak#unclosed_bodies")])
    board.series("Response bodies closed per second, by outcome", (8, 7), "Normal: complete. unread and abandoned in numbers: somebody drops bodies before their end, and their "
                 "connections with them; drained: the pool's bounded drain caught them.",
                 [query("A", f'sum by (upstream, outcome) (rate(resource_ledger_closed_total{{{HELD},resource="response_body"}}{RATE})) > 0', "{{upstream}} {{outcome}}")],
                 "ops", "No body was closed in this time, or not scraped", [runbook("ResourceLeak#undrained_bodies")])
    board.series("Fan-out tasks: open, and how they end", (8, 7), "Calls of fan-out routes: open ones, and ended per second by outcome. Normal: open is load times duration and 0 when idle, and nearly all end completed. Open "
                 "rising without the load: the request waits for a call that never ends, or has left its calls behind. timed_out: the deadline works.",
                 [query("A", f'sum by (upstream) (resource_ledger_open{{{HELD},resource="fan_out_task"}})', "open {{upstream}}"),
                  query("B", f'sum by (upstream, outcome) (rate(resource_ledger_closed_total{{{HELD},resource="fan_out_task"}}{RATE})) > 0', "{{outcome}}/s {{upstream}}")],
                 "short", "No fan-out in this time, or not scraped", [runbook("ResourceLeak#timeout_without_cancellation")], [by_regex("open .*", color=fixed(BLUE))])


def door(board):
    board.row("The door, and the configuration")
    board.series("Client connections, and the limit", (8, 7), "Open connections of clients by listener. Normal: follows the number of clients. At the limit new ones wait in the kernel's queue; full of idle "
                 "ones, lower limits.header_read_timeout; full of requests, look at Oldest age.",
                 [query("A", f"sum by (listener) (gateway_client_connections{{{CHOSEN}}})", "{{listener}}"),
                  query("B", f'sum(gateway_client_connections_limit{{{CHOSEN},listener="listen"}})', "limit of listen")], "short", NOT_SCRAPED,
                 [runbook("GatewayClientsTurnedAway")], [by_regex("limit .*", color=fixed(RED), custom__lineStyle={"fill": "dash", "dash": [10, 10]}, custom__fillOpacity=0)])
    turned = {"limit reached": "gateway_client_connections_limit_reached_total", "accept failed": "gateway_accept_failures_total", "head too late": "gateway_client_timeouts_total",
              "TLS failed": "gateway_tls_handshake_failures_total", "HTTP/2 resets": "gateway_http2_resets_limit_reached_total", "shed": "gateway_client_connections_shed_total"}
    board.series("Clients turned away per second", (8, 7), "By why. Normal: a few late heads (idle clients among them) and failed handshakes (scanners). accept failed and shed: out of descriptors, a page. HTTP/2 resets: "
                 "somebody resets request after request; find the address in the log.",
                 [query(ref, f"sum by (listener) (rate({name}{{{CHOSEN}}}{RATE}))", f"{why} {{{{listener}}}}") for ref, (why, name) in zip("ABCDEF", turned.items())], "ops", NOT_SCRAPED,
                 [runbook("GatewayAcceptFailing")])
    board.series("Limits reached per second", (8, 7), "Requests refused or cut by a limit of the listener or of their route, and answers of upstreams with too large a head. Normal: 0. in_flight and pending: "
                 "more at once than allowed, look at the duration first. request_head, uri, request_body: who sends that? request_body_time: clients that upload too slowly.",
                 [query("A", f"sum by (limit, route) (rate(gateway_limit_reached_total{{{ROUTE}}}{RATE}))", "{{limit}} {{route}}"),
                  query("B", f"sum by (upstream) (rate(gateway_upstream_response_head_limit_reached_total{{{UPSTREAM}}}{RATE}))", "response head {{upstream}}")], "reqps", NOT_SCRAPED,
                 [runbook("GatewayRefusing")])
    board.series("Configuration and certificates", (8, 7), "1: the configuration was in order when it was read last, and its age in days. Refused certificates in the last hour: the former are in force until they "
                 "run out. Normal: 1, and none refused. 0: mistakes, with key and line in the log.",
                 [query("A", f"min by (instance) (gateway_config_last_reload_successful{{{CHOSEN}}})", "in order {{instance}}"),
                  query("B", f"(time() - min by (instance) (gateway_config_last_reload_success_timestamp_seconds{{{CHOSEN}}})) / 86400", "age in days {{instance}}"),
                  query("C", f'sum by (instance) (rate(gateway_tls_reloads_total{{{CHOSEN},result="refused"}}{RATE})) * 3600', "refused an hour {{instance}}"),
                  query("D", f'sum by (instance) (rate(gateway_upstream_tls_reloads_total{{{UPSTREAM},result="refused"}}{RATE})) * 3600', "refused of upstreams an hour {{instance}}")],
                 "short", NOT_SCRAPED, [runbook("GatewayConfigInvalid"), runbook("GatewayCertificateRefused")])


def build():
    board = Board()
    for part in (stats, place, held, users, upstreams, resources, door):
        part(board)
    return dashboard("leakwatch-gateway", "What a service with resource-ledger holds, what is held too long, and where; for the gateway also its users and its upstreams.", board,
                     [SOURCE, variable("job", "Job", "label_values(resource_ledger_opened_total, job)"),
                      variable("instance", "Instance", 'label_values(resource_ledger_opened_total{job=~"$job"}, instance)'),
                      variable("upstream", "Upstream", f"label_values(resource_ledger_opened_total{{{CHOSEN}}}, upstream)"),
                      variable("route", "Route", f"label_values(resource_ledger_opened_total{{{CHOSEN}}}, route)"),
                      variable("resource", "Resource", f"label_values(resource_ledger_opened_total{{{CHOSEN}}}, resource)")],
                     {"from": "now-1h", "to": "now"})
