// SPDX-License-Identifier: Apache-2.0
// The page's plots, drawn from its tables, and drawn again whenever the page's width or a choice changes.
'use strict';

const errors = [];
window.addEventListener('error', (event) => {
  errors.push(String(event.message));
  document.body.dataset.errors = errors.join(' | ');
});

const byName = (name) => document.querySelector(`table[data-name="${name}"]`);
const data = Object.fromEntries(['runs', 'experiments', 'hardware', 'evaluations', 'loss', 'bits']
  .map((name) => [name, records(byName(name))]));
const experiments = data.experiments;
const kColours = 8;  // experiments after the eighth share a grey; their marks, legends and labels tell them apart
experiments.forEach((one, i) => {
  one.e = i;
  one.kind = `e${Math.min(i, kColours)}`;
  one.runs = data.runs.filter((run) => run.experiment === one.experiment);
  one.note = one.state === 'finished' ? '' : ` (unfinished, ${one.done.toLocaleString('en-US')} of ${one.planned.toLocaleString('en-US')} steps)`;
});
const comparisons = [...new Set(experiments.map((one) => one.comparison))]
  .map((label) => ({label, members: experiments.filter((one) => one.comparison === label)}));
const accelerators = [...new Set(data.hardware.map((one) => one.accelerator))];
const hardwareOf = (one, accelerator, metric) => data.hardware.find((row) =>
  row.experiment === one.experiment && row.accelerator === accelerator && row.metric === metric);
const several = experiments.length > 1;
const percentText = (value) => `${three(value)}\u00a0%`;  // number and sign stay on one line

let forcedWidth = 0;  // on paper
const place = (name) => document.querySelector(`.plots[data-plot="${name}"]`);
const widthOf = (host, columns = 1) => {
  const whole = forcedWidth || host.clientWidth;
  const pair = columns === 2 && (forcedWidth || window.innerWidth >= 800);
  return Math.max(240, Math.floor(pair ? (whole - 32) / 2 : whole));
};
function figure(host, plot, name, heading = null) {
  const made = document.createElement('figure');
  if (heading) {
    const text = document.createElement('h4');
    text.textContent = heading;
    made.append(text);
  }
  const button = document.createElement('button');
  button.textContent = 'Save as PNG';
  button.addEventListener('click', async () => save(await plotPng(plot), `${name}.png`));
  made.append(plot, button);
  host.append(made);
}
function sentence(host, text, heading = null) {
  const made = document.createElement('figure');
  if (heading) {
    const title = document.createElement('h4');
    title.textContent = heading;
    made.append(title);
  }
  const caption = document.createElement('figcaption');
  caption.textContent = text;
  made.append(caption);
  host.append(made);
}
function titled(element, text) { svg('title', {}, element, text); }

/// Accuracies end at 100 %; points that lie close together get an axis of their own, which never goes beyond.
function accuracyRange(values, close) {
  const low = Math.min(...values), high = Math.max(...values);
  const spread = Math.max(high - low, 0.5);
  if (close && spread < 0.2 * (100 - low)) {
    const step = [0.1, 0.2, 0.5, 1, 2, 5, 10].find((size) => size * 5 >= spread) ?? 20;
    return {low: Math.max(0, Math.floor((low - step / 4) / step) * step), high: Math.min(100, Math.ceil((high + step / 4) / step) * step)};
  }
  return {low: Math.max(0, Math.min(90, Math.floor((low - 1) / 10) * 10)), high: 100};
}
function costRange(values) {
  const low = Math.min(...values), high = Math.max(...values);
  if (wantsLog(values)) return {low: low / 1.6, high: high * 1.6, log: true};
  const margin = (high - low || high) * 0.08;
  return low < 0.5 * high || low === high ? {low: 0, high: high + margin} : {low: low - margin, high: high + margin};
}

