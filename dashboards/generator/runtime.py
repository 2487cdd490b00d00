"""*Runtime*: tokio and the process. Whether the program itself is the bottleneck, and what it takes from its host."""
from model import BLUE, GREEN, ORANGE, RED, SOURCE, Board, by_regex, dashboard, fixed, query, runbook, steps, to, variable
from verdict import add_verdict

CHOSEN = 'job=~"$job",instance=~"$instance"'
RATE = "[$__rate_interval]"
NOT_TOKIO = "NO DATA: not scraped, or no tokio metrics in it"
NOT_SCRAPED = "NO DATA: not scraped, or no process metrics in it"
NO_TASKS = "No task of this kind was polled in this time, or not scraped"
LEAKS = to("Leaks", "leak-suspects")
DASH = {"fill": "dash", "dash": [10, 10]}


def per_instance(metric):
    return f"sum by (instance) (rate({metric}{{{CHOSEN}}}{RATE}))"


def stats(board):
    busy = f"sum(rate(tokio_busy_seconds_total{{{CHOSEN}}}{RATE})) / sum(tokio_workers{{{CHOSEN}}})"
    add_verdict(board, (4, 4), [LEAKS])
    board.stat("Workers busy", (4, 4), "Share of their time that the workers of the runtime are busy. Normal: below 70 %. Near 100 %: every request waits for a worker; more instances, or find what blocks.",
               busy, "percentunit", NOT_TOKIO, steps((None, GREEN), (0.7, ORANGE), (0.9, RED)), [LEAKS], decimals=0)
    board.stat("Tasks alive", (4, 4), "Tasks on the runtime, without blocking ones. Normal: a few for each connection and request. Rising without load: tasks are left behind; the leak "
               "dashboard and /debug/tasks tell which.", f"sum(tokio_alive_tasks{{{CHOSEN}}})", "short", NOT_TOKIO, steps((None, BLUE)), [LEAKS])
    board.stat("Descriptors taken", (4, 4), "Open descriptors against the limit, of the instance that is nearest. Normal: below half. Above 80 % for five minutes is a page: at the limit nothing "
               "can be accepted or connected.", f"max(process_open_fds{{{CHOSEN}}} / process_max_fds{{{CHOSEN}}})", "percentunit", NOT_SCRAPED,
               steps((None, GREEN), (0.5, ORANGE), (0.8, RED)), [runbook("GatewayDescriptorsLow")], decimals=0)
    board.stat("Resident memory", (4, 4), "Of the largest instance. Normal: flat after the first hour. Rising: compare with open entries (Gateway); the agent watches it as a level.",
               f"max(process_resident_memory_bytes{{{CHOSEN}}})", "bytes", NOT_SCRAPED, steps((None, BLUE)), [LEAKS], decimals=1)
    board.stat("Youngest instance", (4, 4), "Since when the instance runs that was started last. Normal: the last deployment. Minutes, again and again: something kills it; look at memory and descriptors before the end.",
               f"min(time() - process_start_time_seconds{{{CHOSEN}}})", "s", NOT_SCRAPED, steps((None, ORANGE), (600, GREEN)), [runbook("GatewayDown")], decimals=0)


def process(board):
    board.series("Processor", (8, 7), "Cores used. Normal: follows the load. At the number of workers: the process is the bottleneck. High without load: something spins.",
                 [query("A", per_instance("process_cpu_seconds_total"), "{{instance}}")], "none", NOT_SCRAPED, [LEAKS])
    board.series("Resident memory, by instance", (8, 7), "Normal: flat after warm-up. A slope that a restart resets is a leak or a cache: the agent's verdict tells, with the evidence.",
                 [query("A", f"sum by (instance) (process_resident_memory_bytes{{{CHOSEN}}})", "{{instance}}")], "bytes", NOT_SCRAPED, [runbook("ResourceLeak#unknown"), LEAKS])
    board.series("Descriptors, and the limit", (8, 7), "Normal: client and upstream connections and a few files. Towards the limit: who holds them is in Gateway (open entries, idle connections).",
                 [query("A", f"sum by (instance) (process_open_fds{{{CHOSEN}}})", "{{instance}}"),
                  query("B", f"min(process_max_fds{{{CHOSEN}}})", "limit")], "short", NOT_SCRAPED,
                 [runbook("GatewayDescriptorsLow")], [by_regex("limit", color=fixed(RED), custom__lineStyle=DASH, custom__fillOpacity=0)])
    board.series("Threads", (8, 7), "Normal: the workers, the blocking pool and a few. Rising: blocking work that does not come back.",
                 [query("A", f"sum by (instance) (process_threads{{{CHOSEN}}})", "{{instance}}"),
                  query("B", f"sum by (instance) (tokio_blocking_threads{{{CHOSEN}}})", "for blocking work {{instance}}")], "short", NOT_SCRAPED, [LEAKS])


