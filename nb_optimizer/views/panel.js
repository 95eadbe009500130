// Draws the live panel from the traits of `Board` in panel.py alone, so that a reloaded page or a
// second view shows everything at once. Foreign text goes through textContent and setAttribute only.

const SVG = 'http://www.w3.org/2000/svg';
const HEIGHT = 150, LEFT = 46, RIGHT = 10, TOP = 8, BOTTOM = 20;
const SILENT_SECONDS = 10;
const LABELS = { validation: 'validation', previous: 'previous run' };
const KIND_ORDER = ['previous', 'validation', 'training'];

// ---- plain values

function number(value) {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  const size = Math.abs(value);
  if (size && (size < 1e-4 || size >= 1e7)) return value.toExponential(2).replace(/\.?0+e\+?/, 'e');
  return size >= 1000 ? Math.round(value).toLocaleString('en') : String(+value.toPrecision(4));
}

function curve(view, at, length) {
  const points = [];
  for (let i = 0; i < length; i++) {
    const offset = (at + i) * 8;
    if (offset + 8 > view.byteLength) break;
    points.push([view.getFloat32(offset, true), view.getFloat32(offset + 4, true)]);
  }
  return points;
}

function asView(bytes) {
  if (bytes instanceof DataView) return bytes;
  if (bytes && bytes.buffer) return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return new DataView(bytes instanceof ArrayBuffer ? bytes : new ArrayBuffer(0));
}

const times = (step, low, high) => {
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) found.push(k * step);
  return found;
};

/** Round values inside [low, high]: as few as possible, but three or more. */
function valueTicks(low, high) {
  const power = 10 ** Math.floor(Math.log10(high - low));
  for (const part of [5, 2, 1, 0.5, 0.2]) {
    const found = times(part * power, low, high);
    if (found.length >= 3) return found;
  }
  return [low, high];
}

/** Whole numbers inside [low, high], at most `most` of them. */
function stepTicks(low, high, most) {
  const raw = Math.max(1, (high - low) / most);
  const power = 10 ** Math.floor(Math.log10(raw));
  return times([1, 2, 5, 10].map(m => m * power).find(s => s >= raw - 1e-9), low, high);
}

function decades(low, high) {
  const found = [];
  for (let k = Math.ceil(Math.log10(low)); 10 ** k <= high; k++) found.push(10 ** k);
  return found;
}

/** A scale for the values, logarithmic where they span more than two decades. */
function valueScale(values, bottom, top) {
  let low = Math.min(...values), high = Math.max(...values);
  const log = low > 0 && high / low > 100;
  if (low === high) { low -= Math.abs(low) * 0.1 || 1; high += Math.abs(high) * 0.1 || 1; }
  const turn = log ? Math.log10 : v => v;
  const pad = (turn(high) - turn(low)) * 0.06;
  const from = turn(low) - pad, to = turn(high) + pad;
  const at = v => bottom + (turn(v) - from) / (to - from) * (top - bottom);
  let marks = log ? decades(low, high) : valueTicks(from, to);
  if (log && marks.length > 4) marks = marks.filter((_, i) => i % Math.ceil(marks.length / 4) === 0);
  if (log && marks.length < 2) marks = [low, high];
  return { at, marks, log };
}

/** The point closest to x; null where the curve has not come yet, or is over. */
function nearest(points, x) {
  let found = null;
  if (!points.length || x > points[points.length - 1][0] || x < points[0][0]) return found;
  for (const point of points) {
    if (!found || Math.abs(point[0] - x) <= Math.abs(found[0] - x)) found = point;
  }
  return found;
}

// ---- small elements

function make(tag, className, parent, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}

function shape(tag, attributes, parent) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  if (parent) parent.append(node);
  return node;
}

/** Set text only where it changed: a live region must not speak the same twice. */
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
  node.hidden = !text && node.dataset.keep === undefined;
}

// ---- one chart

