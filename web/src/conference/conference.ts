// One membership in one conference, from "join" to "left": what the focus says becomes state, what the person does
// becomes messages. It renders nothing; the screens read `view()` and are told of changes.

import type { MatrixClient, Room } from "matrix-js-sdk";
import { randomBytes, randomName } from "../bytes.ts";
import type { LocalMedia } from "../call/localmedia.ts";
import { Peer, type Kind } from "../call/peer.ts";
import type { Config } from "../config.ts";
import { count, guard } from "../guard.ts";
import { KeyExchange } from "../keys/exchange.ts";
import { KeyTransport } from "../keys/transport/transport.ts";
import { announce } from "../matrix/announce.ts";
import { directRoom } from "../matrix/dm.ts";
import { FocusCall, type StreamMetadata } from "../matrix/focuscall.ts";
import { listen, read } from "../matrix/inbox.ts";
import { serveTickets } from "../matrix/tickets.ts";
import { Trouble } from "../protocol/errors.ts";
import type { Conference as ConferenceEvent } from "../protocol/events.ts";
import { CONFERENCE_YOUNG_MS, CONNECT_MS } from "../protocol/limits.ts";
import { parseUntrusted, type FocusMessage, type Welcome } from "../protocol/messages.ts";
import { EVENT, MESSAGE, SOURCES, sourceNumber, type Source } from "../protocol/names.ts";
import { MediaWorker } from "../sframe/mediaworker.ts";
import type { SenderReport } from "../sframe/port.ts";
import type { Report, Verdict } from "../sframe/verdict.ts";
import { Admission, joinContent, type Pass } from "./admission.ts";
import { Roster } from "./roster.ts";
import { pairsToAdd, Slots } from "./slots.ts";
import { Subscriptions } from "./subscriptions.ts";

export type Phase = "idle" | "admission" | "calling" | "connecting" | "joined" | "left" | "failed";

export interface ConferenceOptions {
    client: MatrixClient;
    room: Room;
    config: Config;
    media: LocalMedia;
    admission: Admission;
    ignoreKeys: boolean;
}

/** One other member, as the screen shows them. */
export interface TileView {
    member: number;
    userId: string;
    deviceId: string;
    muted: Record<Kind, boolean>;
    verdict: Record<Kind, Verdict>;
    report: Record<Kind, Report | null>;
    /** The tracks of the slots that carry this member now. */
    track: Record<Kind, MediaStreamTrack | null>;
    receiver: Record<Kind, string | null>;
}

