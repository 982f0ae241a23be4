// Builds the web UI to `dist/`, which the binary embeds. `npm run dev` serves it with the API
// proxied to WEIR_SERVER (default http://127.0.0.1:8081).
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

const server = process.env.WEIR_SERVER ?? 'http://127.0.0.1:8081';

export default defineConfig({
  base: '/ui/',
  plugins: [react()],
  build: {
    target: 'es2022',
    sourcemap: false,
    // The bundle is embedded: its size does not go over a slow network.
    chunkSizeWarningLimit: 900,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: {
      output: {
        // Names by content: the same sources give the same files.
        entryFileNames: 'assets/[name]-[hash].js',
        chunkFileNames: 'assets/[name]-[hash].js',
        assetFileNames: 'assets/[name]-[hash][extname]',
      },
    },
  },
  // The examples are those of the repository.
  server: { host: '127.0.0.1', fs: { allow: ['..'] }, proxy: { '/api': { target: server, changeOrigin: true } } },
});
