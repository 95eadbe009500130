// Says to the kernel that this page shows a panel, again and again while it listens. Kernels with
// subshells (ipykernel 7.0 to 7.3 were seen to) can let a lone message lie until the next one comes:
// a click would wait with it.

const BEAT_MS = 2000;

function beat(model) {
  const ready = () => model.send({ type: 'ready' });
  const timer = setInterval(() => { if (model.get('_listens')) ready(); }, BEAT_MS);
  ready();
  return () => clearInterval(timer);
}

