"""Drives a real Chromium over the agent's page: keyboard only, scripts switched off, every request watched.

    python3 .ci/page.py [PROGRAM]   needs chromium, and cargo unless the example `page` is given as PROGRAM

The pages are those of the example `page`: incidents that the agent's own engine has found. Chromium is spoken to over
the pipe of its DevTools protocol. Screenshots, light and dark, wide and narrow, are left in target/page to be looked
at. Python 3.9 or later, nothing but its standard library.
"""
import base64
import contextlib
import http.server
import json
import os
import pathlib
import queue
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
PICTURES = ROOT / "target" / "page"
PATIENCE = 60  # seconds
LOADED_WITHIN = 1000  # milliseconds, five hundred suspects
WIDE, NARROW = (1100, 900), (390, 844)
MOST_TABS = 60

# Text whose colour has less contrast with what is behind it than WCAG 2.2, 1.4.3 asks for.
FAINT = """(() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = rgb(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.getClientRects().length) continue;
    const [a, b] = [light(rgb(getComputedStyle(node).color)), light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.add(`${ratio.toFixed(2)} ${node.tagName}.${node.className}: ${walker.currentNode.data.trim().slice(0, 40)}`);
  }
  return [...found];
})()"""

# What a reader who cannot see, or has no mouse, would miss.
CLOSED = """(() => {
  const found = [];
  const all = selector => [...document.querySelectorAll(selector)];
  if (all('h1').length !== 1) found.push(`${all('h1').length} headings of the first level`);
  for (const one of ['header', 'main', 'footer', 'nav']) if (!all(one).length) found.push(`no ${one}`);
  if (document.documentElement.lang !== 'en') found.push('no language');
  if (!document.title) found.push('no title');
  for (const one of all('select, input:not([type=hidden])')) if (!one.labels.length) found.push(`no label: ${one.outerHTML.slice(0, 60)}`);
  for (const one of all('img')) if (!one.alt) found.push(`no words for ${one.src}`);
  for (const one of all('th')) if (!one.scope) found.push(`no scope: ${one.textContent}`);
  for (const one of all('table')) if (!one.querySelector('thead th')) found.push('a table without a head');
  for (const one of all('a')) if (!one.textContent.trim() && !one.querySelector('img[alt]')) found.push(`a link without words: ${one.href}`);
  const ids = all('[id]').map(one => one.id);
  if (new Set(ids).size !== ids.length) found.push('an id twice');
  if (document.documentElement.scrollWidth > innerWidth) found.push(`${document.documentElement.scrollWidth} pixels wide on a screen of ${innerWidth}`);
  return found;
})()"""


