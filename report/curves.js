// SPDX-License-Identifier: Apache-2.0
// Accuracy, loss and bits over the steps.
'use strict';

/// Mean and standard deviation over an experiment's seeds, at the steps that all of them have.
function overSeeds(one, rows, step, value) {
  const bySeed =
    one.runs.map((run) => new Map(rows.filter((row) => row.run === run.run).map((row) => [row[step], row[value]])));
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
  const host = figure_host(name);
  host.replaceChildren();
  for (const {label, members} of comparisons) {
    const series = members.map((one) => ({one, e: one.e, kind: one.kind, points: overSeeds(one, rows, step, value)}))
                     .filter(({points}) => points.length > 0);
    if (!series.length) {
      sentence(host, `There is no ${quantity} yet.`, comparisons.length > 1 ? label : null);
      continue;
    }
    const width = widthOf(host);
    const legend = several ?
      series.map(({one}) => ({
                   e: one.e,
                   kind: one.kind,
                   text: one.experiment + one.note,
                   draw: (group, x, y) => {
                     svg('line', {class: 'line', x1: x - 11, x2: x + 11, y1: y, y2: y}, group);
                     svg('path', {class: one.note ? 'unfinished' : 'mark', d: shapePath(one.e, x, y, 4.5)}, group);
                   }
                 })) :
      [];
    const all =
      series.flatMap(({points}) => points.flatMap(({mean, deviation}) => [mean - deviation, mean + deviation]));
    const means = series.flatMap(({points}) => points.map(({mean}) => mean));
    const {title, ...limits} = range(all, means);
    const end = Math.max(...series.map(({one}) => one.done));
    const frame = axes({
      width,
      height: Math.min(360, Math.max(260, width * 0.45)),
      legend,
      label: `${quantity} over the steps`,
      x: {low: 0, high: end, title: 'step', whole: true},
      y: {...limits, title: title ?? quantity}
    });
    const clip = (at) => Math.min(frame.y.high, Math.max(frame.y.low, at));
    for (const {kind, e, points} of series) {
      if (!points.some(({deviation}) => deviation > 0)) continue;
      const edge = (sign, list) =>
        list
          .map(
            ({at, mean, deviation}) =>
              `${frame.x.at(at).toFixed(2)} ${frame.y.at(clip(mean + sign * deviation)).toFixed(2)}`)
          .join('L');
      svg(
        'path', {class: `band ${kind}`, 'data-e': e, d: `M${edge(1, points)}L${edge(-1, [...points].reverse())}Z`},
        frame.plot);
    }
    const lines = series.map((one) => ({...one, points: one.points.map(({at, mean}) => [at, clip(mean)])}));
    drawLines(frame.plot, frame.x, frame.y, lines, false);
    for (const {one, points} of lines) {
      const every = Math.ceil(points.length / Math.max(4, width / 70));
      const group = svg('g', {class: one.kind, 'data-e': one.e}, frame.plot);
      points.forEach(([x, y], i) => {
        if (i % every && i + 1 < points.length) return;
        svg(
          'path', {
            class: one.note && i + 1 === points.length ? 'unfinished' : 'mark',
            d: shapePath(one.e, frame.x.at(x), frame.y.at(y), points.length > 60 ? 3.5 : 4.5)
          },
          group);
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
  const hide = () => {
    tip.hidden = true;
    focus.setAttribute('visibility', 'hidden');
  };
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
    if (!nearest || nearest.distance > 40) {
      hide();
      return;
    }
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
  const host = figure_host('bits');
  host.replaceChildren();
  const strips = [];
  for (const one of experiments) {
    const rows = data.bits.filter((row) => row.experiment === one.experiment);
    const key = JSON.stringify(rows.map((row) => [row.first, row.last, row.forward, row.gradient]));
    const same = strips.find((strip) => strip.key === key);
    if (same)
      same.members.push(one);
    else
      strips.push({key, rows, members: [one]});
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
    if (several) {
      const heading = svg('g', {}, plot);
      words(heading, 4, top - 22, fitted(names, width - 8, 12, 600), 'strong');
      titled(heading, names);
    }
    words(plot, 4, top - 7, 'bits', 'quiet small');
    for (const tick of fittingTicks(y, () => 11, 4, true, 16)) {
      svg('line', {class: 'grid', x1: left, x2: right, y1: y.at(tick), y2: y.at(tick)}, plot);
      words(plot, left - 7, y.at(tick) + 4, tickText(tick), 'tick small', 'end');
    }
    const end = rows.at(-1).last + 1;
    const way = (key) => [...rows.map((row) => [row.first, row[key]]), [end, rows.at(-1)[key]]];
    drawLines(plot, x, y, members.map((one) => ({e: one.e, kind: one.kind, points: way('forward')})), true);
    const gradient = way('gradient').map(([step, value]) => [x.at(step).toFixed(2), y.at(value).toFixed(2)]);
    svg(
      'path',
      {class: 'second', d: `M${gradient[0].join(' ')}` + gradient.slice(1).map(([px, py]) => `H${px}V${py}`).join('')},
      plot);
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