def tokio(board):
    board.series("Tasks alive, by instance", (8, 7), "Normal: follows connections and requests. Rising without them: tasks are left behind; /debug/tasks lists them by the line that spawned them.",
                 [query("A", f"sum by (instance) (tokio_alive_tasks{{{CHOSEN}}})", "{{instance}}"),
                  query("B", f"sum by (instance, task) (tokio_task_live{{{CHOSEN}}})", "{{task}} {{instance}}")], "short", NOT_TOKIO, [LEAKS])
    board.series("Workers busy, by instance", (8, 7), "Share of the workers' time. Normal: below 70 %. Near 100 % with few polls: something blocks a worker.",
                 [query("A", f"{per_instance('tokio_busy_seconds_total')} / sum by (instance) (tokio_workers{{{CHOSEN}}})", "{{instance}}")], "percentunit", NOT_TOKIO, [LEAKS], max=1)
    board.row("How well the runtime runs")
    board.series("Queues", (8, 7), "Tasks that wait for a worker, and blocking work that waits for a thread. Normal: near 0. Standing: too few workers, or blocking calls on them.",
                 [query("A", f"sum by (instance) (tokio_global_queue_depth{{{CHOSEN}}})", "global {{instance}}"),
                  query("B", f"sum by (instance) (tokio_local_queue_depth{{{CHOSEN}}})", "local {{instance}}"),
                  query("C", f"sum by (instance) (tokio_blocking_queue_depth{{{CHOSEN}}})", "blocking {{instance}}")], "short", NOT_TOKIO, [LEAKS])
    board.series("Spawns and polls per second", (8, 7), "Normal: both follow the load. Spawns far above requests: work is cut too small. Polls without spawns: a task that wakes itself.",
                 [query("A", per_instance("tokio_spawned_tasks_total"), "spawned {{instance}}"), query("B", per_instance("tokio_polls_total"), "polls {{instance}}")],
                 "ops", NOT_TOKIO, [LEAKS])
    board.series("Forced yields and parks per second", (8, 7), "Forced yields: a task used up its budget without waiting. Normal: near 0. Parks fall to 0 when the workers never rest.",
                 [query("A", per_instance("tokio_forced_yields_total"), "forced yields {{instance}}"), query("B", per_instance("tokio_parks_total"), "parks {{instance}}")],
                 "ops", NOT_TOKIO, [LEAKS])
    board.series("Sockets with the IO driver", (8, 7), "Normal: near the number of descriptors. Far above it: registrations outlive their sockets.",
                 [query("A", f"sum by (instance) (tokio_io_registrations{{{CHOSEN}}})", "{{instance}}")], "short", NOT_TOKIO, [LEAKS])
    polls = f"sum by (task) (rate(tokio_task_polls_total{{{CHOSEN}}}{RATE}))"
    times = {"in a poll": "tokio_task_poll_seconds_total", "waiting to be polled": "tokio_task_scheduled_seconds_total"}
    board.series("Time of a task's poll, and its wait for one", (8, 7), "Mean by kind of task. Normal: microseconds. The wait above the poll: workers are short. The poll in milliseconds: it blocks.",
                 [query(ref, f"sum by (task) (rate({name}{{{CHOSEN}}}{RATE})) / ({polls} > 0)", "{{task}} " + what) for ref, (what, name) in zip("AB", times.items())],
                 "s", NO_TASKS, [LEAKS])
    board.series("Slow polls, share", (8, 7), "Polls of more than 50 microseconds. Normal: a few per cent. Rising with latency: something computes or blocks inside async code.",
                 [query("A", f"sum by (task) (rate(tokio_task_slow_polls_total{{{CHOSEN}}}{RATE})) / ({polls} > 0)", "{{task}}"),
                  query("B", f"sum by (task) (rate(tokio_task_idle_seconds_total{{{CHOSEN}}}{RATE})) / sum by (task) (rate(tokio_task_instrumented_total{{{CHOSEN}}}{RATE}) > 0)",
                        "{{task}}: seconds asleep, each")], "percentunit", NO_TASKS, [LEAKS])


def build():
    board = Board()
    for part in (stats, process, tokio):
        part(board)
    return dashboard("leakwatch-runtime", "The tokio runtime and the process of a service: whether it is itself the bottleneck, and what it takes from its host.", board,
                     [SOURCE, variable("job", "Job", "label_values(tokio_workers, job)"), variable("instance", "Instance", 'label_values(tokio_workers{job=~"$job"}, instance)')],
                     {"from": "now-1h", "to": "now"})
