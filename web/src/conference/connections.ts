// The connections of one membership: the one it talks over, for a while the one before, and the second one that is made when
// the first is interrupted. What all of them show together is asked of here.

import type { Peer, Shape } from "../call/peer.ts";
import { digestAll, type PeerStats } from "../call/stats.ts";
import { count } from "../guard.ts";
import type { StreamMetadata } from "../matrix/focuscall.ts";
import { Trouble } from "../protocol/errors.ts";
import { HANDOVER_MS, HANDOVER_READ_MS, INTERRUPTED_MS } from "../protocol/limits.ts";
import type { Member, Resume, Welcome } from "../protocol/messages.ts";
import { MESSAGE, type Source } from "../protocol/names.ts";
import type { MediaWorker } from "../sframe/mediaworker.ts";
import type { Report } from "../sframe/verdict.ts";
import { Connection, type Heard } from "./connection.ts";
import { Handover } from "./handover.ts";
import { Repath } from "./repath.ts";
import type { Received, TileView, Voice } from "./received.ts";
import { requestResume, Resuming } from "./resuming.ts";

export interface ConnectionsPorts extends Pick<Heard, "members" | "speakers" | "viewers" | "epoch" | "hangup" | "handled"> {
    /** The first; false: it is of something else. */
    joined(welcome: Welcome): boolean;
    /** Another connection has taken over; its roster follows. */
    resumed(welcome: Welcome): void;
    /** Before joining: how it goes. */
    connecting(state: RTCPeerConnectionState): void;
    /** In words, what is not as it should be; "": nothing. */
    interrupted(notice: string): void;
    /** This membership is over for the focus, or out of reach. */
    lost(): void;
    /** Frames come without a key; `since` in ms. */
    missing(member: number, source: Source, epoch: number, since: number): void;
    metadata(peer: Peer): StreamMetadata;
    /** What the next connection has to offer. */
    sources(): Source[];
    /** Through the direct chat: a new offer of the current connection, and its answer. */
    negotiate(offer: string): Promise<string>;
    /** What this member sends goes over another connection from now on. */
    moveTo(peer: Peer): Promise<void>;
}

const SILENT = "The conference server does not answer. Sound and picture go on; connecting again.";
const INTERRUPTED = "The connection is interrupted. Connecting again.";

export class Connections {
    current: Connection;
    /** So often has a second connection taken over. */
    resumed = 0;
    readonly #worker: MediaWorker;
    readonly #ports: ConnectionsPorts;
    readonly #maxPairs: number;
    /** Of config.json. */
    readonly #address: string;
    readonly #resuming: Resuming;
    readonly #repath: Repath;
    #member: number | null = null;
    #resume: Resume | null = null;
    #coming: Connection | null = null;
    #former: { connection: Connection; handover: Handover; timer: ReturnType<typeof setTimeout>; reader: ReturnType<typeof setInterval> } | null = null;
    #silent = false;
    /** The media's path: since when it is interrupted, and since when for good. */
    #path: { timer: ReturnType<typeof setTimeout> | undefined; broken: boolean; failedAt: number | null } = { timer: undefined, broken: false, failedAt: null };
    #closed = false;

