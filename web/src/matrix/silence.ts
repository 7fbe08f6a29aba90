// The Matrix library logs user ids, room ids and event types. Nothing of that belongs into a console that people copy
// into bug reports. Its client takes a logger of ours, which counts; its modules, when they load, make methods through
// loglevel, so this must be imported before them.

import loglevel from "loglevel";
import type { Logger } from "matrix-js-sdk/lib/logger";
import { count } from "../guard.ts";

const nothing = (): void => undefined;

Object.defineProperty(loglevel, "methodFactory", { get: () => () => nothing, set: nothing });

export const silentLogger: Logger = {
    trace: nothing,
    debug: nothing,
    info: nothing,
    warn: () => count("matrix library warning"),
    error: () => count("matrix library error"),
    getChild: () => silentLogger,
};
