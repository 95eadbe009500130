// Draws the live panel from the traits of `Board` in panel.py alone, so that a reloaded page or a
// second view shows everything at once. Foreign text goes through textContent and setAttribute only.
// `Chart`, `make`, `say` and others come from panel_chart.js.

const SILENT_SECONDS = 10;

// ---- the parts of the panel

function buildHead(root) {
  const head = make('div', 'nbopt-head', root);
  const part = {
    word: make('span', 'nbopt-word', head),
    title: make('span', 'nbopt-title', head),
    model: make('span', 'nbopt-model', head),
    bar: make('div', 'nbopt-bar', root),
    top: make('div', 'nbopt-top', root),
    alert: make('div', 'nbopt-alert', root),
    legend: make('div', 'nbopt-legend', root),
    charts: make('div', 'nbopt-charts', root),
    more: make('div', 'nbopt-more', root),
    changes: make('div', 'nbopt-changes', root),
    notes: make('ul', 'nbopt-notes', root),
  };
  const left = make('div', 'nbopt-left', part.top);
  part.where = make('div', 'nbopt-where', left);
  part.facts = make('div', 'nbopt-facts', left);
  part.meter = make('div', 'nbopt-meter', left);
  part.hint = make('div', 'nbopt-hint', left);
  part.fill = make('div', 'nbopt-fill', part.bar);
  part.bar.setAttribute('role', 'progressbar');
  part.bar.setAttribute('aria-label', 'Progress of the whole run');
  part.bar.setAttribute('aria-valuemin', '0');
  part.bar.setAttribute('aria-valuemax', '100');
  part.live = make('div', 'nbopt-live', left);
  part.live.setAttribute('role', 'status');
  part.live.setAttribute('aria-live', 'polite');
  part.answer = make('span', 'nbopt-answer', part.live);
  part.say = make('span', 'nbopt-say', part.live);
  return part;
}

function showNow(part, now, silent) {
  say(part.word, now.word || 'Waiting');
  part.word.dataset.state = now.state || '';
  const percent = Math.round((now.share || 0) * 1000) / 10;
  part.fill.style.width = `${percent}%`;
  part.bar.dataset.state = now.state || '';
  part.bar.setAttribute('aria-valuenow', String(Math.round(percent)));
  part.bar.setAttribute('aria-valuetext', now.where || '');
  say(part.where, (now.where || '\u00a0') + (silent ? ` \u00b7 no news for ${silent} s` : ''));
  const facts = now.facts || [];
  while (part.facts.children.length > facts.length) part.facts.lastChild.remove();
  facts.forEach(([label, value], i) => {
    const box = part.facts.children[i] || make('div', 'nbopt-fact', part.facts);
    if (!box.children.length) { make('span', 'nbopt-label', box); make('span', '', box); }
    say(box.children[0], label);
    say(box.children[1], value);
  });
  say(part.answer, now.answer || '');
  say(part.say, now.say || '');
}

function showMeter(node, meter) {
  node.replaceChildren();
  node.hidden = !meter || !meter.text;
  if (node.hidden) return;
  if (meter.of > 0) {
    const gauge = make('span', meter.blocks ? 'nbopt-blocks' : 'nbopt-gauge', node);
    gauge.setAttribute('role', 'meter');
    gauge.setAttribute('aria-label', 'Patience used by early stopping');
    gauge.setAttribute('aria-valuemin', '0');
    gauge.setAttribute('aria-valuemax', String(meter.of));
    gauge.setAttribute('aria-valuenow', String(meter.used));
    if (meter.blocks) {
      for (let i = 0; i < meter.of; i++) make('span', i < meter.used ? 'nbopt-used' : '', gauge);
    } else {
      make('span', 'nbopt-used', gauge).style.width = `${Math.min(100, 100 * meter.used / meter.of)}%`;
    }
  }
  make('span', 'nbopt-meter-text', node, meter.text);
}

function showAlert(node, alert) {
  node.replaceChildren();
  node.hidden = !alert || !alert.text;
  if (node.hidden) return;
  make('strong', '', node, alert.text);
  if (!(alert.causes || []).length) return;
  make('span', '', node, ' Likely causes:');
  const list = make('ul', '', node);
  for (const cause of alert.causes) make('li', '', list, cause);
}

function showNotes(node, notes) {
  node.replaceChildren();
  node.hidden = !notes || !notes.length;
  for (const [level, text] of notes || []) make('li', level === 'warning' ? 'nbopt-warning' : '', node, text);
}

function showLegend(node, meta, kinds) {
  node.replaceChildren();
  const entry = (kind, text) => {
    const item = make('span', 'nbopt-key', node);
    const svg = shape('svg', { width: 26, height: 12, 'aria-hidden': 'true' }, item);
    if (kind === 'ring') shape('circle', { class: 'nbopt-ring', cx: 13, cy: 6, r: 4.5 }, svg);
    else if (kind === 'mark') {
      const group = shape('g', { class: 'nbopt-mark' }, svg);
      shape('line', { x1: 13, x2: 13, y1: 0, y2: 12 }, group);
      shape('path', { d: 'M9,0h8l-4,7z' }, group);
    } else shape('path', { class: `nbopt-line nbopt-${kind}`, d: 'M1,6H25' }, svg);
    make('span', '', item, text);
  };
  entry('training', 'training');
  if (meta.validates || kinds.has('validation')) entry('validation', 'validation');
  if (meta.previous) entry('previous', `previous run ${meta.previous}`);
  if (meta.best_epoch) entry('ring', `best epoch ${meta.best_epoch}`);
  if ((meta.marks || []).length) entry('mark', 'a change made during the run');
}

