// SPDX-License-Identifier: Apache-2.0
// Tables as the page's data: read once, then sorted by their headings and saved as CSV.
'use strict';

const kMissing = '\u2013';

/// Rows as objects by the columns' keys: numbers where the column holds numbers, null where a value is missing.
function records(table) {
  const columns =
    [...table.tHead.rows[0].cells].map((cell) => ({key: cell.dataset.key, text: cell.classList.contains('t')}));
  return [...table.tBodies[0].rows].map((row) => {
    const record = {};
    columns.forEach(({key, text}, i) => {
      const cell = row.cells[i].textContent.trim();
      record[key] = cell === kMissing ? null : text ? cell : Number(cell.replaceAll(',', ''));
    });
    return record;
  });
}

function tableCsv(table) {
  const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const headings = [...table.tHead.rows[0].cells];
  const lines = [headings.map((cell) => quoted(cell.textContent.trim()))];
  for (const row of table.tBodies[0].rows) {
    lines.push([...row.cells].map((cell, i) => {
      const text = cell.textContent.trim();
      if (text === kMissing) return '';
      return quoted(headings[i].classList.contains('t') ? text : text.replaceAll(',', ''));
    }));
  }
  return lines.map((line) => line.join(',')).join('\r\n') + '\r\n';
}

function save(blob, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/// Ascending first, descending at the next click; missing values come last.
function sortTable(table, column) {
  const heading = table.tHead.rows[0].cells[column];
  const down = heading.getAttribute('aria-sort') === 'ascending';
  for (const cell of table.tHead.rows[0].cells) cell.setAttribute('aria-sort', 'none');
  heading.setAttribute('aria-sort', down ? 'descending' : 'ascending');
  const text = heading.classList.contains('t');
  const value = (row) => {
    const cell = row.cells[column].textContent.trim();
    if (cell === kMissing) return null;
    return text ? cell : Number(cell.replaceAll(',', ''));
  };
  const compare = (a, b) => (text ? a.localeCompare(b, 'en', {numeric: true}) : a - b);
  const rows = [...table.tBodies[0].rows].map((row) => [value(row), row]);
  rows.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return down ? compare(b, a) : compare(a, b);
  });
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

/// A wide table turned on its side, for paper: a row for each heading, six of its rows side by side at a time.
function turnedTable(table) {
  const headings = [...table.tHead.rows[0].cells], rows = [...table.tBodies[0].rows];
  const host = document.createElement('div');
  host.className = 'on-paper';
  for (let begin = 0; begin < rows.length; begin += 6) {
    const turned = document.createElement('table');
    headings.forEach((heading, i) => {
      const line = turned.insertRow();
      const name = document.createElement('th');
      name.textContent = heading.textContent.trim();
      line.append(name);
      for (const row of rows.slice(begin, begin + 6)) line.insertCell().textContent = row.cells[i].textContent.trim();
    });
    host.append(turned);
  }
  table.before(host);
}

/// Makes every table sortable, by pointer and by keyboard, and gives it a button that saves it.
function equipTables() {
  for (const table of document.querySelectorAll('table')) {
    [...table.tHead.rows[0].cells].forEach((cell, column) => {
      cell.setAttribute('aria-sort', 'none');
      cell.tabIndex = 0;
      cell.addEventListener('click', () => sortTable(table, column));
      cell.addEventListener('keydown', (event) => {
        if (event.key === 'Enter') sortTable(table, column);
      });
    });
    const button = document.createElement('button');
    button.textContent = 'Save as CSV';
    button.addEventListener('click', (event) => {
      event.preventDefault();  // the button lies in a <summary>
      save(new Blob([tableCsv(table)], {type: 'text/csv'}), `${table.dataset.name}.csv`);
    });
    const summary = table.closest('details')?.querySelector('summary');
    if (summary)
      summary.append(button);
    else
      table.parentElement.before(button);
  }
}
