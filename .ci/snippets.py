"""Compiles the code of the runbooks and of README.md: each mistake and each repair, as it stands there.

    python3 .ci/snippets.py rust    by rustc, against the crates that the workspace itself is built with
    python3 .ci/snippets.py go      by `go vet` (Go 1.19 or later) and `gofmt -e`; by hand, since Go is no peer of the tests

A block is put into the function that it stands for (`RUST`, `GO`), which brings what the reader has and the page does not
show. A block without such a place, or a place without its block, fails. Nothing is run.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "dashboards" / "runbooks").glob("*.md"))]

# --- where each block stands; %s is the block ----------------------------------------------------------------------------

RUST_HEAD = """#![allow(unused, clippy::all)]
use std::{collections::HashMap, sync::LazyLock, time::{Duration, Instant}};
use reqwest::{Client, ClientBuilder, Response, Result, StatusCode};
use tokio::task::JoinSet;
pub struct Answer;
fn gateway_timeout() -> Answer { Answer }
"""
CALL = """async fn fetch(_: Client, _: String) -> Result<Response> { todo!() }
fn reply<T>(_: T) -> Answer { Answer }
async fn at(client: Client, url: String, deadline: Duration) -> Answer { %s }"""
FAN_OUT = """async fn fetch(_: &str) -> Result<Response> { todo!() }
fn reply<T, U>(_: T, _: U) -> Answer { Answer }
async fn at(content: &str, social: &str, deadline: Duration) -> Answer { %s }"""
BODY = "async fn at(client: Client, url: &str) -> Result<bool> { %s }"
KEPT = "struct Own { failed: Vec<KIND> } impl Own { fn at(&mut self, response: Response) { %s } }"
SEEN = """const KEPT: Duration = Duration::from_secs(60); const MOST_KEPT: usize = 1000;
struct Own { seen: HashMap<String, Instant> } impl Own { fn at(&mut self, key: String) { %s } }"""
BUILDER = "fn at() -> ClientBuilder { %s }"
RUST = {
    "README.md#count-what-your-own-service-holds": ["use resource_ledger::{Labels, Ledger}; fn at(ledger: &Ledger) { %s }"],
    "ConnectionReuseLost.md#undrained_bodies": [BODY, BODY],
    "ResourceLeak.md#timeout_without_cancellation": [CALL, CALL],
    "ResourceLeak.md#fan_out_without_deadline": [FAN_OUT.replace("%s", "%s\n reply(article, likes)"), FAN_OUT],
    "ResourceLeak.md#unclosed_bodies": [KEPT.replace("KIND", "Response"), KEPT.replace("KIND", "StatusCode")],
    "ResourceLeak.md#idle_connections_unbounded": ["%s", "%s"],
    "ResourceLeak.md#idle_pool_too_small": [BUILDER, BUILDER],
    "ResourceLeak.md#unknown": [SEEN, SEEN],
}

GO_CALL = "func reply(*http.Response) error { return nil }\nfunc gatewayTimeout(...error) error { return nil }\nfunc at(request *http.Request, url string, deadline time.Duration) error {\n%s\n}"
GO_FAN_OUT = "func at(request *http.Request, urls []string, deadline time.Duration) error {\n%s\n}\n"
GO_BODY = "func at(response *http.Response) (bool, error) {\n%s\n}"
GO_CLOSE = "func at(call *http.Request) error {\n%s\nreturn nil\n}"
GO_TICK = "func refresh() {}\nfunc at(ctx context.Context) {\n%s\n}"
GO_TRANSPORT = "func at() *http.Transport {\nreturn %s\n}"
GO = {
    "ConnectionReuseLost.md#undrained_bodies": [GO_BODY, GO_BODY],
    "ResourceLeak.md#timeout_without_cancellation": [GO_CALL.replace("%s", "%s\nreturn nil"), GO_CALL],
    "ResourceLeak.md#fan_out_without_deadline": [GO_FAN_OUT.replace("%s", "%s\nreturn nil") + "func fetch(string) {}", GO_FAN_OUT + "func fetch(context.Context, string) error { return nil }"],
    "ResourceLeak.md#unclosed_bodies": [GO_CLOSE, GO_CLOSE],
    "ResourceLeak.md#idle_connections_unbounded": ["%s", "%s"],
    "ResourceLeak.md#idle_pool_too_small": [GO_TRANSPORT, GO_TRANSPORT],
    "ResourceLeak.md#unknown": [GO_TICK, GO_TICK],
}
GO_PACKAGES = {"context": "context", "errors": "errors", "io": "io", "http": "net/http", "sync": "sync", "time": "time", "errgroup": "golang.org/x/sync/errgroup"}
# As much of golang.org/x/sync as the page uses, with its signatures: no module is fetched.
ERRGROUP = """package errgroup

