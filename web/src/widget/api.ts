// The Matrix widget API as a widget speaks it. The client whose page this one stands in sends and is sent objects with api,
// action, requestId and widgetId; an answer is the request with `response` added. We ask for nothing but to stay on the
// screen during a call: this page signs in by itself, so rooms, events and keys never go through that client.

import { array, object, own, text, type Json } from "../protocol/check.ts";

/** What the client around us calls us, where its page comes from, and how it looks if that is known. */
export interface Surroundings {
    widgetId: string;
    origin: string;
    theme: Theme | null;
}

export type Theme = "light" | "dark";

const ALWAYS_ON_SCREEN = "m.always_on_screen";
const CAPABILITIES = [ALWAYS_ON_SCREEN];
const VERSIONS = ["0.0.1", "0.0.2"];
/** More capabilities than any client has; a longer list is none. */
const CAPABILITIES_MAX = 1000;

export class WidgetApi {
    /** The client asks to leave the call, or to join it. */
    onhangup: () => void = () => undefined;
    onjoin: () => void = () => undefined;
    /** The client looks otherwise now. */
    ontheme: (theme: Theme) => void = () => undefined;
    readonly #widgetId: string;
    readonly #post: (message: object) => void;
    #requests = 0;
    #mayStay = false;
    #inCall = false;

    constructor(widgetId: string, post: (message: object) => void) {
        this.#widgetId = widgetId;
        this.#post = post;
    }

    /** We can be asked from now on. Clients that wait for the frame to load know it already, and refuse this. */
    start(): void {
        this.#say("content_loaded");
    }

    /** Whether this person is in a call, told when it changes. */
    inCall(on: boolean): void {
        if (on === this.#inCall) return;
        this.#inCall = on;
        this.#stay();
        if (!on) this.#say("im.vector.hangup");
    }

    /** A message of the page around us; whether it comes from there is looked at before. Throws Malformed. */
    receiveUntrusted(message: unknown): void {
        if (typeof message !== "object" || message === null) return;
        const request = message as Json;
        // Answers to what we said change nothing: a client that refuses leaves things as they are.
        if (request.api !== "toWidget" || request.widgetId !== this.#widgetId || "response" in request) return;
        text(own(request, "requestId"), 1000, "requestId");
        const response = this.#answer(text(own(request, "action"), 200, "action"), request);
        this.#post({ ...request, response });
    }

    #answer(action: string, request: Json): object {
        switch (action) {
            case "capabilities":
                return { capabilities: CAPABILITIES };
            case "notify_capabilities":
                this.#mayStay = array(own(object(own(request, "data"), "data"), "approved"), CAPABILITIES_MAX, "approved").includes(ALWAYS_ON_SCREEN);
                if (this.#inCall) this.#stay();
                return {};
            case "supported_api_versions":
                return { supported_versions: VERSIONS };
            case "im.vector.hangup":
                this.onhangup();
                return {};
            case "io.element.join":
                this.onjoin();
                return {};
            case "theme_change": {
                const theme = readTheme(text(own(object(own(request, "data"), "data"), "name"), 200, "name"));
                if (theme) this.ontheme(theme);
                return {};
            }
            case "language_change":
            case "visibility":
                return {};
            default:
                return { error: { message: "This widget does not know that action." } };
        }
    }

    #stay(): void {
        if (this.#mayStay) this.#say("set_always_on_screen", { value: this.#inCall });
    }

    #say(action: string, data: object = {}): void {
        this.#post({ api: "fromWidget", widgetId: this.#widgetId, requestId: `sotto-${++this.#requests}`, action, data });
    }
}

/** Of a name such as "dark-high-contrast"; null where it says nothing. */
export function readTheme(name: string): Theme | null {
    const found = /light|dark|black/.exec(name.toLowerCase())?.[0];
    return found === undefined ? null : found === "light" ? "light" : "dark";
}

/** From the address that the client gave this page; null when no client stands around it. */
export function readSurroundings(parameters: URLSearchParams): Surroundings | null {
    const widgetId = parameters.get("widgetId");
    const parent = URL.parse(parameters.get("parentUrl") ?? "");
    if (!widgetId || !parent || !/^https?:$/.test(parent.protocol)) return null;
    return { widgetId: widgetId.slice(0, 1000), origin: parent.origin, theme: readTheme(parameters.get("theme")?.slice(0, 200) ?? "") };
}