function chartSpecs(meta, series) {
  let at = 0;
  const view = asView(series);
  return (meta.charts || []).map(chart => {
    const curves = chart.curves.map(([kind, length]) => {
      const points = curve(view, at, length);
      at += length;
      return { kind, points };
    });
    const own = curves.filter(c => c.kind !== 'previous').flatMap(c => c.points.map(p => p[0]));
    const end = Math.max(meta.planned || 1, ...own);
    for (const one of curves) if (one.kind === 'previous') one.points = one.points.filter(p => p[0] <= end);
    const best = chart.best && meta.best_epoch ? `best epoch ${meta.best_epoch}: ${chart.best}` : '';
    return {
      name: chart.name, curves, marks: meta.marks || [], ring: chart.ring.length ? chart.ring : null,
      rest: `now: ${chart.now}\n${best}`,
    };
  });
}

function batchSpec(series) {
  const view = asView(series);
  const points = curve(view, 0, view.byteLength / 8);
  const last = points[points.length - 1];
  return {
    name: 'batch loss in this epoch', curves: [{ kind: 'alone', points }], marks: [], ring: null,
    rest: last ? `now: ${number(last[1])}` : '', empty: 'No batches yet',
  };
}

// ---- the view

function render({ model, el }) {
  const root = make('div', 'nbopt-panel', el);
  root.dataset.lmSuppressShortcuts = 'true';
  root.setAttribute('role', 'group');
  root.setAttribute('aria-label', 'Training panel');
  root.addEventListener('keydown', event => event.stopPropagation());
  const part = buildHead(root);
  const epochCharts = [];
  let scheduled = 0, changed = new Set(['_meta', '_series', '_batch', '_now']), news = performance.now();

  const linked = (_, x) => { for (const chart of epochCharts) chart.move(x); };
  const batch = new Chart(part.top, 'batch', (chart, x) => chart.move(x));
  const adjust = wanted => {
    while (epochCharts.length > wanted) epochCharts.pop().node.remove();
    while (epochCharts.length < wanted) {
      const chart = new Chart(part.charts, 'epoch', linked);
      observer.observe(chart.plot);
      epochCharts.push(chart);
    }
  };
  const observer = new ResizeObserver(entries => {
    for (const entry of entries) for (const chart of [...epochCharts, batch]) if (chart.plot === entry.target) chart.draw();
  });
  observer.observe(batch.plot);

  const showSeldom = () => {
    const meta = model.get('_meta') || {};
    const specs = chartSpecs(meta, model.get('_series'));
    // Room for two charts from the start, so that nothing jumps when the first epoch ends.
    if (!specs.length) {
      for (const name of ['loss', 'metrics']) {
        specs.push({ name, curves: [], marks: [], ring: null, rest: '', empty: 'After the first epoch' });
      }
    }
    adjust(specs.length);
    specs.forEach((spec, i) => epochCharts[i].show(spec));
    say(part.title, meta.title || '');
    say(part.model, meta.model || '');
    say(part.hint, meta.hint || '');
    say(part.more, meta.more || '');
    say(part.changes, meta.changes || '');
    showAlert(part.alert, meta.alert);
    showMeter(part.meter, meta.meter);
    showLegend(part.legend, meta, new Set(specs.flatMap(s => s.curves.map(c => c.kind))));
    showNotes(part.notes, meta.notes);
  };

  const silent = () => {
    const state = (model.get('_now') || {}).state;
    const seconds = Math.floor((performance.now() - news) / 1000);
    return ['running', 'stopping'].includes(state) && seconds >= SILENT_SECONDS ? seconds : 0;
  };
  const paint = () => {
    scheduled = 0;
    if (changed.has('_meta') || changed.has('_series')) showSeldom();
    if (changed.has('_batch')) batch.show(batchSpec(model.get('_batch')));
    showNow(part, model.get('_now') || {}, silent());
    changed = new Set();
  };
  const note = name => () => {
    changed.add(name);
    news = performance.now();
    if (!scheduled) scheduled = requestAnimationFrame(paint);
  };
  const handlers = ['_meta', '_series', '_batch', '_now'].map(name => [`change:${name}`, note(name)]);
  for (const [name, handler] of handlers) model.on(name, handler);
  const clock = setInterval(() => { if (silent()) showNow(part, model.get('_now') || {}, silent()); }, 1000);
  paint();
  model.send({ type: 'ready' });

  return () => {
    for (const [name, handler] of handlers) model.off(name, handler);
    clearInterval(clock);
    cancelAnimationFrame(scheduled);
    observer.disconnect();
    root.remove();
  };
}

export default { render };
