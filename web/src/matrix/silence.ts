// The Matrix library logs user ids, room ids and event types. Nothing of that belongs into a console that people copy
// into bug reports, so its logger here only counts warnings and errors.

import type { Logger } from "matrix-js-sdk/lib/logger";
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
