// SPDX-License-Identifier: Apache-2.0
// Plots as SVG: scales, axes whose labels never overlap, marks, lines, legends; and saving one as PNG. Text is measured
// before it is placed.
'use strict';

const kSvg = 'http://www.w3.org/2000/svg';

function svg(tag, attributes = {}, parent = null, text = null) {
  const made = document.createElementNS(kSvg, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== null) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

const ruler = document.createElement('canvas').getContext('2d');
function textWidth(text, size = 12, weight = 400) {
  ruler.font = `${weight} ${size}px system-ui, "Segoe UI", "DejaVu Sans", sans-serif`;
  return ruler.measureText(text).width;
}
/// The text, its middle left out where it is wider than `width`.
function fitted(text, width, size = 12, weight = 400) {
  if (textWidth(text, size, weight) <= width) return text;
  for (let keep = text.length - 1; keep > 2; keep -= 1) {
    const short = text.slice(0, Math.ceil(keep / 2)) + '\u2026' + text.slice(text.length - Math.floor(keep / 2));
    if (textWidth(short, size, weight) <= width) return short;
  }
  return '\u2026';
}

/// Three significant digits, thousands separated.
const three = (value) => {
  const rounded = Number(value.toPrecision(3));
  return Math.abs(rounded) < 1e-4 && rounded !== 0 ?
    rounded.toExponential() :
    rounded.toLocaleString('en-US', {maximumSignificantDigits: 3, minimumSignificantDigits: 3});
};
/// Scale and prefixed unit in which the largest value has one to three digits before the point.
function prefixed(largest, unit) {
  if (unit === 'units') {
    const names =
      [[1e12, 'trillion units'], [1e9, 'billion units'], [1e6, 'million units'], [1e3, 'thousand units'], [1, 'units']];
    const [scale, name] = names.find(([size]) => largest >= size) || names.at(-1);
    return {scale, unit: name};
  }
  const prefixes = [
    [1e18, 'E'], [1e15, 'P'], [1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k'], [1, ''], [1e-3, 'm'], [1e-6, 'µ'],
    [1e-9, 'n'], [1e-12, 'p']
  ];
  const [scale, prefix] = prefixes.find(([size]) => largest >= size) || prefixes.at(-1);
  return {scale, unit: prefix + unit};
}

/// Steps of 1, 2 or 5 times a power of ten that give about `count` ticks; whole numbers only where `whole`.
function linearTicks(low, high, count, whole = false) {
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999);
  if (whole) step = Math.max(1, Math.round(step));
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1)
    ticks.push(Number((i * step).toPrecision(12)));
  return ticks;
}
function logTicks(low, high, factors) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const factor of factors) {
      const tick = Number((factor * 10 ** power).toPrecision(12));
      if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push(tick);
    }
  }
  return ticks;
}
const tickText = (value) =>
  (value !== 0 && Math.abs(value) < 1e-4 ? value.toExponential() :
                                           value.toLocaleString('en-US', {maximumSignificantDigits: 6}));

/// A scale asks for a logarithm where its largest value is twenty times its smallest.
const wantsLog = (values) => {
  const positive = values.filter((value) => value > 0);
  return positive.length === values.length && values.length > 1 && Math.max(...values) / Math.min(...values) >= 20;
};
function scale(low, high, from, to, log = false) {
  const map = log ? Math.log : (value) => value;
  const at = (value) => from + (to - from) * (map(value) - map(low)) / (map(high) - map(low));
  return {low, high, log, from, to, at};
}
/// Ticks whose labels keep `gap` pixels between them; `extent` gives a label's size along the axis.
function fittingTicks(axis, extent, gap, whole = false, spacing = 40) {
  const length = Math.abs(axis.to - axis.from);
  const candidates = axis.log ?
    [[1, 2, 5], [1, 3], [1]].map((factors) => logTicks(axis.low, axis.high, factors)) :
    Array.from(
      {length: 12}, (_, i) => linearTicks(axis.low, axis.high, Math.max(1, Math.min(12 - i, length / spacing)), whole));
  const fits = (ticks) => ticks.every(
    (tick, i) => i === 0 ||
      Math.abs(axis.at(tick) - axis.at(ticks[i - 1])) >=
        (extent(tickText(tick)) + extent(tickText(ticks[i - 1]))) / 2 + gap);
  return candidates.find((ticks) => ticks.length > 0 && fits(ticks)) || candidates.at(-1).slice(0, 1);
}

