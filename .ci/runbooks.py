"""Holds what the pages for people say against the tree: links with their headings, panels, and metrics.

    python3 .ci/runbooks.py

- Every relative link of a Markdown file leads to a file, and its `#` to a heading there.
- Every link to a published runbook or dashboard, wherever it stands (rules, golden notifications), leads to a page and a heading.
- Every panel or dashboard that a runbook names in *italics* is there, by the beginning of its title.
- Every metric that a page names is exported (`dashboards/recorded/`).
- The page of every alert that gets somebody up says how to be sure in one minute and how to stop the bleeding.
"""
import json
import pathlib
import re
import sys

from dashboards import DASHBOARDS, METRIC, ROOT, panels, rules_of

PAGES = [path for path in sorted(ROOT.rglob("*.md")) if "target" not in path.relative_to(ROOT).parts]
FOR_PEOPLE = [path for path in PAGES if path.is_relative_to(ROOT / "dashboards")]
PUBLISHED = re.compile(r"https://leaks\.example\.org/runbooks/(\w+)(?:#(\w+))?")
# Written in italics and no panel.
WORDS = {"Leaking", "Scrape interval"}


def headings(text):
    """As GitHub names them: lower case, no punctuation, dashes for blanks."""
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)$", text, re.M)}


def prose(text):
    return re.sub(r"```.*?```", "", text, flags=re.S)


def wrong_links(page, text):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists():
            yield f"links to {target}, which is not there"
        elif anchor and anchor not in headings(path.read_text()):
            yield f"links to {target}, and there is no such heading"


def wrong_runbooks(text):
    for name, anchor in sorted(set(PUBLISHED.findall(text))):
        page = ROOT / "dashboards" / "runbooks" / f"{name}.md"
        if not page.exists():
            yield f"links to the runbook {name}, which is not there"
        elif anchor and anchor not in headings(page.read_text()):
            yield f"links to the runbook {name}#{anchor}, and there is no such heading"


def wrong_boards(text, boards):
    for uid in sorted(set(re.findall(r"grafana\.example\.org/d/([\w-]+)", text))):
        if uid not in boards:
            yield f"links to the dashboard {uid}, which is not there"


def wrong_titles(text, titles):
    for named in re.findall(r"(?<!\*)\*([A-Z][^*]+)\*(?!\*)", prose(text)):
        named = " ".join(named.split())
        if named not in WORDS and not any(title.startswith(named) for title in titles):
            yield f"names {named!r}, and there is no panel or dashboard of that name"


def wrong_metrics(text, exported):
    for name in sorted(set(METRIC.findall(prose(text)))):
        family = name.rstrip("_")
        if name not in exported and not (name.endswith("_") and any(own.startswith(family) for own in exported)):
            yield f"names {name}, which nobody exports"


def pages_of_alerts():
    """Of each alert that pages, its name: those of the rules, and the agent's own."""
    yield "ResourceLeakUrgent"
    for name in ("rules", "fallback-rules"):
        for alert, block in rules_of((ROOT / "dashboards" / "prometheus" / f"{name}.yml").read_text()):
            if "severity: critical" in block:
                yield alert


def lacking(text):
    for words in ("be sure, in one minute", "stop the bleeding"):
        if words not in text.lower():
            yield f"pages somebody and does not say: {words}"


def exported():
    texts = [path.read_text() for path in (ROOT / "dashboards" / "recorded").glob("*.txt")]
    return {re.split(r"[{ ]", line)[0] for text in texts for line in text.splitlines()} | {"up", "ALERTS"}


def main():
    boards = [json.loads(path.read_text()) for path in DASHBOARDS]
    titles = [board["title"] for board in boards] + [panel["title"] for board in boards for panel in panels(board)]
    known, uids = exported(), {board["uid"] for board in boards}
    wrong = []
    for page in PAGES:
        text = page.read_text()
        found = list(wrong_links(page, text))
        if page in FOR_PEOPLE:
            found += [*wrong_titles(text, titles), *wrong_metrics(text, known)]
        wrong += [f"{page.relative_to(ROOT)}: {what}" for what in found]
    paging = sorted(set(pages_of_alerts()))
    if len(paging) < 9:
        sys.exit(f"only {paging} page somebody")
    for alert in paging:
        wrong += [f"dashboards/runbooks/{alert}.md: {what}" for what in lacking((ROOT / "dashboards" / "runbooks" / f"{alert}.md").read_text())]
    published = [path for path in (ROOT / "dashboards").rglob("*") if path.suffix in (".json", ".yml", ".txt", ".html", ".md", ".py")]
    for path in published:
        text = path.read_text()
        wrong += [f"{path.relative_to(ROOT)}: {what}" for what in (*wrong_runbooks(text), *wrong_boards(text, uids))]
    # A check that finds nothing in a broken page guards nothing.
    page = ROOT / "dashboards" / "runbooks" / "ResourceLeak.md"
    for finds in (wrong_links(page, "[x](Nowhere.md)"), wrong_links(page, "[x](ResourceLeak.md#nowhere)"), wrong_runbooks("https://leaks.example.org/runbooks/ResourceLeak#nowhere"),
                  wrong_boards("https://grafana.example.org/d/nowhere?x=1", uids), wrong_titles("look at *No such panel*", titles), wrong_metrics("`gateway_nothing_total`", known), lacking("Be sure, in one minute: it is.")):
        if not list(finds):
            sys.exit("a slip that was made on purpose is not found")
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{len(PAGES)} pages: links, headings, panels and metrics are there; so is every runbook and dashboard that {len(published)} files link to")


if __name__ == "__main__":
    main()
