/* What tests of React components need, for React 18 and 19. */
import './dom.js';
import refresh from 'react-refresh/runtime';

refresh.injectIntoGlobalHook(globalThis);
const { act: reactAct, createElement: h, StrictMode, version } = await import('react');
const { createRoot } = await import('react-dom/client');

export { h, refresh, StrictMode };
export const major = Number(version.split('.')[0]);

/** Does something, and all that React makes of it. Outside of it React works as on a page, when it has time: events come when they come. */
export async function act(run) {
  globalThis.IS_REACT_ACT_ENVIRONMENT = true;
  try {
    return await reactAct(run);
  } finally {
    globalThis.IS_REACT_ACT_ENVIRONMENT = false;
  }
}

const roots = new Set();

/** Shows an element; `update` shows another in its place. */
export async function show(element) {
  const container = document.body.appendChild(document.createElement('div'));
  const root = createRoot(container);
  const screen = {
    container,
    get text() {
      return container.textContent;
    },
    update: (next) => act(async () => root.render(next)),
    async hide() {
      if (!roots.delete(screen)) return;
      await act(async () => root.unmount());
      container.remove();
    },
  };
  roots.add(screen);
  await screen.update(element);
  return screen;
}

export const hideAll = async () => {
  for (const screen of [...roots]) await screen.hide();
};

/** Lets time pass, for what must not happen in it: there is nothing to wait for. */
export const pass = (ms) => new Promise((done) => setTimeout(done, ms));