const SENT_SOURCES: Source[] = ["audio", "camera"];
const NEGOTIATE_MS = 10000;
/** The focus may learn of a conference a moment after its members: how often and how long apart we ask again. */
const UNKNOWN_RETRIES = 2;
const UNKNOWN_RETRY_MS = 1500;

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
    readonly peer: Peer;
    keys: KeyExchange | null = null;
    onchange: () => void = () => undefined;

    readonly #options: ConferenceOptions;
    readonly #slots = new Slots();
    readonly #subscriptions = new Subscriptions();
    #reports = new Map<string, Report>();
    #transport: KeyTransport;
    #call: FocusCall | null = null;
    #pass: Pass | null = null;
    #stops: (() => void)[] = [];
    #welcomed: (welcome: Welcome) => void = () => undefined;
    #failed: (trouble: Trouble) => void = () => undefined;
    #negotiated: ((result: { answer: string } | { error: { code: string; message: string } }) => void) | null = null;
    #growing = false;
    /** The mute state as the focus was told last. */
    #told = "";
    #rosterSeen = false;
    /** The direct chat and our offer, made while the way in is looked for. */
    #ready: Promise<[string, string]> | null = null;

    constructor(options: ConferenceOptions) {
        this.#options = options;
        this.#transport = new KeyTransport(options.client, options.room.roomId, options.config.keyTransport);
        this.peer = new Peer(this.worker);
        this.peer.onmessage = (data) => this.#receive(data);
        this.peer.onconnection = (state) => this.#connectionChanged(state);
        this.peer.channel.onclose = () => this.#notify("The control connection was lost. Sound and picture go on as long as they can.");
        this.worker.onreceiver = (receiver, report) => this.#reported(receiver, report);
        this.worker.onsenders = (senders) => {
            this.senders = senders;
        };
        this.worker.onsenderready = (source) => {
            if (SOURCES[source] === "camera") this.peer.requestOwnKeyFrame();
        };
        options.media.onchange = (kind) => void this.#mediaChanged(kind);
    }

    /** Resolves when the conference is joined; a failure is in `trouble`. */
    async join(): Promise<void> {
        try {
            const { client, config, media } = this.#options;
            this.#step("admission", "Finding the conference");
            for (const kind of ["audio", "video"] as const) await this.peer.setTrack(kind, media.tracks[kind]);
            this.#ready = Promise.all([directRoom(client, config.focus), this.peer.offer()]);
            const [[dm, sdp]] = await Promise.all([this.#ready, this.#findPass()]);
            const answer = await this.#invite(dm, sdp);
            this.#step("connecting", "Connecting to the conference server");
            const welcome = new Promise<Welcome>((resolve, reject) => {
                const timer = setTimeout(() => reject(new Trouble("ice_failed")), CONNECT_MS);
                this.#welcomed = (message) => {
                    clearTimeout(timer);
                    resolve(message);
                };
                this.#failed = (trouble) => {
                    clearTimeout(timer);
                    reject(trouble);
                };
            });
            welcome.catch(() => undefined);
            await this.peer.answer(answer.sdp).catch(() => {
                throw new Trouble("internal", "The conference server's answer could not be used by this browser.");
            });
            this.#call?.settle(answer).catch(() => count("call event not sent"));
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

    /** Says goodbye without waiting: for a page that goes away. */
    sayGoodbye(): boolean {
        return this.#send({ type: MESSAGE.hangup, content: { reason: "user_hangup" } });
    }

    async leave(): Promise<void> {
        if (this.phase === "left" || this.phase === "failed") return;
        const { client, room } = this.#options;
        const last = this.member !== null && this.roster.others(this.member).length === 0;
        const mine = this.#pass?.conference.creator === client.getUserId();
        const joined = this.phase === "joined";
        this.#step("left", "");
        if (!this.sayGoodbye()) this.#call?.hangup("user_hangup").catch(() => count("call event not sent"));
        if (joined && last && mine) announce(client, room.roomId, null).catch(() => count("announcement not sent"));
        await this.#close();
    }

    muted(kind: Kind): boolean {
        return this.#options.media.tracks[kind] === null;
    }

    tiles(): TileView[] {
        return this.roster.others(this.member ?? 0).map((one) => {
            const receiver = {
                audio: this.#slots.receiverOf(one.member, "audio"),
                video: this.#slots.receiverOf(one.member, "camera"),
            };
            const report = { audio: this.#reportOf(receiver.audio), video: this.#reportOf(receiver.video) };
            return {
                member: one.member,
                userId: one.userId,
                deviceId: one.deviceId,
                muted: { audio: one.audioMuted, video: one.videoMuted },
                verdict: { audio: report.audio?.verdict ?? "none", video: report.video?.verdict ?? "none" },
                report,
                track: { audio: this.#trackOf(receiver.audio), video: this.#trackOf(receiver.video) },
                receiver,
            };
        });
    }

    /** Who a full picture is asked of: the one chosen, or the only other one there. */
    get inFull(): number | null {
        const others = this.roster.others(this.member ?? 0);
        return this.focused ?? (others.length === 1 ? others[0]!.member : null);
    }

    async #findPass(): Promise<void> {
        this.#pass = await this.#options.admission.find(
            (status) => this.#step("admission", status),
            (conference) => this.#isOver(conference),
        );
    }

    /** Calls with a ticket that cannot be right: a focus that knows the conference says so, one that does not says that. */
    async #isOver(conference: ConferenceEvent): Promise<boolean> {
        if (Date.now() - conference.createdTs < CONFERENCE_YOUNG_MS) return false;
        const { client, config } = this.#options;
        const [dm, sdp] = await this.#ready!;
        const call = new FocusCall(client, dm, config.focus, randomName());
        try {
            const blank = { conference, ticket: { ...conference, epoch: 0, secret: randomBytes(32) } };
            const join = await joinContent(blank, client.getSafeUserId(), client.getDeviceId() ?? "", call.callId, true);
            await call.invite({ sdp, metadata: this.peer.metadata({ audio: true, video: true }), join });
            await call.hangup("user_hangup");
            return false;
        } catch (error) {
            return error instanceof Trouble && error.code === "conference_unknown";
        } finally {
            call.close();
        }
    }

    async #invite(dm: string, sdp: string) {
        const { client, config, admission } = this.#options;
        let unknown = 0;
        for (;;) {
            const pass = this.#pass!;
            this.#step("calling", "Calling the conference server");
            const call = new FocusCall(client, dm, config.focus, randomName());
            this.#call = call;
            try {
                const join = await joinContent(pass, client.getSafeUserId(), client.getDeviceId() ?? "", call.callId);
                const metadata = this.#metadata();
                this.#prepareKeys(pass);
                if (this.phase !== "calling") throw new Trouble("left");
                const answer = await call.invite({ sdp, metadata, join });
                call.onhangup = (trouble) => this.#fail(trouble);
                return answer;
            } catch (error) {
                call.close();
                if (!(error instanceof Trouble) || this.phase !== "calling") throw error;
                if (error.code === "conference_unknown" && pass.conference.creator !== client.getUserId()) {
                    // Its creator's own call may still be on the way; otherwise nobody is in it any more.
                    if (++unknown > UNKNOWN_RETRIES) admission.conferenceOver(pass);
                    else await new Promise((resolve) => setTimeout(resolve, UNKNOWN_RETRY_MS));
                } else if (error.code === "ticket_invalid") {
                    admission.ticketRefused(pass);
                } else {
                    throw error;
                }
                await this.#findPass();
            }
        }
    }

    /** Listens for keys of the conference from before our own joining on, so that none is missed. */
    #prepareKeys(pass: Pass): void {
        this.#unlisten();
        const { client, room, ignoreKeys } = this.#options;
        const self = { userId: client.getSafeUserId(), deviceId: client.getDeviceId() ?? "" };
        const keys = new KeyExchange(
            { conferenceId: pass.conference.conferenceId, self, sources: SENT_SOURCES, ignoreOthers: ignoreKeys },
            {
                broadcast: (content, members) => this.#transport.broadcast(content, members),
                sendKeysTo: (content, device) => this.#transport.sendKeysTo(content, device),
                requestFrom: (request, device) => this.#transport.requestFrom(request, device),
                install: (type, member, key) => this.worker.post({ type, member, ...key }),
                drop: (member) => this.worker.post({ type: "remove_member", member }),
                now: () => Date.now() / 1000,
            },
        );
        this.keys = keys;
        const serve = serveTickets(client, room, pass.ticket, () => this.roster.list.findIndex(({ member }) => member === this.member));
        const keyEvent = (event: Parameters<typeof serve>[0]) => {
            if (event.type === EVENT.mediaKeys) void this.#transport.timelineKeys(event, keys).catch(() => count("media keys malformed"));
        };
        this.#stops = [
            this.#transport.listen(keys),
            listen(client, room.roomId, (event) => {
                keyEvent(event);
                if (this.phase === "joined") serve(event);
            }),
        ];
        // Keys sent before this call began; those that are still sealed come through `listen` once they are open.
        for (const event of room.getLiveTimeline().getEvents()) {
            if (event.getTs() < pass.conference.createdTs - 60000) continue;
            client.decryptEventIfNeeded(event).catch(() => undefined);
            const incoming = read(event);
            if (incoming) guard("room event", keyEvent)(incoming);
        }
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
                this.member = message.content.member;
                // Olm needs the roster's devices; the timeline reaches everybody by itself.
                if (this.#options.config.keyTransport === "timeline") this.keys?.start(this.member);
                this.#welcomed(message.content);
                // Muted or unmuted while the call was being set up.
                this.#tellMuted();
                break;
            case "members":
                this.#membersChanged(message);
                break;
            case "slots":
                this.#slotsChanged(message);
                break;
            case "send": {
                const camera = message.content.get("camera");
                if (camera) this.peer.want(camera);
                break;
            }
            case "negotiate":
                this.#negotiated?.(message.content);
                break;
            case "ping":
                this.#send({ type: MESSAGE.pong, content: {} });
                return;
            case "error":
                count(`focus error ${message.content.code}`);
                return;
            case "hangup":
                this.#fail(new Trouble(message.content.code, message.content.message));
                return;
            case "unknown":
                return count("data channel message unknown");
        }
        this.onchange();
    }

    #membersChanged({ content }: Extract<FocusMessage, { type: "members" }>): void {
        const first = !this.#rosterSeen;
        this.#rosterSeen = true;
        const { joined, left } = this.roster.apply(content);
        for (const number of left) {
            this.keys?.memberLeft(number);
            if (this.focused === number) this.focused = null;
        }
        for (const member of joined) if (member.member !== this.member) this.keys?.memberJoined(member, !first);
        if (first && this.#options.config.keyTransport !== "timeline") this.keys?.start(this.member ?? 0);
        this.#subscribe();
        void this.#growIfNeeded();
    }

    #slotsChanged({ content }: Extract<FocusMessage, { type: "slots" }>): void {
        const named = (mid: string) => this.peer.slots.find(({ transceiver }) => transceiver.mid === mid)?.name;
        for (const { receiver, member, source } of this.#slots.apply(content.revision, content.slots, named)) {
            this.#reports.delete(receiver);
            this.worker.post({ type: "expect", receiver, member, source: source === null ? null : sourceNumber(source) });
        }
    }

    #reported(receiver: string, report: Report): void {
        this.#reports.set(receiver, report);
        const expected = this.#slots.at(receiver);
        if (report.verdict === "missing_key" && report.missingSince !== null && expected?.member && expected.source) {
            const asked = this.keys?.keyMissing(expected.member, sourceNumber(expected.source), report.epoch ?? 0, report.missingSince / 1000);
            if (asked) this.#send({ type: MESSAGE.missingKey, content: { member: expected.member, source: expected.source } });
        }
        this.onchange();
    }

    #subscribe(): void {
        const full = this.inFull;
        const members = this.roster.others(this.member ?? 0).map(({ member }) => member);
        if (this.peer.channel.readyState !== "open") return;
        const message = this.#subscriptions.update(members, (member) => (member === full ? "full" : "thumbnail"));
        if (message) this.#send(message);
    }

    async #growIfNeeded(): Promise<void> {
        const pairs = pairsToAdd(this.roster.others(this.member ?? 0).length, this.peer.slotPairs);
        if (pairs === 0 || this.#growing) return;
        this.#growing = true;
        try {
            await this.peer.grow(pairs, (sdp) => this.#negotiate(sdp));
        } catch {
            count("more slots refused");
        }
        this.#growing = false;
    }

    #negotiate(sdp: string): Promise<string> {
        return new Promise((resolve, reject) => {
            const timer = setTimeout(() => reject(new Error("no answer")), NEGOTIATE_MS);
            this.#negotiated = (result) => {
                clearTimeout(timer);
                this.#negotiated = null;
                if ("answer" in result) resolve(result.answer);
                else reject(new Trouble(result.error.code, result.error.message));
            };
            this.#send({ type: MESSAGE.negotiate, content: { description: { type: "offer", sdp }, sdp_stream_metadata: this.#metadata() } });
        });
    }

    async #mediaChanged(kind: Kind): Promise<void> {
        if (this.phase === "left" || this.phase === "failed") return;
        await this.peer.setTrack(kind, this.#options.media.tracks[kind]).catch(() => count("track refused"));
        this.#tellMuted();
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

    #trackOf(receiver: string | null): MediaStreamTrack | null {
        return this.peer.slots.find(({ name }) => name === receiver)?.transceiver.receiver.track ?? null;
    }

    #reportOf(receiver: string | null): Report | null {
        return receiver === null ? null : (this.#reports.get(receiver) ?? null);
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
        if (this.phase !== "joined" && this.#pass) this.#options.admission.withdraw(this.#pass).catch(() => count("announcement not sent"));
        this.#step("failed", "");
        this.#failed(trouble);
        if (!this.sayGoodbye()) this.#call?.hangup("unknown_error").catch(() => undefined);
        void this.#close();
    }

    #unlisten(): void {
        for (const stop of this.#stops) stop();
        this.#stops = [];
        this.keys?.stop();
    }

    async #close(): Promise<void> {
        this.#unlisten();
        this.#call?.close();
        await this.peer.close();
        this.worker.close();
    }
}