/// Labels beside their points where there is room: clear of points, of lines [x1, y1, x2, y2], of each other and of the
/// plot's edges. False, and no label, where there is no room for all of them.
function labelPoints(frame, points, lines) {
  const taken = points.map(({x, y}) => ({left: x - 8, right: x + 8, top: y - 8, bottom: y + 8}));
  for (const [x1, y1, x2, y2] of lines) {
    taken.push({left: Math.min(x1, x2) - 2, right: Math.max(x1, x2) + 2, top: Math.min(y1, y2) - 2, bottom: Math.max(y1, y2) + 2});
  }
  const hits = (box) => box.left < frame.left + 2 || box.right > frame.right || box.top < frame.top - 6 ||
    box.bottom > frame.bottom - 2 || taken.some((other) => box.left < other.right && box.right > other.left &&
      box.top < other.bottom && box.bottom > other.top);
  const labels = [];
  for (const point of points) {
    const text = fitted(point.text, 170), width = textWidth(text);
    const spots = [[11, 4, 'start'], [-11, 4, 'end'], [0, -12, 'middle'], [0, 21, 'middle'], [10, -9, 'start'], [10, 17, 'start'],
      [-10, -9, 'end'], [-10, 17, 'end']];
    const found = spots.map(([dx, dy, anchor]) => {
      const x = point.x + dx, y = point.y + dy;
      const left = anchor === 'start' ? x : anchor === 'end' ? x - width : x - width / 2;
      return {x, y, anchor, box: {left: left - 3, right: left + width + 3, top: y - 12, bottom: y + 4}};
    }).find(({box}) => !hits(box));
    if (!found) return false;
    taken.push(found.box);
    labels.push({...found, text, point});
  }
  for (const {x, y, anchor, text, point} of labels) {
    const group = svg('g', {'data-e': point.e}, frame.plot);
    words(group, x, y, text, '', anchor);
  }
  return true;
}

/// Accuracy against one cost within one comparison. `cost` gives a member's cost, `front` whether it is on the front.
function scatterPlot(members, width, unit, costName, cost, front) {
  const {scale: size, unit: prefix} = prefixed(Math.max(...members.map(cost)), unit);
  const spread = members.flatMap((one) => [one.accuracy - (one.deviation ?? 0), one.accuracy + (one.deviation ?? 0)]);
  const entry = (one) => ({e: one.e, kind: one.kind, text: one.experiment + one.note,
    draw: (group, x, y) => svg('path', {class: one.note ? 'unfinished' : 'mark', d: shapePath(one.e, x, y, 6)}, group)});
  const draw = (legend) => {
    const frame = axes({width, height: Math.min(380, Math.max(300, width * 0.6)), legend, label: `Accuracy against ${costName}`,
      x: {...costRange(members.map((one) => cost(one) / size)), title: `${costName} (${prefix})`},
      y: {...accuracyRange(spread, true), title: 'test accuracy (%)'}});
    const best = members.filter(front).sort((a, b) => cost(a) - cost(b));
    const lines = [];
    if (best.length) {
      let x = frame.x.at(cost(best[0]) / size), y = frame.bottom;
      for (const one of best) {
        const [nextX, nextY] = [frame.x.at(cost(one) / size), frame.y.at(one.accuracy)];
        lines.push([x, y, nextX, y], [nextX, y, nextX, nextY]);
        [x, y] = [nextX, nextY];
      }
      lines.push([x, y, frame.right, y]);
      svg('path', {class: 'front', d: `M${lines[0][0]} ${lines[0][1]}` + lines.map((line) => `L${line[2]} ${line[3]}`).join('')}, frame.plot);
    }
    const points = members.map((one) => {
      const x = frame.x.at(cost(one) / size), y = frame.y.at(one.accuracy);
      const group = svg('g', {class: one.kind, 'data-e': one.e}, frame.plot);
      if (one.deviation > 0) {
        const [from, to] = [one.accuracy - one.deviation, Math.min(100, one.accuracy + one.deviation)].map(frame.y.at);
        lines.push([x, from, x, to]);
        svg('path', {class: 'whisker', d: `M${x} ${from}V${to}M${x - 4} ${from}h8M${x - 4} ${to}h8`}, group);
      }
      svg('path', {class: one.note ? 'unfinished' : 'mark', d: shapePath(one.e, x, y, 7)}, group);
      titled(group, `${one.experiment}${one.note}: ${percentText(one.accuracy)}, ${three(cost(one) / size)} ${prefix}`);
      return {x, y, e: one.e, text: one.experiment + (one.note ? ' (unfinished)' : '')};
    });
    return {frame, labelled: legend.length === 0 && labelPoints(frame, points, lines)};
  };
  const plain = draw([]);
  return plain.labelled ? plain.frame.plot : draw(members.map(entry)).frame.plot;
}

