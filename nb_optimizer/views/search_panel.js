// Draws the live panel of a search from the traits of `SearchBoard` in search_panel.py alone.
// `_html` is built by search_html.py, where every foreign text is escaped; the cells of the
// table are set through textContent.

function make(tag, className, parent, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}

function compare(a, b) {
  if (a === b) return 0;
  if (a === null || a === '') return 1; // what is missing comes last
  if (b === null || b === '') return -1;
  const numbers = typeof a === 'number' && typeof b === 'number';
  return numbers ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
}

function drawTable(place, table, order, again) {
  place.replaceChildren();
  const { head = [], rows = [] } = table;
  if (!rows.length) return;
  const node = make('table', 'nbopt-trials', place);
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
  }
}

function render({ model, el }) {
  el.classList.add('nbopt-search');
  const answer = make('div', 'nbopt-answer', el);
  answer.setAttribute('role', 'status');
  answer.setAttribute('aria-live', 'polite');
  const page = make('div', '', el);
  const trials = make('div', 'nbopt-scroll', el);
  const order = { column: null, down: false };
  const showPage = () => { page.innerHTML = model.get('_html'); };
  const showTable = () => drawTable(trials, model.get('_table'), order, showTable);
  const showAnswer = () => { answer.textContent = model.get('_answer'); };
  model.on('change:_html', showPage);
  model.on('change:_table', showTable);
  model.on('change:_answer', showAnswer);
  showPage();
  showTable();
  showAnswer();
  model.send({ type: 'ready' });
  return () => {
    model.off('change:_html', showPage);
    model.off('change:_table', showTable);
    model.off('change:_answer', showAnswer);
  };
}

export default { render };
