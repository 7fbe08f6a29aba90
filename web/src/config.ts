// What the server tells this page: /config.json beside it.

import { array, object, own, text } from "./protocol/check.ts";
import { Trouble } from "./protocol/errors.ts";
import { MAX_SLOT_PAIRS, SWITCH_MS } from "./protocol/limits.ts";
import { readSurroundings, type Surroundings } from "./widget/api.ts";

export type KeyTransportKind = "timeline" | "to-device";

export interface DemoPerson {
    userId: string;
    password: string;
}

export interface Config {
    /** Of config.json itself: other addresses of the focus are relative to it. */
    address: string;
    /** The same for everybody else: what the operator says, or what is in public use; null: known to this machine alone. */
    url: string | null;
    homeserver: string;
    focus: string;
    keyTransport: KeyTransportKind;
    demo: { roomId: string; people: Map<string, DemoPerson> } | null;
}

export async function fetchConfig(): Promise<Config> {
    try {
        const response = await fetch("config.json", { cache: "no-store" });
        if (!response.ok) throw new Error(`status ${response.status}`);
        return parseConfig(await response.json(), response.url);
    } catch {
        throw new Trouble("no_config");
    }
}

export function parseConfig(json: unknown, address: string): Config {
    const config = object(json, "config");
    const homeserver = text(own(config, "homeserver"), 1000, "homeserver");
    if (!/^https?:\/\//.test(homeserver)) throw new Error("homeserver: not an http address");
    return {
        address,
        url: publicAddress(own(config, "url"), address),
        homeserver: homeserver.replace(/\/+$/, ""),
        focus: text(own(config, "focus"), 255, "focus"),
        keyTransport: config.key_transport === "to-device" ? "to-device" : "timeline",
        demo: own(config, "demo") ? parseDemo(config.demo) : null,
    };
}

function publicAddress(told: unknown, address: string): string | null {
    const known = typeof told === "string" ? told : address.startsWith("https:") ? new URL(".", address).href : "";
    return /^https?:\/\/[^?#]*\/$/.test(known) ? known : null;
}

function parseDemo(json: unknown): Config["demo"] {
    const demo = object(json, "demo");
    const people = Object.entries(object(own(demo, "people"), "people"));
    return {
        roomId: text(own(demo, "room_id"), 255, "room_id"),
        people: new Map(
            array(people, 1000, "people").map((entry) => {
                const [name, value] = entry as [string, unknown];
                const person = object(value, "person");
                return [name, { userId: text(own(person, "user_id"), 255, "user_id"), password: text(own(person, "password"), 255, "password") }];
            }),
        ),
    };
}

/**
 * `?demo=alice&join&nokeys&pairs=1&switch=3000`: who signs in by herself, whether she joins at once, whether she ignores all keys, how many
 * others she can see at most, and how soon, in ms, what she announces ends when she has vanished. `?room=!id:server`: where a shared link leads.
 */
export interface Flags {
    demo: string | null;
    join: boolean;
    noKeys: boolean;
    maxPairs: number;
    switchMs: number;
    room: string | null;
    /** Whose name and homeserver a widget's address brings along. */
    user: string;
    /** The client whose widget this page is. */
    widget: Surroundings | null;
}

export function readFlags(search: string): Flags {
    const parameters = new URLSearchParams(search);
    const demo = parameters.get("demo");
    const number = (name: string, otherwise: number) => {
        const value = Number(parameters.get(name));
        return demo !== null && Number.isInteger(value) && value >= 1 ? value : otherwise;
    };
    return {
        demo,
        join: demo !== null && parameters.has("join"),
        noKeys: demo !== null && parameters.has("nokeys"),
        maxPairs: number("pairs", MAX_SLOT_PAIRS),
        switchMs: number("switch", SWITCH_MS),
        room: parameters.get("room"),
        user: parameters.get("user")?.slice(0, 255) ?? "",
        widget: readSurroundings(parameters),
    };
}
