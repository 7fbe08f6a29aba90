// One membership in one conference, from "join" to "left": what the focus says becomes state, what the person does
// becomes messages. It renders nothing; the screens read it and are told of changes.

import { RoomStateEvent, type MatrixClient, type Room } from "matrix-js-sdk";
import type { LocalMedia } from "../call/localmedia.ts";
import { Peer, type Kind } from "../call/peer.ts";
import type { Config } from "../config.ts";
import { count } from "../guard.ts";
import type { KeyExchange } from "../keys/exchange.ts";
import { announce } from "../matrix/announce.ts";
import type { StreamMetadata } from "../matrix/focuscall.ts";
import { listen } from "../matrix/inbox.ts";
import { serveTickets } from "../matrix/tickets.ts";
import { Trouble } from "../protocol/errors.ts";
import { CONNECT_MS } from "../protocol/limits.ts";
import { parseUntrusted, type FocusMessage, type Members, type Welcome } from "../protocol/messages.ts";
import { MESSAGE, SOURCES, sourceNumber } from "../protocol/names.ts";
import { MediaWorker } from "../sframe/mediaworker.ts";
import type { SenderReport } from "../sframe/port.ts";
import type { Admission, Pass } from "./admission.ts";
import { Entry, type Entered } from "./entry.ts";
import { linkKeys } from "./keylink.ts";
import { Negotiation } from "./negotiation.ts";
import { Received, type TileView } from "./received.ts";
import { Roster } from "./roster.ts";
import { Subscriptions } from "./subscriptions.ts";

export type Phase = "idle" | "admission" | "calling" | "connecting" | "joined" | "left" | "failed";

const SILENT = "The conference server does not answer. Sound and picture go on as they are; leave and join again to bring everything back.";

export interface ConferenceOptions {
    client: MatrixClient;
    room: Room;
    config: Config;
    media: LocalMedia;
    admission: Admission;
    ignoreKeys: boolean;
}

export class Conference {
    phase: Phase = "idle";
    /** What is being done, in words, while joining. */
    status = "";
    /** Something worth knowing that does not end the call. */
    notice = "";
    trouble: Trouble | null = null;
    member: number | null = null;
    focused: number | null = null;
    senders: SenderReport[] = [];
    readonly roster = new Roster();
    readonly worker = new MediaWorker();
    readonly peer = new Peer(this.worker);
    keys: KeyExchange | null = null;
    onchange: () => void = () => undefined;
    /** The others are in another conference of the room: join that. */
    onsuperseded: () => void = () => undefined;

    readonly #options: ConferenceOptions;
    readonly #received = new Received(this.peer, this.worker);
    readonly #subscriptions = new Subscriptions();
    readonly #negotiation = new Negotiation(this.peer, (message) => this.#send(message), () => this.#metadata());
    readonly #entry: Entry;
    #entered: Entered | null = null;
    #stops: (() => void)[] = [];
    #welcomed: (result: Welcome | Trouble) => void = () => undefined;
    /** The mute state as the focus was told last. */
    #told = "";
    #rosterSeen = false;
    #pingIntervalMs = 10000;
    #silence: ReturnType<typeof setTimeout> | undefined;

