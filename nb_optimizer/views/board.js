// Draws what a panel shows from the traits of `TableBoard` in board.py alone. `_html` is built in
// Python, where every foreign text is escaped; the cells of the table are set through textContent.

function compare(a, b) {
  if (a === b) return 0;
  if (a === null || a === '') return 1; // what is missing comes last
  if (b === null || b === '') return -1;
  const numbers = typeof a === 'number' && typeof b === 'number';
  return numbers ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
}

function drawTable(place, table, order, again, choose) {
  place.replaceChildren();
  const { head = [], rows = [] } = table;
  if (!rows.length) return;
  const node = make('table', 'nbopt-rows', place);
  const top = make('tr', '', make('thead', '', node));
  head.forEach((name, i) => {
    const cell = make('th', '', top);
    cell.scope = 'col';
    const sorted = order.column === i;
    if (sorted) cell.setAttribute('aria-sort', order.down ? 'descending' : 'ascending');
    const button = make('button', '', cell, name + (sorted ? (order.down ? ' \u25be' : ' \u25b4') : ''));
    button.addEventListener('click', () => {
      order.down = sorted ? !order.down : false;
      order.column = i;
      again();
    });
  });
  const sign = order.down ? -1 : 1;
  const shown = order.column === null ? rows
    : [...rows].sort((a, b) => sign * compare(a.cells[order.column], b.cells[order.column]));
  const body = make('tbody', '', node);
  for (const row of shown) {
    const line = make('tr', `nbopt-${row.kind}`, body);
    for (const cell of row.cells) make('td', '', line, cell === null ? '' : String(cell));
    if (row.key !== undefined) makeChoosable(line, row.key, choose);
  }
}

// The first cell becomes a button, for keyboards and screen readers; a click anywhere will do.
function makeChoosable(line, key, choose) {
  line.dataset.row = key;
  const first = line.firstChild;
  const name = first.textContent;
  first.replaceChildren();
  make('button', '', first, name);
  line.addEventListener('click', () => choose(key));
}

function render({ model, el }) {
  el.classList.add('nbopt-board');
  const answer = make('div', 'nbopt-answer', el);
  answer.setAttribute('role', 'status');
  answer.setAttribute('aria-live', 'polite');
  const now = make('div', 'nbopt-now', el);
  const page = make('div', '', el);
  const rows = make('div', 'nbopt-scroll', el);
  const order = { column: null, down: false };
  const choose = (key) => model.send({ type: 'choose', key });
  const showChosen = () => {
    for (const node of el.querySelectorAll('[data-row]')) {
      const chosen = Number(node.dataset.row) === model.get('_chosen');
      node.classList.toggle('nbopt-chosen', chosen);
      node.querySelector('button')?.setAttribute('aria-pressed', String(chosen));
    }
  };
  const showPage = () => { page.innerHTML = model.get('_html'); showChosen(); };
  const showTable = () => {
    drawTable(rows, model.get('_table'), order, showTable, choose);
    showChosen();
  };
  const showAnswer = () => { answer.textContent = model.get('_answer'); };
  const showNow = () => { now.textContent = model.get('_now'); };
  page.addEventListener('click', (event) => {
    const dot = event.target.closest('[data-row]');
    if (dot) choose(Number(dot.dataset.row));
  });
  model.on('change:_html', showPage);
  model.on('change:_table', showTable);
  model.on('change:_answer', showAnswer);
  model.on('change:_chosen', showChosen);
  model.on('change:_now', showNow);
  showPage();
  showTable();
  showAnswer();
  showNow();
  model.send({ type: 'ready' });
  return () => {
    model.off('change:_html', showPage);
    model.off('change:_table', showTable);
    model.off('change:_answer', showAnswer);
    model.off('change:_chosen', showChosen);
    model.off('change:_now', showNow);
  };
}

export default { render };
