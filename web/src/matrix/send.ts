// Sending with the homeserver's rate limit in mind: it says how long to wait, and that is how long we wait.

import { MatrixError } from "matrix-js-sdk";
import { Trouble } from "../protocol/errors.ts";

const LONGEST_WAIT_MS = 10000;
const ATTEMPTS = 4;

export async function politely<T>(request: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
        try {
            return await request();
        } catch (error) {
            if (!(error instanceof MatrixError) || error.httpStatus !== 429) throw error;
            const wait = error.getRetryAfterMs() ?? 2000;
            if (attempt >= ATTEMPTS || wait > LONGEST_WAIT_MS) throw new Trouble("rate_limited");
            await new Promise((resolve) => setTimeout(resolve, wait));
        }
    }
}
