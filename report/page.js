// SPDX-License-Identifier: Apache-2.0
// The page: draws its plots from its tables, and again whenever its width or a choice changes.
'use strict';

function draw() {
  drawScatter(
    'bitops', 'BitOPs', 'bit operations',
    (metric) => ({cost: (one) => one[metric] * 1e9, front: (one) => one[`${metric}_front`] === 'yes', missing: ''}));
  drawEnergy();
  drawBaseline();
  drawCurves('accuracy', qualityName, data.evaluations, 'step', 'accuracy', accuracyRange);
  drawCurves('loss', 'training loss', data.loss, 'last', 'loss', (all, means) => {
    const log = means.every((mean) => mean > 0) && wantsLog(means);
    const low = Math.min(...means), high = Math.max(...means);
    return log ? {low: low / 1.2, high: high * 1.2, log, title: 'training loss, logarithmic'} :
                 {low: Math.min(0, low), high: Math.max(high * 1.05, 1e-9)};
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
                    selects.forEach((other) => {
                      other.value = value;
                    });
                    drawEnergy();
                    drawLayers();
                  }));
  choices(document.getElementById('experiment'), experiments.map((one) => one.experiment), drawLayers);
  choices(document.getElementById('metric'), ['paper', 'executed'], drawLayers);
  const comparable = comparisons.some(({members}) => members.filter((one) => one.accuracy !== null).length > 1);
  document.querySelectorAll('.needs-points').forEach((section) => {
    section.hidden = !comparable;
  });
  document.querySelectorAll('.seeds').forEach((text) => {
    text.hidden = !experiments.some((one) => one.runs.length > 1);
  });
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
    opened.splice(0).forEach((one) => {
      one.open = false;
    });
    document.querySelectorAll('.on-paper').forEach((one) => one.remove());
    forcedWidth = 0;
    draw();
  });
  document.body.dataset.plots = document.querySelectorAll('svg.plot').length;
}
start();
