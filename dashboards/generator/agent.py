"""*Agent*: is it seeing everything? Without that, "nothing leaks" means nothing."""
from model import BLUE, GREEN, GREY, ORANGE, RED, SOURCE, Board, by_name, dashboard, fixed, query, runbook, steps, to, variable
from verdict import ALIVE, SILENT, add_verdict, unseen

CHOSEN = 'job=~"$job",instance=~"$instance"'
RATE = "[$__rate_interval]"
LEAKS = to("Leaks", "leak-suspects")
# Targets down, sources down, discovery that fails, an agent that watches nothing, a shard that is silent: what is not seen.
BLIND = ("(count(leak_agent_target_up == 0) or on () vector(0)) + (count(leak_agent_source_up == 0) or on () vector(0)) "
         "+ (count(leak_agent_discovery_failing > 0) or on () vector(0)) + (sum(leak_agent_series_watched == bool 0) or on () vector(0)) "
         f"+ (count{unseen('')} or on () vector(0))")


def stats(board):
    add_verdict(board, (4, 4), [LEAKS])
    board.stat("The agent", (4, 4), "Three states. SEES ALL: it judged within two minutes and every target and source answers. BLIND IN PART: something it should watch does not answer, or one of several agents (a shard) is silent; see below. "
               "SILENT: nobody judges, and all its verdicts are old.", f"min((({BLIND}) > bool 0) + 1 and on () {ALIVE} or on () vector(0))", "none", "SILENT",
               steps((None, RED), (1, GREEN), (2, ORANGE)), [runbook("LeakAgentDown")], {0: ("SILENT", RED), 1: ("sees all", GREEN), 2: ("BLIND IN PART", ORANGE)})
    board.stat("Last judged", (4, 4), "Age of the last evaluation, of several agents the oldest. Normal: a few seconds. Above two minutes is an alert: everything that agent shows is old.",
               "time() - min(leak_agent_last_evaluation_timestamp_seconds > 0)", "s", "SILENT", steps((None, GREEN), (60, ORANGE), (120, RED)),
               [runbook("LeakAgentEvaluationStale")], legend="ago", decimals=0)
    board.stat("Targets down", (3, 4), "Normal: 0. Above: what those held stays on record, and a new leak in them is not found. The error is in the agent's /api/v1/targets.",
               f"(count(leak_agent_target_up == 0) or on () (0 * max(leak_agent_series_watched))) and on () {ALIVE}", "none", SILENT, steps((None, GREEN), (1, RED)),
               [runbook("LeakAgentTargetDown")], legend="targets")
    board.stat("Undelivered", (3, 4), "Alerts that an Alertmanager did not take in the last five minutes. Normal: 0. Above: nobody is paged by it; read the page of suspects until it is repaired.",
               f'(sum(increase(leak_agent_notifications_total{{result!="ok"}}[5m])) or on () (0 * max(leak_agent_series_watched))) and on () {ALIVE}', "none", SILENT,
               steps((None, GREEN), (1, RED)), [runbook("LeakAgentNotificationsFailing")], legend="alerts", decimals=0)
    board.stat("Dropped", (3, 4), "Series left unwatched, and incidents and alerts refused, because a limit was reached. Normal: 0. Above: raise the limit or shard.",
               f"sum(increase(leak_agent_series_dropped_total[15m])) and on () {ALIVE}", "short", SILENT, steps((None, GREEN), (1, RED)), [runbook("LeakAgentSeriesDropped")],
               legend="series", decimals=0)
    board.stat("Configuration", (3, 4), "Whether the configuration was in order when it was read last. Normal: in order. Otherwise the one before is in use: leak-agent check names key and line.",
               "min(leak_agent_config_last_reload_successful)", "none", SILENT, steps((None, RED), (1, GREEN)), [runbook("LeakAgentConfigInvalid")],
               {0: ("MISTAKES", RED), 1: ("in order", GREEN)})


