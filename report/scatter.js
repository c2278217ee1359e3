// SPDX-License-Identifier: Apache-2.0
// Accuracy against bit operations and against energy, with a Pareto front for each data set and task.
'use strict';

const qualityText = (value) => perplexities ? `perplexity ${three(value)}` : percentText(value);
/// Accuracies end at 100 %, which is what can be reached; the axis begins a little below the lowest one. Perplexities
/// end a little above the highest one.
function accuracyRange(values) {
  const low = Math.min(...values);
  if (perplexities) {
    const high = Math.max(...values), margin = (high - low || high) * 0.08;
    if (low > 0 && wantsLog(values)) return {low: low / 1.2, high: high * 1.2, log: true};
    return {low: Math.max(0, low - margin), high: high + margin};
  }
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10].find((size) => size * 5 >= 100 - low) ?? 20;
  return {low: Math.max(0, Math.floor((low - step / 4) / step) * step), high: 100};
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
    taken.push({
      left: Math.min(x1, x2) - 2,
      right: Math.max(x1, x2) + 2,
      top: Math.min(y1, y2) - 2,
      bottom: Math.max(y1, y2) + 2
    });
  }
  const hits = (box) => box.left < frame.left + 2 || box.right > frame.right || box.top < frame.top - 6 ||
    box.bottom > frame.bottom - 2 ||
    taken.some(
      (other) => box.left < other.right && box.right > other.left && box.top < other.bottom && box.bottom > other.top);
  const labels = [];
  for (const point of points) {
    const text = fitted(point.text, 170), width = textWidth(text);
    const spots = [
      [11, 4, 'start'], [-11, 4, 'end'], [0, -12, 'middle'], [0, 21, 'middle'], [10, -9, 'start'], [10, 17, 'start'],
      [-10, -9, 'end'], [-10, 17, 'end'], [0, -26, 'middle'], [0, 35, 'middle'], [10, -22, 'start'], [-10, -22, 'end'],
      [10, 30, 'start'], [-10, 30, 'end']
    ];
    const found = spots
                    .map(([dx, dy, anchor]) => {
                      const x = point.x + dx, y = point.y + dy;
                      const left = anchor === 'start' ? x : anchor === 'end' ? x - width : x - width / 2;
                      return {x, y, anchor, box: {left: left - 3, right: left + width + 3, top: y - 12, bottom: y + 4}};
                    })
                    .find(({box}) => !hits(box));
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
/// Points are named beside them, or else by a legend; null where `named` asks for names and there is no room for them.
function scatterPlot(members, width, unit, costName, cost, front, named) {
  const {scale: size, unit: prefix} = prefixed(Math.max(...members.map(cost)), unit);
  const spread = members.flatMap((one) => [one.accuracy - (one.deviation ?? 0), one.accuracy + (one.deviation ?? 0)]);
  const entry = (one) => ({
    e: one.e,
    kind: one.kind,
    text: one.experiment + one.note,
    draw: (group, x, y) => svg('path', {class: one.note ? 'unfinished' : 'mark', d: shapePath(one.e, x, y, 6)}, group)
  });
  const frame = axes({
    width,
    height: Math.min(380, Math.max(300, width * 0.6)),
    legend: named ? [] : members.map(entry),
    label: `${perplexities ? 'Perplexity' : 'Accuracy'} against ${costName}`,
    x: {...costRange(members.map((one) => cost(one) / size)), title: `${costName} (${prefix})`},
    y: {...accuracyRange(spread), title: qualityName}
  });
  const where = (one) => ({x: frame.x.at(cost(one) / size), y: frame.y.at(one.accuracy)});
  const best = members.filter(front).sort((a, b) => cost(a) - cost(b)).map(where);
  const lines = [];
  if (best.length) {
    const worst = perplexities ? frame.top : frame.bottom;
    let [x, y] = [best[0].x, worst];
    for (const next of best) {
      lines.push([x, y, next.x, y], [next.x, y, next.x, next.y]);
      ({x, y} = next);
    }
    lines.push([x, y, frame.right, y]);
    svg(
      'path',
      {class: 'front', d: `M${best[0].x} ${worst}` + lines.map((line) => `L${line[2]} ${line[3]}`).join('')},
      frame.plot);
  }
  const points = members.map((one, i) => {
    const {x, y} = where(one);
    // Of marks that coincide, those below are larger, so that all of them can be seen.
    const above = members.slice(i + 1).filter((other) => Math.hypot(where(other).x - x, where(other).y - y) < 3).length;
    const group = svg('g', {class: one.kind, 'data-e': one.e}, frame.plot);
    if (one.deviation > 0) {
      const [from, to] = [one.accuracy - one.deviation, Math.min(perplexities ? Infinity : 100, one.accuracy + one.deviation)].map(frame.y.at);
      lines.push([x, from, x, to]);
      svg('path', {class: 'whisker', d: `M${x} ${from}V${to}M${x - 4} ${from}h8M${x - 4} ${to}h8`}, group);
    }
    svg(
      'path', {class: one.note ? 'unfinished' : 'mark', d: shapePath(one.e, x, y, 7 + 2.5 * Math.min(above, 4))},
      group);
    titled(group, `${one.experiment}${one.note}: ${qualityText(one.accuracy)}, ${three(cost(one) / size)} ${prefix}`);
    return {x, y, e: one.e, text: one.experiment + (one.note ? ' (unfinished)' : '')};
  });
  return named && !labelPoints(frame, points, lines) ? null : frame.plot;
}

/// Two panels, `paper` and `executed`, for each data set and task that has two points to compare.
function drawScatter(name, unit, quantity, costs) {
  const host = figure_host(name);
  host.replaceChildren();
  host.classList.add('pair');
  for (const {label, members} of comparisons) {
    if (members.filter((one) => one.accuracy !== null).length < 2) continue;
    if (comparisons.length > 1) {
      const title = document.createElement('h3');
      title.textContent = label;
      host.append(title);
    }
    const panels = ['paper', 'executed'].map((metric) => {
      const {cost, front, missing} = costs(metric);
      const points = members.filter((one) => one.accuracy !== null && cost(one) > 0);
      const heading = metric === 'paper' ? 'At the scheduled widths (paper)' : 'At the multiplied widths (executed)';
      const draw =
        points.length > 1 && ((named) => scatterPlot(points, widthOf(host, 2), unit, quantity, cost, front, named));
      return {heading, missing, draw, file: `accuracy-${name}-${metric}`};
    });
    const drawn = (named) => panels.map(({draw}) => draw && draw(named));
    const named = drawn(true);  // both panels alike
    const plots = named.includes(null) ? drawn(false) : named;
    panels.forEach(({heading, missing, file}, i) => {
      if (plots[i])
        figure(host, plots[i], file, heading);
      else
        sentence(host, missing, heading);
    });
  }
}

function drawEnergy() {
  const accelerator = chosenAccelerator();
  const row = (one, metric) => hardwareOf(one, accelerator, metric);
  drawScatter(
    'energy', data.hardware.find((one) => one.accelerator === accelerator).unit, `energy on ${accelerator}`,
    (metric) => ({
      cost: (one) => row(one, metric)?.energy ?? 0,
      front: (one) => row(one, metric)?.front === 'yes',
      missing: whyMissing(experiments.map((one) => row(one, metric)?.refusal).find((text) => text))
    }));
}
