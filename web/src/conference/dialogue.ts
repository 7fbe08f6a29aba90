// The data channel: what the focus says is read and handed on, its pings are answered, and its silence is noticed.

import type { Peer } from "../call/peer.ts";
import { count } from "../guard.ts";
import { parseUntrusted, type FocusMessage } from "../protocol/messages.ts";
import { MESSAGE } from "../protocol/names.ts";

type Of<T extends FocusMessage["type"]> = Extract<FocusMessage, { type: T }> extends { content: infer C } ? C : never;

export type Handlers = { [T in "welcome" | "members" | "slots" | "send" | "speakers" | "layers" | "viewers" | "epoch" | "negotiate" | "hangup"]: (content: Of<T>) => void } & {
    /** True: nothing has come for longer than the focus' pings are apart, or the channel has closed. */
    silent: (silent: boolean) => void;
    /** After every message that may have changed something. */
    handled: () => void;
};

/** Pings missed in a row before the channel counts as dead. Fewer take one lost second for it, more leave it dead for longer. */
const PINGS_MISSED = 2.5;

export class Dialogue {
    readonly #peer: Peer;
    readonly #handlers: Handlers;
    #pingIntervalMs: number | null = null;
    #silence: ReturnType<typeof setTimeout> | undefined;

    constructor(peer: Peer, handlers: Handlers) {
        this.#peer = peer;
        this.#handlers = handlers;
        peer.onmessage = (data) => this.#receive(data);
        peer.channel.onclose = () => handlers.silent(true);
    }

    /** False: the channel is not open. */
    send(message: object): boolean {
        return this.#peer.send(JSON.stringify(message));
    }

    get open(): boolean {
        return this.#peer.channel.readyState === "open";
    }

    /** From now on the focus is expected to ping so often. */
    expectPings(intervalMs: number): void {
        this.#pingIntervalMs = intervalMs;
        this.#heard();
    }

    /** Nothing of it counts any more. */
    close(): void {
        clearTimeout(this.#silence);
        this.#pingIntervalMs = null;
        this.#peer.channel.onclose = null;
        this.#peer.onmessage = () => undefined;
    }

    #receive(data: unknown): void {
        let message: FocusMessage;
        try {
            message = parseUntrusted(data);
        } catch {
            return count("data channel message malformed");
        }
        this.#heard();
        switch (message.type) {
            case "ping":
                return void this.send({ type: MESSAGE.pong, content: {} });
            case "error":
                return count(`focus error ${message.content.code}`);
            case "unknown":
                return count("data channel message unknown");
            default:
                (this.#handlers[message.type] as (content: unknown) => void)(message.content);
                this.#handlers.handled();
        }
    }

    #heard(): void {
        if (this.#pingIntervalMs === null) return;
        clearTimeout(this.#silence);
        this.#handlers.silent(false);
        this.#silence = setTimeout(() => this.#handlers.silent(true), PINGS_MISSED * this.#pingIntervalMs);
    }
}
