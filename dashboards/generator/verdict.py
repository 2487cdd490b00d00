"""The three states of a verdict, for every dashboard that shows one: leaking, nothing leaks, agent silent.

Stale data must never read as health: each expression falls to 0 where no agent has judged within two minutes.
"""
from model import GREEN, ORANGE, RED, steps

SILENT = "NO DATA: no living agent reports; this is not health"
ALIVE = "(time() - max(leak_agent_last_evaluation_timestamp_seconds) < 120)"
CONVICTED = '(sum(leak_series{verdict="leaking",job=~"$job"}) + (count(leak_incident{job=~"$job"}) or on () vector(0)))'
# 0 no agent judges, or none watches this job; 1 judged, and nothing is convicted; 2 something is.
VERDICT = f"min((({CONVICTED} > bool 0) + 1) and on () {ALIVE} or on () vector(0))"
STATES = {0: ("AGENT SILENT", ORANGE), 1: ("nothing leaks", GREEN), 2: ("LEAKING", RED)}
THRESHOLDS = steps((None, ORANGE), (1, GREEN), (2, RED))


def add_verdict(board, size, links):
    board.stat("Verdict", size, "Three states. LEAKING: at least one series or incident is convicted; go on with the incidents below. Nothing leaks: a "
               "living agent has judged within two minutes and convicts nothing. AGENT SILENT: nobody judges, or nobody watches this job; never "
               "read it as health, go to the Agent dashboard.", VERDICT, "none", "AGENT SILENT", THRESHOLDS, links, STATES)


