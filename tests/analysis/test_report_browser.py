"""The page in a browser: it sorts, asks nobody for anything, and never scrolls sideways."""

import base64
import hashlib
import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from example_comparison import detection
from reports import hostile

from densenets.analysis.report.page import build_page

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
PROBE = """
addEventListener("load", () => {
  const root = document.documentElement, found = {};
  const table = document.querySelector("#ranking table"), heads = [...table.tHead.rows[0].cells];
  const column = title => heads.findIndex(head => head.textContent.startsWith(title));
  const order = () => [...table.tBodies[0].rows].map(row => row.querySelector("th .name").textContent);
  const press = title => { heads[column(title)].querySelector("button").click(); return order(); };
  found.first = order();
  found.parameters = press("parameters");
  found.parametersAgain = press("parameters");
  found.latency = press("latency");
  found.AP = press("AP");
  found.model = press("model");
  found.sorted = heads.map(head => head.getAttribute("aria-sort"));
  found.focusable = heads.every(head => head.querySelector("button").tabIndex === 0);
  const [most, cost, said] = ["input", "select", "output"].map(tag => document.querySelector(`.budget ${tag}`));
  const allow = (words, value) => {
    cost.selectedIndex = [...cost.options].findIndex(option => option.textContent.endsWith(words));
    most.value = value;
    most.dispatchEvent(new Event("input"));
    const within = [...table.tBodies[0].rows].filter(row => !row.classList.contains("beyond"));
    return [within.map(row => row.querySelector("th .name").textContent).sort(), said.textContent];
  };
  const budgets = [["latency p50", 26], ["parameters", 0.001], ["parameters", ""]];
  found.budgets = budgets.map(([words, value]) => allow(words, value));
  document.querySelectorAll("details").forEach(each => { each.open = true; });
  found.inner = innerWidth;
  found.sideways = root.scrollWidth - root.clientWidth;
  const spills = each => !each.closest(".scroll, nav, pre, svg") && each.getBoundingClientRect().right > innerWidth + 1;
  found.outside = [...document.querySelectorAll("main *")].filter(spills).map(each => each.outerHTML.slice(0, 120));
  const dark = document.querySelector(".enlarge");
  if (dark) { dark.click(); found.large = document.getElementById("large").open; }
  found.requests = performance.getEntriesByType("resource").map(each => each.name.slice(0, 60))
    .filter(name => !name.startsWith("data:"));
  found.ready = root.dataset.ready; found.fault = root.dataset.fault ?? null;
  parent.postMessage(JSON.stringify(found), "*");
});
"""
FRAME = """<!doctype html><iframe src="probed.html" style="width: {width}px; height: 800px; border: 0"></iframe><script>
addEventListener("message", event => {{ document.documentElement.dataset.found = event.data; }});
</script>"""  # a window of its own is no narrower than 500 px


def look(page: str, folder: Path, width: int) -> dict[str, Any]:
    """What the probe sees in the page, shown in a frame of that many px."""
    digest = base64.b64encode(hashlib.sha256(PROBE.encode()).digest()).decode()
    assert "script-src 'sha256-" in page
    page = page.replace("script-src 'sha256-", f"script-src 'sha256-{digest}' 'sha256-", 1)
    (folder / "probed.html").write_text(page.replace("</body>", f"<script>{PROBE}</script></body>"))
    (folder / "frame.html").write_text(FRAME.format(width=width))
    told = html.unescape(_dumped(folder, "frame.html"))
    found = re.search(r'data-found="(\{.*?\})"(?: data-|>)', told, re.DOTALL)
    assert found is not None, told[:400]
    return dict(json.loads(found[1]))


def _dumped(folder: Path, file: str) -> str:
    assert BROWSER is not None
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
    flags += [f"--user-data-dir={folder / 'browser'}", "--window-size=1400,900", "--virtual-time-budget=4000"]
    flags += ["--host-resolver-rules=MAP * ~NOTFOUND", "--dump-dom", (folder / file).as_uri()]
    alone = {**os.environ, "HOME": str(folder)}
    done = subprocess.run([BROWSER, *flags], capture_output=True, text=True, timeout=180, env=alone, check=False)
    assert done.returncode == 0, done.stderr[-800:]
    return done.stdout


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_works_in_a_browser(tmp_path: Path, width: int) -> None:
    found = look(build_page(detection(tmp_path, pictures=1), tmp_path), tmp_path, width)
    assert found["fault"] is None
    assert found["ready"] == "yes"
    assert found["inner"] == width
    assert found["requests"] == []
    assert (found["sideways"], found["outside"]) == (0, [])
    lost = "v3-large, width 2"
    assert found["first"] == ["v2, ImageNet", "v3-large", "v2", "v3-small", "v1", lost]
    assert found["AP"] == found["first"]
    assert found["parameters"][0] == "v3-small"
    assert found["parameters"][-2:] == ["v1", lost]
    assert found["parametersAgain"][:2] == [lost, "v1"]
    assert found["latency"][:2] == ["v3-small", "v3-large"]
    assert set(found["latency"][-2:]) == {"v1", lost}  # not measured: at the end
    assert found["model"] == ["v1", "v2", "v2, ImageNet", "v3-large", "v3-large, width 2", "v3-small"]
    within, nothing, all_ = found["budgets"]
    assert within == [["v3-large", "v3-small"], "2 of 6 models; the highest: v3-large"]
    assert nothing == [[], "no ranked model fits"]
    assert all_ == [sorted(found["first"]), ""]
    assert [order for order in found["sorted"] if order] == ["ascending"]
    assert found["focusable"]
    assert found["large"]


def test_hostile_names_do_nothing_in_a_browser(tmp_path: Path) -> None:
    found = look(build_page(hostile(tmp_path), tmp_path), tmp_path, 390)
    assert found["fault"] is None
    assert found["requests"] == []
    assert (found["sideways"], found["outside"]) == (0, [])
