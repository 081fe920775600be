"""What report.html looks like, on a phone, a desktop and paper, by day and by night; and what it does on a click."""

LIGHT = {
    "ink": "#1b1f24",
    "quiet": "#57606c",
    "page": "#f4f5f7",
    "card": "#ffffff",
    "line": "#dadfe5",
    "grid": "#e3e7ec",
    "axis": "#8a94a1",
    "front": "#93bde4",
    "error": "#6b7480",
    "leader": "#9aa3ae",
    "accent": "#0b62ad",
    "good": "#17693f",
    "bad": "#a8341f",
    "soft": "#eef2f7",
    "theirs": "#fbf3e2",
    "s0": "#0b69b7",
    "s1": "#c8500a",
    "s2": "#0a7d5c",
    "s3": "#a03c8c",
    "s4": "#806000",
    "s5": "#4b5563",
    "s6": "#2387b8",
    "s7": "#d0315f",
}
DARK = {
    "ink": "#e7e9ec",
    "quiet": "#a3acb8",
    "page": "#14171b",
    "card": "#1d2126",
    "line": "#363d46",
    "grid": "#2b3138",
    "axis": "#727d8a",
    "front": "#3f6c99",
    "error": "#98a2af",
    "leader": "#6b7683",
    "accent": "#7ab8f5",
    "good": "#5cc995",
    "bad": "#ff9a82",
    "soft": "#252b32",
    "theirs": "#2e2818",
    "s0": "#6bb0f0",
    "s1": "#ff9a5c",
    "s2": "#4fcf9f",
    "s3": "#e08ccf",
    "s4": "#e0c050",
    "s5": "#b5bec9",
    "s6": "#8fd6ff",
    "s7": "#ff8fb3",
}
SHADES = [  # of the heat map from 0 to 1, with the ink on each
    ("#f3f7fb", "#1b1f24"),
    ("#e2edf6", "#1b1f24"),
    ("#cfe1f0", "#1b1f24"),
    ("#b6d2e8", "#1b1f24"),
    ("#99c1de", "#1b1f24"),
    ("#78acd2", "#14171b"),
    ("#3f78ad", "#ffffff"),
    ("#2b6299", "#ffffff"),
    ("#1c4c80", "#ffffff"),
    ("#103560", "#ffffff"),
]


def _variables(colours: dict[str, str]) -> str:
    return " ".join(f"--{key}: {value};" for key, value in colours.items())


_SERIES = "".join(
    f".mark.s{at} {{ fill: var(--s{at}); }} .line.s{at} {{ stroke: var(--s{at}); }}\n"
    for at in range(sum(key[1:].isdigit() for key in LIGHT))
)
_HEAT = "".join(f".h{at} {{ background: {fill}; color: {ink}; }}\n" for at, (fill, ink) in enumerate(SHADES))

