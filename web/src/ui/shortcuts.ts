// Keys that press the buttons of a call. Each button carries its own in `data-key`, so what can be pressed is what can be seen.

import { useEffect } from "preact/hooks";

const OFF = "sotto-shortcuts-off";

export function shortcutsOn(): boolean {
    try {
        return localStorage.getItem(OFF) === null;
    } catch {
        return true;
    }
}

/** People who speak to their machine, or whose keys are pressed by accident, can do without. */
export function setShortcuts(on: boolean): void {
    try {
        if (on) localStorage.removeItem(OFF);
        else localStorage.setItem(OFF, "1");
    } catch {
        // Without storage the choice lasts as long as the default.
    }
}

/** `escape` is what the Escape key does. */
export function useShortcuts(escape: () => void): void {
    useEffect(() => {
        const press = (event: KeyboardEvent) => {
            if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.defaultPrevented) return;
            if (event.target instanceof Element && event.target.closest("input, select, textarea, [contenteditable]")) return;
            if (event.key === "Escape") return escape();
            if (!shortcutsOn()) return;
            const button = document.querySelector<HTMLButtonElement>(`[data-key="${CSS.escape(event.key.toLowerCase())}"]`);
            if (!button) return;
            event.preventDefault();
            button.click();
        };
        document.addEventListener("keydown", press);
        return () => document.removeEventListener("keydown", press);
    }, [escape]);
}
