// The Matrix library logs user ids, room ids and event types. Nothing of that belongs into a console that people copy
// into bug reports, so its logger here only counts warnings and errors.

import { logger, type Logger } from "matrix-js-sdk/lib/logger";
import { count } from "../guard.ts";

const nothing = (): void => undefined;

export const silentLogger: Logger = {
    trace: nothing,
    debug: nothing,
    info: nothing,
    warn: () => count("matrix library warning"),
    error: () => count("matrix library error"),
    getChild: () => silentLogger,
};

/** Parts of the library that take no logger ask the global one for children, which inherit how it makes its methods. */
export function silenceLibrary(): void {
    const root = logger as unknown as Logger & { methodFactory: () => () => void; rebuild(): void };
    root.methodFactory = () => nothing;
    root.rebuild();
}