STYLE = (
    f":root {{ color-scheme: light dark; {_variables(LIGHT)} }}\n"
    f"@media (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)} }} }}\n"
    """* { box-sizing: border-box; }
html { scroll-padding-top: 56px; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 1280px; margin: 0 auto; padding: 28px 20px 72px; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: .1rem 0 .6rem; overflow-wrap: anywhere; text-wrap: balance; }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 0 0 .5rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; overflow-wrap: anywhere; }
p { margin: .3rem 0 .8rem; max-width: 82ch; overflow-wrap: anywhere; }
small { display: block; font-size: .8rem; font-weight: 400; color: var(--quiet); line-height: 1.35; }
.quiet { color: var(--quiet); }
.narrow { display: none; }
.name { overflow-wrap: anywhere; } tbody th { min-width: 8em; }
a { color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 20px;
  margin-top: 20px; min-width: 0; }
header > .quiet { margin: 0; }
.cautions { max-width: 90ch; margin: 10px 0 18px; padding-left: 1.3em; color: var(--quiet); }
.verdict { font-size: 1.2rem; max-width: 90ch; border-left: 4px solid var(--accent); padding: 2px 0 2px 14px;
  text-wrap: pretty; }
.cards { display: flex; flex-wrap: wrap; gap: 8px 32px; margin: 1rem 0 0; }
.cards > div { min-width: 0; }
.cards dt { color: var(--quiet); font-size: .85rem; }
.cards dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
nav { display: flex; gap: 4px; overflow-x: auto; position: sticky; top: 0; z-index: 9; margin: 20px -6px 0;
  padding: 6px; background: var(--page); }
nav a { white-space: nowrap; padding: 5px 12px; border-radius: 99px; text-decoration: none; color: var(--ink);
  border: 1px solid var(--line); background: var(--card); font-size: .9rem; }
nav a:hover { border-color: var(--accent); color: var(--accent); }

.scroll { overflow: auto; border: 1px solid var(--line); border-radius: 8px; max-width: 100%; position: relative; }
.scroll.tall { max-height: 640px; }
.data { border-collapse: separate; border-spacing: 0; font-size: .9rem; min-width: 100%; }
.data th, .data td { padding: 8px 8px; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top;
  font-weight: 400; }
.data tbody tr:last-child > * { border-bottom: 0; }
.data thead th { position: sticky; top: 0; background: var(--soft); z-index: 2; vertical-align: bottom;
  font-weight: 600; line-height: 1.25; }
.data thead td { background: var(--soft); }
.data tbody th { font-weight: 600; }
.data .number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.data thead .number { white-space: normal; min-width: 68px; }
.data.sortable thead .number { font-size: .85rem; }
.data .strong { font-weight: 700; }
.data th.text, .data .name:is(th), .matrix tbody th, .heat tbody th { position: sticky; left: 0;
  background: var(--card); z-index: 1; min-width: 138px; max-width: 250px; }
.data thead th.name { z-index: 3; background: var(--soft); }
.matrix thead td, .heat thead td { position: sticky; left: 0; z-index: 3; }
.data thead .first, .data td.first { text-align: center; min-width: 64px; }
.data button { font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer;
  text-align: inherit; }
.data button:hover { color: var(--accent); }
.data button::after { content: " ↕"; color: var(--quiet); font-weight: 400; white-space: nowrap; }
[aria-sort=ascending] button::after { content: " ▲" !important; color: var(--accent) !important; }
[aria-sort=descending] button::after { content: " ▼" !important; color: var(--accent) !important; }
.tie { width: fit-content; border: 1px solid currentColor; border-radius: 6px; padding: 0 6px; margin: 2px auto 0;
  white-space: nowrap; }
.up { color: var(--good); } .down { color: var(--bad); } .even { color: var(--quiet); }
.none { color: var(--line); }
.sign { font-weight: 700; }
.heat td { text-align: right; } .heat td small { color: inherit; opacity: .92; }
.data .theirs { background: var(--theirs); }

.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 20px 32px; }
figure { margin: 0; min-width: 0; break-inside: avoid; }
figcaption { font-size: .9rem; margin-top: 4px; overflow-wrap: anywhere; }
.plot { display: block; width: 100%; max-width: 600px; height: auto; font: 13px system-ui, sans-serif; }
.plot text { fill: var(--ink); unicode-bidi: isolate; }
.plot text.quiet { fill: var(--quiet); }
.plot text.label { font-weight: 600; paint-order: stroke; stroke: var(--card); stroke-width: 4px;
  stroke-linejoin: round; }
.plot polyline, .sample polyline { fill: none; }
.plot .grid { stroke: var(--grid); } .plot .axis { stroke: var(--axis); }
.plot .front { stroke: var(--front); stroke-width: 3.5; stroke-linejoin: round; }
.plot .error { stroke: var(--error); stroke-width: 1.3; } .plot .leader { stroke: var(--leader); stroke-width: .8; }
.line { stroke-width: 2; stroke-linejoin: round; }
.mark { stroke: var(--card); stroke-width: 1.2; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 20px; padding: 0; margin: .2rem 0 .8rem;
  font-size: .9rem; }
.legend li { display: flex; align-items: center; gap: 6px; min-width: 0; }
.sample .hatch { stroke: #555; stroke-width: 2; }
.sample { width: 28px; height: 16px; flex: none; }
.kinds { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 300px), 1fr)); gap: 22px 36px; }
.kinds h3 { margin: 0; }
.kinds figcaption { min-height: 3.1em; }
.bars { border-collapse: collapse; width: 100%; font-size: .9rem; }
.bars th { font-weight: 400; text-align: left; padding: 2px 10px 2px 0; width: 34%; }
.bars .bar { width: 50%; } .bars svg { display: block; width: 100%; height: 14px; background: var(--soft); }
.bars rect { fill: var(--s0); }
.bars .number { text-align: right; padding-left: 10px; font-variant-numeric: tabular-nums; }
.side { display: grid; gap: 14px; }
.of2 { grid-template-columns: repeat(2, 1fr); } .of3 { grid-template-columns: repeat(3, 1fr); }
.of4 { grid-template-columns: repeat(4, 1fr); }
.side figure { border-radius: 8px; }
.side .truth figcaption { font-weight: 700; }
.enlarge { display: block; width: 100%; padding: 0; border: 0; background: none; cursor: zoom-in; }
.enlarge img { display: block; width: 100%; border-radius: 6px; }
.broken { aspect-ratio: 4 / 3; display: grid; place-items: center; border: 2px dashed var(--line);
  border-radius: 6px; color: var(--quiet); }
dialog { border: 0; border-radius: 12px; padding: 14px; background: var(--card); color: var(--ink);
  max-width: 96vw; max-height: 96vh; }
dialog::backdrop { background: rgb(0 0 0 / .7); }
dialog form { display: flex; gap: 16px; align-items: center; justify-content: space-between; margin-bottom: 10px; }
dialog p { margin: 0; }
dialog button { font: inherit; padding: 4px 14px; border-radius: 8px; border: 1px solid var(--line);
  background: var(--soft); color: inherit; cursor: pointer; }
dialog img { display: block; max-width: 100%; max-height: 82vh; min-width: min(70vw, 640px); object-fit: contain; }
details { margin-top: 12px; } summary { cursor: pointer; font-weight: 600; }
pre { background: var(--soft); border-radius: 8px; padding: 12px 14px; overflow-x: auto; font-size: .85rem;
  line-height: 1.5; margin: .4rem 0; }
.facts { margin: .4rem 0; font-size: .92rem; } .facts.many { columns: 3 330px; column-gap: 32px; }
.facts div { display: grid; grid-template-columns: 11.5rem 1fr; gap: 2px 16px; padding: 2px 0; break-inside: avoid; }
.facts dt { color: var(--quiet); overflow-wrap: anywhere; } .facts dd { margin: 0; overflow-wrap: anywhere; }
.faults dt { font-weight: 600; } .faults dd { margin: 0 0 .6rem; overflow-wrap: anywhere; font-family: monospace;
  font-size: .88rem; }
.faults { margin: 0; } .faults dd:last-child { margin: 0; }
.budget input { width: 7em; } .budget :is(input, select) { font: inherit; color: inherit; background: var(--card);
  border: 1px solid var(--line); border-radius: 6px; padding: 2px 6px; }
.beyond { opacity: .35; }
@media (max-width: 640px) {
  body { font-size: 15px; } main { padding: 16px 10px 48px; } section { padding: 16px 12px; border-radius: 10px; }
  h1 { font-size: 1.4rem; } .verdict { font-size: 1.05rem; } .cards { gap: 8px 22px; }
  .data th, .data td { padding: 7px 9px; }
  .data th.text, .data .name:is(th), .matrix tbody th, .heat tbody th { min-width: 112px; max-width: 132px; }
  .side { grid-template-columns: repeat(2, 1fr); gap: 10px; }
  .facts div { grid-template-columns: 9rem 1fr; }
  .kinds figcaption { min-height: 0; } .narrow { display: block; }
}
@media print {
  :root { color-scheme: light; """
    + _variables(LIGHT)
    + """ }
  body { background: #fff; font-size: 10.5px; } main { max-width: none; padding: 0; }
  nav, dialog, .budget { display: none; }
  section { border: 0; padding: 8px 0; } .scroll, .scroll.tall { overflow: visible; max-height: none; border: 0; }
  .data { font-size: 8px; } .data th, .data td { padding: 3px 4px; }
  .data :is(th, td) { position: static !important; min-width: 0 !important; }
  .data button::after { content: none !important; }
  .plots { grid-template-columns: 1fr 1fr; } pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  .heat td, .bars rect, .bars svg { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
    + _SERIES
    + _HEAT
)

SCRIPT = """
"use strict";
const root = document.documentElement;
addEventListener("error", event => { root.dataset.fault = event.message; });

const compare = new Intl.Collator("en", { numeric: true }).compare;

function keyOf(row, column) {
  const cell = row.cells[column];
  if (cell.dataset.sort === "") return null;
  return cell.dataset.sort === undefined ? cell.dataset.text ?? cell.textContent : Number(cell.dataset.sort);
}

function sortBy(table, head, column) {
  const other = { ascending: "descending", descending: "ascending" };
  const order = head.hasAttribute("aria-sort") ? other[head.getAttribute("aria-sort")] : head.dataset.first;
  const sign = order === "ascending" ? 1 : -1;
  const rows = [...table.tBodies[0].rows].map(row => [keyOf(row, column), row]);
  rows.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);  // what was not measured stays at the end
    return sign * (typeof a === "number" ? a - b : compare(a, b));
  });
  for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", order);
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

