# SPDX-License-Identifier: Apache-2.0
"""Opens report pages in headless Chromium and checks what a reader would see.

    page_check.py BROWSER PAGE... [--shots DIR]

Each page is opened at 1300, 800 and 400 pixels and as it is printed, in the light and in the dark scheme. It must write
nothing to the console, load nothing, draw its plots, keep every label clear of its neighbours and inside its plot, fit the
width of the window, and show no number that is not one. Prints one line for each thing that does not hold and exits with 1.
The browser is driven over its debugging pipe, so that nothing but Python is needed."""
import base64
import json
import os
import subprocess
import sys
import tempfile

WIDTHS = (1300, 800, 400)

# Returns a list of complaints. Labels are compared by their boxes within each plot.
CHECK = r"""(() => {
  const complaints = [];
  const say = (text) => { if (complaints.length < 12) complaints.push(text); };
  const visible = (node) => node.getClientRects().length > 0;
  const plots = [...document.querySelectorAll('svg.plot')].filter(visible);
  if (plots.length < 6) say(`only ${plots.length} plots are drawn`);
  for (const plot of plots) {
    const name = plot.getAttribute('aria-label'), frame = plot.getBoundingClientRect();
    const labels = [...plot.querySelectorAll('text')].map((node) => ({text: node.textContent, box: node.getBoundingClientRect(),
      size: parseFloat(getComputedStyle(node).fontSize) * frame.width / plot.viewBox.baseVal.width}));
    labels.forEach(({text, box, size}, i) => {
      if (text === '' || text === '\u2026') say(`${name}: a label is empty`);
      if (/NaN|Infinity|undefined|null/.test(text)) say(`${name}: a label reads "${text}"`);
      if (size < 10) say(`${name}: "${text}" is set in ${size.toFixed(1)} px`);
      if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1)
        say(`${name}: "${text}" leaves the plot`);
      for (const other of labels.slice(0, i)) {
        const wide = Math.min(box.right, other.box.right) - Math.max(box.left, other.box.left);
        const high = Math.min(box.bottom, other.box.bottom) - Math.max(box.top, other.box.top);
        if (wide > 1 && high > 3) say(`${name}: "${text}" and "${other.text}" overlap`);
      }
    });
    if (/NaN|Infinity|undefined/.test(plot.innerHTML)) say(`${name}: a coordinate is no number`);
    if (frame.right > document.documentElement.clientWidth + 1) say(`${name}: it is wider than the window`);
  }
  if (document.documentElement.scrollWidth > document.documentElement.clientWidth) say('the page scrolls sideways');
  for (const cell of document.querySelectorAll('table[data-name] td')) {
    if (!cell.classList.contains('t') && !/^(–|-?[0-9][0-9,]*(\.[0-9]+)?(e[-+][0-9]+)?)$/.test(cell.textContent.trim()))
      say(`a table holds "${cell.textContent.trim()}" for a number`);
  }
  if (document.body.dataset.errors) say(`script errors: ${document.body.dataset.errors}`);
  return complaints;
})()"""

# Every table sorts by its first column, down after up, and becomes CSV with as many fields as headings in every line.
TABLES = r"""(() => {
  const complaints = [];
  for (const table of document.querySelectorAll('table')) {
    const heading = table.tHead.rows[0].cells[0], name = table.dataset.name;
    const column = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent.trim());
    heading.click();
    const up = column();
    heading.click();
    const down = column();
    const sorted = [...up].sort((a, b) => a.localeCompare(b, 'en', {numeric: true}));
    if (up.join('\n') !== sorted.join('\n')) complaints.push(`${name} is not sorted`);
    if (down[0] !== up.at(-1)) complaints.push(`${name} is not sorted the other way at a second click`);
    const lines = tableCsv(table).trimEnd().split('\r\n');
    if (lines.length !== up.length + 1) complaints.push(`${name} as CSV has ${lines.length} lines`);
    const fields = (line) => line.replace(/"([^"]|"")*"/g, 'q').split(',').length;
    if (lines.some((line) => fields(line) !== table.tHead.rows[0].cells.length)) complaints.push(`${name} as CSV is ragged`);
  }
  return complaints;
})()"""

# A picture of the first plot: a PNG with more than one colour.
PNG = r"""plotPng(document.querySelector('svg.plot')).then(async (blob) => {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  return bytes[1] === 80 && bytes[2] === 78 && bytes[3] === 71 && bytes.length > 5000 ? [] : [`the PNG has ${bytes.length} bytes`];
})"""