class Chart {
  constructor(parent, unit, onCursor) {
    this.unit = unit;
    this.onCursor = onCursor;
    this.cursor = null;
    this.spec = { name: '', curves: [], marks: [], ring: null, rest: '' };
    this.node = make('div', 'nbopt-chart', parent);
    this.name = make('div', 'nbopt-name', this.node);
    this.read = make('div', 'nbopt-read', this.node);
    this.plot = make('div', 'nbopt-plot', this.node);
    this.plot.tabIndex = 0;
    this.plot.setAttribute('role', 'slider');
    this.svg = shape('svg', { role: 'presentation', height: HEIGHT }, this.plot);
    this.plot.addEventListener('pointermove', event => this.point(event));
    this.plot.addEventListener('pointerleave', () => this.onCursor(this, null));
    this.plot.addEventListener('blur', () => this.onCursor(this, null));
    this.plot.addEventListener('keydown', event => this.key(event));
  }

  show(spec) { this.spec = spec; this.draw(); }

  xs() {
    const all = new Set();
    for (const { points } of this.spec.curves) for (const [x] of points) all.add(x);
    return [...all].sort((a, b) => a - b);
  }

  range() {
    const xs = this.xs();
    const low = xs.length ? xs[0] : 1, high = xs.length ? xs[xs.length - 1] : 1;
    return low === high ? [low - 0.5, high + 0.5] : [low, high];
  }

  point(event) {
    const xs = this.xs();
    if (!xs.length) return;
    const box = this.plot.getBoundingClientRect();
    const [low, high] = this.range();
    const share = (event.clientX - box.left - LEFT) / Math.max(1, box.width - LEFT - RIGHT);
    const wanted = low + Math.min(1, Math.max(0, share)) * (high - low);
    const found = nearest(xs.map(x => [x]), Math.min(xs[xs.length - 1], Math.max(xs[0], wanted)));
    this.onCursor(this, found && found[0]);
  }

  key(event) {
    event.stopPropagation();
    const xs = this.xs();
    if (!xs.length) return;
    let at = this.cursor === null ? xs.length - 1 : xs.findIndex(x => x >= this.cursor);
    if (event.key === 'ArrowLeft' || event.key === 'ArrowDown') at -= 1;
    else if (event.key === 'ArrowRight' || event.key === 'ArrowUp') at += 1;
    else if (event.key === 'Home') at = 0;
    else if (event.key === 'End') at = xs.length - 1;
    else if (event.key === 'Escape') return this.onCursor(this, null);
    else return;
    event.preventDefault();
    this.onCursor(this, xs[Math.min(xs.length - 1, Math.max(0, at))]);
  }

  move(x) { this.cursor = x; this.draw(); }

