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
import { ANY, type Admission, type Pass, type Wish } from "./admission.ts";
import { Attendance, NOBODY } from "./attendance.ts";
import { Connections } from "./connections.ts";
import { Entry, type Entered } from "./entry.ts";
import type { Gestures } from "./gestures.ts";
import type { Moderation } from "./moderation.ts";
import { OwnControl } from "./owncontrol.ts";
import { OwnSources } from "./ownsources.ts";
import { QualityWatch } from "./quality.ts";
import type { TileView } from "./received.ts";
import { betterPlace } from "./rivals.ts";
import { linkRoom, type RoomLink } from "./roomlink.ts";
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
    /** We are alone, and the room has a newer conference. */
    elsewhere: Announced | null = null;
    onchange: () => void = () => undefined;
    /** To be joined anew: the others are in another conference of the room, or the focus has forgotten this member. */
    onsuperseded: (wish?: Wish) => void = () => undefined;

    readonly #options: ConferenceOptions;
    readonly #entry: Entry;
    readonly #offersPictures: boolean;
    #entered: Entered | null = null;
    #link: RoomLink | null = null;

    constructor(options: ConferenceOptions) {
        this.#options = options;
        const { client, room, config, admission, media, maxPairs } = options;
        this.#offersPictures = (admission.chosen ?? admission.wish).intent === "video";
        const shape = firstShape(maxPairs, this.#offersPictures);
        const send = (message: object) => this.connections.send(message);
        this.attendance = new Attendance({
            member: () => this.member,
            keyTransport: config.keyTransport,
            link: () => this.#link,
            connections: () => this.connections,
            moved: () => this.#lookAround(),
            changed: () => this.onchange(),
        });
        this.connections = new Connections(this.worker, shape, maxPairs, config.address, {
            joined: (welcome) => this.#welcomed(welcome),
            resumed: (welcome) => {
                this.#link?.epochs.welcomed(welcome);
                this.#link?.epochs.reconnected();
                this.own.tellMuted();
            },
            members: (members) => this.attendance.membersChanged(members),
            speakers: (speakers) => this.attendance.speakersChanged(speakers),
            viewers: (viewers) => (this.viewers = viewers),
            epoch: (state) => this.#link?.epochs.told(state),
            hangup: ({ code, message }) => this.#fail(new Trouble(code, message)),
            handled: () => this.onchange(),
            connecting: (state) => this.#connecting(state),
            interrupted: (notice) => this.#interrupted(notice),
            lost: () => this.onsuperseded(),
            missing: (member, source, epoch, since) => askForKey(this.keys, send, member, source, epoch, since),
            metadata: (peer) => this.own.metadata(peer),
            sources: () => this.own.sources,
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
        this.quality = new QualityWatch(() => this.connections.peers, () => this.onchange());
        this.#entry = new Entry({
            client,
            focus: config.focus,
            admission,
            say: (phase, status) => this.#step(phase, status),
            offer: () => this.connections.peer.offer(),
            metadata: () => this.own.metadata(),
            trying: (pass) => this.#linkRoom(pass),
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
        return this.#link?.keys ?? null;
    }

    get moderation(): Moderation | null {
        return this.#link?.moderation ?? null;
    }

    /** What is announced of it; null: not known yet which it is. */
    get announced(): Announced | null {
        return this.#entry.pass?.conference ?? null;
    }

    /** Cameras and screens may be shown. */
    get pictures(): boolean {
        return this.#offersPictures && this.announced?.intent !== "voice";
    }

    /** How it is announced. */
    get announcement(): RoomLink["announcement"] | null {
        return this.#link?.announcement ?? null;
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
            const welcome = this.connections.current.connect(entered.answer.sdp);
            entered.call.settle(entered.answer).catch(() => count("call event not sent"));
            await welcome;
            this.#step("joined", "");
            this.quality.start();
            this.#link?.announcement.announcing.look();
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

    tiles(): TileView[] {
        return this.roster.others(this.member ?? 0).map((one) => this.connections.tile(one));
    }

    /** Of a tile whose key has not come. */
    missing({ member, audio, camera, screen }: TileView): { seconds: number; asked: boolean } {
        const since = [audio, camera, screen].flatMap((shown) => shown?.report?.missingSince ?? []);
        return { seconds: since.length > 0 ? Math.round((Date.now() - Math.min(...since)) / 1000) : 0, asked: this.keys?.askedAgain(member) ?? false };
    }

    /** The conference server is out of reach: joining again may help, waiting may too. */
    get stranded(): boolean {
        return this.phase === "joined" && this.connections.stranded;
    }

    /** Without waiting: for a page that goes away. */
    goAway(): void {
        this.#sayGoodbye();
        if (this.phase === "joined") this.#link?.announcement.announcing.goAway();
    }

    async leave(): Promise<void> {
        if (this.phase === "left" || this.phase === "failed") return;
        const joined = this.phase === "joined";
        this.#step("left", "");
        this.#sayBye("user_hangup");
        // What others carry on is waited for, but not by whoever leaves.
        if (joined) this.#withAnnouncement(({ announcing }) => announcing.leave());
        await this.#close();
    }

    /** Listens from before our own joining on, so that nothing is missed. */
    #linkRoom(pass: Pass): void {
        this.#link?.stop();
        this.#link?.announcement.stop();
        const { client, room, config, media, ignoreKeys, switchMs } = this.#options;
        void media.allowPictures(pass.conference.intent === "video");
        this.#link = linkRoom(
            { client, room, keyTransport: config.keyTransport, ignoreKeys, worker: this.worker, roster: this.roster, pass, switchMs },
            {
                member: () => this.member,
                joined: () => this.phase === "joined",
                callId: () => this.#entered?.call.callId ?? "",
                send: (message) => this.connections.send(message),
                changed: () => this.onchange(),
                asked: (source, by) => void this.control.asked(source, by),
                focused: (spot) => this.viewing.putBefore(spot),
                roomChanged: () => this.#lookAround(),
            },
        );
    }

    /** Alone in here while the room has moved on to another conference. */
    #lookAround(): void {
        const own = this.#entered?.pass.conference;
        if (this.phase !== "joined" || !own) return;
        const alone = this.roster.others(this.member ?? 0).length === 0;
        const better = alone ? betterPlace(own, this.#options.admission.running) : null;
        if (better?.atOnce) return this.onsuperseded(ANY);
        this.elsewhere = better?.conference ?? null;
        this.onchange();
    }

    #welcomed(welcome: Welcome): boolean {
        if (welcome.conferenceId !== this.#entered?.pass.conference.conferenceId) return false;
        this.member = welcome.member;
        this.#link?.epochs.welcomed(welcome);
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

    /** Ends to listen to the room's announcements after this. */
    #withAnnouncement(finish: (link: RoomLink["announcement"]) => Promise<void> | void): void {
        const link = this.#link?.announcement;
        if (link) void Promise.resolve(finish(link)).catch(() => count("announcement not sent")).finally(() => link.stop());
    }

    /** By the data channel where there is one, otherwise through the direct chat. */
    #sayBye(reason: string): void {
        if (this.#sayGoodbye()) return;
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
        const joined = this.phase === "joined";
        this.#withAnnouncement(({ announcing }) => (joined ? announcing.stop() : announcing.giveUp()));
        if (!joined && this.#entry.pass) admission.withdraw(this.#entry.pass).catch(() => count("announcement not sent"));
        this.#step("failed", "");
        this.connections.current.welcomed(trouble);
        this.#sayBye("unknown_error");
        void this.#close();
    }

    async #close(): Promise<void> {
        this.#link?.stop();
        for (const part of [this.viewing, this.quality, this.own]) part.close();
        this.#entered?.call.close();
        await this.connections.close();
        this.worker.close();
    }
}