const kShapes = (() => {  // of one size as the eye sees it, about the origin, radius 1
  const polygon = (n, turn, r) => Array.from({length: n}, (_, i) => {
    const angle = 2 * Math.PI * (i / n) + turn;
    return [r * Math.sin(angle), -r * Math.cos(angle)];
  });
  const plus = [
    [-.38, -1.1], [.38, -1.1], [.38, -.38], [1.1, -.38], [1.1, .38], [.38, .38], [.38, 1.1], [-.38, 1.1], [-.38, .38],
    [-1.1, .38], [-1.1, -.38], [-.38, -.38]
  ];
  const turned = plus.map(([x, y]) => [(x - y) * .7071, (x + y) * .7071]);
  return [
    polygon(32, 0, 1), polygon(4, Math.PI / 4, 1.25), polygon(3, 0, 1.35), polygon(4, 0, 1.3),
    polygon(3, Math.PI, 1.35), plus, polygon(6, 0, 1.15), turned
  ];
})();
function shapePath(shape, x, y, radius) {
  return 'M' +
    kShapes[shape % kShapes.length]
      .map(([dx, dy]) => `${(x + radius * dx).toFixed(2)} ${(y + radius * dy).toFixed(2)}`)
      .join('L') +
    'Z';
}

function emptyPlot(width, height, title) {
  const plot =
    svg('svg', {class: 'plot', width, height, viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': title});
  return plot;
}
function words(plot, x, y, text, kind = '', anchor = 'start') {
  return svg('text', {x: x.toFixed(1), y: y.toFixed(1), class: kind, 'text-anchor': anchor}, plot, text);
}

/// Where each entry of a legend goes: one row where it has room for all; else columns, or, where one long entry leaves
/// no room for a second column, rows as they fill.
function legendLayout(entries, width) {
  const texts = entries.map((entry) => fitted(entry.text, width - 24));
  const sizes = texts.map((text) => 22 + textWidth(text) + 16);
  const one = sizes.reduce((a, b) => a + b, -16) <= width;
  const column = Math.max(...sizes), columns = Math.floor((width + 16) / column);
  let x = 0, row = 0;
  const labels = entries.map((entry, i) => {
    if (!one && columns > 1) return {x: (i % columns) * column, y: Math.floor(i / columns) * 19, text: texts[i], entry};
    if (x > 0 && x + sizes[i] - 16 > width) {
      x = 0;
      row += 1;
    }
    x += sizes[i];
    return {x: x - sizes[i], y: row * 19, text: texts[i], entry};
  });
  return {labels, height: labels.length ? labels.at(-1).y + 23 : 0};
}
function drawLegend(plot, layout, left, top) {
  for (const {x, y, text, entry} of layout.labels) {
    const group = svg('g', {class: entry.kind ?? '', 'data-e': entry.e ?? ''}, plot);
    const middle = top + y + 9;
    entry.draw(group, left + x + 8, middle);
    words(group, left + x + 22, middle + 4, text);
    svg('title', {}, group, entry.title ?? entry.text);
  }
}

/// Axes of a plot: a title above, ticks, a grid. `x` and `y`: {low, high, log, title, whole, ticks}.
/// Returns the plot's SVG and its two scales.
function axes({width, height, x, y, legend = [], label}) {
  const layout = legendLayout(legend, width - 8);
  const top = layout.height + 26, bottom = 40;
  const plot = emptyPlot(width, height + layout.height, label);
  drawLegend(plot, layout, 4, 0);
  const yScale = scale(y.low, y.high, height + layout.height - bottom, top, y.log);
  const yTicks = y.ticks ?? fittingTicks(yScale, () => 13, 10, y.whole);
  const left = Math.ceil(Math.max(...yTicks.map((tick) => textWidth(tickText(tick))))) + 12, right = width - 14;
  const xScale = scale(x.low, x.high, left, right, x.log);
  words(plot, 4, top - 12, fitted(y.title, width - 8), 'quiet');
  for (const tick of yTicks) {
    const at = yScale.at(tick);
    svg('line', {class: 'grid', x1: left, x2: right, y1: at, y2: at}, plot);
    words(plot, left - 8, at + 4, tickText(tick), 'tick', 'end');
  }
  svg('line', {class: 'axis', x1: left, x2: right, y1: yScale.from, y2: yScale.from}, plot);
  for (const tick of fittingTicks(xScale, textWidth, 14, x.whole)) {
    const at = xScale.at(tick), text = tickText(tick), half = textWidth(text) / 2;
    svg('line', {class: 'axis', x1: at, x2: at, y1: yScale.from, y2: yScale.from + 4}, plot);
    words(plot, Math.min(at, width - 1 - half), yScale.from + 17, text, 'tick', 'middle');
  }
  words(plot, right, yScale.from + 34, fitted(x.title, right), 'quiet', 'end');
  return {plot, x: xScale, y: yScale, top, left, right, bottom: yScale.from};
}

/// Lines through points [x, y], one a series {e, kind, points}. Where several take the same way they share it in
/// dashes, so that each of them can be seen.
function drawLines(plot, xScale, yScale, series, stepped) {
  const at = ([x, y]) => `${xScale.at(x).toFixed(2)} ${yScale.at(y).toFixed(2)}`;
  const segments = series.map((one) => one.points.slice(1).map((point, i) => at(one.points[i]) + '>' + at(point)));
  const users = new Map();
  segments.forEach((list, s) => list.forEach((segment) => users.set(segment, [...(users.get(segment) ?? []), s])));
  series.forEach((one, s) => {
    for (let begin = 0; begin < segments[s].length;) {
      const together = users.get(segments[s][begin]).join();
      let end = begin + 1;
      while (end < segments[s].length && users.get(segments[s][end]).join() === together) end += 1;
      let path = 'M' + at(one.points[begin]);
      for (let i = begin + 1; i <= end; i += 1) {
        if (stepped) path += 'H' + xScale.at(one.points[i][0]).toFixed(2);
        path += 'L' + at(one.points[i]);
      }
      const group = users.get(segments[s][begin]);
      const line = svg('path', {class: `line ${one.kind}`, 'data-e': one.e, d: path}, plot);
      if (group.length > 1) {
        line.setAttribute('stroke-dasharray', `9 ${9 * (group.length - 1)}`);
        line.setAttribute('stroke-dashoffset', -9 * group.indexOf(s));
      }
      begin = end;
    }
  });
}

/// The plot as a PNG of twice its size, in the colours in which it is seen.
function plotPng(plot) {
  const copy = plot.cloneNode(true);
  const root = getComputedStyle(document.documentElement);
  const sheet = document.getElementById('plot-style').textContent;
  const names = [...new Set(sheet.match(/--[a-z]+[0-9]*(?=:)/g))].filter((name) => name !== '--c');
  const values = names.map((name) => `${name}: ${root.getPropertyValue(name)};`).join(' ');
  const rules = sheet.slice(sheet.indexOf('svg.plot'));
  copy.prepend(svg('style', {}, null, `svg { ${values} } ${rules}`));
  const {width, height} = plot.viewBox.baseVal;
  copy.setAttribute('width', width);
  copy.setAttribute('height', height);
  copy.setAttribute('xmlns', kSvg);
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => {
      const canvas = document.createElement('canvas');
      canvas.width = 2 * width;
      canvas.height = 2 * height;
      const context = canvas.getContext('2d');
      context.fillStyle = root.getPropertyValue('--paper');
      context.fillRect(0, 0, canvas.width, canvas.height);
      context.drawImage(image, 0, 0, canvas.width, canvas.height);
      canvas.toBlob(
        (blob) => (blob ? resolve(blob) : reject(new Error('the plot could not become a PNG'))), 'image/png');
    };
    image.onerror = () => reject(new Error('the plot could not become a picture'));
    image.src = 'data:image/svg+xml;charset=utf-8,' + encodeURIComponent(new XMLSerializer().serializeToString(copy));
  });
}