/// Two panels, `paper` and `executed`, for each data set and task that has two points to compare.
function drawScatter(name, unit, quantity, costs) {
  const host = place(name);
  host.replaceChildren();
  host.classList.add('pair');
  for (const {label, members} of comparisons) {
    if (members.filter((one) => one.accuracy !== null).length < 2) continue;
    if (comparisons.length > 1) {
      const title = document.createElement('h3');
      title.textContent = label;
      host.append(title);
    }
    for (const metric of ['paper', 'executed']) {
      const {cost, front, missing} = costs(metric);
      const points = members.filter((one) => one.accuracy !== null && cost(one) > 0);
      const heading = metric === 'paper' ? 'At the scheduled widths (paper)' : 'At the multiplied widths (executed)';
      if (points.length < 2) {
        sentence(host, missing, heading);
        continue;
      }
      figure(host, scatterPlot(points, widthOf(host, 2), unit, quantity, cost, front), `accuracy-${name}-${metric}`, heading);
    }
  }
}

/// Every cost of every experiment in percent of the baseline.
function drawBaseline() {
  const host = place('baseline');
  host.replaceChildren();
  const rows = [{text: 'bit operations', of: (one, metric) => one[`${metric}_percent`]}];
  for (const accelerator of accelerators) {
    const kinds = [['arithmetic energy', 'arithmetic_percent'], ['total energy', 'energy_percent'], ['cycles', 'cycles_percent']]
      .map(([text, key]) => ({text, of: (one, metric) => hardwareOf(one, accelerator, metric)?.[key] ?? null}))
      .filter(({of}) => experiments.some((one) => of(one, 'paper') !== null || of(one, 'executed') !== null));
    if (kinds.length) rows.push({heading: accelerator}, ...kinds);
  }
  const values = rows.filter((row) => row.of).flatMap((row) => experiments.flatMap((one) =>
    ['paper', 'executed'].map((metric) => row.of(one, metric)))).filter((value) => value !== null);
  const width = widthOf(host);
  const single = experiments.length === 1;
  const lane = single ? 17 : 12;
  const lanes = single ? 2 : experiments.length;
  const entry = (kind, text, draw, e) => ({kind, text, draw, e});
  const first = experiments[0].kind;
  const legend = [
    ...(several ? experiments.map((one) => entry(one.kind, one.experiment + one.note, (group, x, y) =>
      svg('path', {class: 'mark', d: shapePath(one.e, x, y, 5)}, group), one.e)) : []),
    entry(single ? first : 'e8', 'paper: the scheduled widths', (group, x, y) => svg('path', {class: 'mark', d: shapePath(0, x, y, 5)}, group)),
    entry(single ? first : 'e8', 'executed: the multiplied widths', (group, x, y) => svg('path', {class: 'ring', d: shapePath(0, x, y, 6)}, group))];
  const layout = legendLayout(legend, width - 8);
  const left = Math.ceil(Math.max(...rows.map((row) => (row.of ? textWidth(row.text) + 10 : 0)))) + 12;
  const heights = rows.map((row) => (row.of ? lanes * lane + 9 : 26));
  const top = layout.height + 8, bottom = top + heights.reduce((a, b) => a + b, 0);
  const plot = emptyPlot(width, bottom + 44, 'Costs in percent of the baseline');
  drawLegend(plot, layout, 4, 0);
  const log = wantsLog(values);
  const high = Math.max(100, ...values);
  const x = log ? scale(Math.min(...values) / 1.3, high * 1.3, left, width - 40, true) : scale(0, high * 1.04, left, width - 40);
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
      if (executed !== null) svg('path', {class: 'ring', d: shapePath(one.e, x.at(executed), at(1), single ? 5 : 6)}, group);
      if (single && paper !== null) words(group, x.at(paper) + 10, at(0) + 4, three(paper), 'small');
      if (single && executed !== null) words(group, x.at(executed) + 10, at(1) + 4, three(executed), 'small');
      const said = [[paper, 'paper'], [executed, 'executed']].filter(([value]) => value !== null)
        .map(([value, metric]) => `${percentText(value)} (${metric})`).join(', ');
      titled(group, `${one.experiment}, ${row.heading ?? ''}${row.text}: ${said || 'cannot be priced'}`);
    });
    y += heights[r];
  });
  svg('line', {class: 'axis', x1: left, x2: width - 40, y1: bottom, y2: bottom}, plot);
  figure(host, plot, 'cost-beside-baseline');
}

