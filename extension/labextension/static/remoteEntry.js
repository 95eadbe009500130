// @ts-check
/**
 * Shows the trainings of nb_optimizer in JupyterLab: status bar, list of runs, a message at the end.
 *
 * It reads what kernels publish anyway and sends nothing but the interrupt that a person asks for.
 * A module-federation container written by hand: this file is the whole extension. What messages
 * say reaches the page only as textContent and through JupyterLab's own models.
 *
 * @typedef {{run: string, state: string, text: string}} Status  what the panel says of its run
 * @typedef {object} Entry  a run as far as this page has seen it
 * @property {Status} status
 * @property {any} panel  the notebook
 * @property {string} comm  carries the status
 * @property {string} cell  id of the execution that trains
 * @property {number} since  when the run began; 0 if before this page was loaded
 * @property {boolean} over
 * @property {boolean} broken  the loss was no number
 */
(function () {
  'use strict';

  const NAME = 'nb-optimizer';
  const MARK = 'nb_optimizer'; // in an output's metadata
  const WIDGET = 'application/vnd.jupyter.widget-view+json';
  const ACTIVE = ['running', 'paused', 'stopping'];
  const GONE = ['restarting', 'autorestarting', 'terminating', 'dead'];
  const BROKEN = / (NaN|-?inf)( \u00b7|$)/; // a value in the status text
  const LONG = 20_000; // ms; a shorter run ends without a message
  const LINGER = 8_000; // ms that the status bar shows how a run ended
  const GOOD = ['completed', 'early_stopped'];
  const STYLE = `
    .nbopt-status { display: flex; align-items: center; max-width: 52ch; padding: 0 4px; border: 0;
      background: none; font-variant-numeric: tabular-nums; white-space: nowrap; cursor: pointer }
    .nbopt-status > span { overflow: hidden; text-overflow: ellipsis }
    .nbopt-status > .nbopt-dot { flex: none; width: 8px; height: 8px; margin-right: 6px; border-radius: 50% }
    .nbopt-run { --expand-collapse-button-nested-width: -99px } /* hides half an arrow */
  `;

  // ---- what messages say

  /** @param {any} msg @returns {Status | null} the status in a message of the panel's comm */
  function statusOf(msg) {
    const { nbopt, run, state, text } = msg.content.data?.state?._status ?? {};
    const isOurs = nbopt === 1 && [run, state, text].every(value => typeof value === 'string');
    return isOurs ? { run, state, text } : null;
  }

  /** @param {any} msg @returns {any} the static picture in an update of an output, else null */
  function pictureOf({ content: { data, metadata } }) {
    const run = metadata?.[MARK]?.run;
    const keys = Object.keys(data ?? {}).sort().join();
    if (typeof run !== 'string' || keys !== 'text/html,text/plain') return null;
    return { output_type: 'display_data', data, metadata: { [MARK]: { run } } };
  }

  /** @param {any} msg @returns {string} id of the execution that a message belongs to */
  const cellOf = ({ parent_header: { msg_type, msg_id } }) => (msg_type === 'execute_request' ? msg_id : '');

  // ---- a notebook's outputs

  /** @param {any} panel @param {string} run @returns {any[]} the places where a run is displayed */
  function placesOf(panel, run) {
    const places = [];
    for (const [cell, { outputs }] of [...(panel.content.model?.cells ?? [])].entries()) {
      for (let index = 0; index < (outputs?.length ?? 0); index++) {
        const output = outputs.get(index);
        if (output.metadata[MARK]?.run === run) places.push({ cell, outputs, index, output });
      }
    }
    return places;
  }

  /** @param {any} panel @param {any} picture  put where a page reload made JupyterLab lose track */
  async function repair(panel, picture) {
    await panel.context.ready;
    if (panel.isDisposed) return;
    for (const { outputs, index, output } of placesOf(panel, picture.metadata[MARK].run)) {
      if (WIDGET in output.data) outputs.set(index, picture);
    }
  }

  /** @param {Entry} entry  its training ends well after this batch */
  const interrupt = ({ panel }) => panel.sessionContext.session?.kernel?.interrupt().catch(console.warn);

  /** @param {any} app @param {Entry | undefined} entry  show its notebook and the cell that trains */
  function reveal(app, entry) {
    if (!entry || entry.panel.isDisposed) return;
    app.shell.activateById(entry.panel.id);
    const place = placesOf(entry.panel, entry.status.run).at(-1);
    if (!place) return;
    entry.panel.content.activeCellIndex = place.cell;
    entry.panel.content.scrollToItem(place.cell, 'smart').catch(() => {});
  }

  // ---- the runs of all open notebooks

  class Runs {
    /** @type {Map<string, Entry>} in the order in which they began */
    entries = new Map();
    /** @type {Map<string, number>} when the comms of panels were opened */
    opened = new Map();

    /** @param {any} changed  a signal @param {(entry: Entry, isEnd: boolean) => void} tell */
    constructor(changed, tell) {
      this.changed = changed;
      this.tell = tell;
    }

    active() {
      return [...this.entries.values()].filter(entry => !entry.over);
    }

    newest() {
      return this.active().at(-1) ?? [...this.entries.values()].at(-1);
    }

    /** @param {(entry: Entry) => boolean} isGone  forget runs of which nothing more will be heard */
    drop(isGone) {
      const gone = [...this.entries].filter(([, entry]) => isGone(entry));
      gone.forEach(([run]) => this.entries.delete(run));
      if (gone.length) this.changed.emit(undefined);
    }

    /** @param {any} panel @param {any} msg */
    hear(panel, msg) {
      const type = msg.header.msg_type;
      const comm = msg.content.comm_id;
      if (type === 'comm_open' && msg.content.data?.state?._status) this.opened.set(comm, Date.now());
      if (type === 'comm_open' || type === 'comm_msg') this.update(panel, msg);
      if (type === 'comm_close') this.drop(entry => !entry.over && entry.comm === comm);
      const ended = type === 'status' && msg.content.execution_state === 'idle' && cellOf(msg);
      if (ended) this.drop(entry => !entry.over && entry.cell === ended);
      const picture = type === 'update_display_data' && pictureOf(msg);
      if (picture) void repair(panel, picture);
    }

    /** @param {any} panel @param {any} msg */
    update(panel, msg) {
      const status = statusOf(msg);
      if (!status) return;
      const entry = this.entry(status, msg.content.comm_id, panel);
      const isEnd = !entry.over && !ACTIVE.includes(status.state);
      const breaks = !isEnd && !entry.broken && BROKEN.test(status.text);
      Object.assign(entry, { status, cell: cellOf(msg) || entry.cell });
      entry.over ||= isEnd;
      entry.broken ||= breaks;
      if (isEnd) setTimeout(() => this.drop(other => other === entry), LINGER);
      if (isEnd || breaks) this.tell(entry, isEnd);
      this.changed.emit(undefined);
    }

    /** @param {Status} status @param {string} comm @param {any} panel @returns {Entry} */
    entry(status, comm, panel) {
      const known = this.entries.get(status.run);
      if (known?.comm === comm) return known; // else it is new or was resumed
      const since = this.opened.get(comm) ?? 0;
      const entry = { status, panel, comm, since, cell: '', over: false, broken: false };
      this.entries.delete(status.run); // the newest is the last
      this.entries.set(status.run, entry);
      return entry;
    }

    /** @param {any} panel  listen to its kernel, whichever that is */
    watch(panel) {
      const context = panel.sessionContext;
      const seen = new WeakSet();
      const leave = () => this.drop(entry => entry.panel === panel);
      const attach = () => {
        const kernel = context.session?.kernel;
        leave();
        if (!kernel || seen.has(kernel)) return;
        seen.add(kernel);
        kernel.iopubMessage.connect((_, msg) => this.hear(panel, msg));
      };
      attach();
      context.kernelChanged.connect(attach);
      context.statusChanged.connect((_, status) => GONE.includes(status) && leave());
      panel.disposed.connect(leave);
    }
  }

  // ---- what people see

  /** @param {Entry} entry */
  const titleOf = entry => entry.panel.title.label;

  /** @param {Entry} entry */
  const textOf = ({ status: { state, text } }) =>
    ['paused', 'stopping'].includes(state) ? `${state} \u00b7 ${text}` : text;

  /** @param {string} state @param {string} other @returns {string} a colour or a kind of message */
  const toneOf = (state, other) =>
    GOOD.includes(state) ? 'success' : state === 'failed' ? 'error' : other;

  /** @param {any} Widget @param {Runs} runs @param {(entry?: Entry) => void} show */
  function statusItem(Widget, runs, show) {
    const button = document.createElement('button');
    const dot = button.appendChild(document.createElement('span'));
    const text = button.appendChild(document.createElement('span'));
    button.className = 'nbopt-status jp-StatusBar-TextItem jp-mod-highlighted';
    dot.className = 'nbopt-dot';
    button.onclick = () => show(runs.newest());
    const draw = () => {
      const entry = runs.newest();
      if (!entry) return;
      const count = runs.active().length;
      const isRunning = entry.status.state === 'running';
      text.textContent = (count > 1 ? `${count} trainings \u00b7 ` : '') + textOf(entry);
      dot.style.background = `var(--jp-${toneOf(entry.status.state, isRunning ? 'brand' : 'warn')}-color1)`;
      button.title = [...runs.entries.values()].map(e => `${titleOf(e)}: ${textOf(e)}`).join('\n');
    };
    runs.changed.connect(draw);
    return new Widget({ node: button });
  }

  /** @param {any} ui @param {Runs} runs @param {(entry?: Entry) => void} show */
  function runList(ui, runs, show) {
    /** @param {Entry} entry  a line with the notebook, and one with how far it is */
    const itemOf = entry => {
      const both = { labelTitle: () => entry.panel.context.path, open: () => show(entry) };
      const children = [{ label: () => textOf(entry), icon: () => undefined, ...both }];
      const run = { className: 'nbopt-run', label: () => titleOf(entry), icon: () => ui.notebookIcon };
      return { ...run, ...both, children, shutdown: () => interrupt(entry) };
    };
    return {
      name: 'Training runs',
      supportsMultipleViews: false,
      running: () => runs.active().map(itemOf),
      runningChanged: runs.changed,
      refreshRunning: () => {},
      shutdownAll: () => runs.active().forEach(interrupt),
      shutdownLabel: 'Stop this training; nothing is lost',
      shutdownAllLabel: 'Stop All',
      shutdownAllConfirmationText: 'Stop all trainings? Each keeps its best weights and its history.',
      shutdownItemIcon: ui.stopIcon,
    };
  }

  /** @param {any} Notification @param {Entry} entry @param {boolean} isEnd @param {() => void} callback */
  function notify(Notification, entry, isEnd, callback) {
    if (Date.now() - entry.since < LONG && !document.hidden) return;
    const { state, text } = entry.status;
    const what = isEnd ? `training ${text}` : `a loss is no number any more: ${text}`;
    const options = { autoClose: false, actions: [{ label: 'Show', callback }] };
    Notification?.emit(`${titleOf(entry)}: ${what}`, isEnd ? toneOf(state, 'info') : 'warning', options);
  }

  // ---- the plugin, and the container that JupyterLab loads

  /** @type {any} */
  let scope = null;

  /** @param {string} name @returns {Promise<any>} a package of JupyterLab, or {} where it is absent */
  async function shared(name) {
    const versions = Object.values(scope[name] ?? {});
    const version = versions.find(({ loaded }) => loaded) ?? versions[0];
    const factory = await version?.get().catch(() => undefined);
    return factory?.() ?? {};
  }

  async function load() {
    const { Widget } = await shared('@lumino/widgets');
    const { Signal } = await shared('@lumino/signaling');
    const { Notification } = await shared('@jupyterlab/apputils');
    const ui = await shared('@jupyterlab/ui-components');
    const { INotebookTracker } = await shared('@jupyterlab/notebook');
    const { IStatusBar } = await shared('@jupyterlab/statusbar');
    const { IRunningSessionManagers } = await shared('@jupyterlab/running');
    const tokens = [INotebookTracker, IStatusBar, IRunningSessionManagers].filter(Boolean);

    /** @param {any} app @param {any[]} services  in the order of the tokens */
    function activate(app, ...services) {
      const service = token => services[tokens.indexOf(token)];
      const tracker = service(INotebookTracker);
      if (!tracker) return;
      document.head.appendChild(document.createElement('style')).textContent = STYLE;
      const show = entry => reveal(app, entry);
      const tell = (entry, isEnd) => notify(Notification, entry, isEnd, () => show(entry));
      const runs = new Runs(new Signal({}), tell);
      tracker.widgetAdded.connect((_, panel) => runs.watch(panel));
      tracker.forEach(panel => runs.watch(panel));
      const when = { isActive: () => runs.entries.size > 0, activeStateChanged: runs.changed };
      const item = statusItem(Widget, runs, show);
      service(IStatusBar)?.registerStatusItem(NAME, { item, align: 'left', rank: 900, ...when });
      service(IRunningSessionManagers)?.add(runList(ui, runs, show));
    }
    const plugin = { id: `${NAME}:plugin`, autoStart: true, optional: tokens, activate };
    return { __esModule: true, default: [plugin] };
  }

  /** @param {string} name */
  async function get(name) {
    if (name !== './extension') throw new Error(`${NAME} has no module ${name}`);
    const module = await load();
    return () => module;
  }

  const page = /** @type {any} */ (window);
  (page._JUPYTERLAB ??= {})[NAME] = { init: shareScope => void (scope = shareScope), get };
})();