    constructor(options: ConferenceOptions) {
        this.#options = options;
        const { client, config, admission, media } = options;
        this.#entry = new Entry({
            client,
            focus: config.focus,
            admission,
            say: (phase, status) => this.#step(phase, status),
            offer: () => this.peer.offer(),
            metadata: () => this.#metadata(),
            trying: (pass) => this.#prepareKeys(pass),
        });
        this.peer.onmessage = (data) => this.#receive(data);
        this.peer.onconnection = (state) => this.#connectionChanged(state);
        this.peer.channel.onclose = () => this.#notify(SILENT);
        this.worker.onreceiver = (receiver, report) => {
            this.#received.reported(receiver, report);
            this.onchange();
        };
        this.worker.onfatal = () => this.#fail(new Trouble("media_worker"));
        this.worker.onsenders = (senders) => {
            this.senders = senders;
        };
        this.worker.onfreshkey = (source) => {
            if (SOURCES[source] === "camera") this.peer.requestOwnKeyFrame();
        };
        this.#received.onmissing = (member, source, epoch, since) => {
            const asked = this.keys?.keyMissing(member, sourceNumber(source), epoch, since / 1000);
            if (asked) this.#send({ type: MESSAGE.missingKey, content: { member, source } });
        };
        media.onchange = (kind) => void this.#mediaChanged(kind);
    }

    /** Resolves when the conference is joined or cannot be; a failure is in `trouble`. */
    async join(): Promise<void> {
        try {
            for (const kind of ["audio", "video"] as const) await this.peer.setTrack(kind, this.#options.media.tracks[kind]);
            const entered = await this.#entry.enter();
            this.#entered = entered;
            entered.call.onhangup = (trouble) => this.#fail(trouble);
            this.#step("connecting", "Connecting to the conference server");
            const welcome = this.#welcome();
            await this.peer.answer(entered.answer.sdp).catch(() => {
                throw new Trouble("internal", "The conference server's answer could not be used by this browser.");
            });
            entered.call.settle(entered.answer).catch(() => count("call event not sent"));
            await welcome;
            this.#step("joined", "");
        } catch (error) {
            this.#fail(error instanceof Trouble ? error : new Trouble("internal", error instanceof Error ? error.message : String(error)));
        }
    }

    /** Whom to see in full; null: everybody small. */
    focus(member: number | null): void {
        this.focused = member !== null && this.roster.members.has(member) && member !== this.member ? member : null;
        this.#subscribe();
        this.onchange();
    }

    async setMuted(kind: Kind, muted: boolean): Promise<void> {
        await this.#options.media.setOn(kind, !muted);
    }

    muted(kind: Kind): boolean {
        return this.#options.media.tracks[kind] === null;
    }

    tiles(): TileView[] {
        return this.roster.others(this.member ?? 0).map((one) => this.#received.tile(one));
    }

    /** Who a full picture is asked of: the one chosen, or the only other one there. */
    get inFull(): number | null {
        const others = this.roster.others(this.member ?? 0);
        return this.focused ?? (others.length === 1 ? others[0]!.member : null);
    }

    /** Says goodbye without waiting: for a page that goes away. */
    sayGoodbye(): boolean {
        return this.#send({ type: MESSAGE.hangup, content: { reason: "user_hangup" } });
    }

    async leave(): Promise<void> {
        if (this.phase === "left" || this.phase === "failed") return;
        const { client, room } = this.#options;
        const last = this.member !== null && this.roster.others(this.member).length === 0;
        const mine = this.#entered?.pass.conference.creator === client.getUserId();
        const joined = this.phase === "joined";
        this.#step("left", "");
        this.#sayBye("user_hangup");
        if (joined && last && mine) announce(client, room.roomId, null).catch(() => count("announcement not sent"));
        await this.#close();
    }

    #welcome(): Promise<Welcome> {
        const welcome = new Promise<Welcome>((resolve, reject) => {
            const timer = setTimeout(() => {
                const connected = this.peer.pc.connectionState === "connected";
                reject(connected ? new Trouble("internal", "The conference server was reached but did not let us in.") : new Trouble("ice_failed"));
            }, CONNECT_MS);
            this.#welcomed = (result) => {
                clearTimeout(timer);
                if (result instanceof Trouble) reject(result);
                else resolve(result);
            };
        });
        welcome.catch(() => undefined);
        return welcome;
    }

    #prepareKeys(pass: Pass): void {
        this.#unlisten();
        const { client, room, config, ignoreKeys } = this.#options;
        const link = linkKeys({ client, room, kind: config.keyTransport, pass, worker: this.worker, ignoreOthers: ignoreKeys });
        this.keys = link.keys;
        // Who starts a conference answers for it from the start; others once they are in.
        const mine = pass.conference.creator === client.getUserId();
        const rank = () => (this.phase === "joined" ? this.roster.list.findIndex(({ member }) => member === this.member) : mine ? 0 : -1);
        const watch = () => this.#lookForAnother();
        client.on(RoomStateEvent.Update, watch);
        this.#stops = [link.stop, listen(client, room.roomId, serveTickets(client, room, pass.ticket, rank)), () => client.off(RoomStateEvent.Update, watch)];
    }

    /** Alone in here while the room has moved on to another conference: two were started at once. */
    #lookForAnother(): void {
        const running = this.#options.admission.running;
        const own = this.#entered?.pass.conference;
        if (this.phase !== "joined" || !running || !own || running.conferenceId === own.conferenceId) return;
        if (running.createdTs > own.createdTs && this.roster.others(this.member ?? 0).length === 0) this.onsuperseded();
    }

    #receive(data: unknown): void {
        let message: FocusMessage;
        try {
            message = parseUntrusted(data);
        } catch {
            return count("data channel message malformed");
        }
        switch (message.type) {
            case "welcome":
                this.#welcomeArrived(message.content);
                break;
            case "members":
                this.#membersChanged(message.content);
                break;
            case "slots":
                this.#received.slotsChanged(message.content.revision, message.content.slots);
                break;
            case "send": {
                const camera = message.content.get("camera");
                if (camera) this.peer.want(camera);
                break;
            }
            case "negotiate":
                this.#negotiation.arrived(message.content);
                break;
            case "ping":
                this.#send({ type: MESSAGE.pong, content: {} });
                return this.#heard();
            case "error":
                return count(`focus error ${message.content.code}`);
            case "hangup":
                return this.#fail(new Trouble(message.content.code, message.content.message));
            case "unknown":
                return count("data channel message unknown");
        }
        this.onchange();
    }

    #welcomeArrived(welcome: Welcome): void {
        // A second number in one call would begin this member's keys anew.
        if (this.member !== null || welcome.conferenceId !== this.#entered?.pass.conference.conferenceId) return count("welcome refused");
        this.member = welcome.member;
        // Olm needs the roster's devices; the timeline reaches everybody by itself.
        if (this.#options.config.keyTransport === "timeline") this.keys?.start(welcome.member);
        this.#pingIntervalMs = welcome.pingIntervalMs;
        this.#heard();
        this.#welcomed(welcome);
        // Muted or unmuted while the call was being set up.
        this.#tellMuted();
    }

    /** The focus pings; when it stops, people hear of it. Media need no more than the worker, so the call goes on. */
    #heard(): void {
        clearTimeout(this.#silence);
        if (this.notice === SILENT) this.#notify("");
        this.#silence = setTimeout(() => this.#notify(SILENT), 3.5 * this.#pingIntervalMs);
    }

    #membersChanged(members: Members): void {
        if (this.member === null) return count("members before welcome");
        const first = !this.#rosterSeen;
        this.#rosterSeen = true;
        const { joined, left } = this.roster.apply(members);
        for (const number of left) {
            this.keys?.memberLeft(number);
            if (this.focused === number) this.focused = null;
        }
        for (const member of joined) if (member.member !== this.member) this.keys?.memberJoined(member, !first);
        if (first && this.#options.config.keyTransport !== "timeline") this.keys?.start(this.member);
        if (left.length > 0) this.#lookForAnother();
        this.#subscribe();
        void this.#negotiation.growFor(() => this.roster.others(this.member ?? 0).length);
    }

    #subscribe(): void {
        if (this.peer.channel.readyState !== "open") return;
        const full = this.inFull;
        const members = this.roster.others(this.member ?? 0).map(({ member }) => member);
        const message = this.#subscriptions.update(members, (member) => (member === full ? "full" : "thumbnail"));
        if (message) this.#send(message);
    }

    async #mediaChanged(kind: Kind): Promise<void> {
        if (this.phase === "left" || this.phase === "failed") return;
        await this.peer.setTrack(kind, this.#options.media.tracks[kind]).catch(() => count("track refused"));
        if (this.member !== null) this.#tellMuted();
        this.onchange();
    }

    /** What is true now, remembered as told. */
    #metadata(): StreamMetadata {
        const metadata = this.peer.metadata({ audio: this.muted("audio"), video: this.muted("video") });
        this.#told = JSON.stringify(metadata);
        return metadata;
    }

    #tellMuted(): void {
        const before = this.#told;
        const metadata = this.#metadata();
        if (this.#told === before) return;
        if (!this.#send({ type: MESSAGE.metadataChanged, content: { sdp_stream_metadata: metadata } })) this.#told = before;
    }

    #connectionChanged(state: RTCPeerConnectionState): void {
        if (state === "failed") this.#fail(new Trouble(this.phase === "joined" ? "connection_lost" : "ice_failed"));
        else if (state === "disconnected") this.#notify("The connection is interrupted. Waiting for it to come back.");
        else if (state === "connected") {
            this.notice = "";
            if (this.phase === "connecting") this.#step("connecting", "Connected. Waiting to be let in");
        }
    }

    #send(message: object): boolean {
        return this.peer.send(JSON.stringify(message));
    }

    /** By the data channel where there is one, otherwise through the direct chat. */
    #sayBye(reason: string): void {
        if (this.sayGoodbye()) return;
        const said = this.#entered ? this.#entered.call.hangup(reason) : this.#entry.cancel();
        said.catch(() => count("call event not sent"));
    }

    #step(phase: Phase, status: string): void {
        if (this.phase === "left" || this.phase === "failed") return;
        this.phase = phase;
        this.status = status;
        this.onchange();
    }

    #notify(text: string): void {
        if (this.phase !== "joined") return;
        this.notice = text;
        this.onchange();
    }

    #fail(trouble: Trouble): void {
        if (this.phase === "left" || this.phase === "failed") return;
        this.trouble = trouble;
        const { admission } = this.#options;
        if (this.phase !== "joined" && this.#entry.pass) admission.withdraw(this.#entry.pass).catch(() => count("announcement not sent"));
        this.#step("failed", "");
        this.#welcomed(trouble);
        this.#sayBye("unknown_error");
        void this.#close();
    }

    #unlisten(): void {
        for (const stop of this.#stops) stop();
        this.#stops = [];
    }

    async #close(): Promise<void> {
        clearTimeout(this.#silence);
        this.#unlisten();
        this.#entered?.call.close();
        await this.peer.close();
        this.worker.close();
    }
}
