/* A page of React, for browser-react.test.js, which bundles it: a reader that can be hidden, and the status. */
import { Activity, createElement as h, StrictMode, useState } from 'react';
import { flushSync } from 'react-dom';
import { createRoot } from 'react-dom/client';
import { createClient } from '../dist/index.js';
import { HookwireProvider, useWebSocket } from '../dist/react.js';
import { ConnectionStatus } from '../dist/status.js';

globalThis.got = {};
globalThis.gaps = [];

function Reader({ topic }) {
  useWebSocket([topic], {
    onEvent: (event) => (globalThis.got[topic] ??= []).push(event.data.payload.n),
    onGap: (gap) => globalThis.gaps.push(gap),
  });
  return h('p', null, topic);
}

function App({ topic }) {
  const [mode, setMode] = useState('visible');
  globalThis.setMode = (next) => flushSync(() => setMode(next));
  return h(Activity, { mode }, h(Reader, { topic }));
}

globalThis.connect = ({ token, topic, ...options }) => {
  globalThis.got[topic] = [];
  globalThis.client = createClient({ ...options, getToken: () => token });
  const root = createRoot(document.querySelector('#root'));
  globalThis.unmount = () => root.unmount();
  root.render(h(StrictMode, null, h(HookwireProvider, { client: globalThis.client }, h(App, { topic }), h(ConnectionStatus))));
};