# What the plots must show: no scatter plot of one point, fronts as steps, accuracies that end at 100 %, bits as whole
# numbers, lines that coincide in dashes of both.
FACTS = r"""(() => {
  const complaints = [];
  const say = (holds, text) => { if (!holds) complaints.push(text); };
  const plots = (name) => [...document.querySelectorAll(`[data-plot="${name}"] svg.plot`)];
  const rows = records(document.querySelector('table[data-name="experiments"]'));
  const count = (label) => rows.filter((row) => row.comparison === label && row.accuracy !== null).length;
  const comparable = [...new Set(rows.map((row) => row.comparison))].filter((label) => count(label) > 1).length;
  say(plots('bitops').length === 2 * comparable, `${plots('bitops').length} scatter plots for ${comparable} comparable sets`);
  for (const plot of [...plots('bitops'), ...plots('energy')]) {
    const front = plot.querySelector('.front')?.getAttribute('d').slice(1).split('L').map((point) => point.split(' '));
    say(front && front.every(([x, y], i) => i === 0 || x === front[i - 1][0] || y === front[i - 1][1]), 'a front is no staircase');
  }
  const ticks = (plot) => [...plot.querySelectorAll('.tick')].map((node) => Number(node.textContent.replaceAll(',', '')));
  for (const plot of ['accuracy', 'bitops', 'energy'].flatMap(plots)) {
    const ends = [...plot.querySelectorAll('.tick[text-anchor="end"]')].map((node) => Number(node.textContent));
    say(Math.max(...ends) === 100, `an accuracy axis ends at ${Math.max(...ends)}`);
  }
  for (const plot of plots('bits')) say(ticks(plot).every(Number.isInteger), 'bits are not whole numbers');
  const scratch = svg('svg'), line = [[0, 0], [1, 1]];
  drawLines(scratch, scale(0, 1, 0, 9), scale(0, 1, 0, 9), [{e: 0, kind: 'e0', points: line}, {e: 1, kind: 'e1', points: line}], false);
  const dashes = [...scratch.children].map((path) => path.getAttribute('stroke-dasharray') + path.getAttribute('stroke-dashoffset'));
  say(dashes.length === 2 && dashes[0] !== dashes[1] && !dashes[0].includes('null'), 'of two equal lines one is hidden');
  const several = rows.filter((row) => row.seeds > 1 && row.deviation > 0).length;
  say(document.querySelectorAll('[data-plot="accuracy"] .band').length >= several, 'seeds without a band');
  say(costRange([1, 25]).log && !costRange([1, 10]).log, 'cost axes are not logarithmic where, and only where, ranges ask');
  const legends = [...document.querySelectorAll('[data-plot="baseline"] g[data-e] > text')].map((node) => node.textContent);
  if (rows.length > 1) say(rows.every((row) => legends.some((text) => text.startsWith(row.experiment.slice(0, 8)))), 'a legend misses a run');
  return complaints;
})()"""

# Protanopia, deuteranopia and tritanopia, whole (Machado et al. 2009), of linear red, green and blue.
BLINDNESS = (((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
             ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
             ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)))


def linear(colour):
    values = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    return [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]


def oklab(rgb):
    r, g, b = rgb
    l, m, s = ((max(0.0, v)) ** (1 / 3) for v in (0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b,
                                                  0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b,
                                                  0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b))
    return (0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s, 1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s,
            0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s)


def check_colours(colours, paper):
    """Eight colours that differ for every eye by 0.09 in OKLab, and stand at 3 : 1 against the page."""
    found = []

    def brightness(colour):
        return sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear(colour))) + 0.05

    for colour in colours:
        pair = sorted((brightness(colour), brightness(paper)))
        if pair[1] / pair[0] < 3.0:
            found.append(f"{colour} has a contrast of {pair[1] / pair[0]:.2f} to 1 against {paper}")
    for matrix in (((1, 0, 0), (0, 1, 0), (0, 0, 1)),) + BLINDNESS:
        seen = [oklab([max(0.0, sum(w * v for w, v in zip(row, linear(colour)))) for row in matrix]) for colour in colours]
        for i, a in enumerate(seen):
            for j in range(i):
                distance = sum((x - y) ** 2 for x, y in zip(a, seen[j])) ** 0.5
                if distance < 0.09:
                    found.append(f"{colours[j]} and {colours[i]} differ by {distance:.3f} for some eyes")
    return found


COLOURS = """[...Array(8).keys()].map((i) => getComputedStyle(document.documentElement).getPropertyValue('--c' + i).trim())
  .concat(getComputedStyle(document.documentElement).getPropertyValue('--paper').trim())"""


