import { createClient } from 'hookwire-client';
import { hookwire } from 'hookwire-client/vue';
import { createApp } from 'vue';
import App from './App.vue';
import './style.css';

const client = createClient({
  url: import.meta.env.VITE_HOOKWIRE_URL ?? 'http://127.0.0.1:8080',
  async getToken() {
    const response = await fetch('/api/token', { cache: 'no-store' });
    if (!response.ok) throw new Error(await response.text());
    return response.text();
  },
});

createApp(App).use(hookwire(client)).mount('#app');
