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
    /** Numbers never come back: with the keys went what is known of frames seen, so old ones would pass again. */
    readonly #gone = new Set<number>();
    #member = 0;
    received = 0;

    constructor(options: KeyExchangeOptions, ports: KeyPorts) {
        this.#options = options;
        this.#ports = ports;
        this.#own = new OwnKeys(options.sources.map(sourceNumber), {
            send: (keys) => ports.broadcast(this.#content(keys), this.#others()),
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
        if (news) this.#own.memberJoined();
        // Those who were there before us sent their keys before this device could read them, as a rule: ask at once.
        else if (early.length === 0) this.keyMissing(member.member, 0, 0, -Infinity);
    }

    memberLeft(member: number): void {
        if (!this.#members.delete(member)) return;
        this.#gone.add(member);
        this.#ports.drop(member);
        this.#own.memberLeft();
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

    /** Somebody lacks our key: answered when a present member's device asks, at most every 3 s. */
    async requestArrived(request: KeyRequest, from: Device): Promise<void> {
        if (request.conferenceId !== this.#options.conferenceId || request.member !== this.#member) return;
        const known = this.#others().some((one) => one.userId === from.userId && one.deviceId === from.deviceId);
        if (!known) return count("key request refused");
        const keys = this.#own.all();
        if (keys.length === 0 || !this.#answered.allows(`${from.userId}\n${from.deviceId}`, this.#ports.now())) return;
        await this.#ports.sendKeysTo(this.#content(keys), from);
    }

    /** A receiver has frames of `member` without a key since `since` (s). True when the key was asked for now. */
    keyMissing(member: number, source: number, epoch: number, since: number): boolean {
        const owner = this.#members.get(member);
        if (!owner || this.#options.ignoreOthers || !this.#missing.shouldAsk(member, since, this.#ports.now())) return false;
        const request = { conferenceId: this.#options.conferenceId, member, source, epoch };
        this.#ports.requestFrom(request, owner).catch(() => count("key request not sent"));
        return true;
    }

    #install(member: number, keys: MediaKey[]): void {
        this.received += keys.length;
        for (const key of keys) this.#ports.install("receive_key", member, key);
    }

    #content(keys: MediaKey[]): MediaKeys {
        return { conferenceId: this.#options.conferenceId, member: this.#member, deviceId: this.#options.self.deviceId, keys };
    }

    /** Those who may have our keys. */
    #others(): Device[] {
        return [...this.#members.values()].filter(({ member, userId }) => member !== this.#member && this.#ports.isInRoom(userId));
    }
}
