// Media keys between the members: ours to them, theirs to the media worker, and requests for what got lost.

import { count } from "../guard.ts";
import { KEY_REQUEST_S } from "../protocol/limits.ts";
import { sourceNumber, type Source } from "../protocol/names.ts";
import type { KeyRequest, MediaKey, MediaKeys } from "../protocol/events.ts";
import type { Member } from "../protocol/messages.ts";
import { OwnKeys } from "./ownkeys.ts";
import { KeyOwners } from "./owners.ts";
import { EachAtMostEvery, MissingKeys } from "./requests.ts";

/** A device, as the encryption that carried its message proves it. */
export interface Device {
    userId: string;
    deviceId: string;
}

export interface KeyPorts {
    /** To every member, by the configured transport; resolves when the homeserver has it. */
    broadcast(keys: MediaKeys, members: Device[]): Promise<void>;
    sendKeysTo(keys: MediaKeys, device: Device): Promise<void>;
    requestFrom(request: KeyRequest, device: Device): Promise<void>;
    install(side: "send_key" | "receive_key", member: number, key: MediaKey): void;
    drop(member: number): void;
    /** Joined to the conference room. The focus says who is in the conference; who may have keys, only the room. */
    isInRoom(userId: string): boolean;
    now(): number;
}

export interface KeyExchangeOptions {
    conferenceId: string;
    self: Device;
    sources: Source[];
    /** Ignore every key of others: a participant who is given packets but no keys. */
    ignoreOthers: boolean;
}

export class KeyExchange {
    readonly #options: KeyExchangeOptions;
    readonly #ports: KeyPorts;
    readonly #own: OwnKeys;
    readonly #owners = new KeyOwners();
    readonly #missing = new MissingKeys();
    readonly #answered = new EachAtMostEvery<string>(KEY_REQUEST_S);
    #members = new Map<number, Member>();
    /** From which change on our keys are for a member: all for those there before us, none for those out of the room. */
    readonly #since = new Map<number, number>();
    /** Devices that asked before the keys they may have were made. */
    readonly #waiting = new Map<string, Device>();
    /** Numbers never come back: with the keys went what is known of frames seen, so old ones would pass again. */
    readonly #gone = new Set<number>();
    /** Whose device was asked for a key that has not come since. */
    readonly #asked = new Set<number>();
    #member = 0;
    received = 0;

    constructor(options: KeyExchangeOptions, ports: KeyPorts) {
        this.#options = options;
        this.#ports = ports;
        this.#own = new OwnKeys(options.sources.map(sourceNumber), {
            send: async (keys) => {
                await ports.broadcast(this.#content(keys), this.#others());
                this.#answerWaiting();
            },
            use: (keys) => {
                for (const key of keys) ports.install("send_key", this.#member, key);
            },
            now: ports.now,
        });
    }

    /** The focus told our number and who is there. */
    start(member: number): void {
        this.#member = member;
        this.#own.start();
    }

    stop(): void {
        this.#own.stop();
    }

    memberJoined(member: Member, news: boolean): void {
        const early = !this.#gone.has(member.member) && this.#owners.admit(member.member, member.userId, member.deviceId);
        if (early === false) {
            count("member number reused");
            return;
        }
        this.#members.set(member.member, member);
        for (const claim of early) this.#install(claim.member, claim.keys);
        const inRoom = this.#ports.isInRoom(member.userId);
        this.#since.set(member.member, !inRoom ? Infinity : news ? this.#own.memberJoined() : 0);
        if (news) return;
        // Those who were there before us sent their keys before this device could read them, as a rule: ask at once.
        if (early.length === 0) this.keyMissing(member.member, 0, 0, -Infinity);
    }

