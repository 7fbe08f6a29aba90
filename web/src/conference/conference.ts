// One membership in one conference, from "join" to "left": its phases, and what a person can do in it. It renders nothing; the
// screens read it and are told of changes.

import type { MatrixClient, Room } from "matrix-js-sdk";
import type { LocalMedia } from "../call/localmedia.ts";
import { firstShape, type Kind } from "../call/peer.ts";
import type { Config } from "../config.ts";
import { count } from "../guard.ts";
import type { KeyExchange } from "../keys/exchange.ts";
import { displayName } from "../matrix/rooms.ts";
import type { Viewers } from "../protocol/adaptation.ts";
import { Trouble } from "../protocol/errors.ts";
import type { Conference as Announced } from "../protocol/events.ts";
import type { Welcome } from "../protocol/messages.ts";
import { MESSAGE, type Source } from "../protocol/names.ts";
import { MediaWorker } from "../sframe/mediaworker.ts";
import type { SenderReport } from "../sframe/port.ts";
import type { Admission, Pass, Wish } from "./admission.ts";
import type { AnnouncingLink } from "./announcinglink.ts";
import { Attendance, NOBODY } from "./attendance.ts";
import { Connections } from "./connections.ts";
import { Entry } from "./entry.ts";
import type { Gestures } from "./gestures.ts";
import type { Moderation } from "./moderation.ts";
import { InRoom } from "./inroom.ts";
import { OwnControl } from "./owncontrol.ts";
import { OwnSources } from "./ownsources.ts";
import { QualityWatch } from "./quality.ts";
import { Tiles } from "./tiles.ts";
import { askForKey, linkWorker } from "./workerlink.ts";

export type Phase = "idle" | "admission" | "calling" | "connecting" | "joined" | "left" | "failed";

export interface ConferenceOptions {
    client: MatrixClient;
    room: Room;
    config: Config;
    media: LocalMedia;
    admission: Admission;
    ignoreKeys: boolean;
    maxPairs: number;
    /** Our announcement ends when the homeserver has not heard of us for so long, ms. */
    switchMs: number;
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
    /** Of our own sources: who watches, and what they lose. */
    viewers: ReadonlyMap<Source, Viewers> = new Map();
    readonly worker = new MediaWorker();
    readonly connections: Connections;
    readonly attendance: Attendance;
    readonly quality: QualityWatch;
    readonly own: OwnSources;
    readonly control: OwnControl;
    readonly tiles: Tiles;
    onchange: () => void = () => undefined;
    /** To be joined anew: the others are in another conference of the room, or the focus has forgotten this member. */
    onsuperseded: (wish?: Wish) => void = () => undefined;

    readonly #options: ConferenceOptions;
    readonly #entry: Entry;
    readonly #offersPictures: boolean;
    readonly #inRoom: InRoom;

