// One chart of the live panel, and the plain functions under it. panel.py puts this in front of
// panel.js: a widget's script travels as one text and cannot import its neighbour.

const SVG = 'http://www.w3.org/2000/svg';
const HEIGHT = 150, LEFT = 46, RIGHT = 10, TOP = 8, BOTTOM = 20;
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
    this.read.dataset.keep = ''; // its room stays, so that nothing jumps
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
