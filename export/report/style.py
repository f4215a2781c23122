"""How the page looks, in light and in dark."""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fff; --ink: #181c22; --soft: #59626e; --line: #dde1e6; --panel: #f4f6f8;
  --yes: #0b7340; --yes-soft: #e4f4ea; --care: #8a5200; --care-soft: #fdf1dc; --no: #b3261e; --no-soft: #fce8e6;
  --bar: #8fb1dd; --dot: #1f5fae;
  --fp32: #e3e7ec; --fp32-ink: #3d4651; --fp16: #b9d4f4; --fp16-ink: #123d70;
  --bf16: #b5e3da; --bf16-ink: #0b4a40; --int8: #ffd08a; --int8-ink: #5c3500;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171b; --ink: #e8ebef; --soft: #9ba5b1; --line: #313841; --panel: #1d2127;
    --yes: #66d197; --yes-soft: #12301f; --care: #f2b84f; --care-soft: #332509; --no: #ff8f87; --no-soft: #3b1613;
    --bar: #365b8c; --dot: #8fbcf7;
    --fp32: #353c45; --fp32-ink: #d3dae2; --fp16: #234a7d; --fp16-ink: #e0edff;
    --bf16: #1a5a50; --bf16-ink: #dcf8f1; --int8: #8a5a10; --int8-ink: #fff0d6;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 74rem; padding: 2rem 1.25rem 4rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.55rem; line-height: 1.25; margin: 0; }
h2 { font-size: 1.25rem; margin: 0 0 .5rem; }
h3 { font-size: 1rem; margin: 1.75rem 0 .25rem; }
p { margin: .5rem 0; max-width: 52rem; }
section { margin-top: 3rem; padding-top: 1.5rem; border-top: 1px solid var(--line); }
code, pre { font: .88em ui-monospace, "SF Mono", "DejaVu Sans Mono", monospace; }
code { background: var(--panel); border-radius: .25rem; padding: .1rem .3rem; }
pre { background: var(--panel); border-radius: .5rem; padding: .8rem 1rem; overflow-x: auto; }
pre code { padding: 0; font-size: 1em; }
.lead, .soft { color: var(--soft); }
.lead { margin: .15rem 0 1.25rem; }
.missing { background: var(--panel); border-left: 4px solid var(--line); padding: .7rem 1rem; max-width: none; }

.answer { border-radius: .75rem; padding: 1.1rem 1.4rem 1.2rem; border: 1px solid; }
.answer p { margin: 0; max-width: none; }
.answer .ask { font-size: .95rem; }
.answer .big { font-size: 1.9rem; line-height: 1.2; font-weight: 650; margin: .1rem 0 .4rem; }
.answer ul { margin: .4rem 0 0; padding-left: 1.2rem; }
.answer ul, .answer .why { color: var(--ink); }
.ready { color: var(--yes); background: var(--yes-soft); }
.open { color: var(--care); background: var(--care-soft); }
.refused { color: var(--no); background: var(--no-soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(12.5rem, 1fr)); gap: .75rem; margin: .75rem 0; }
.tile { background: var(--panel); border-radius: .75rem; padding: .8rem 1rem .9rem; }
.tile p { margin: 0; font-size: .85rem; color: var(--soft); }
.tile .value { font-size: 1.5rem; line-height: 1.35; font-weight: 650; color: var(--ink); }
.tile .value { font-variant-numeric: tabular-nums; }
.badge { display: inline-block; border-radius: 1rem; padding: .05rem .65rem; font-size: .82rem; font-weight: 600; }
.badge.yes { color: var(--yes); background: var(--yes-soft); }
.badge.care { color: var(--care); background: var(--care-soft); }
.badge.no { color: var(--no); background: var(--no-soft); }
nav { margin-top: 1.5rem; font-size: .92rem; }
nav a { margin-right: 1.1rem; white-space: nowrap; color: var(--dot); }

dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .2rem 1.25rem; margin: 1rem 0 0; }
dl { font-size: .92rem; }
dt { color: var(--soft); }
dd { margin: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0 0; font-size: .9rem; width: 100%; }
table { font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding-bottom: .4rem; }
caption span { display: inline-block; max-width: min(100%, calc(100vw - 2.5rem)); }
th, td { padding: .3rem .9rem .3rem 0; text-align: right; white-space: nowrap; overflow-wrap: normal; }
th, td { vertical-align: baseline; }
th:last-child, td:last-child { padding-right: 0; }
thead th { border-bottom: 1px solid var(--soft); font-weight: 600; }
tbody tr + tr > * { border-top: 1px solid var(--line); }
tbody tr.more > * { border-top: 0; padding-top: 0; }
tbody th, thead th:first-child, .text { text-align: left; }
tbody th { font-weight: normal; }
td small { display: block; color: var(--soft); font-size: .8rem; }
th small { color: var(--soft); }
.track { width: 36%; min-width: 9rem; text-align: left; }
.axis { display: block; position: relative; height: .85rem; background: var(--panel); border-radius: .2rem; }
.axis i { position: absolute; top: 0; bottom: 0; }
.axis .bar { background: var(--bar); border-radius: .2rem; min-width: 2px; }
.axis .dot { width: .6rem; height: .6rem; margin: .125rem 0 0 -.3rem; border-radius: 50%; background: var(--dot); }
.axis .limit { width: 0; border-left: 2px dashed var(--no); margin-left: -1px; }
.axis .bad { background: var(--no); }

.maps { display: flex; flex-wrap: wrap; gap: .5rem 2.5rem; align-items: flex-start; }
.maps > * { min-width: 0; max-width: 100%; }
table.map { width: auto; font-size: .75rem; }
table.map caption { font-size: .9rem; }
.map thead th { border: 0; writing-mode: vertical-rl; transform: rotate(180deg); text-align: left; }
.map thead th { padding: 0 0 .35rem; font-weight: normal; color: var(--soft); }
.map tbody tr + tr > * { border: 0; }
.map tbody th { padding: 0 .75rem 0 0; font-size: .8rem; }
.map td { padding: 1px; }
.map td span { display: block; width: 2.15rem; line-height: 1.5rem; text-align: center; border-radius: .2rem; }
.map td span { font-weight: 600; }
.legend { display: flex; flex-wrap: wrap; gap: .4rem 1.2rem; font-size: .85rem; color: var(--soft); }
.legend { padding: 0; list-style: none; }
.legend span { display: inline-block; min-width: 2.15rem; text-align: center; border-radius: .2rem; }
.legend span { font-weight: 600; margin-right: .4rem; font-size: .75rem; line-height: 1.35rem; }
.fp32 { color: var(--fp32-ink); background: var(--fp32); }
.fp16 { color: var(--fp16-ink); background: var(--fp16); }
.bf16 { color: var(--bf16-ink); background: var(--bf16); }
.int8 { color: var(--int8-ink); background: var(--int8); }
.mixed { color: var(--ink); outline: 1px dashed var(--soft); outline-offset: -1px; }
.shares { display: flex; height: 1.4rem; border-radius: .35rem; overflow: hidden; font-size: .75rem; }
.shares span { text-align: center; line-height: 1.4rem; overflow: hidden; min-width: 3px; white-space: nowrap; }
.shares span { font-weight: 600; }

details { margin-top: 1rem; }
summary { cursor: pointer; }
figure { margin: 1.25rem 0 0; }
figure img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: .35rem; }
.strip img { min-width: 46rem; }
figcaption { margin-top: .4rem; color: var(--soft); font-size: .9rem; }
@media (max-width: 40rem) {
  body { padding: 1.25rem .9rem 3rem; }
  .answer .big { font-size: 1.5rem; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .45rem; }
}
""".strip()