import "context"

type Group struct{}

func WithContext(ctx context.Context) (*Group, context.Context) { return &Group{}, ctx }
func (*Group) Go(f func() error)                                {}
func (*Group) Wait() error                                      { return nil }
"""


# --- the blocks ---------------------------------------------------------------------------------------------------------

def blocks(language):
    """{page#heading: the blocks under it}, in the order of the page."""
    found = {}
    for page in PAGES:
        heading, lines = "", None
        for line in page.read_text().splitlines():
            if lines is not None:
                if line.startswith("```"):
                    found.setdefault(f"{page.name}#{heading}", []).append("\n".join(lines))
                    lines = None
                else:
                    lines.append(line)
            elif line.strip() == f"```{language}":
                lines = []
            elif title := re.match(r"#+ (.*)", line):
                heading = re.sub(r"[^\w -]", "", title[1].lower()).replace(" ", "-")
    return found


def placed(language, places):
    """(where, the block in its place) of each."""
    found = blocks(language)
    if {where: len(own) for where, own in found.items()} != {where: len(own) for where, own in places.items()}:
        sys.exit(f"blocks without a place, or places without a block: {({where: len(own) for where, own in found.items()})}")
    return [(f"{where} ({number + 1})", place.replace("%s", block + "\n")) for where, own in found.items()
            for number, (block, place) in enumerate(zip(own, places[where]))]


def crates(*names):
    """The metadata of the crates that leak-agent itself is built with."""
    done = subprocess.run(["cargo", "check", "--locked", "-p", "leak-agent", "--message-format=json"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    found = {}
    for line in done.stdout.splitlines():
        told = json.loads(line)
        if told["reason"] == "compiler-artifact" and told["target"]["name"] in names and "lib" in told["target"]["kind"]:
            found[told["target"]["name"]] = next(name for name in told["filenames"] if name.endswith(".rmeta"))
    if set(found) != set(names):
        sys.exit(f"cargo names no artifact of {sorted(set(names) - set(found))}")
    return found


def rustc(directory, externs, text):
    (directory / "block.rs").write_text(text)
    command = ["rustc", "--edition=2024", "--crate-type=lib", "--emit=metadata", "-o", str(directory / "block.rmeta"), str(directory / "block.rs")]
    for name, path in externs.items():
        command += ["--extern", f"{name}={path}", "-L", f"dependency={pathlib.Path(path).parent}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr


def check_rust(directory):
    externs = crates("reqwest", "tokio", "resource_ledger")
    every = placed("rust", RUST)
    wrong = [f"{where}:\n{said}" for where, text in every if (said := rustc(directory, externs, RUST_HEAD + text))]
    if not rustc(directory, externs, RUST_HEAD + every[-1][1].replace("retain", "retain_all")):
        sys.exit("rustc does not see what is broken on purpose")
    return every, wrong


def check_go(directory):
    every, wrong = placed("go", GO), []
    (directory / "errgroup").mkdir()
    (directory / "go.mod").write_text("module golang.org/x/sync\n\ngo 1.19\n")
    (directory / "errgroup" / "errgroup.go").write_text(ERRGROUP)
    for number, (where, text) in enumerate(every):
        folder = directory / f"block{number}"
        folder.mkdir()
        rest = 'var errStatus = errors.New("status")\n' + ("" if "var client =" in text or "client :=" in text else "var client = http.DefaultClient\n") + text
        imports = "".join(f'\t"{path}"\n' for name, path in GO_PACKAGES.items() if re.search(rf"\b{name}\.", rest))
        (folder / "block.go").write_text(f"package block\n\nimport (\n{imports})\n\n{rest}\n")
        for command in (["gofmt", "-e", "block.go"], ["go", "vet", "."]):
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode:
                wrong.append(f"{where}: {' '.join(command)}:\n{done.stderr}")
                break
    return every, wrong


def main():
    if sys.argv[1:] not in (["rust"], ["go"]):
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory(prefix="leakwatch-snippets-") as name:
        every, wrong = (check_rust if sys.argv[1] == "rust" else check_go)(pathlib.Path(name))
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{len(every)} blocks of {sys.argv[1]} in README.md and the runbooks compile")


if __name__ == "__main__":
    main()