    memberLeft(member: number): void {
        if (!this.#members.delete(member)) return;
        this.#gone.add(member);
        this.#ports.drop(member);
        const since = this.#since.get(member);
        this.#since.delete(member);
        // Out of the room: they have had no key since the change of that moment, or none at all.
        if (since !== Infinity) this.#own.memberLeft();
    }

    /** Somebody came into the room or is there no more; the focus may go on naming them as if nothing had happened. */
    roomChanged(userId: string): void {
        const present = this.#ports.isInRoom(userId);
        const theirs = [...this.#members.values()].filter((one) => one.userId === userId && present === (this.#since.get(one.member) === Infinity));
        if (theirs.length === 0) return;
        const since = present ? this.#own.memberJoined() : Infinity;
        for (const { member } of theirs) this.#since.set(member, since);
        if (!present) this.#own.memberLeft();
    }

    /** Keys of other conferences of the room are none of ours. */
    concerns(keys: MediaKeys): boolean {
        return keys.conferenceId === this.#options.conferenceId && keys.member !== this.#member;
    }

    /** `from` is what the encryption proved, not what the event says. */
    keysArrived(keys: MediaKeys, from: Device): void {
        if (!this.concerns(keys) || this.#options.ignoreOthers) return;
        if (keys.deviceId !== from.deviceId || this.#gone.has(keys.member)) return count("media keys refused");
        if (!this.#ports.isInRoom(from.userId)) return count("media keys refused");
        const verdict = this.#owners.offer({ member: keys.member, userId: from.userId, deviceId: from.deviceId, keys: keys.keys });
        if (verdict === "refused") count("media keys refused");
        if (verdict === "accepted") this.#install(keys.member, keys.keys);
    }

    /** Somebody lacks our key: answered when a present member's device asks, at most every 3 s, a newcomer after our next step. */
    async requestArrived(request: KeyRequest, from: Device): Promise<void> {
        if (request.conferenceId !== this.#options.conferenceId || request.member !== this.#member) return;
        await this.#answer(from);
    }

    async #answer(device: Device): Promise<void> {
        const theirs = this.#others().filter((one) => one.userId === device.userId && one.deviceId === device.deviceId);
        if (theirs.length === 0) return count("key request refused");
        const keys = this.#own.since(Math.max(...theirs.map(({ member }) => this.#since.get(member) ?? Infinity)));
        const name = `${device.userId}\n${device.deviceId}`;
        if (keys.length === 0) this.#waiting.set(name, device);
        else if (this.#answered.allows(name, this.#ports.now())) await this.#ports.sendKeysTo(this.#content(keys), device);
    }

    #answerWaiting(): void {
        const waiting = [...this.#waiting.values()];
        this.#waiting.clear();
        for (const device of waiting) this.#answer(device).catch(() => count("own keys not sent"));
    }

    /** A receiver has frames of `member` without a key since `since` (s). True when the key was asked for now. */
    keyMissing(member: number, source: number, epoch: number, since: number): boolean {
        const owner = this.#members.get(member);
        if (!owner || this.#options.ignoreOthers || !this.#missing.shouldAsk(member, since, this.#ports.now())) return false;
        const request = { conferenceId: this.#options.conferenceId, member, source, epoch };
        if (since !== -Infinity) this.#asked.add(member);
        this.#ports.requestFrom(request, owner).catch(() => count("key request not sent"));
        return true;
    }

    /** They were asked for their key again, and it has not come yet. */
    askedAgain(member: number): boolean {
        return this.#asked.has(member);
    }

    #install(member: number, keys: MediaKey[]): void {
        this.#asked.delete(member);
        this.received += keys.length;
        for (const key of keys) this.#ports.install("receive_key", member, key);
    }

    #content(keys: MediaKey[]): MediaKeys {
        return { conferenceId: this.#options.conferenceId, member: this.#member, deviceId: this.#options.self.deviceId, keys };
    }

    /** Those who may have our keys. */
    #others(): Member[] {
        return [...this.#members.values()].filter(({ member, userId }) => member !== this.#member && this.#ports.isInRoom(userId));
    }
}