/// Mean and standard deviation over an experiment's seeds, at the steps that all of them have.
function overSeeds(one, rows, step, value) {
  const bySeed = one.runs.map((run) => new Map(rows.filter((row) => row.run === run.run).map((row) => [row[step], row[value]])));
  if (!bySeed.length) return [];
  return [...bySeed[0].keys()].filter((at) => bySeed.every((seed) => seed.has(at))).map((at) => {
    const values = bySeed.map((seed) => seed.get(at));
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const square = values.reduce((a, b) => a + (b - mean) ** 2, 0);
    return {at, mean, deviation: values.length > 1 ? Math.sqrt(square / (values.length - 1)) : 0};
  });
}

/// A quantity over the steps, a plot for each data set and task.
function drawCurves(name, quantity, rows, step, value, range) {
  const host = place(name);
  host.replaceChildren();
  for (const {label, members} of comparisons) {
    const series = members.map((one) => ({one, e: one.e, kind: one.kind, points: overSeeds(one, rows, step, value)}))
      .filter(({points}) => points.length > 0);
    if (!series.length) {
      sentence(host, `There is no ${quantity} yet.`, comparisons.length > 1 ? label : null);
      continue;
    }
    const width = widthOf(host);
    const legend = several ? series.map(({one}) => ({e: one.e, kind: one.kind, text: one.experiment + one.note,
      draw: (group, x, y) => {
        svg('line', {class: 'line', x1: x - 11, x2: x + 11, y1: y, y2: y}, group);
        svg('path', {class: one.note ? 'unfinished' : 'mark', d: shapePath(one.e, x, y, 4.5)}, group);
      }})) : [];
    const all = series.flatMap(({points}) => points.flatMap(({mean, deviation}) => [mean - deviation, mean + deviation]));
    const means = series.flatMap(({points}) => points.map(({mean}) => mean));
    const {title, ...limits} = range(all, means);
    const end = Math.max(...series.map(({one}) => one.done));
    const frame = axes({width, height: Math.min(360, Math.max(260, width * 0.45)), legend, label: `${quantity} over the steps`,
      x: {low: 0, high: end, title: 'step', whole: true}, y: {...limits, title: title ?? quantity}});
    const clip = (at) => Math.min(frame.y.high, Math.max(frame.y.low, at));
    for (const {kind, e, points} of series) {
      if (!points.some(({deviation}) => deviation > 0)) continue;
      const edge = (sign, list) => list.map(({at, mean, deviation}) =>
        `${frame.x.at(at).toFixed(2)} ${frame.y.at(clip(mean + sign * deviation)).toFixed(2)}`).join('L');
      svg('path', {class: `band ${kind}`, 'data-e': e, d: `M${edge(1, points)}L${edge(-1, [...points].reverse())}Z`}, frame.plot);
    }
    const lines = series.map((one) => ({...one, points: one.points.map(({at, mean}) => [at, clip(mean)])}));
    drawLines(frame.plot, frame.x, frame.y, lines, false);
    for (const {one, points} of lines) {
      const every = Math.ceil(points.length / Math.max(4, width / 70));
      const group = svg('g', {class: one.kind, 'data-e': one.e}, frame.plot);
      points.forEach(([x, y], i) => {
        if (i % every && i + 1 < points.length) return;
        svg('path', {class: one.note && i + 1 === points.length ? 'unfinished' : 'mark',
          d: shapePath(one.e, frame.x.at(x), frame.y.at(y), points.length > 60 ? 3.5 : 4.5)}, group);
      });
    }
    readValues(frame, lines, quantity);
    figure(host, frame.plot, name, comparisons.length > 1 ? label : null);
  }
}