class Browser:
    """A headless Chromium with one page, spoken to in the DevTools protocol over its pipe."""

    def __init__(self, program, profile):
        to_browser, self.out = os.pipe()
        self.into, from_browser = os.pipe()

        def arrange_pipes():  # the browser reads descriptor 3 and writes 4
            low, high = os.dup2(to_browser, 100), os.dup2(from_browser, 101)
            os.dup2(low, 3)
            os.dup2(high, 4)

        self.process = subprocess.Popen(
            [program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
             "--no-first-run", "--disable-extensions", "--disable-background-networking",
             f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"],
            preexec_fn=arrange_pipes, close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.buffer, self.number, self.session, self.events = b"", 0, None, []
        target = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def read(self):
        while b"\0" not in self.buffer:
            more = os.read(self.into, 1 << 16)
            if not more:
                raise RuntimeError("the browser has ended")
            self.buffer += more
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            if "method" in answer:
                self.events.append(answer)

    def open(self, path):
        self.events.clear()
        self.call("Page.navigate", url="file://" + os.path.abspath(path))
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self.read())

    def value(self, script):
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            return [f"a script failed: {result['exceptionDetails'].get('exception', {}).get('description', result)}"]
        return result["result"].get("value")

    def messages(self):
        """What came to the console, and what the page asked for."""
        told = []
        for event in self.events:
            method, values = event["method"], event.get("params", {})
            if method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
                told.append(f"console: {json.dumps(values)[:300]}")
            if method == "Network.requestWillBeSent" and not values["request"]["url"].startswith(("file://", "data:", "blob:")):
                told.append(f"it loads {values['request']['url']}")
        return told

    def window(self, width, scheme):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", media="", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def shot(self, path):
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=True,
                            clip={"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1})
        with open(path, "wb") as file:
            file.write(base64.b64decode(picture["data"]))

    def close(self):
        self.session = None
        try:
            self.call("Browser.close")
            self.process.wait(10)
        except (RuntimeError, OSError, subprocess.TimeoutExpired):
            self.process.kill()


def check_page(browser, path, shots):
    complaints = []

    def note(where, found):
        complaints.extend(f"{os.path.basename(path)}, {where}: {text}" for text in found or [])

    for width in WIDTHS:
        browser.window(width, "dark" if width == WIDTHS[1] else "light")
        if width == WIDTHS[0]:
            browser.open(path)
        browser.value("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done([]))))")
        note(f"{width} px", browser.value(CHECK))
        if shots:
            for scheme in ("light", "dark"):
                browser.window(width, scheme)
                browser.shot(os.path.join(shots, f"{os.path.basename(path)}-{width}-{scheme}.png"))
    browser.window(WIDTHS[0], "light")
    light = browser.value("getComputedStyle(document.body).backgroundColor")
    browser.window(WIDTHS[0], "dark")
    dark = browser.value("getComputedStyle(document.body).backgroundColor")
    if light == dark:
        note("dark scheme", [f"the background stays {light}"])
    for scheme in ("light", "dark"):
        browser.window(WIDTHS[0], scheme)
        *colours, paper = browser.value(COLOURS)
        note(f"{scheme} colours", check_colours(colours, paper))
    # On paper: the dark scheme stays on the screen, closed tables open, labels stay apart.
    browser.value("window.dispatchEvent(new Event('beforeprint'))")
    browser.call("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    note("print", browser.value(CHECK.replace("scrollWidth >", "scrollWidth - 1e9 >").replace("frame.right >", "frame.right - 1e9 >")))
    if browser.value("getComputedStyle(document.body).backgroundColor") != light:
        note("print", ["the page is not printed on white"])
    browser.value("window.dispatchEvent(new Event('afterprint'))")
    browser.window(WIDTHS[0], "light")
    if shots:
        pdf = browser.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True)
        with open(os.path.join(shots, f"{os.path.basename(path)}.pdf"), "wb") as file:
            file.write(base64.b64decode(pdf["data"]))
    note("picture", browser.value(PNG))
    note("tables", browser.value(TABLES))
    note("plots", browser.value(FACTS))
    note("console", browser.messages())
    return complaints


def main():
    arguments = sys.argv[1:]
    shots = None
    if "--shots" in arguments:
        at = arguments.index("--shots")
        shots = arguments[at + 1]
        del arguments[at:at + 2]
        os.makedirs(shots, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(arguments[0], profile)
        try:
            complaints = [text for page in arguments[1:] for text in check_page(browser, page, shots)]
        finally:
            browser.close()
    print("\n".join(complaints))
    sys.exit(1 if complaints else 0)


if __name__ == "__main__":
    main()
