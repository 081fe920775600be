"""What check.html looks like, on a phone and on a desktop, by day and by night."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --quiet: #5d6673; --page: #f5f6f8; --card: #fff; --line: #dfe3e8;
  --bar: #3b76c4; --good: #1a7f4b; --fair: #9a6700; --poor: #c02b2b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --quiet: #9aa3af; --page: #14171b; --card: #1e2227;
  --line: #343a42; --bar: #6ea2e6; --good: #4fc08a; --fair: #dba642; --poor: #f07575; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 20px 16px 60px; }
h1 { font-size: 1.5rem; margin: .3rem 0 0; overflow-wrap: anywhere; line-height: 1.25; }
h2 { font-size: 1.15rem; margin: 0 0 .6rem; overflow-wrap: anywhere; }
p { margin: .3rem 0; }
ul { margin: .4rem 0; padding-left: 1.2rem; color: var(--quiet); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px;
  margin-top: 16px; }
.quiet { color: var(--quiet); font-weight: normal; }
.verdict { display: inline-block; color: #fff; border-radius: 99px; padding: 3px 14px; font-weight: 600; margin: 0; }
.verdict.ok { background: #1a7f4b; } .verdict.bad { background: #c02b2b; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(96px, 1fr)); gap: 10px; padding: 0;
  background: none; border: 0; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 10px 14px; }
.card b { display: block; font-size: 1.45rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.card span { color: var(--quiet); }
.card.errors b { color: var(--poor); } .card.warnings b { color: var(--fair); }
.chips { display: flex; flex-wrap: wrap; gap: 6px; margin: 0 0 10px; }
.chip { border: 1px solid currentColor; border-radius: 6px; padding: 0 7px; white-space: nowrap; font-size: .85rem; }
.chip.error { color: var(--poor); } .chip.warning { color: var(--fair); }
#search { width: 100%; padding: 8px 12px; font: inherit; color: inherit; background: var(--page);
  border: 1px solid var(--line); border-radius: 8px; margin-bottom: 8px; }
.scroll { overflow-x: auto; } .tall { max-height: 480px; overflow-y: auto; }
#problems { border-collapse: collapse; width: 100%; font-size: .9rem; }
#problems th { text-align: left; position: sticky; top: 0; background: var(--card); }
#problems th, #problems td { padding: 6px 10px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: anywhere; }
#problems td:first-child { white-space: nowrap; } #problems td:nth-child(2) { min-width: 130px; max-width: 380px; }
.charts { columns: 3 310px; column-gap: 26px; margin-top: 14px; } .charts figure { margin-bottom: 22px; }
figure { margin: 0; break-inside: avoid; }
figcaption { font-weight: 600; margin-bottom: 6px; overflow-wrap: anywhere; }
.charts figcaption span { display: block; font-size: .82rem; line-height: 1.35; }
.bars { border-collapse: collapse; width: 100%; font-size: .85rem; }
.bars th { font-weight: normal; text-align: right; padding: 1px 8px 1px 0; max-width: 150px; min-width: 84px;
  overflow-wrap: anywhere; line-height: 1.25; }
.bars td { padding: 1px 0; } .bars .bar { width: 50%; }
.bars svg { display: block; width: 100%; height: 13px; } .bars rect { fill: var(--bar); }
.number { text-align: right; font-variant-numeric: tabular-nums; padding-left: 8px !important; white-space: nowrap; }
.good { color: var(--good); } .fair { color: var(--fair); } .poor { color: var(--poor); }
.gallery { columns: 4 230px; column-gap: 14px; } .gallery figure { margin-bottom: 14px; }
.gallery img { width: 100%; display: block; border-radius: 6px; background: var(--page); }
.gallery figcaption { font-size: .85rem; line-height: 1.35; margin-top: 4px; }
.broken { aspect-ratio: 4 / 3; display: grid; place-items: center; border: 2px dashed var(--line); border-radius: 6px;
  color: var(--quiet); }
@media (max-width: 600px) { #problems thead { display: none; } #problems tr { display: block; padding: 8px 0;
  border-bottom: 1px solid var(--line); } #problems td { display: block; border: 0; padding: 1px 0; max-width: none; } }
"""

SCRIPT = """
const box = document.getElementById("search");
if (box) box.addEventListener("input", () => {
  const wanted = box.value.toLowerCase();
  for (const row of document.querySelectorAll("#problems tbody tr"))
    row.hidden = !row.textContent.toLowerCase().includes(wanted);
});
"""