    constructor(worker: MediaWorker, first: Shape, maxPairs: number, address: string, ports: ConnectionsPorts) {
        this.#worker = worker;
        this.#ports = ports;
        this.#maxPairs = maxPairs;
        this.#address = address;
        const wait = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
        this.#repath = new Repath({
            needed: () => this.#path.timer !== undefined && !this.#closed,
            restart: () => this.peer.restart((offer) => ports.negotiate(offer)),
            done: () => this.#interruption(),
            wait,
            now: () => Date.now(),
        });
        this.#resuming = new Resuming({
            needed: () => this.#silent || this.#path.broken,
            lostSince: () => this.#path.failedAt,
            attempt: () => this.#attempt(),
            giveUp: () => ports.lost(),
            wait,
            now: () => Date.now(),
            random: () => Math.random(),
        });
        this.current = this.#make(first);
    }

    get peer(): Peer {
        return this.current.peer;
    }

    get received(): Received {
        return this.current.received;
    }

    /** Coming back has failed more than once. */
    get stranded(): boolean {
        return this.#resuming.failures > 1;
    }

    /** What is said to the focus over the channel now may not reach it. */
    get interrupted(): boolean {
        return this.#silent || this.#path.timer !== undefined || this.#path.broken;
    }

    /** So often has this member found another path. */
    get restarts(): number {
        return this.#repath.restarts;
    }

    /** Looks for another path, whatever the state of this one. Throws what went wrong. */
    restart(): Promise<void> {
        return this.#repath.now();
    }

    send(message: object): boolean {
        return this.current.dialogue.send(message);
    }

    tile(member: Member): TileView {
        return (this.#former?.handover ?? this.received).tile(member);
    }

    voices(): Voice[] {
        return (this.#former?.handover ?? this.received).voices();
    }

    get peers(): Peer[] {
        return [this.peer, ...(this.#former ? [this.#former.connection.peer] : [])];
    }

    stats(): Promise<PeerStats> {
        return digestAll(this.peers);
    }

    /** By the media worker. */
    reported(receiver: string, report: Report): void {
        for (const connection of [this.current, this.#former?.connection]) connection?.received.reported(receiver, report);
    }

    /** The first connection still shows what the second does not show yet. */
    get moving(): boolean {
        return this.#former !== null;
    }

    async close(): Promise<void> {
        this.#closed = true;
        this.#resuming.close();
        clearTimeout(this.#path.timer);
        this.#stopFormer();
        await Promise.all([this.current, this.#coming, this.#former?.connection].map((connection) => connection?.close()));
    }

    #make(shape: Shape): Connection {
        const { members, speakers, viewers, epoch, hangup, handled, metadata, missing } = this.#ports;
        const made = new Connection(
            {
                worker: this.#worker,
                maxPairs: this.#maxPairs,
                metadata,
                heard: (connection) => ({
                    members, speakers, viewers, epoch, hangup, handled,
                    welcome: (welcome) => this.#welcomed(connection, welcome),
                    silent: (silent) => this.#focusSilent(connection, silent),
                }),
                state: (connection, state) => this.#stateChanged(connection, state),
            },
            shape,
        );
        made.received.onmissing = missing;
        return made;
    }

    #welcomed(connection: Connection, welcome: Welcome): void {
        const first = this.#member === null;
        // A second number in one call would begin this member's keys anew.
        if (!first && (connection !== this.#coming || welcome.member !== this.#member)) return count("welcome refused");
        if (first && !this.#ports.joined(welcome)) return count("welcome refused");
        this.#member = welcome.member;
        this.#resume = welcome.resume;
        if (!first) this.#move(connection);
        connection.welcomed(welcome);
        if (!first) this.#ports.resumed(welcome);
    }

    async #attempt(): Promise<void> {
        if (!this.#resume) throw new Trouble("resume_unknown");
        const { slotPairs, loudest } = this.peer;
        const coming = this.#make({ pairs: slotPairs, loudest: loudest.length, sources: this.#ports.sources() });
        this.#coming = coming;
        try {
            const offer = await coming.peer.offer();
            const answer = await requestResume(this.#address, this.#resume, offer, this.#ports.metadata(coming.peer));
            if (answer.member !== this.#member) throw new Trouble("resume_unknown");
            await coming.connect(answer.sdp);
        } catch (error) {
            if (this.#coming === coming) this.#coming = null;
            await coming.close();
            throw error;
        }
    }

    /** The second connection speaks: from here on it is the one. The first goes on showing what this one does not show yet. */
    #move(coming: Connection): void {
        this.#settle();
        const former = this.current;
        this.current = coming;
        this.#coming = null;
        this.resumed++;
        former.leave();
        const handover = new Handover(former.received, coming.received);
        const read = async () => {
            handover.read(await digestAll([coming.peer]));
            if (this.#former?.handover === handover && handover.done) this.#settle();
            else this.#ports.handled();
        };
        const reader = setInterval(() => void read().catch(() => count("statistics")), HANDOVER_READ_MS);
        this.#former = { connection: former, handover, timer: setTimeout(() => this.#settle(), HANDOVER_MS), reader };
        const gone = this.#path.failedAt !== null;
        this.#silent = false;
        this.#pathHeals();
        void this.#ports.moveTo(coming.peer).then(() => {
            if (gone) this.#settle();
        });
    }

    /** Everything is shown by the second connection. */
    #settle(): void {
        const former = this.#former;
        if (!former || this.#closed) return;
        this.#stopFormer();
        this.#former = null;
        this.send({ type: MESSAGE.resumed, content: {} });
        former.connection.close().catch(() => count("connection not closed"));
        this.#ports.handled();
    }

    #stopFormer(): void {
        clearTimeout(this.#former?.timer);
        clearInterval(this.#former?.reader);
    }

    #focusSilent(connection: Connection, silent: boolean): void {
        if (connection !== this.current || this.#silent === silent) return;
        this.#silent = silent;
        this.#interruption();
    }

    #stateChanged(connection: Connection, state: RTCPeerConnectionState): void {
        if (connection === this.#former?.connection) {
            if (state === "failed") this.#settle();
        } else if (connection !== this.current) {
            if (state === "failed") connection.welcomed(new Trouble("ice_failed"));
        } else if (this.#member === null) {
            this.#ports.connecting(state);
        } else if (state === "failed") {
            this.#path.failedAt ??= Date.now();
            this.#pathBreaks();
        } else if (state === "disconnected") {
            this.#path.timer ??= setTimeout(() => this.#pathBreaks(), INTERRUPTED_MS);
            if (!this.#resuming.running) void this.#repath.run();
        } else if (state === "connected") {
            this.#pathHeals();
        }
    }

    #pathBreaks(): void {
        this.#path.broken = true;
        this.#interruption();
    }

    #pathHeals(): void {
        clearTimeout(this.#path.timer);
        this.#path = { timer: undefined, broken: false, failedAt: null };
        this.#interruption();
    }

    #interruption(): void {
        if (this.#member === null || this.#closed) return;
        this.#ports.interrupted(this.#path.broken ? INTERRUPTED : this.#silent ? SILENT : "");
        if ((this.#silent || this.#path.broken) && !this.#repath.running) void this.#resuming.run();
    }
}