class Chromium:
    """One page of a headless Chromium, and all that it complains of or asks for."""

    def __init__(self, directory):
        ask, answer = os.pipe(), os.pipe()
        flags = [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
            "--no-first-run", "--no-proxy-server", f"--user-data-dir={directory}", "--remote-debugging-pipe", "about:blank",
        ]
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{ask[0]} 4>&{answer[1]}', "chromium", "chromium", *flags],
            pass_fds=(ask[0], answer[1]), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        os.close(ask[0])
        os.close(answer[1])
        self.write, self.read = os.fdopen(ask[1], "wb", buffering=0), os.fdopen(answer[0], "rb", buffering=0)
        self.messages, self.number, self.session = queue.Queue(), 0, None
        self.requests, self.complaints, self.loads = [], [], 0
        threading.Thread(target=self.listen, daemon=True).start()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        # The page must not need what it does not have; what is asked here is asked all the same.
        self.call("Emulation.setScriptExecutionDisabled", value=True)

    def listen(self):
        rest = b""
        while True:
            more = self.read.read(1 << 16)
            if not more:
                self.messages.put(None)
                return
            *whole, rest = (rest + more).split(b"\0")
            for message in whole:
                self.messages.put(json.loads(message))

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.write.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self.next()
            if answer.get("id") == self.number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def next(self):
        message = self.messages.get(timeout=PATIENCE)
        assert message is not None, "Chromium ended"
        self.note(message.get("method"), message.get("params", {}))
        return message

    def note(self, method, told):
        if method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif method == "Network.responseReceived" and told["response"]["status"] >= 400:
            self.complaints.append(f"{told['response']['status']} {told['response']['url']}")
        elif method == "Network.loadingFailed" and not told.get("canceled"):
            self.complaints.append(f"not loaded: {told['errorText']} {told.get('blockedReason', '')}")
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
        elif method == "Runtime.exceptionThrown" or method == "Runtime.consoleAPICalled":
            self.complaints.append(f"console: {told}")
        elif method == "Page.loadEventFired":
            self.loads += 1

    def loaded(self, loads):
        """Waits for one load more than there were."""
        while self.loads <= loads:
            self.next()

    def go(self, url):
        loads = self.loads
        self.call("Page.navigate", url=url)
        self.loaded(loads)

    def ask(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, f"{expression}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def press(self, key, code, text=""):
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **more)

    def tab_to(self, selector):
        """Goes on with the tab key until it comes to what `selector` names; what has the focus must show it."""
        for _ in range(MOST_TABS):
            self.press("Tab", 9)
            shown = self.ask("(() => { const own = document.activeElement; return own === document.body || getComputedStyle(own).outlineStyle !== 'none' })()")
            assert shown, self.ask("document.activeElement.outerHTML.slice(0, 200)") + " has the focus and does not show it"
            if self.ask(f"document.activeElement.matches({json.dumps(selector)})"):
                return
        raise AssertionError(f"{selector} is not reached by {MOST_TABS} presses of the tab key")

    def enter(self):
        loads = self.loads
        self.press("Enter", 13, "\r")
        self.loaded(loads)

    def screen(self, size, scheme):
        width, height = size
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=size is NARROW)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, name):
        height = self.ask("document.documentElement.scrollHeight")
        clip = {"x": 0, "y": 0, "width": self.ask("innerWidth"), "height": min(height, 4000), "scale": 1}
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]
        (PICTURES / f"{name}.png").write_bytes(base64.b64decode(data))

    def end(self):
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def api(address, path):
    with urllib.request.urlopen(f"{address}api/v1/{path}", timeout=PATIENCE) as answer:
        return json.load(answer)["data"]


