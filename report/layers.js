// SPDX-License-Identifier: Apache-2.0
// The energy of every layer of one experiment on one accelerator.
'use strict';

/// Bars by layer, a column for each part, all to the scale of `all` rows; and the sum as a number.
function layerBars(rows, all, parts, width, label, wanted) {
  const {scale: size, unit} = prefixed(Math.max(...all.map((row) => row.total ?? 0)), wanted);
  const line = 16;
  const name =
    Math.min(Math.ceil(Math.max(...all.map((row) => textWidth(row.layer, 11)))), Math.floor(width * 0.42)) + 12;
  const sums = Math.ceil(Math.max(
                 textWidth(`sum (${unit})`, 11), ...all.map((row) => textWidth(three((row.total ?? 0) / size), 11)))) +
    10;
  const column = (width - name - sums) / parts.length;
  const largest = Math.max(...all.flatMap((row) => parts.map(({key}) => row[key])));
  const headings = parts.map(({heading}) => (textWidth(heading, 11) <= column - 8 ? [heading] : heading.split(' ')));
  const top = 14 * Math.max(...headings.map((lines) => lines.length)) + 10;
  const plot = emptyPlot(width, top + rows.length * line + 8, label);
  headings.forEach((lines, p) => {
    lines.forEach(
      (text, i) => words(
        plot, name + p * column, top - 10 - 14 * (lines.length - 1 - i), fitted(text, column - 3, 11), 'quiet small'));
  });
  words(plot, width - 2, top - 10, `sum (${unit})`, 'quiet small', 'end');
  rows.forEach((row, r) => {
    const y = top + r * line;
    const group = svg('g', {}, plot);
    if (r % 2 === 0) svg('rect', {class: 'stripe', x: 0, y, width, height: line}, group);
    words(group, 4, y + 12, fitted(row.layer, name - 10, 11), 'small');
    parts.forEach(({key}, p) => {
      if (row[key] > 0)
        svg(
          'rect', {
            class: 'bar',
            x: name + p * column,
            y: y + 3,
            height: line - 6,
            width: Math.max(0.75, (column - 10) * row[key] / largest)
          },
          group);
    });
    words(group, width - 2, y + 12, three((row.total ?? 0) / size), 'small', 'end');
    titled(
      group,
      `${row.layer}: ` +
        parts.map(({key, heading}) => `${heading} ${three((row[key] ?? 0) / size)} ${unit}`).join(', '));
  });
  parts.forEach(
    (part, p) => svg(
      'line', {class: 'axis', x1: name + p * column, x2: name + p * column, y1: top, y2: top + rows.length * line},
      plot));
  return plot;
}
function drawLayers() {
  const experiment = document.getElementById('experiment').value, metric = document.getElementById('metric').value;
  const accelerator = chosenAccelerator();
  let table = null;
  for (const one of document.querySelectorAll('details.layers')) {
    one.hidden =
      !(one.dataset.experiment === experiment && one.dataset.accelerator === accelerator &&
        one.dataset.metric === metric);
    if (!one.hidden) table = one.querySelector('table');
  }
  const hosts = ['passes', 'components'].map(figure_host);
  hosts.forEach((host) => host.replaceChildren());
  const {refusal: reason, unit} =
    hardwareOf(experiments.find((one) => one.experiment === experiment), accelerator, metric);
  if (!table) {
    sentence(hosts[0], whyMissing(reason));
    return;
  }
  if (!table.layerRows) {  // read before anybody sorts it, and in J
    const inUnit = unit === 'J' ? 1e-3 : 1;
    table.layerRows = records(table).map(
      (row) => Object.fromEntries(
        Object.entries(row).map(([key, value]) => [key, typeof value === 'number' ? value * inUnit : value])));
  }
  const rows = table.layerRows;
  const parts = [['forward', 'forward'], ['error', 'error'], ['weight_gradient', 'weight gradient']];
  const levels = [['arithmetic', 'compute'], ['buffers', 'buffers'], ['dram', 'DRAM'], ['leakage', 'leakage']];
  // On paper a tall plot would be cut anywhere: it becomes several that fit.
  const most = forcedWidth ? 34 : rows.length;
  [[hosts[0], parts, 'by pass'], [hosts[1], levels, 'by component']].forEach(([host, list, kind]) => {
    const columns = list.map(([key, heading]) => ({key, heading})).filter(({key}) => rows.some((row) => row[key] > 0));
    for (let begin = 0; begin < rows.length; begin += most) {
      figure(
        host,
        layerBars(rows.slice(begin, begin + most), rows, columns, widthOf(host), `Energy of every layer ${kind}`, unit),
        `energy-${kind.replace(' ', '-')}`, begin === 0 ? `Energy ${kind}` : null);
    }
  });
}
