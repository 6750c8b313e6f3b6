import vue from '@vitejs/plugin-vue';
import { defineConfig, loadEnv } from 'vite';
import { backend } from './backend.js';

export default defineConfig(({ mode }) => {
  const env = loadEnv(mode, process.cwd(), ''); // of .env.local and of the environment, for the server alone
  const server = { host: '127.0.0.1', port: Number(env.PORT ?? 3000), strictPort: true };
  return {
    plugins: [vue(), backend(env.HOOKWIRE_JWT_SECRET)],
    // Only because hookwire-client is a link into this repository here, with a Vue of its own for its tests: a page must have one. With the package
    // from npm leave this out.
    resolve: { dedupe: ['vue'] },
    server,
    preview: server,
  };
});
