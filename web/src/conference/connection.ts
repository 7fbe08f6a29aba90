// One connection of this member to the focus: the peer connection, what is said over its data channel, what its slots carry.

import { Peer, type Shape } from "../call/peer.ts";
import type { StreamMetadata } from "../matrix/focuscall.ts";
import type { Welcome } from "../protocol/messages.ts";
import { Trouble } from "../protocol/errors.ts";
import type { MediaWorker } from "../sframe/mediaworker.ts";
import { Dialogue, type Handlers } from "./dialogue.ts";
import { Negotiation } from "./negotiation.ts";
import { Received } from "./received.ts";
import { Welcoming } from "./welcoming.ts";

/** What the focus says that does not concern this one connection alone. */
export type Heard = Pick<Handlers, "members" | "speakers" | "viewers" | "epoch" | "hangup" | "silent" | "handled" | "welcome">;

export interface ConnectionOptions {
    worker: MediaWorker;
    maxPairs: number;
    metadata(peer: Peer): StreamMetadata;
    heard(connection: Connection): Heard;
    state(connection: Connection, state: RTCPeerConnectionState): void;
}

export class Connection {
    readonly peer: Peer;
    readonly received: Received;
    readonly negotiation: Negotiation;
    readonly dialogue: Dialogue;
    readonly #welcoming: Welcoming;

    constructor(options: ConnectionOptions, shape: Shape) {
        this.peer = new Peer(options.worker, shape);
        this.received = new Received(this.peer, options.worker);
        this.#welcoming = new Welcoming(this.peer);
        this.dialogue = new Dialogue(this.peer, {
            ...options.heard(this),
            slots: ({ revision, slots }) => this.received.slotsChanged(revision, slots),
            send: (wanted) => this.peer.want(wanted),
            layers: (layers) => this.received.layersChanged(layers),
            negotiate: (result) => this.negotiation.arrived(result),
        });
        this.negotiation = new Negotiation(this.peer, (message) => this.dialogue.send(message), () => options.metadata(this.peer), options.maxPairs);
        this.peer.onconnection = (state) => options.state(this, state);
    }

    /** Takes the focus' answer, and waits until it speaks to us; Trouble when it does not. */
    async connect(answer: string): Promise<Welcome> {
        const welcome = this.#welcoming.wait();
        await this.peer.answer(answer).catch(() => {
            throw new Trouble("internal", "The conference server's answer could not be used by this browser.");
        });
        return welcome;
    }

    /** Ends the waiting of `connect`. */
    welcomed(result: Welcome | Trouble): void {
        if (!(result instanceof Trouble)) this.dialogue.expectPings(result.pingIntervalMs);
        this.#welcoming.end(result);
    }

    /** Nothing more is said over it; what it shows it goes on to show. */
    leave(): void {
        this.dialogue.close();
        this.negotiation.close();
    }

    async close(): Promise<void> {
        this.leave();
        this.peer.onconnection = () => undefined;
        this.#welcoming.end(new Trouble("connection_lost"));
        await this.peer.close();
        this.received.close();
    }
}
