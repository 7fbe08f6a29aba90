import { defineConfig } from "vite";

// Relative asset addresses: the focus may serve the client below any path.
export default defineConfig({
    base: "./",
    build: { outDir: "dist", target: "es2022", chunkSizeWarningLimit: 1200 },
    worker: { format: "es" },
});
