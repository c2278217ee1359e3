// SPDX-License-Identifier: Apache-2.0
// What the page's plots are made from: the tables' rows, experiments and their colours, hosts of figures.
'use strict';

const errors = [];
window.addEventListener('error', (event) => {
  errors.push(String(event.message));
  document.body.dataset.errors = errors.join(' | ');
});

const byName = (name) => document.querySelector(`table[data-name="${name}"]`);
const data = Object.fromEntries(
  ['runs', 'experiments', 'hardware', 'evaluations', 'loss', 'bits'].map((name) => [name, records(byName(name))]));
// Where a price is missing: the table has the number of the note that says why.
const whyMissing = (note) =>
  note ? `No price: ${note} under "Cost beside the baseline" says why.` : 'The model of this accelerator has no energy.';
const experiments = data.experiments;
const kColours = 8;  // experiments after the eighth share a grey; their marks, legends and labels tell them apart
experiments.forEach((one, i) => {
  one.e = i;
  one.kind = `e${Math.min(i, kColours)}`;
  one.runs = data.runs.filter((run) => run.experiment === one.experiment);
  one.note = one.state === 'finished' ?
    '' :
    ` (unfinished, ${one.done.toLocaleString('en-US')} of ${one.planned.toLocaleString('en-US')} steps)`;
});
const comparisons = [...new Set(experiments.map((one) => one.comparison))].map(
  (label) => ({label, members: experiments.filter((one) => one.comparison === label)}));
const accelerators = [...new Set(data.hardware.map((one) => one.accelerator))];
const hardwareOf = (one, accelerator, metric) => data.hardware.find(
  (row) => row.experiment === one.experiment && row.accelerator === accelerator && row.metric === metric);
const several = experiments.length > 1;
const perplexities = document.body.dataset.measure === 'perplexity';  // the lower, the better
const qualityName = perplexities ? 'test perplexity' : 'test accuracy (%)';
const percentText = (value) => `${three(value)}\u00a0%`;  // number and sign stay on one line

let forcedWidth = 0;  // on paper
const figure_host = (name) => document.querySelector(`.plots[data-plot="${name}"]`);
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

const chosenAccelerator = () => document.querySelector('select.accelerator').value;
