// SPDX-License-Identifier: Apache-2.0
'use strict';
const errors = [];
window.addEventListener('error', (event) => {
  errors.push(String(event.message));
  document.body.dataset.errors = errors.join(' | ');
});
const data = JSON.parse(document.getElementById('data').textContent);
const kColours = ['#0b5cad', '#d1495b', '#2a9d54', '#e08e1b', '#6a4c93', '#1aa3a3', '#8d6e4b', '#c2185b'];
const colour = (i) => kColours[i % kColours.length];
const byId = (id) => document.getElementById(id);
const charts = {};

const figures = (value) => {
  if (value === undefined || value === null || !isFinite(value)) return '-';
  const size = Math.abs(value);
  return value.toLocaleString('en-US', size >= 1000 ? {maximumFractionDigits: 0} : {maximumSignificantDigits: 5});
};
const joules = (nj) => {
  if (!isFinite(nj)) return '-';
  const units = ['nJ', 'µJ', 'mJ', 'J', 'kJ', 'MJ'];
  let unit = 0;
  while (Math.abs(nj) >= 1000 && unit < units.length - 1) { nj /= 1000; unit += 1; }
  return `${figures(nj)} ${units[unit]}`;
};
const percent = (part, whole) => (whole > 0 ? 100 * part / whole : NaN);

function element(tag, text) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  return made;
}
function table(place, header, rows) {
  const made = element('table');
  const head = made.createTHead().insertRow();
  header.forEach((name) => head.appendChild(element('th', name)));
  const body = made.createTBody();
  rows.forEach((row) => {
    const line = body.insertRow();
    row.forEach((cell) => { line.insertCell().textContent = typeof cell === 'number' ? figures(cell) : cell; });
  });
  place.replaceChildren(made);
}
function plot(id, type, content, options) {
  if (charts[id]) charts[id].destroy();
  charts[id] = new Chart(byId(id), {type, data: content, options: {
    responsive: true, maintainAspectRatio: false, animation: false, ...options}});
}
const axis = (text, more) => ({title: {display: true, text}, ...more});

/// Points with deviations and the Pareto front.
function scatter(id, name, unit, cost, front) {
  const groups = data.groups.filter((group) => isFinite(cost(group)));
  const points = groups.map((group) => ({x: cost(group), y: group.accuracy_mean}));
  const datasets = groups.map((group, i) => ({label: group.name + (group.runs.length > 1 ? ` (${group.runs.length} seeds)` : ''),
    data: [points[i]], backgroundColor: colour(i), pointRadius: 6}));
  groups.forEach((group, i) => {
    if (!(group.accuracy_deviation > 0)) return;
    datasets.push({type: 'line', label: 'deviation', data: [-1, 1].map((sign) => ({x: points[i].x,
      y: group.accuracy_mean + sign * group.accuracy_deviation})), borderColor: colour(i), pointStyle: 'line', borderWidth: 2});
  });
  const best = groups.map((group, i) => [front(group), points[i]]).filter(([on]) => on).map(([, point]) => point)
    .sort((a, b) => a.x - b.x);
  datasets.push({type: 'line', label: 'Pareto front', data: best, borderColor: '#5b6776', borderDash: [6, 4], pointRadius: 0,
    borderWidth: 1.5});
  plot(id, 'scatter', {datasets}, {
    scales: {x: axis(`${name} (${unit})`), y: axis('test accuracy (%)')},
    plugins: {legend: {labels: {filter: (item) => item.text !== 'deviation'}}}});
  table(byId(`${id}-table`), ['experiment', 'seeds', 'accuracy, mean (%)', 'deviation', `${name} (${unit})`, 'Pareto front'],
    groups.map((group) => [group.name, group.runs.length, group.accuracy_mean, group.accuracy_deviation, cost(group),
      front(group) ? 'yes' : 'no']));
}

function over(id, label, series, stepped) {
  plot(id, 'line', {datasets: series.map((one, i) => ({label: one.name, data: one.points.map(([x, y]) => ({x, y})),
    borderColor: colour(i), backgroundColor: colour(i), borderWidth: 1.5, pointRadius: one.points.length > 60 ? 0 : 3,
    stepped: stepped ? 'before' : false, tension: 0}))},
  {parsing: false, scales: {x: axis('step', {type: 'linear'}), y: axis(label)}, interaction: {mode: 'nearest'}});
  const rows = [];
  series.forEach((one) => one.points.slice(0, 400).forEach(([x, y]) => rows.push([one.name, x, y])));
  table(byId(`${id}-table`), ['run', 'step', label], rows);
}

function chosen() {
  return {run: data.runs[Number(byId('run').value)], accelerator: byId('accelerator').value};
}

function relative(run) {
  const names = data.accelerators.map((a) => a.name).filter((name) => run.costs[name].total);
  const rows = names.map((name) => {
    const {total, static: fixed} = run.costs[name];
    return {name, bitops: percent(total.gbitops, fixed.gbitops), compute: percent(total.compute_nj, fixed.compute_nj),
      energy: percent(total.total_nj, fixed.total_nj), cycles: percent(total.cycles, fixed.cycles)};
  });
  const parts = [['BitOPs', 'bitops'], ['compute energy', 'compute'], ['total energy', 'energy'], ['cycles', 'cycles']];
  plot('relative', 'bar', {labels: names, datasets: parts.map(([label, key], i) => ({label, data: rows.map((row) => row[key]),
    backgroundColor: colour(i)}))}, {scales: {y: axis('% of static', {beginAtZero: true, suggestedMax: 100})}});
  table(byId('relative-table'), ['accelerator', ...parts.map(([label]) => `${label} (% of static)`)],
    rows.map((row) => [row.name, ...parts.map(([, key]) => row[key])]));
  const {accelerator} = chosen();
  const row = rows.find((one) => one.name === accelerator);
  byId('headline').textContent = row ? `${run.name} on ${accelerator}: ${figures(100 - row.bitops)} % fewer bit operations, ` +
    `${figures(100 - row.compute)} % less compute energy, ${figures(100 - row.energy)} % less energy in all.` : '';
}

