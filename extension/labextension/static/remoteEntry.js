// @ts-check
/**
 * Shows the trainings of nb_optimizer in JupyterLab: status bar, list of runs, a message at the end.
 *
 * A passive observer: it reads what kernels publish anyway and sends nothing, except the interrupt
 * that a person asks for. This file is the whole extension, a module-federation container written
 * by hand. Text from messages goes to the page only by textContent and by JupyterLab's own models.
 *
 * @typedef {{run: string, state: string, text: string}} Status  what the panel says of its run
 * @typedef {object} Entry  a run as far as this page has seen it
 * @property {Status} status
 * @property {any} panel  the notebook
 * @property {any} kernel
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
  /** @type {Record<string, string>} */
  const TYPES = { completed: 'success', early_stopped: 'success', failed: 'error' };
  /** @type {Record<string, string>} */
  const COLOURS = { running: 'brand', completed: 'success', early_stopped: 'success', failed: 'error' };

  // ---- what messages say

  /** @param {any} msg @returns {Status | null} the status in a message of the panel's comm */
  function statusOf(msg) {
    const status = msg.content.data?.state?._status;
    if (status?.nbopt !== 1) return null;
    const { run, state, text } = status;
    const isText = [run, state, text].every(value => typeof value === 'string');
    return isText && run ? { run, state, text } : null;
  }

  /** @param {any} msg @returns {any} the static picture in an update of an output, else null */
  function pictureOf(msg) {
    const { data, metadata } = msg.content;
    const run = metadata?.[MARK]?.run;
    const keys = Object.keys(data ?? {}).sort().join();
    if (typeof run !== 'string' || keys !== 'text/html,text/plain') return null;
    return { output_type: 'display_data', data, metadata: { [MARK]: { run } } };
  }

  /** @param {any} msg @returns {string} id of the execution that a message belongs to */
  function cellOf(msg) {
    const parent = msg.parent_header;
    return parent.msg_type === 'execute_request' ? parent.msg_id : '';
  }

  // ---- a notebook's outputs

  /** @param {any} panel @param {string} run @returns {any[]} the places where a run is displayed */
  function placesOf(panel, run) {
    const places = [];
    const cells = panel.content.model?.cells ?? [];
    for (let cell = 0; cell < cells.length; cell++) {
      const outputs = cells.get(cell).outputs; // of code cells only
      for (let index = 0; index < (outputs?.length ?? 0); index++) {
        const output = outputs.get(index);
        const isPicture = output.type === 'display_data' && output.metadata[MARK]?.run === run;
        if (isPicture) places.push({ cell, outputs, index, output });
      }
    }
    return places;
  }

  /**
   * Put the final picture where a page reload made JupyterLab lose track of the output.
   * @param {any} panel @param {any} picture
   */
  async function repair(panel, picture) {
    await panel.context.ready;
    if (panel.isDisposed) return;
    for (const { outputs, index, output } of placesOf(panel, picture.metadata[MARK].run)) {
      if (WIDGET in output.data) outputs.set(index, picture);
    }
  }

  /** @param {any} app @param {Entry} entry  show its notebook and the cell that trains */
  function reveal(app, { panel, status }) {
    if (panel.isDisposed) return;
    app.shell.activateById(panel.id);
    const place = placesOf(panel, status.run)[0];
    if (!place) return;
    panel.content.activeCellIndex = place.cell;
    panel.content.scrollToItem(place.cell, 'smart').catch(() => {});
  }

  // ---- the runs of all open notebooks

  class Runs {
    /** @param {any} changed  a signal @param {(entry: Entry, isEnd: boolean) => void} tell */
    constructor(changed, tell) {
      /** @type {Map<string, Entry>} in the order in which they began */
      this.entries = new Map();
      this.changed = changed;
      this.tell = tell;
      /** @type {Map<string, number>} when the comms of panels were opened */
      this.opened = new Map();
    }

    active() {
      return [...this.entries.values()].filter(entry => !entry.over);
    }

    /** @returns {Entry | undefined} the one to show */
    newest() {
      return this.active().at(-1) ?? [...this.entries.values()].at(-1);
    }

    /** @param {(entry: Entry) => boolean} isGone  forget runs of which nothing more will be heard */
    drop(isGone) {
      const gone = [...this.entries].filter(([, entry]) => isGone(entry));
      gone.forEach(([run]) => this.entries.delete(run));
      if (gone.length) this.changed.emit(undefined);
    }

    /** @param {any} panel @param {any} kernel @param {any} msg */
    hear(panel, kernel, msg) {
      const type = msg.header.msg_type;
      const comm = msg.content.comm_id;
      if (type === 'comm_open' && msg.content.data?.state?._status) this.opened.set(comm, Date.now());
      if (type === 'comm_open' || type === 'comm_msg') this.update(panel, kernel, msg);
      if (type === 'comm_close' && this.opened.delete(comm)) this.forget('comm', comm);
      if (type === 'status' && msg.content.execution_state === 'idle') this.forget('cell', cellOf(msg));
      const picture = type === 'update_display_data' && pictureOf(msg);
      if (picture) void repair(panel, picture);
    }

    /** @param {'comm' | 'cell'} key @param {string} id  its training is over or no longer reported */
    forget(key, id) {
      if (id) this.drop(entry => !entry.over && entry[key] === id);
    }

    /** @param {any} panel @param {any} kernel @param {any} msg */
    update(panel, kernel, msg) {
      const status = statusOf(msg);
      if (!status) return;
      const comm = msg.content.comm_id;
      const entry = this.entry(status, comm, panel, kernel);
      const isEnd = !entry.over && !ACTIVE.includes(status.state);
      const breaks = !isEnd && !entry.broken && BROKEN.test(status.text);
      entry.status = status;
      entry.cell = cellOf(msg) || entry.cell;
      entry.over ||= isEnd;
      entry.broken ||= breaks;
      if (isEnd) setTimeout(() => this.drop(other => other === entry), LINGER);
      if (isEnd || breaks) this.tell(entry, isEnd);
      this.changed.emit(undefined);
    }

    /**
     * @param {Status} status @param {string} comm @param {any} panel @param {any} kernel
     * @returns {Entry} what is known of the run; known afresh if it was resumed
     */
    entry(status, comm, panel, kernel) {
      const known = this.entries.get(status.run);
      if (known && known.comm === comm) return known;
      const since = this.opened.get(comm) ?? 0;
      this.opened.set(comm, since); // so that its closing is noticed
      const entry = { status, panel, kernel, comm, since, cell: '', over: false, broken: false };
      this.entries.delete(status.run); // the newest is the last
      this.entries.set(status.run, entry);
      return entry;
    }

    /** @param {any} panel  listen to its kernel, whichever that is */
    watch(panel) {
      const context = panel.sessionContext;
      const seen = new WeakSet();
      const attach = () => {
        const kernel = context.session?.kernel;
        this.drop(entry => entry.panel === panel && entry.kernel !== kernel);
        if (!kernel || seen.has(kernel)) return;
        seen.add(kernel);
        kernel.iopubMessage.connect((/** @type {any} */ _, /** @type {any} */ msg) => this.hear(panel, kernel, msg));
      };
      attach();
      context.kernelChanged.connect(attach);
      context.statusChanged.connect((/** @type {any} */ _, /** @type {string} */ status) => {
        if (GONE.includes(status)) this.drop(entry => entry.panel === panel);
      });
      panel.disposed.connect(() => this.drop(entry => entry.panel === panel));
    }
  }

  // ---- what people see

  /** @param {Entry} entry */
  const titleOf = entry => entry.panel.title.label;

  /** @param {Entry} entry */
  function textOf({ status }) {
    return ['paused', 'stopping'].includes(status.state) ? `${status.state} \u00b7 ${status.text}` : status.text;
  }

  /** @param {any} Widget @param {Runs} runs @param {(entry: Entry) => void} show */
  function statusItem(Widget, runs, show) {
    const button = document.createElement('button');
    const dot = button.appendChild(document.createElement('span'));
    const text = button.appendChild(document.createElement('span'));
    button.type = 'button';
    button.style.cssText =
      'display: flex; align-items: center; gap: 6px; padding: 0 4px; border: 0; background: none;' +
      'font: inherit; font-variant-numeric: tabular-nums; color: inherit; cursor: pointer';
    dot.style.cssText = 'flex: none; width: 8px; height: 8px; border-radius: 4px';
    text.style.cssText = 'max-width: 60ch; overflow: hidden; text-overflow: ellipsis; white-space: nowrap';
    button.onclick = () => {
      const entry = runs.newest();
      if (entry) show(entry);
    };
    const draw = () => {
      const entry = runs.newest();
      if (!entry) return;
      const count = runs.active().length;
      text.textContent = (count > 1 ? `${count} trainings \u00b7 ` : '') + textOf(entry);
      dot.style.background = `var(--jp-${COLOURS[entry.status.state] ?? 'warn'}-color1)`;
      button.title = [...runs.entries.values()].map(e => `${titleOf(e)}: ${textOf(e)}`).join('\n');
    };
    runs.changed.connect(draw);
    const item = new Widget({ node: button });
    item.addClass('nbopt-status');
    item.addClass('jp-mod-highlighted');
    return item;
  }

  /** @param {any} ui @param {Runs} runs @param {(entry: Entry) => void} show */
  function runList(ui, runs, show) {
    /** @param {Entry} entry */
    const itemOf = entry => ({
      label: () => `${titleOf(entry)}: ${textOf(entry)}`,
      labelTitle: () => `${entry.panel.context.path}\n${textOf(entry)}`,
      icon: () => ui.notebookIcon,
      open: () => show(entry),
      shutdown: () => entry.kernel.interrupt().catch(() => {}), // the run ends well at its next batch
    });
    return {
      name: 'Training runs',
      supportsMultipleViews: false,
      running: () => runs.active().map(itemOf),
      runningChanged: runs.changed,
      refreshRunning: () => {},
      shutdownAll: () => runs.active().forEach(entry => itemOf(entry).shutdown()),
      shutdownLabel: 'Stop this training; nothing is lost',
      shutdownAllLabel: 'Stop All',
      shutdownAllConfirmationText: 'Stop all trainings? Each keeps its best weights and its history.',
      shutdownItemIcon: ui.stopIcon,
    };
  }

  /**
   * Tell that a run has ended or gone wrong, if the person may not have seen it.
   * @param {any} Notification @param {Entry} entry @param {boolean} isEnd @param {() => void} show
   */
  function notify(Notification, entry, isEnd, show) {
    if (Date.now() - entry.since < LONG && !document.hidden) return;
    const { state, text } = entry.status;
    const what = isEnd ? `training ${text}` : `a loss is no number any more: ${text}`;
    const type = isEnd ? (TYPES[state] ?? 'info') : 'warning';
    const actions = [{ label: 'Show', callback: show }];
    Notification.emit(`${titleOf(entry)}: ${what}`, type, { autoClose: false, actions });
  }

  // ---- the plugin, and the container that JupyterLab loads

  /** @type {any} */
  let scope = null;

  /** @param {string} name @returns {Promise<any>} a package of JupyterLab, or {} where it is absent */
  async function shared(name) {
    try {
      const versions = Object.values(scope[name]);
      const version = versions.find(({ loaded }) => loaded) ?? versions[0];
      return (await version.get())();
    } catch {
      return {};
    }
  }

  async function load() {
    const names = ['@lumino/widgets', '@lumino/signaling', '@jupyterlab/apputils', '@jupyterlab/ui-components'];
    const [{ Widget }, { Signal }, { Notification }, ui] = await Promise.all(names.map(shared));
    const { INotebookTracker } = await shared('@jupyterlab/notebook');
    const { IStatusBar } = await shared('@jupyterlab/statusbar');
    const { IRunningSessionManagers } = await shared('@jupyterlab/running');
    const tokens = [INotebookTracker, IStatusBar, IRunningSessionManagers].filter(Boolean);

    /** @param {any} app @param {any[]} services  in the order of the tokens */
    function activate(app, ...services) {
      const service = (/** @type {any} */ token) => token && services[tokens.indexOf(token)];
      const tracker = service(INotebookTracker);
      if (!tracker || !Signal) return;
      const show = (/** @type {Entry} */ entry) => reveal(app, entry);
      const runs = new Runs(new Signal({}), (entry, isEnd) => {
        if (Notification) notify(Notification, entry, isEnd, () => show(entry));
      });
      tracker.widgetAdded.connect((/** @type {any} */ _, /** @type {any} */ panel) => runs.watch(panel));
      tracker.forEach((/** @type {any} */ panel) => runs.watch(panel));
      const isActive = () => runs.entries.size > 0;
      const options = { align: 'left', rank: 900, isActive, activeStateChanged: runs.changed };
      if (Widget) service(IStatusBar)?.registerStatusItem(NAME, { item: statusItem(Widget, runs, show), ...options });
      if (ui.notebookIcon) service(IRunningSessionManagers)?.add(runList(ui, runs, show));
    }
    const plugin = { id: `${NAME}:plugin`, description: 'Shows trainings', autoStart: true, optional: tokens, activate };
    return { __esModule: true, default: [plugin] };
  }

  const page = /** @type {any} */ (window);
  page._JUPYTERLAB ??= {};
  page._JUPYTERLAB[NAME] = {
    init: (/** @type {any} */ shareScope) => void (scope = shareScope),
    get: async (/** @type {string} */ name) => {
      if (name !== './extension') throw new Error(`${NAME} has no module ${name}`);
      const module = await load();
      return () => module;
    },
  };
})();
