// SPDX-License-Identifier: Apache-2.0
// Every cost beside the baseline, and what the cheapest experiment saves in words.
'use strict';

/// Every cost of every experiment in percent of the baseline.
function drawBaseline() {
  const host = figure_host('baseline');
  host.replaceChildren();
  const rows = [{text: 'bit operations', of: (one, metric) => one[`${metric}_percent`]}];
  for (const accelerator of accelerators) {
    const kinds =
      [['compute energy', 'arithmetic_percent'], ['total energy', 'energy_percent'], ['cycles', 'cycles_percent']]
        .map(([text, key]) => ({text, of: (one, metric) => hardwareOf(one, accelerator, metric)?.[key] ?? null}))
        .filter(({of}) => experiments.some((one) => of(one, 'paper') !== null || of(one, 'executed') !== null));
    if (kinds.length) rows.push({heading: accelerator}, ...kinds);
  }
  const values =
    rows.filter((row) => row.of)
      .flatMap((row) => experiments.flatMap((one) => ['paper', 'executed'].map((metric) => row.of(one, metric))))
      .filter((value) => value !== null);
  const width = widthOf(host);
  const single = experiments.length === 1;
  const lane = single ? 17 : 12;
  const lanes = single ? 2 : experiments.length;
  const entry = (kind, text, draw, e) => ({kind, text, draw, e});
  const first = experiments[0].kind;
  const legend = [
    ...(
      several ? experiments.map(
                  (one) => entry(
                    one.kind, one.experiment + one.note,
                    (group, x, y) => svg('path', {class: 'mark', d: shapePath(one.e, x, y, 5)}, group), one.e)) :
                []),
    entry(
      single ? first : 'e8', 'paper: the scheduled widths',
      (group, x, y) => svg('path', {class: 'mark', d: shapePath(0, x, y, 5)}, group)),
    entry(
      single ? first : 'e8', 'executed: the multiplied widths',
      (group, x, y) => svg('path', {class: 'ring', d: shapePath(0, x, y, 6)}, group))
  ];
  const layout = legendLayout(legend, width - 8);
  const left = Math.ceil(Math.max(...rows.map((row) => (row.of ? textWidth(row.text) + 10 : 0)))) + 12;
  const heights = rows.map((row) => (row.of ? lanes * lane + 9 : 26));
  const top = layout.height + 8, bottom = top + heights.reduce((a, b) => a + b, 0);
  const plot = emptyPlot(width, bottom + 44, 'Costs in percent of the baseline');
  drawLegend(plot, layout, 4, 0);
  const log = wantsLog(values);
  const high = Math.max(100, ...values);
  const x = log ? scale(Math.min(...values) / 1.3, high * 1.3, left, width - 40, true) :
                  scale(0, high * 1.04, left, width - 40);
  for (const tick of fittingTicks(x, textWidth, 14)) {
    svg('line', {class: 'grid', x1: x.at(tick), x2: x.at(tick), y1: top, y2: bottom}, plot);
    words(plot, x.at(tick), bottom + 16, tickText(tick), 'tick', 'middle');
  }
  words(plot, width - 4, bottom + 34, '% of the baseline', 'quiet', 'end');
  svg('line', {class: 'reference', x1: x.at(100), x2: x.at(100), y1: top, y2: bottom}, plot);
  let y = top;
  rows.forEach((row, r) => {
    if (row.heading) {
      words(plot, 4, y + 19, fitted(row.heading, width - 8, 12, 600), 'strong');
      y += heights[r];
      return;
    }
    svg('line', {class: 'grid', x1: 4, x2: width - 4, y1: y, y2: y}, plot);
    words(plot, 12, y + heights[r] / 2 + 4, row.text);
    experiments.forEach((one, i) => {
      const group = svg('g', {class: one.kind, 'data-e': one.e}, plot);
      const [paper, executed] = ['paper', 'executed'].map((metric) => row.of(one, metric));
      const alone = single && (paper === null || executed === null);  // then it stands in the middle of its row
      const at = (which) => y + 4.5 + lane * (alone ? 1 : (single ? which : i) + 0.5);
      if (!single && paper !== null && executed !== null) {
        svg('line', {class: 'link', x1: x.at(paper), x2: x.at(executed), y1: at(0), y2: at(0)}, group);
      }
      if (paper !== null) svg('path', {class: 'mark', d: shapePath(one.e, x.at(paper), at(0), single ? 5 : 4)}, group);
      if (executed !== null)
        svg('path', {class: 'ring', d: shapePath(one.e, x.at(executed), at(1), single ? 5 : 6)}, group);
      if (single && paper !== null) words(group, x.at(paper) + 10, at(0) + 4, three(paper), 'small');
      if (single && executed !== null) words(group, x.at(executed) + 10, at(1) + 4, three(executed), 'small');
      const said = [[paper, 'paper'], [executed, 'executed']]
                     .filter(([value]) => value !== null)
                     .map(([value, metric]) => `${percentText(value)} (${metric})`)
                     .join(', ');
      titled(group, `${one.experiment}, ${row.heading ?? ''}${row.text}: ${said || 'cannot be priced'}`);
    });
    y += heights[r];
  });
  svg('line', {class: 'axis', x1: left, x2: width - 40, y1: bottom, y2: bottom}, plot);
  figure(host, plot, 'cost-beside-baseline');
}

const listed = (words) => (words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`);
/// What the experiment with the fewest bit operations saves, in bit operations and in energy.
function headline() {
  const best =
    experiments.filter((one) => one.paper_percent !== null).sort((a, b) => a.paper_percent - b.paper_percent)[0];
  if (!best || best.paper_percent >= 100) return '';
  const told = accelerators.map((name) => ({name, percent: hardwareOf(best, name, 'paper')?.energy_percent ?? null}))
                 .filter(({percent}) => percent !== null)
                 .map(
                   ({name, percent}) =>
                     (percent <= 100 ? `${percentText(100 - percent)} less` : `${percentText(percent - 100)} more`) +
                     ` on ${name}`);
  return `${best.experiment} takes ${
           percentText(100 - best.paper_percent)} fewer bit operations than the baseline (metric paper)` +
    (told.length ? `, and its energy is ${listed(told)}.` : '.');
}
