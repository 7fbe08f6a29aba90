// One membership in one conference, from "join" to "left": what the focus says becomes state, what the person does
// becomes messages. It renders nothing; the screens read it and are told of changes.

import type { MatrixClient, Room } from "matrix-js-sdk";
import type { LocalMedia } from "../call/localmedia.ts";
import { Peer, type Kind } from "../call/peer.ts";
import type { Config } from "../config.ts";
import { count } from "../guard.ts";
import type { KeyExchange } from "../keys/exchange.ts";
import { announce } from "../matrix/announce.ts";
import type { Speakers, Viewers } from "../protocol/adaptation.ts";
import { explain, Trouble } from "../protocol/errors.ts";
import { FIRST_SLOT_PAIRS } from "../protocol/limits.ts";
import type { Members, Welcome } from "../protocol/messages.ts";
import { MESSAGE, type Source } from "../protocol/names.ts";
import { MediaWorker } from "../sframe/mediaworker.ts";
import type { SenderReport } from "../sframe/port.ts";
import { Viewing, type Cast } from "../viewing/viewing.ts";
import type { Admission, Pass } from "./admission.ts";
import { Dialogue } from "./dialogue.ts";
import { Entry, type Entered } from "./entry.ts";
import type { Gestures } from "./gestures.ts";
import { Negotiation } from "./negotiation.ts";
import { OwnSources } from "./ownsources.ts";
import { QualityWatch } from "./quality.ts";
import { Received, type TileView } from "./received.ts";
import { linkRoom, type RoomLink } from "./roomlink.ts";
import { Roster } from "./roster.ts";
import { Welcoming } from "./welcoming.ts";
import { linkWorker } from "./workerlink.ts";

export type Phase = "idle" | "admission" | "calling" | "connecting" | "joined" | "left" | "failed";

const SILENT = "The conference server does not answer. Sound and picture go on as they are.";
const INTERRUPTED = "The connection is interrupted. Waiting for it to come back.";
const NOBODY: Speakers = { speaking: [], dominant: null };

export interface ConferenceOptions {
    client: MatrixClient;
    room: Room;
    config: Config;
    media: LocalMedia;
    admission: Admission;
    ignoreKeys: boolean;
    maxPairs: number;
}

export class Conference {
    phase: Phase = "idle";
    /** What is being done, in words, while joining. */
    status = "";
    /** Something worth knowing that does not end the call. */
    notice = "";
    trouble: Trouble | null = null;
    member: number | null = null;
    senders: SenderReport[] = [];
    speakers = NOBODY;
    /** Of our own sources: who watches, and what they lose. */
    viewers: ReadonlyMap<Source, Viewers> = new Map();
    readonly roster = new Roster();
    readonly worker = new MediaWorker();
    readonly peer: Peer;
    readonly received: Received;
    readonly viewing: Viewing;
    readonly quality: QualityWatch;
    readonly own: OwnSources;
    onchange: () => void = () => undefined;
    /** The others are in another conference of the room: join that. */
    onsuperseded: () => void = () => undefined;

    readonly #options: ConferenceOptions;
    readonly #dialogue: Dialogue;
    readonly #negotiation: Negotiation;
    readonly #entry: Entry;
    readonly #welcoming: Welcoming;
    #entered: Entered | null = null;
    #link: RoomLink | null = null;
    #rosterSeen = false;