/// The value nearest to the pointer, in a box beside it.
function readValues(frame, lines, quantity) {
  const tip = document.getElementById('tip');
  const focus = svg('circle', {class: 'focus', r: 6, visibility: 'hidden'}, frame.plot);
  const hide = () => { tip.hidden = true; focus.setAttribute('visibility', 'hidden'); };
  frame.plot.addEventListener('pointerleave', hide);
  frame.plot.addEventListener('pointermove', (event) => {
    const box = frame.plot.getBoundingClientRect(), zoom = frame.plot.viewBox.baseVal.width / box.width;
    const px = (event.clientX - box.left) * zoom, py = (event.clientY - box.top) * zoom;
    let nearest = null;
    for (const {one, points} of lines) {
      for (const [x, y] of points) {
        const distance = Math.hypot(frame.x.at(x) - px, frame.y.at(y) - py);
        if (!nearest || distance < nearest.distance) nearest = {distance, one, x, y};
      }
    }
    if (!nearest || nearest.distance > 40) { hide(); return; }
    focus.setAttribute('cx', frame.x.at(nearest.x));
    focus.setAttribute('cy', frame.y.at(nearest.y));
    focus.setAttribute('visibility', 'visible');
    tip.textContent = `${nearest.one.experiment}, step ${nearest.x.toLocaleString('en-US')}: ${quantity} ` +
      nearest.y.toLocaleString('en-US', {maximumSignificantDigits: 6});
    tip.hidden = false;
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${Math.max(4, event.clientY - tip.offsetHeight - 10)}px`;
  });
}

/// The widths over the steps, a strip for each schedule.
function drawBits() {
  const host = place('bits');
  host.replaceChildren();
  const strips = [];
  for (const one of experiments) {
    const rows = data.bits.filter((row) => row.experiment === one.experiment);
    const key = JSON.stringify(rows.map((row) => [row.first, row.last, row.forward, row.gradient]));
    const same = strips.find((strip) => strip.key === key);
    if (same) same.members.push(one);
    else strips.push({key, rows, members: [one]});
  }
  const width = widthOf(host);
  const bits = data.bits.flatMap((row) => [row.forward, row.gradient]);
  const low = Math.min(...bits) - 0.5, high = Math.max(...bits) + 0.5;
  const last = Math.max(...experiments.map((one) => one.done));
  const height = 64, gap = several ? 46 : 30, left = 34, right = width - 14;
  const plot = emptyPlot(width, strips.length * (height + gap) + 44, 'Bits over the steps');
  const x = scale(0, last, left, right);
  strips.forEach(({rows, members}, s) => {
    const top = s * (height + gap) + gap - 4, bottom = top + height;
    const y = scale(low, high, bottom, top);
    const names = members.map((one) => one.experiment + one.note).join(', ');
    if (several) svg('title', {}, words(plot, 4, top - 22, fitted(names, width - 8), 'strong'), names);
    words(plot, 4, top - 7, 'bits', 'quiet small');
    for (const tick of fittingTicks(y, () => 11, 4, true, 16)) {
      svg('line', {class: 'grid', x1: left, x2: right, y1: y.at(tick), y2: y.at(tick)}, plot);
      words(plot, left - 7, y.at(tick) + 4, tickText(tick), 'tick small', 'end');
    }
    const end = rows.at(-1).last + 1;
    const way = (key) => [...rows.map((row) => [row.first, row[key]]), [end, rows.at(-1)[key]]];
    drawLines(plot, x, y, members.map((one) => ({e: one.e, kind: one.kind, points: way('forward')})), true);
    const gradient = way('gradient').map(([step, value]) => [x.at(step).toFixed(2), y.at(value).toFixed(2)]);
    svg('path', {class: 'second', d: `M${gradient[0].join(' ')}` + gradient.slice(1).map(([px, py]) => `H${px}V${py}`).join('')}, plot);
    svg('line', {class: 'axis', x1: left, x2: right, y1: bottom, y2: bottom}, plot);
  });
  const bottom = strips.length * (height + gap) - 4;
  for (const tick of fittingTicks(x, textWidth, 14, true)) {
    const half = textWidth(tickText(tick)) / 2;
    words(plot, Math.min(x.at(tick), width - 1 - half), bottom + 17, tickText(tick), 'tick', 'middle');
  }
  words(plot, right, bottom + 34, 'step', 'quiet', 'end');
  figure(host, plot, 'bits');
}

/// Bars by layer, a column for each part, all to the scale of `all` rows; and the sum as a number.
function layerBars(rows, all, parts, width, label, wanted) {
  const {scale: size, unit} = prefixed(Math.max(...all.map((row) => row.total ?? 0)), wanted);
  const line = 16;
  const name = Math.min(Math.ceil(Math.max(...all.map((row) => textWidth(row.layer, 11)))), Math.floor(width * 0.42)) + 12;
  const sums = Math.ceil(Math.max(textWidth(`sum (${unit})`, 11), ...all.map((row) => textWidth(three((row.total ?? 0) / size), 11)))) + 10;
  const column = (width - name - sums) / parts.length;
  const largest = Math.max(...all.flatMap((row) => parts.map(({key}) => row[key])));
  const headings = parts.map(({heading}) => (textWidth(heading, 11) <= column - 8 ? [heading] : heading.split(' ')));
  const top = 14 * Math.max(...headings.map((lines) => lines.length)) + 10;
  const plot = emptyPlot(width, top + rows.length * line + 8, label);
  headings.forEach((lines, p) => {
    lines.forEach((text, i) => words(plot, name + p * column, top - 10 - 14 * (lines.length - 1 - i), fitted(text, column - 3, 11), 'quiet small'));
  });
  words(plot, width - 2, top - 10, `sum (${unit})`, 'quiet small', 'end');
  rows.forEach((row, r) => {
    const y = top + r * line;
    const group = svg('g', {}, plot);
    if (r % 2 === 0) svg('rect', {class: 'stripe', x: 0, y, width, height: line}, group);
    words(group, 4, y + 12, fitted(row.layer, name - 10, 11), 'small');
    parts.forEach(({key}, p) => {
      if (row[key] > 0) svg('rect', {class: 'bar', x: name + p * column, y: y + 3, height: line - 6,
        width: Math.max(0.75, (column - 10) * row[key] / largest)}, group);
    });
    words(group, width - 2, y + 12, three((row.total ?? 0) / size), 'small', 'end');
    titled(group, `${row.layer}: ` + parts.map(({key, heading}) => `${heading} ${three((row[key] ?? 0) / size)} ${unit}`).join(', '));
  });
  parts.forEach((part, p) => svg('line', {class: 'axis', x1: name + p * column, x2: name + p * column, y1: top,
    y2: top + rows.length * line}, plot));
  return plot;
}
function drawLayers() {
  const experiment = document.getElementById('experiment').value, metric = document.getElementById('metric').value;
  const accelerator = chosenAccelerator();
  let table = null;
  for (const one of document.querySelectorAll('details.layers')) {
    one.hidden = !(one.dataset.experiment === experiment && one.dataset.accelerator === accelerator && one.dataset.metric === metric);
    if (!one.hidden) table = one.querySelector('table');
  }
  const hosts = ['passes', 'components'].map(place);
  hosts.forEach((host) => host.replaceChildren());
  const {refusal: reason, unit} = hardwareOf(experiments.find((one) => one.experiment === experiment), accelerator, metric);
  if (!table) {
    sentence(hosts[0], reason ? `This cannot be priced: ${reason}.` : 'The model of this accelerator has no energy.');
    return;
  }
  if (!table.layerRows) {  // read before anybody sorts it, and in J
    const inUnit = unit === 'J' ? 1e-3 : 1;
    table.layerRows = records(table).map((row) => Object.fromEntries(Object.entries(row)
      .map(([key, value]) => [key, typeof value === 'number' ? value * inUnit : value])));
  }
  const rows = table.layerRows;
  const parts = [['forward', 'forward'], ['error', 'error'], ['weight_gradient', 'weight gradient']];
  const places = [['arithmetic', 'arithmetic'], ['buffers', 'buffers'], ['dram', 'DRAM'], ['leakage', 'leakage']];
  // On paper a tall plot would be cut anywhere: it becomes several that fit.
  const most = forcedWidth ? 34 : rows.length;
  [[hosts[0], parts, 'by pass'], [hosts[1], places, 'by component']].forEach(([host, list, kind]) => {
    const columns = list.map(([key, heading]) => ({key, heading})).filter(({key}) => rows.some((row) => row[key] > 0));
    for (let begin = 0; begin < rows.length; begin += most) {
      figure(host, layerBars(rows.slice(begin, begin + most), rows, columns, widthOf(host), `Energy of every layer ${kind}`, unit),
        `energy-${kind.replace(' ', '-')}`, begin === 0 ? `Energy ${kind}` : null);
    }
  });
}

const chosenAccelerator = () => document.querySelector('select.accelerator').value;
const listed = (words) => (words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`);
/// What the experiment with the fewest bit operations saves, in bit operations and in energy.
function headline() {
  const best = experiments.filter((one) => one.paper_percent !== null).sort((a, b) => a.paper_percent - b.paper_percent)[0];
  if (!best || best.paper_percent >= 100) return '';
  const told = accelerators.map((name) => ({name, percent: hardwareOf(best, name, 'paper')?.energy_percent ?? null}))
    .filter(({percent}) => percent !== null)
    .map(({name, percent}) => (percent <= 100 ? `${percentText(100 - percent)} less` : `${percentText(percent - 100)} more`) + ` on ${name}`);
  return `${best.experiment} takes ${percentText(100 - best.paper_percent)} fewer bit operations than the baseline (metric paper)` +
    (told.length ? `, and its energy is ${listed(told)}.` : '.');
}

function drawEnergy() {
  const accelerator = chosenAccelerator();
  const row = (one, metric) => hardwareOf(one, accelerator, metric);
  drawScatter('energy', data.hardware.find((one) => one.accelerator === accelerator).unit, `energy on ${accelerator}`, (metric) => ({cost: (one) => row(one, metric)?.energy ?? 0,
    front: (one) => row(one, metric)?.front === 'yes',
    missing: experiments.map((one) => row(one, metric)?.refusal).find((text) => text) ?? 'The model of this accelerator has no energy.'}));
}
function draw() {
  drawScatter('bitops', 'BitOPs', 'bit operations', (metric) => ({cost: (one) => one[metric] * 1e9,
    front: (one) => one[`${metric}_front`] === 'yes', missing: ''}));
  drawEnergy();
  drawBaseline();
  drawCurves('accuracy', 'test accuracy (%)', data.evaluations, 'step', 'accuracy', (all) => accuracyRange(all, false));
  drawCurves('loss', 'training loss', data.loss, 'last', 'loss', (all, means) => {
    const log = means.every((mean) => mean > 0) && wantsLog(means);
    const low = Math.min(...means), high = Math.max(...means);
    return log ? {low: low / 1.2, high: high * 1.2, log, title: 'training loss, logarithmic'} : {low: Math.min(0, low), high: Math.max(high * 1.05, 1e-9)};
  });
  drawBits();
  drawLayers();
}

function choices(select, values, changed) {
  for (const value of values) {
    const option = document.createElement('option');
    option.value = option.textContent = value;
    select.append(option);
  }
  select.addEventListener('change', () => changed(select.value));
}

function start() {
  document.documentElement.classList.add('scripts');
  equipTables();
  const selects = document.querySelectorAll('select.accelerator');
  selects.forEach((select) => choices(select, accelerators, (value) => {
    selects.forEach((other) => { other.value = value; });
    drawEnergy();
    drawLayers();
  }));
  choices(document.getElementById('experiment'), experiments.map((one) => one.experiment), drawLayers);
  choices(document.getElementById('metric'), ['paper', 'executed'], drawLayers);
  const comparable = comparisons.some(({members}) => members.filter((one) => one.accuracy !== null).length > 1);
  document.querySelectorAll('.needs-points').forEach((section) => { section.hidden = !comparable; });
  document.querySelectorAll('.seeds').forEach((text) => { text.hidden = !experiments.some((one) => one.runs.length > 1); });
  document.getElementById('headline').textContent = headline();
  draw();

  let width = document.documentElement.clientWidth;
  window.addEventListener('resize', () => {
    if (document.documentElement.clientWidth === width) return;
    width = document.documentElement.clientWidth;
    requestAnimationFrame(draw);
  });
  // A click on an experiment, in a legend or in a plot, makes the others fade; another click brings them back.
  let marked = null;
  document.querySelector('main').addEventListener('click', (event) => {
    const hit = event.target.closest('svg.plot [data-e]');
    if (!hit || hit.dataset.e === '' || !several) return;
    marked = marked === hit.dataset.e ? null : hit.dataset.e;
    document.querySelectorAll('svg.plot [data-e]').forEach((part) => {
      part.classList.toggle('faded', marked !== null && part.dataset.e !== '' && part.dataset.e !== marked);
    });
  });
  // On paper nothing can be opened: tables of up to sixty rows and the configs are shown, and closed again afterwards.
  const opened = [];
  window.addEventListener('beforeprint', () => {
    for (const one of document.querySelectorAll('details:not([open]):not([hidden])')) {
      if ((one.querySelector('table')?.tBodies[0].rows.length ?? 0) > 60) continue;
      one.open = true;
      opened.push(one);
    }
    for (const table of document.querySelectorAll('table')) {
      if (table.tHead.rows[0].cells.length > 11 && table.offsetParent) turnedTable(table);
    }
    forcedWidth = 980;
    draw();
  });
  window.addEventListener('afterprint', () => {
    opened.splice(0).forEach((one) => { one.open = false; });
    document.querySelectorAll('.on-paper').forEach((one) => one.remove());
    forcedWidth = 0;
    draw();
  });
  document.body.dataset.plots = document.querySelectorAll('svg.plot').length;
}
start();