def watching(board):
    board.series("Targets that the agent can scrape", (8, 7), "1: scraped, 0: not. Normal: all at 1. A target at 0 keeps its alerts and can raise no new one.",
                 [query("A", f"max by (job, instance) (leak_agent_target_up{{{CHOSEN}}})", "{{job}} {{instance}}")], "none", SILENT, [runbook("LeakAgentTargetDown")], min=0, max=1)
    board.series("Watched series, by verdict", (8, 7), "Normal: nearly all healthy; undecided stays high for a while after a start, while it learns. A fall of all of them: targets are gone.",
                 [query("A", 'sum by (verdict) (max by (job, signal, verdict) (leak_series{job=~"$job"}))', "{{verdict}}")], "short", SILENT, [LEAKS],
                 [by_name("leaking", color=fixed(RED)), by_name("undecided", color=fixed(GREY)), by_name("healthy", color=fixed(GREEN))])
    board.series("Age of the last evaluation", (8, 7), "Normal: a saw below the evaluation interval. A ramp: it has stopped judging, though it answers.",
                 [query("A", "time() - leak_agent_last_evaluation_timestamp_seconds", "{{instance}} {{replica}}")], "s", SILENT, [runbook("LeakAgentEvaluationStale")])
    board.series("Notifications per minute, and what waits", (8, 7), "A firing alert is sent again every minute, so about one a minute for each is normal while something fires. Anything but ok, or a queue that "
                 "stands: nobody is paged by that Alertmanager.",
                 [query("A", f"sum by (alertmanager, result) (rate(leak_agent_notifications_total{RATE})) * 60", "{{alertmanager}} {{result}}"),
                  query("B", "sum by (alertmanager) (leak_agent_notification_queue_length)", "queue {{alertmanager}}")], "short",
                 "No Alertmanager is configured (mode: rules has none), or no agent reports", [runbook("LeakAgentNotificationsFailing")])
    board.series("Targets found, watched, dropped and refused", (8, 7), "What discovery finds for each job and what became of it. Normal: flat between deployments. Dropped: by relabelling. Refused: at a limit, invalid, "
                 "or two with the same labels.",
                 [query("A", 'sum by (job) (leak_agent_discovery_targets{job=~"$job"})', "found {{job}}"),
                  query("B", 'sum by (job, state) (leak_agent_targets{job=~"$job",state!="refused"})', "{{state}} {{job}}"),
                  query("C", 'sum by (job, reason) (leak_agent_targets_refused{job=~"$job"}) > 0 or sum by (job) (leak_agent_targets_refused{job=~"$job"})', "refused {{reason}} {{job}}")],
                 "short", SILENT, [runbook("LeakAgentSeesNothing")])
    board.series("Limits hit and overrides", (8, 7), "Dropped at a limit (totals, by reason; normal: flat) and overrides by state: an expired one is counted and not obeyed.",
                 [query("A", "sum by (reason) (leak_agent_series_dropped_total)", "dropped {{reason}}"), query("B", "sum by (state) (leak_agent_overrides)", "overrides {{state}}")],
                 "short", SILENT, [runbook("LeakAgentSeriesDropped"), runbook("LeakAgentOverrideExpired")])


def work(board):
    board.row("Its own work, and where it asks")
    board.series("Scrape duration", (8, 7), "How long a target takes to answer the agent. Normal: milliseconds. Near the timeout it will soon be lost.",
                 [query("A", f"max by (job, instance) (leak_agent_scrape_duration_seconds{{{CHOSEN}}})", "{{job}} {{instance}}")], "s", SILENT, [runbook("LeakAgentTargetDown")])
    board.series("Samples per second, and series watched", (8, 7), "The agent's own load. Normal: flat. A fall without a change of yours: targets are lost, or answer with less.",
                 [query("A", f"sum(rate(leak_agent_samples_total{RATE}))", "samples per second"), query("B", "sum(leak_agent_series_watched)", "series watched")],
                 "short", SILENT, [runbook("LeakAgentSeesNothing")])
    board.series("Discovery: failures, and time since all was well", (8, 7), "Normal: no failures, and an age below the refresh interval. Rising: what was found before is watched on, what is new is not.",
                 [query("A", f'sum by (job) (rate(leak_agent_discovery_failures_total{{job=~"$job"}}{RATE})) * 60', "failures a minute {{job}}"),
                  query("B", 'time() - min by (job) (leak_agent_discovery_last_success_timestamp_seconds{job=~"$job"} > 0)', "seconds since {{job}}")], "short", SILENT,
                 [runbook("LeakAgentDiscoveryFailing")])
    none = "No source is configured (`sources`), or no agent reports"
    board.series("Sources: whole answers, and how long they take", (8, 7), "1: the last answers were whole. Normal: 1, and durations far below the timeout. 0: nothing of that store counts as missing, and no new leak is found in it.",
                 [query("A", "min by (source) (leak_agent_source_up)", "up {{source}}"), query("B", "max by (source) (leak_agent_source_query_duration_seconds)", "seconds {{source}}")],
                 "short", none, [runbook("LeakAgentSourceDown")])
    board.series("Sources: samples, errors and series dropped", (8, 7), "Per second. Normal: samples only. Errors by kind; dropped: above series_limit.",
                 [query("A", f"sum by (source) (rate(leak_agent_source_samples_total{RATE}))", "samples {{source}}"),
                  query("B", f"sum by (source, kind) (rate(leak_agent_source_errors_total{RATE}))", "errors {{kind}} {{source}}"),
                  query("C", f"sum by (source) (rate(leak_agent_source_series_dropped_total{RATE}))", "dropped {{source}}")], "ops", none, [runbook("LeakAgentSourceDown")])
    board.series("The other of a pair, and the configuration's age", (8, 7), "1: it answers. Normal: 1, or nothing where there is no pair. The age is that of the configuration in use, in hours: a reload that fails does not reset it.",
                 [query("A", "min by (instance, peer) (leak_agent_peer_up)", "{{instance}} hears {{peer}}"),
                  query("B", "(time() - leak_agent_config_last_reload_success_timestamp_seconds) / 3600", "configuration {{instance}}, hours")], "short", SILENT,
                 [runbook("LeakAgentPeerDown"), runbook("LeakAgentConfigInvalid")], [by_name("configuration", color=fixed(BLUE))])


def build():
    board = Board()
    for part in (stats, watching, work):
        part(board)
    return dashboard("leakwatch-agent", "Whether the agent sees everything that it should: targets, evaluation, notifications, limits, overrides, discovery and sources.", board,
                     [SOURCE, variable("job", "Job", "label_values(leak_series, job)"), variable("instance", "Instance", 'label_values(leak_agent_target_up{job=~"$job"}, instance)')],
                     {"from": "now-1h", "to": "now"})
