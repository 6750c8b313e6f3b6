import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

// where the back end is; `start` says so
const api = process.env.GIFT_API ?? 'http://127.0.0.1:8000';
const server = { host: '127.0.0.1', port: 5173, strictPort: true, proxy: { '/api': api } };

export default defineConfig({
  plugins: [react()],
  // hookwire-client is a link to its folder here, which has a React of its own for its tests: the page must have one
  resolve: { dedupe: ['react', 'react-dom', '@tanstack/react-query'] },
  // known from the start: what is found later reloads the page
  optimizeDeps: { include: ['react-dom/client', '@tanstack/react-query'] },
  server,
  preview: server,
});