    constructor(options: ConferenceOptions) {
        this.#options = options;
        const { client, room, config, admission, media, maxPairs } = options;
        this.#offersPictures = (admission.chosen ?? admission.wish).intent === "video";
        const shape = firstShape(maxPairs, this.#offersPictures);
        const send = (message: object) => this.connections.send(message);
        this.attendance = new Attendance({
            member: () => this.member,
            keyTransport: config.keyTransport,
            link: () => this.#inRoom.link,
            connections: () => this.connections,
            moved: () => this.#inRoom.lookAround(),
            changed: () => this.onchange(),
        });
        this.connections = new Connections(this.worker, shape, maxPairs, config.address, {
            joined: (welcome) => this.#welcomed(welcome),
            resumed: (welcome) => {
                this.#inRoom.link?.epochs.welcomed(welcome);
                this.#inRoom.link?.epochs.reconnected();
                this.own.tellMuted();
            },
            members: (members) => this.attendance.membersChanged(members),
            speakers: (speakers) => this.attendance.speakersChanged(speakers),
            viewers: (viewers) => (this.viewers = viewers),
            epoch: (state) => this.#inRoom.link?.epochs.told(state),
            hangup: ({ code, message }) => this.#fail(new Trouble(code, message)),
            handled: () => this.onchange(),
            connecting: (state) => this.#connecting(state),
            interrupted: (notice) => this.#interrupted(notice),
            lost: () => this.onsuperseded(),
            missing: (member, source, epoch, since) => askForKey(this.keys, send, member, source, epoch, since),
            metadata: (peer) => this.own.metadata(peer),
            sources: () => this.own.sources,
            negotiate: (offer) => this.#entry.negotiate(offer),
            moveTo: (peer) => this.own.moveTo(peer),
        });
        this.own = new OwnSources(this.connections.peer, media, shape.sources, send);
        this.control = new OwnControl({
            media,
            own: this.own,
            negotiation: () => this.connections.current.negotiation,
            joined: () => this.phase === "joined",
            nameOf: (userId) => displayName(client, room.roomId, userId),
            notify: (text) => this.#notify(text),
            changed: () => this.onchange(),
        });
        this.tiles = new Tiles({
            others: () => this.roster.others(this.member ?? 0),
            tile: (member) => this.connections.tile(member),
            looked: (spot) => this.viewing.told(spot).height > 0,
            keys: () => this.keys,
            changed: () => this.onchange(),
            now: () => Date.now(),
        });
        this.#inRoom = new InRoom(
            { client, room, keyTransport: config.keyTransport, ignoreKeys: options.ignoreKeys, worker: this.worker, roster: this.roster, switchMs: options.switchMs },
            admission,
            {
                member: () => this.member,
                joined: () => this.phase === "joined",
                callId: () => this.#entry.entered?.call.callId ?? "",
                send,
                changed: () => this.onchange(),
                asked: (source, by) => void this.control.asked(source, by),
                focused: (spot) => this.viewing.putBefore(spot),
                own: () => this.#entry.entered?.pass.conference ?? null,
                superseded: (wish) => this.onsuperseded(wish),
            },
        );
        this.quality = new QualityWatch(() => this.connections.peers, () => this.onchange());
        this.#entry = new Entry({
            client,
            focus: config.focus,
            admission,
            say: (phase, status) => this.#step(phase, status),
            offer: () => this.connections.peer.offer(),
            metadata: () => this.own.metadata(),
            trying: (pass) => this.#trying(pass),
        });
        linkWorker(this.worker, this.connections, {
            senders: (senders) => (this.senders = senders),
            changed: () => this.onchange(),
            fatal: () => this.#fail(new Trouble("media_worker")),
        });
        media.onchange = (kind) => void this.#mediaChanged(kind);
    }

    get roster() {
        return this.attendance.roster;
    }

    get viewing() {
        return this.attendance.viewing;
    }

    get speakers() {
        return this.attendance.speakers;
    }

    get keys(): KeyExchange | null {
        return this.#inRoom.link?.keys ?? null;
    }

    get moderation(): Moderation | null {
        return this.#inRoom.link?.moderation ?? null;
    }

    /** What is announced of it; null: not known yet which it is. */
    get announced(): Announced | null {
        return this.#entry.pass?.conference ?? null;
    }

    /** Cameras and screens may be shown. */
    get pictures(): boolean {
        return this.#offersPictures && this.announced?.intent !== "voice";
    }

    /** We are alone, and the room has a newer one. */
    get elsewhere(): Announced | null {
        return this.#inRoom.elsewhere;
    }

    /** How it is announced. */
    get announcement(): AnnouncingLink | null {
        return this.#inRoom.link?.announcement ?? null;
    }

    get gestures(): Gestures | null {
        return this.#inRoom.link?.gestures ?? null;
    }

    /** Resolves when the conference is joined or cannot be; a failure is in `trouble`. */
    async join(): Promise<void> {
        try {
            for (const kind of ["audio", "video"] as const) await this.own.setTrack(kind);
            const entered = await this.#entry.enter();
            entered.call.onhangup = (trouble) => this.#fail(trouble);
            this.#step("connecting", "Connecting to the conference server");
            const welcome = this.connections.current.connect(entered.answer.sdp);
            entered.call.settle(entered.answer).catch(() => count("call event not sent"));
            await welcome;
            this.#step("joined", "");
            this.quality.start();
            this.tiles.start();
            this.#inRoom.joined();
        } catch (error) {
            this.#fail(error instanceof Trouble ? error : new Trouble("internal", error instanceof Error ? error.message : String(error)));
        }
    }

    /** Whose camera to see in full; null: nobody's in particular. */
    focus(member: number | null): void {
        const there = member !== null && this.roster.members.has(member) && member !== this.member;
        this.viewing.pin(there ? { member, source: "camera" } : null);
    }

    muted(kind: Kind): boolean {
        return this.own.muted(kind);
    }

    /** The conference server is out of reach: joining again may help, waiting may too. */
    get stranded(): boolean {
        return this.phase === "joined" && this.connections.stranded;
    }

    /** Without waiting: for a page that goes away. */
    goAway(): void {
        this.#sayGoodbye();
        if (this.phase === "joined") this.#inRoom.goAway();
    }

    async leave(): Promise<void> {
        if (this.phase === "left" || this.phase === "failed") return;
        const joined = this.phase === "joined";
        this.#step("left", "");
        this.#sayBye("user_hangup");
        this.#inRoom.leave(joined, this.#entry.pass);
        await this.#close();
    }

    #trying(pass: Pass): void {
        void this.#options.media.allowPictures(pass.conference.intent === "video");
        this.#inRoom.enter(pass);
    }

    #welcomed(welcome: Welcome): boolean {
        if (welcome.conferenceId !== this.#entry.entered?.pass.conference.conferenceId) return false;
        this.member = welcome.member;
        this.#inRoom.link?.epochs.welcomed(welcome);
        if (this.#options.config.keyTransport === "timeline") this.keys?.start(welcome.member);
        // Muted or unmuted while the call was being set up.
        this.own.tellMuted();
        return true;
    }

    /** Media need no more than the worker, so the call goes on when the rest of the focus is silent. */
    #interrupted(notice: string): void {
        if (notice !== "") this.attendance.speakers = NOBODY;
        this.#notify(notice);
    }

    async #mediaChanged(kind: Kind): Promise<void> {
        if (this.phase === "left" || this.phase === "failed") return;
        await this.own.setTrack(kind);
        if (this.member !== null) this.own.tellMuted();
        this.onchange();
    }

    #connecting(state: RTCPeerConnectionState): void {
        if (state === "failed") this.#fail(new Trouble("ice_failed"));
        else if (state === "connected" && this.phase === "connecting") this.#step("connecting", "Connected. Waiting to be let in");
    }

    #sayGoodbye(): boolean {
        return this.connections.send({ type: MESSAGE.hangup, content: { reason: "user_hangup" } });
    }

    /** By the data channel, and through the direct chat where that may not reach the focus. */
    #sayBye(reason: string): void {
        const said = this.#sayGoodbye();
        if (!said || this.connections.interrupted) this.#entry.hangup(reason).catch(() => count("call event not sent"));
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
        return this.#entry.callId;
    }

    #fail(trouble: Trouble): void {
        if (this.phase === "left" || this.phase === "failed") return;
        this.trouble = trouble;
        this.#inRoom.fail(this.phase === "joined", this.#entry.pass);
        this.#step("failed", "");
        this.connections.current.welcomed(trouble);
        this.#sayBye("unknown_error");
        void this.#close();
    }

    async #close(): Promise<void> {
        this.#inRoom.close();
        for (const part of [this.viewing, this.quality, this.tiles, this.own]) part.close();
        this.#entry.close();
        await this.connections.close();
        this.worker.close();
    }
}