for (const table of document.querySelectorAll("table.sortable"))
  [...table.tHead.rows[0].cells].forEach((head, column) =>
    head.querySelector("button").addEventListener("click", () => sortBy(table, head, column)));

for (const budget of document.querySelectorAll(".budget")) {
  const [most, cost, said] = ["input", "select", "output"].map(tag => budget.querySelector(tag));
  const rows = [...budget.closest("section").querySelector("tbody").rows];
  const letters = row => row.querySelector(".tie")?.textContent.split(" ").slice(1) ?? [];
  const called = row => row.querySelector(".name").textContent;
  const weigh = () => {
    const limit = most.value === "" ? Infinity : Number(most.value);
    const fits = row => limit === Infinity || (keyOf(row, Number(cost.value)) ?? Infinity) <= limit;
    for (const row of rows) row.classList.toggle("beyond", !fits(row));
    const ranked = rows.filter(row => fits(row) && keyOf(row, 0) !== null).sort((a, b) => keyOf(a, 0) - keyOf(b, 0));
    const [best, ...others] = ranked, shared = row => letters(row).some(one => letters(best).includes(one));
    const tied = others.filter(shared);
    said.textContent = limit === Infinity ? "" : !best ? "no ranked model fits" :
      `${ranked.length} of ${rows.length} models; the highest: ${called(best)}` +
      (tied.length ? `, tied with ${tied.map(called).join(", ")}` : "");
  };
  for (const field of [most, cost]) field.addEventListener("input", weigh);
  budget.hidden = false;
}

const large = document.getElementById("large");
for (const button of document.querySelectorAll(".enlarge"))
  button.addEventListener("click", () => {
    const small = button.querySelector("img"), shown = large.querySelector("img");
    shown.src = small.src;
    shown.alt = large.querySelector("p").textContent = small.alt;
    large.showModal();
  });
if (large) large.addEventListener("click", event => { if (event.target === large) large.close(); });

root.dataset.ready = "yes";
"""