  draw() {
    const { name, curves, marks, ring, rest, empty } = this.spec;
    const width = Math.max(200, this.plot.clientWidth || 320);
    const svg = this.svg;
    svg.setAttribute('width', width);
    svg.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`);
    svg.replaceChildren();
    const values = curves.flatMap(c => c.points.map(p => p[1])).filter(Number.isFinite);
    const [low, high] = this.range();
    const xAt = x => LEFT + (x - low) / (high - low) * (width - LEFT - RIGHT);
    let title = name;
    if (values.length) {
      const scale = valueScale(values, HEIGHT - BOTTOM, TOP);
      if (scale.log) title += ' (log scale)';
      this.axes(width, scale, low, high, xAt);
      this.markLines(marks, low, high, xAt);
      const order = [...curves].sort((a, b) => KIND_ORDER.indexOf(a.kind) - KIND_ORDER.indexOf(b.kind));
      for (const one of order) this.line(one, xAt, scale);
      if (ring) shape('circle', { class: 'nbopt-ring', cx: xAt(ring[0]), cy: scale.at(ring[1]), r: 5 }, svg);
      if (this.cursor !== null) this.cursorLine(xAt, scale);
    } else {
      const text = shape('text', { class: 'nbopt-tick', x: width / 2, y: HEIGHT / 2, 'text-anchor': 'middle' }, svg);
      text.textContent = empty || '';
    }
    say(this.name, title);
    this.words(title, rest, low, high);
  }

  axes(width, scale, low, high, xAt) {
    for (const value of scale.marks) {
      const y = scale.at(value);
      shape('line', { class: 'nbopt-grid', x1: LEFT, x2: width - RIGHT, y1: y, y2: y }, this.svg);
      shape('text', { class: 'nbopt-tick', x: LEFT - 5, y: y + 4, 'text-anchor': 'end' }, this.svg)
        .textContent = number(value);
    }
    const wanted = Math.max(2, Math.min(6, Math.floor((width - LEFT) / 60)));
    const marks = high - low <= 1 ? [Math.round((low + high) / 2)] : stepTicks(low, high, wanted);
    shape('text', { class: 'nbopt-tick', x: LEFT - 5, y: HEIGHT - 5, 'text-anchor': 'end' }, this.svg)
      .textContent = this.unit;
    for (const x of marks) {
      if (xAt(x) < LEFT + 8) continue;
      const end = xAt(x) > width - 30;
      shape('text', { class: 'nbopt-tick', x: end ? width - 2 : xAt(x), y: HEIGHT - 5, 'text-anchor': end ? 'end' : 'middle' },
        this.svg).textContent = number(x);
    }
  }

  markLines(marks, low, high, xAt) {
    for (const [x, text] of marks) {
      const at = xAt(Math.min(high, Math.max(low, x)));
      const group = shape('g', { class: 'nbopt-mark' }, this.svg);
      shape('line', { x1: at, x2: at, y1: TOP, y2: HEIGHT - BOTTOM }, group);
      shape('path', { d: `M${at - 4},${TOP - 6}h8l-4,7z` }, group);
      shape('title', {}, group).textContent = text;
    }
  }

  line({ kind, points }, xAt, scale) {
    let path = '', pen = 'M';
    for (const [x, y] of points) {
      if (!Number.isFinite(y)) { pen = 'M'; continue; }
      path += `${pen}${xAt(x).toFixed(1)},${scale.at(y).toFixed(1)}`;
      pen = 'L';
    }
    shape('path', { class: `nbopt-line nbopt-${kind}`, d: path }, this.svg);
    if (points.length > 12) return;
    for (const [x, y] of points) {
      if (Number.isFinite(y)) shape('circle', { class: `nbopt-dot nbopt-${kind}`, cx: xAt(x), cy: scale.at(y), r: 2.2 }, this.svg);
    }
  }

  cursorLine(xAt, scale) {
    const at = xAt(this.cursor);
    shape('line', { class: 'nbopt-cursor', x1: at, x2: at, y1: TOP, y2: HEIGHT - BOTTOM }, this.svg);
    for (const { kind, points } of this.spec.curves) {
      const found = nearest(points, this.cursor);
      if (found && Number.isFinite(found[1])) {
        shape('circle', { class: `nbopt-dot nbopt-${kind}`, cx: xAt(found[0]), cy: scale.at(found[1]), r: 3.5 }, this.svg);
      }
    }
  }

  reading() {
    const values = this.spec.curves.map(({ kind, points }) => {
      const found = nearest(points, this.cursor);
      if (!found) return '';
      const label = LABELS[kind] ? `${LABELS[kind]} ` : '';
      if (kind === 'alone') return number(found[1]);
      return `${label}${number(found[1])}${found[0] === this.cursor ? '' : ` (${this.unit} ${number(found[0])})`}`;
    });
    return `${this.unit} ${number(this.cursor)}: ${values.filter(Boolean).join(', ')}`;
  }

  words(title, rest, low, high) {
    const text = this.cursor === null ? rest : this.reading();
    say(this.read, text);
    this.read.classList.toggle('nbopt-reading', this.cursor !== null);
    const at = this.cursor === null ? high : this.cursor;
    this.plot.setAttribute('aria-label', `${title} by ${this.unit}`);
    this.plot.setAttribute('aria-valuemin', String(Math.floor(low)));
    this.plot.setAttribute('aria-valuemax', String(Math.ceil(high)));
    this.plot.setAttribute('aria-valuenow', String(Math.round(at)));
    this.plot.setAttribute('aria-valuetext', text || this.spec.empty || title);
  }
}

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