    constructor(options: ConferenceOptions) {
        this.#options = options;
        const { client, config, admission, media } = options;
        this.peer = new Peer(this.worker, Math.min(FIRST_SLOT_PAIRS, options.maxPairs));
        this.received = new Received(this.peer, this.worker);
        this.quality = new QualityWatch(this.peer, () => this.onchange());
        this.#welcoming = new Welcoming(this.peer);
        this.#dialogue = new Dialogue(this.peer, {
            welcome: (welcome) => this.#welcomeArrived(welcome),
            members: (members) => this.#membersChanged(members),
            slots: ({ revision, slots }) => this.received.slotsChanged(revision, slots),
            send: (wanted) => this.peer.want(wanted),
            speakers: (speakers) => this.#speakersChanged(speakers),
            layers: (layers) => this.received.layersChanged(layers),
            viewers: (viewers) => (this.viewers = viewers),
            epoch: (state) => this.#link?.epochs.told(state),
            negotiate: (result) => this.#negotiation.arrived(result),
            hangup: ({ code, message }) => this.#fail(new Trouble(code, message)),
            silent: (silent) => this.#focusSilent(silent),
            handled: () => this.onchange(),
        });
        const send = (message: object) => this.#dialogue.send(message);
        this.own = new OwnSources(this.peer, media, send);
        this.#negotiation = new Negotiation(this.peer, send, () => this.own.metadata(), options.maxPairs);
        this.viewing = new Viewing({ cast: () => this.#cast(), open: () => this.#dialogue.open, send, changed: () => this.onchange() });
        this.#entry = new Entry({
            client,
            focus: config.focus,
            admission,
            say: (phase, status) => this.#step(phase, status),
            offer: () => this.peer.offer(),
            metadata: () => this.own.metadata(),
            trying: (pass) => this.#linkRoom(pass),
        });
        this.peer.onconnection = (state) => this.#connectionChanged(state);
        linkWorker(this.worker, this.peer, this.received, {
            keys: () => this.keys,
            send,
            senders: (senders) => (this.senders = senders),
            changed: () => this.onchange(),
            fatal: () => this.#fail(new Trouble("media_worker")),
        });
        media.onchange = (kind) => void this.#mediaChanged(kind);
    }

    get keys(): KeyExchange | null {
        return this.#link?.keys ?? null;
    }

    get gestures(): Gestures | null {
        return this.#link?.gestures ?? null;
    }

    /** Resolves when the conference is joined or cannot be; a failure is in `trouble`. */
    async join(): Promise<void> {
        try {
            for (const kind of ["audio", "video"] as const) await this.own.setTrack(kind);
            const entered = await this.#entry.enter();
            this.#entered = entered;
            entered.call.onhangup = (trouble) => this.#fail(trouble);
            this.#step("connecting", "Connecting to the conference server");
            const welcome = this.#welcoming.wait();
            await this.peer.answer(entered.answer.sdp).catch(() => {
                throw new Trouble("internal", "The conference server's answer could not be used by this browser.");
            });
            entered.call.settle(entered.answer).catch(() => count("call event not sent"));
            await welcome;
            this.#step("joined", "");
            this.quality.start();
        } catch (error) {
            this.#fail(error instanceof Trouble ? error : new Trouble("internal", error instanceof Error ? error.message : String(error)));
        }
    }

    /** Whose camera to see in full; null: nobody's in particular. */
    focus(member: number | null): void {
        const there = member !== null && this.roster.members.has(member) && member !== this.member;
        this.viewing.pin(there ? { member, source: "camera" } : null);
    }

    async setMuted(kind: Kind, muted: boolean): Promise<void> {
        await this.#options.media.setOn(kind, !muted);
    }

    muted(kind: Kind): boolean {
        return this.own.muted(kind);
    }

    tiles(): TileView[] {
        return this.roster.others(this.member ?? 0).map((one) => this.received.tile(one));
    }

    async share(on: boolean): Promise<void> {
        try {
            if (!on) await this.own.stopSharing(this.#negotiation);
            else await this.own.share(this.#negotiation, () => void this.share(false));
        } catch (error) {
            count(`screen share: ${error instanceof Error ? `${error.name}: ${error.message}` : "refused"}`);
            const cause = error instanceof Trouble ? explain(error.code, error.message).cause : "This browser could not capture it.";
            this.#notify(`The screen is not shared. ${cause}`);
        }
        this.onchange();
    }

    /** The conference server is silent: joining again may help, waiting may too. */
    get stranded(): boolean {
        return this.phase === "joined" && this.notice === SILENT;
    }

    /** Says goodbye without waiting: for a page that goes away. */
    sayGoodbye(): boolean {
        return this.#dialogue.send({ type: MESSAGE.hangup, content: { reason: "user_hangup" } });
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

    /** Listens from before our own joining on, so that nothing is missed. */
    #linkRoom(pass: Pass): void {
        this.#link?.stop();
        const { client, room, config, ignoreKeys } = this.#options;
        this.#link = linkRoom(
            { client, room, keyTransport: config.keyTransport, ignoreKeys, worker: this.worker, roster: this.roster, pass },
            {
                member: () => this.member,
                joined: () => this.phase === "joined",
                callId: () => this.#entered?.call.callId ?? "",
                send: (message) => this.#dialogue.send(message),
                changed: () => this.onchange(),
                roomChanged: () => this.#lookForAnother(),
            },
        );
    }

    /** Alone in here while the room has moved on to another conference: two were started at once. */
    #lookForAnother(): void {
        const running = this.#options.admission.running;
        const own = this.#entered?.pass.conference;
        if (this.phase !== "joined" || !running || !own || running.conferenceId === own.conferenceId) return;
        if (running.createdTs > own.createdTs && this.roster.others(this.member ?? 0).length === 0) this.onsuperseded();
    }

    #welcomeArrived(welcome: Welcome): void {
        // A second number in one call would begin this member's keys anew.
        if (this.member !== null || welcome.conferenceId !== this.#entered?.pass.conference.conferenceId) return count("welcome refused");
        this.member = welcome.member;
        // Olm needs the roster's devices; the timeline reaches everybody by itself.
        if (this.#options.config.keyTransport === "timeline") this.keys?.start(welcome.member);
        this.#dialogue.expectPings(welcome.pingIntervalMs);
        this.#welcoming.end(welcome);
        // Muted or unmuted while the call was being set up.
        this.own.tellMuted();
    }

    #membersChanged(members: Members): void {
        if (this.member === null) return count("members before welcome");
        const first = !this.#rosterSeen;
        this.#rosterSeen = true;
        const { joined, left } = this.roster.apply(members);
        for (const number of left) {
            this.keys?.memberLeft(number);
            this.gestures?.memberLeft(number);
            this.viewing.gone(number);
        }
        for (const member of joined) {
            if (member.member === this.member) continue;
            this.keys?.memberJoined(member, !first);
            if (!first) this.gestures?.memberJoined();
        }
        if (first && this.#options.config.keyTransport !== "timeline") this.keys?.start(this.member);
        if (left.length > 0) {
            this.#link?.epochs.memberLeft();
            this.#lookForAnother();
        }
        this.viewing.refresh();
        void this.#negotiation.growFor(() => {
            const { others, screens } = this.#cast();
            return others.length + screens.length;
        });
    }

    #speakersChanged(speakers: Speakers): void {
        this.speakers = speakers;
        this.viewing.speaker(speakers.dominant, this.member);
    }

    /** Media need no more than the worker, so the call goes on when the rest of the focus is silent. */
    #focusSilent(silent: boolean): void {
        if (silent) {
            this.speakers = NOBODY;
            this.#notify(SILENT);
        } else if (this.notice === SILENT) this.#notify("");
    }

    #cast(): Cast {
        const others = this.roster.others(this.member ?? 0);
        return {
            others: others.map(({ member }) => member),
            screens: others.filter(({ sources }) => sources.includes("screen")).map(({ member }) => member),
            self: this.member,
            dominant: this.speakers.dominant,
        };
    }

    async #mediaChanged(kind: Kind): Promise<void> {
        if (this.phase === "left" || this.phase === "failed") return;
        await this.own.setTrack(kind);
        if (this.member !== null) this.own.tellMuted();
        this.onchange();
    }

    #connectionChanged(state: RTCPeerConnectionState): void {
        if (state === "failed") this.#fail(new Trouble(this.phase === "joined" ? "connection_lost" : "ice_failed"));
        else if (state === "disconnected") this.#notify(INTERRUPTED);
        else if (state === "connected") {
            if (this.notice === INTERRUPTED) this.#notify("");
            if (this.phase === "connecting") this.#step("connecting", "Connected. Waiting to be let in");
        }
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

    /** Of the latest call to the focus. */
    get callId(): string | null {
        return this.#entered?.call.callId ?? this.#entry.callId;
    }

    #fail(trouble: Trouble): void {
        if (this.phase === "left" || this.phase === "failed") return;
        this.trouble = trouble;
        const { admission } = this.#options;
        if (this.phase !== "joined" && this.#entry.pass) admission.withdraw(this.#entry.pass).catch(() => count("announcement not sent"));
        this.#step("failed", "");
        this.#welcoming.end(trouble);
        this.#sayBye("unknown_error");
        void this.#close();
    }

    async #close(): Promise<void> {
        this.#link?.stop();
        for (const part of [this.#dialogue, this.viewing, this.quality, this.own]) part.close();
        this.#entered?.call.close();
        await this.peer.close();
        this.worker.close();
    }
}
