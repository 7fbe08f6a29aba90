// Input from outside never ends a call: it is counted by kind, and the counts can be read in `sotto.state()`.

const counters = new Map<string, number>();

export function count(what: string): void {
    counters.set(what, (counters.get(what) ?? 0) + 1);
}

export function counts(): Record<string, number> {
    return Object.fromEntries(counters);
}

/** Wraps a handler of outside input: what it throws, now or later, is counted under `what` and goes no further. */
export function guard<A extends unknown[]>(what: string, handler: (...args: A) => unknown): (...args: A) => void {
    return (...args) => {
        try {
            const result = handler(...args);
            if (result instanceof Promise) result.catch(() => count(what));
        } catch {
            count(what);
        }
    };
}
