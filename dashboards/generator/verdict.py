"""The three states of a verdict, for every dashboard that shows one: leaking, nothing leaks, agent silent.

Stale data must never read as health: each expression falls to 0 where no agent has judged within two minutes.
"""
from model import GREEN, ORANGE, RED, steps

SILENT = "NO DATA: no living agent reports; this is not health"
ALIVE = "(time() - max(leak_agent_last_evaluation_timestamp_seconds) < 120)"
CONVICTED = '(sum(leak_series{verdict="leaking",job=~"$job"}) + (count(leak_incident{job=~"$job"}) or on () vector(0)))'
CHOSEN = 'job=~"$job"'
# Agents that are listed and do not answer, or do not judge.
DEAF = '(up{job="leak-agent"} == 0 or time() - leak_agent_last_evaluation_timestamp_seconds > 120)'


def unseen(job):
    """Whether a share of `job` is unwatched: an agent that watched it is deaf, and no living one says that it is the other of its pair."""
    watched = f"count by (instance, replica) (last_over_time(leak_series{{{job}}}[12h]))"
    covered = f"leak_agent_peer_up == 0 and on (instance, replica) leak_series{{{job}}}"
    return f"((count({watched} and on (instance, replica) {DEAF}) or on () vector(0)) - (count({covered}) or on () vector(0)) > 0)"


# Something where the chosen jobs are watched, and every agent that watched them judges; a zero is shown as health only then.
SEEN = f"({ALIVE} and on () count(leak_series{{{CHOSEN}}}) unless on () {unseen(CHOSEN)})"
# A fixed range that ends in the future (zooming into the fit makes one) has no last five minutes: Grafana heeds a panel's own
# range beside a relative one alone. Nothing at all is scraped then, which is not the agent's silence.
NOW = "max(timestamp(up)) > time() - 90"
# 0 no agent judges, none watches this job, or one of several (a shard) is deaf; 1 all have judged, and nothing is convicted;
# 2 something is; 3 the question is about the future.
VERDICT = (f"min(({CONVICTED} > 0) * 0 + 2 and on () {ALIVE} or on () ({CONVICTED} * 0 + 1 and on () {SEEN}) "
           f"or on () (vector(0) and on () ({NOW})) or on () vector(3))")
STATES = {0: ("AGENT SILENT", ORANGE), 1: ("nothing leaks", GREEN), 2: ("LEAKING", RED), 3: ("RANGE ENDS IN THE FUTURE", ORANGE)}
THRESHOLDS = steps((None, ORANGE), (1, GREEN), (2, RED), (3, ORANGE))


def add_verdict(board, size, links):
    board.stat("Verdict", size, "Three states. LEAKING: at least one series or incident is convicted; go on with the incidents below. Nothing leaks: a "
               "living agent has judged within two minutes and convicts nothing. AGENT SILENT: nobody judges, nobody watches this job, or one of "
               "several agents (a shard) is gone and its share is unwatched; never read it as health, go to the Agent dashboard. "
               "(A fixed range that ends in the future has no present: choose one that ends now, or now+3h.)", VERDICT, "none", "AGENT SILENT", THRESHOLDS, links, STATES)


