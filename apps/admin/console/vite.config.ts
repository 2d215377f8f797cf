import { defineConfig } from 'vite';

/** The console is served below /admin/console, its first page also at /admin (apps/admin/src/api/console-routes.ts). */
export default defineConfig({
  root: import.meta.dirname,
  base: '/admin/console/',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    target: 'es2022',
    // An inlined file would need `data:` in the content security policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