function layers(run, accelerator) {
  const cost = run.costs[accelerator];
  const list = cost.layers || [];
  const labels = list.map((one) => one.layer);
  const stacked = (id, parts) => {
    plot(id, 'bar', {labels, datasets: parts.map(([label, value], i) => ({label, data: list.map((one) => value(one) * 1e-6),
      backgroundColor: colour(i)}))}, {scales: {x: {stacked: true}, y: axis('energy (mJ)', {stacked: true})}});
    table(byId(`${id}-table`), ['layer', ...parts.map(([label]) => `${label} (mJ)`)],
      list.map((one) => [one.layer, ...parts.map(([, value]) => value(one) * 1e-6)]));
  };
  stacked('passes', [['forward', (one) => one.forward || 0], ['error', (one) => one.error || 0],
    ['weight gradient', (one) => one.weight_gradient || 0]]);
  stacked('components', [['compute', (one) => one.total.compute_nj], ['buffers', (one) => one.total.buffers_nj],
    ['DRAM', (one) => one.total.dram_nj], ['leakage', (one) => one.total.leakage_nj]]);
}

function draw() {
  const {run, accelerator} = chosen();
  document.querySelectorAll('.accelerator').forEach((place) => { place.textContent = accelerator; });
  relative(run);
  scatter('bitops', 'bit operations', 'GBitOPs, metric paper', (group) => group.gbitops, (group) => group.pareto.bitops);
  scatter('energy', `energy on ${accelerator}`, 'J', (group) => group.energy_nj[accelerator] * 1e-9,
    (group) => group.pareto[accelerator]);
  const each = (points) => data.runs.map((one) => ({name: `${one.name}, seed ${one.seed}`, points: points(one)}));
  over('accuracy', 'test accuracy (%)', each((one) => one.evaluations.map((e) => [e.step, e.test_accuracy])), false);
  over('loss', 'training loss', each((one) => one.loss), false);
  over('bits', 'bits', [...each((one) => one.bits.map(([step, forward]) => [step, forward]))
    .map((one) => ({...one, name: `${one.name}, forward`})),
  ...each((one) => one.bits.map(([step, , gradient]) => [step, gradient]))
    .map((one) => ({...one, name: `${one.name}, gradient`}))], true);
  layers(run, accelerator);
}

function start() {
  data.runs.forEach((run, i) => {
    const option = element('option', `${run.name}, seed ${run.seed}`);
    option.value = i;
    byId('run').appendChild(option);
  });
  data.accelerators.forEach(({name}) => {
    const option = element('option', name);
    option.value = name;
    byId('accelerator').appendChild(option);
  });
  const first = data.runs[0];
  byId('summary').textContent = data.runs.length === 1 ?
    `${first.name}: ${first.model} on ${first.data}, ${figures(first.steps)} of ${figures(first.planned)} steps, ` +
    `${figures(first.test_accuracy)} % test accuracy, ${figures(first.paper_gbitops)} GBitOPs, ` +
    `${figures(first.saving_percent)} % less than static.` : `${data.runs.length} runs, ${data.groups.length} experiments.`;
  table(byId('runs-table'), ['run', 'seed', 'steps', 'test accuracy (%)', 'best (%)', 'GBitOPs paper', 'GBitOPs executed',
    'saving (%)', ...data.accelerators.map(({name}) => `energy, ${name}`), 'digest'],
  data.runs.map((run) => [run.name, String(run.seed), run.steps, run.test_accuracy, run.best_test_accuracy, run.paper_gbitops,
    run.executed_gbitops, run.saving_percent,
    ...data.accelerators.map(({name}) => (run.costs[name].total ? joules(run.costs[name].total.total_nj) : '-')), run.digest]));
  data.runs.forEach((run) => {
    const details = element('details');
    details.appendChild(element('summary', `config of ${run.name}, seed ${run.seed} (${run.folder})`));
    details.appendChild(element('pre', run.config));
    byId('configs').appendChild(details);
  });
  data.accelerators.forEach(({name, description, constants}) => {
    byId('sources').appendChild(element('h3', name));
    byId('sources').appendChild(element('p', description));
    const refused = data.runs.filter((run) => run.costs[name].error);
    refused.forEach((run) => byId('sources').appendChild(element('p', `${run.name}: ${run.costs[name].error}`)));
    table(byId('sources').appendChild(element('div')), ['constant'], constants.map((text) => [text]));
  });
  // On paper nothing can be opened: every table is shown, and closed again afterwards.
  const closed = [];
  window.addEventListener('beforeprint', () => {
    document.querySelectorAll('details:not([open])').forEach((one) => { closed.push(one); one.open = true; });
  });
  window.addEventListener('afterprint', () => { closed.splice(0).forEach((one) => { one.open = false; }); });
  byId('run').addEventListener('change', draw);
  byId('accelerator').addEventListener('change', draw);
  draw();
  document.body.dataset.plots = Object.keys(charts).length;
}
start();
