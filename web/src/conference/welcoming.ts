// Waits for the focus' first word over the data channel, which says that we are in.

import type { Peer } from "../call/peer.ts";
import { Trouble } from "../protocol/errors.ts";
import { CONNECT_MS } from "../protocol/limits.ts";
import type { Welcome } from "../protocol/messages.ts";

export class Welcoming {
    readonly #peer: Peer;
    #end: (result: Welcome | Trouble) => void = () => undefined;

    constructor(peer: Peer) {
        this.#peer = peer;
    }

    /** Rejects with what went wrong when it does not come in time. */
    wait(): Promise<Welcome> {
        const welcome = new Promise<Welcome>((resolve, reject) => {
            const timer = setTimeout(() => {
                const connected = this.#peer.pc.connectionState === "connected";
                reject(connected ? new Trouble("internal", "The conference server was reached but did not let us in.") : new Trouble("ice_failed"));
            }, CONNECT_MS);
            this.#end = (result) => {
                clearTimeout(timer);
                if (result instanceof Trouble) reject(result);
                else resolve(result);
            };
        });
        welcome.catch(() => undefined);
        return welcome;
    }

    end(result: Welcome | Trouble): void {
        this.#end(result);
    }
}