@contextlib.contextmanager
def serving(program, *arguments):
    """The address of an agent with incidents."""
    process = subprocess.Popen([program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("http://"), f"{program} did not start"
        deadline = time.monotonic() + PATIENCE
        while any(own["health"] == "unknown" for own in api(address, "targets")["activeTargets"]):
            assert time.monotonic() < deadline, "not every target was scraped"
            time.sleep(0.5)
        yield address
    finally:
        process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait()


@contextlib.contextmanager
def under_a_prefix(address):
    """The same behind a proxy that has it under /watch/leaks/ and hides everything else."""
    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if not self.path.startswith("/watch/leaks/"):
                return self.send_error(404)
            try:
                answer = urllib.request.urlopen(address + self.path[len("/watch/leaks/"):], timeout=PATIENCE)
            except urllib.error.HTTPError as error:
                answer = error
            body = answer.read()
            self.send_response(answer.status)
            for name in ("content-type", "content-security-policy"):
                self.send_header(name, answer.headers[name])
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/watch/leaks/"
    server.shutdown()


def check(what, found):
    assert not found, f"{what}:\n  " + "\n  ".join(found)


def look_at(chromium, name):
    """Everything that holds for every page, on both screens and in both schemes; a picture of each."""
    for size, screen in ((WIDE, "wide"), (NARROW, "narrow")):
        for scheme in ("light", "dark"):
            chromium.screen(size, scheme)
            check(f"{name}, {screen}: not open to everybody", chromium.ask(CLOSED))
            check(f"{name}, {scheme}: hard to read", chromium.ask(FAINT))
            chromium.picture(f"{name}-{screen}-{scheme}")
    chromium.screen(WIDE, "light")


def pages(chromium, address):
    chromium.go(f"{address}?refresh=off")
    assert chromium.ask("document.querySelector('h1').innerText").endswith("leaks") or "urgent" in chromium.ask("document.querySelector('h1').innerText")
    suspects = chromium.ask("document.querySelectorAll('article.suspect:not(.over)').length")
    assert suspects >= 3, f"{suspects} suspects"
    look_at(chromium, "suspects")

    # A filter, by keyboard.
    wanted = "timeout_without_cancellation"
    chromium.tab_to("#cause")
    position = chromium.ask(f"[...document.activeElement.options].findIndex(own => own.value === '{wanted}')")
    for _ in range(position):
        chromium.press("ArrowDown", 40)
    assert chromium.ask("document.activeElement.value") == wanted
    chromium.tab_to("form.filter button")
    chromium.enter()
    assert f"cause={wanted}" in chromium.ask("location.search"), chromium.ask("location.href")
    causes = chromium.ask("[...document.querySelectorAll('article.suspect')].map(own => own.querySelector('.tags code').innerText)")
    assert causes and set(causes) == {wanted}, causes
    assert len(causes) < suspects

    # The suspect, to its plot, by keyboard.
    chromium.tab_to("article.suspect h3 a")
    headline = chromium.ask("document.activeElement.innerText")
    chromium.enter()
    assert "/leaks/" in chromium.ask("location.pathname")
    assert chromium.ask("document.querySelector('h1').innerText").split(":")[0] == headline.split(":")[0]
    chromium.go(chromium.ask("location.href") + "?refresh=off")
    drawn = chromium.ask("(() => { const own = document.querySelector('figure img'); return own.complete && own.naturalWidth })()")
    assert drawn, "the plot is not drawn"
    for words in ("Do first", "Ruled out", "Where it leaks", "Instances", "healthy", "What happened", "Growth"):
        assert words.lower() in chromium.ask("document.body.innerText").lower(), f"{words} is missing"
    silence = chromium.ask("[...document.querySelectorAll('.links a')].find(own => own.innerText.includes('Silence')).href")
    assert "/#/silences/new?filter=%7B" in silence, silence
    look_at(chromium, "incident")
    # Its picture by itself, and the way back.
    chromium.tab_to(".links a[href$='.svg']")
    chromium.enter()
    assert chromium.ask("document.documentElement.querySelector('title').textContent && document.documentElement.querySelector('desc').textContent")
    chromium.go(f"{address}targets?refresh=off")
    assert chromium.ask("document.querySelector('tbody tr .tag').innerText") == "down", "what is down comes first"
    look_at(chromium, "targets")


def many(chromium, program):
    with serving(program, "--suspects", "500") as address:
        chromium.go(f"{address}?refresh=off")
        times = []
        for path in ("", "?page=5&refresh=off", "?workload=&signal=&cause=&state=growing&refresh=off"):
            chromium.go(address + path)
            times.append(chromium.ask("performance.getEntriesByType('navigation')[0].loadEventEnd"))
        count = chromium.ask("document.querySelector('h1').innerText")
        assert int(count.split()[0].replace(",", "")) >= 500, count
        look_at(chromium, "many")
        began = time.monotonic()
        leaks = api(address, "leaks")["leaks"]
        seconds = time.monotonic() - began
        print(f"{count}: shown within {max(times):.0f} ms, {len(leaks)} as JSON in {1000 * seconds:.0f} ms")
        assert max(times) < LOADED_WITHIN, times
        return [address]


def quiet(chromium, program):
    with serving(program, "--quiet") as address:
        deadline = time.monotonic() + PATIENCE
        while True:
            chromium.go(f"{address}?refresh=off")
            headline = chromium.ask("document.querySelector('h1').innerText")
            if headline == "Nothing leaks":
                break
            assert time.monotonic() < deadline, headline
            time.sleep(1)
        look_at(chromium, "quiet")
        return [address]


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else None
    if program is None:
        subprocess.run(["cargo", "build", "--locked", "--release", "-p", "leak-agent", "--example", "page"], cwd=ROOT, check=True)
        program = str(ROOT / "target" / "release" / "examples" / "page")
    PICTURES.mkdir(parents=True, exist_ok=True)
    hosts = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        chromium = Chromium(directory)
        try:
            with serving(program) as address, under_a_prefix(address) as prefixed:
                pages(chromium, address)
                print("filters, a suspect and its plot by keyboard: found")
                pages(chromium, prefixed)
                print("the same under a prefix: found")
                hosts += [address, prefixed]
            hosts += many(chromium, program)
            hosts += quiet(chromium, program)
        finally:
            chromium.end()
    strangers = [own for own in chromium.requests if not own.startswith((*hosts, "about:", "data:"))]
    check("requests to others", strangers)
    check("complaints of the browser", chromium.complaints)
    print(f"{len(chromium.requests)} requests, none to another host, and no complaint; pictures in {PICTURES.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
