// The application between the screens: who is signed in, which room was chosen, which conference runs. The screens read
// its fields and are redrawn on `changed`.

import type { MatrixClient, Room } from "matrix-js-sdk";
import { LocalMedia } from "./call/localmedia.ts";
import { Admission, ANY, type Wish } from "./conference/admission.ts";
import { Conference } from "./conference/conference.ts";
import { fetchConfig, readFlags, type Config, type Flags } from "./config.ts";
import { startClient } from "./matrix/client.ts";
import { discardDevice, signIn, type Account } from "./matrix/login.ts";
import { isEncrypted, listRooms, watchRooms, type RoomSummary } from "./matrix/rooms.ts";
import { Trouble } from "./protocol/errors.ts";
import type { Conference as Announced, Intent } from "./protocol/events.ts";
import { canTransform } from "./sframe/mediaworker.ts";

export type Screen = "loading" | "signin" | "rooms" | "lobby" | "call" | "broken";

export class App {
    screen: Screen = "loading";
    status = "Loading";
    trouble: Trouble | null = null;
    config: Config | null = null;
    account: Account | null = null;
    client: MatrixClient | null = null;
    /** What was typed at the last sign-in, for correcting it. */
    typed = { homeserver: "", user: "" };
    rooms: RoomSummary[] = [];
    room: Room | null = null;
    media = new LocalMedia();
    conference: Conference | null = null;
    /** The last thing that happened was that this person left. */
    left = false;
    readonly flags: Flags = readFlags(location.search);
    #admission: Admission | null = null;
    #listeners = new Set<() => void>();

    subscribe(listener: () => void): () => void {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
    }

    changed = (): void => {
        for (const listener of this.#listeners) listener();
    };

    async start(): Promise<void> {
        addEventListener("pagehide", () => this.#goAway());
        // A page that comes back from the browser's cache said goodbye when it went there.
        addEventListener("pageshow", (event) => (event as PageTransitionEvent).persisted && location.reload());
        try {
            if (!isSecureContext) throw new Trouble("insecure_page");
            if (!canTransform) throw new Trouble("unsupported_browser");
            this.config = await fetchConfig();
        } catch (error) {
            return this.#show("broken", asTrouble(error));
        }
        this.typed.user = this.flags.user;
        if (this.flags.demo === null) return this.#show("signin");
        await this.#startDemo(this.flags.demo);
    }

    /** A person signs in by name and password; the device is kept for next time. */
    async signIn(homeserver: string, user: string, password: string): Promise<void> {
        this.typed = { homeserver, user };
        try {
            await this.#signIn(homeserver, user, password, true);
            const { room } = this.flags;
            if (room !== null && this.client?.getRoom(room)) await this.openLobby(room);
            else this.#show("rooms", room === null ? null : new Trouble("room_unknown"));
        } catch (error) {
            this.#show("signin", asTrouble(error));
        }
    }

    async openLobby(roomId: string, wish: Wish = ANY): Promise<void> {
        const room = this.client?.getRoom(roomId);
        if (!room || !this.client || !this.config) return this.#show("rooms");
        if (!isEncrypted(room)) return this.#show("rooms", new Trouble("room_not_encrypted"));
        this.room = room;
        this.#admission?.close();
        const { focus, url } = this.config;
        this.#admission = new Admission({ client: this.client, room, focus, url, canReadHistory: this.account?.returning ?? false });
        this.#admission.wish = wish;
        this.#admission.prepare();
        void this.media.allowPictures(this.intent === "video");
        this.media.onchange = this.media.onspeaker = this.changed;
        this.#show("lobby");
        await this.media.open();
        this.changed();
    }

    /** Of the room, the active one first. */
    get running(): Announced[] {
        return this.#admission?.running ?? [];
    }

    /** The one that "join" means; null: it begins a new one. */
    get chosen(): Announced | null {
        return this.#admission?.chosen ?? null;
    }

    get wish(): Wish {
        return this.#admission?.wish ?? ANY;
    }

    /** Of what "join" means. */
    get intent(): Intent {
        return (this.chosen ?? this.wish).intent;
    }

    choose(wish: Partial<Wish>): void {
        if (!this.#admission || this.screen !== "lobby") return;
        this.#admission.wish = { ...this.#admission.wish, ...wish };
        this.#admission.prepare();
        this.#followIntent();
        this.changed();
    }

    async join(): Promise<void> {
        if (!this.client || !this.room || !this.config || !this.#admission || this.screen !== "lobby") return;
        const { client, room, config, media } = this;
        const conference = new Conference({ client, room, config, media, admission: this.#admission, ignoreKeys: this.flags.noKeys, maxPairs: this.flags.maxPairs, switchMs: this.flags.switchMs });
        this.conference = conference;
        this.left = false;
        conference.onchange = this.changed;
        conference.onsuperseded = (wish) => void this.rejoin(conference, wish);
        this.#show("call");
        await conference.join();
    }

    async leave(): Promise<void> {
        const leaving = this.conference?.leave();
        this.conference = null;
        this.left = true;
        this.media.close();
        this.media = new LocalMedia();
        this.#admission?.close();
        this.#admission = null;
        this.#show(this.flags.demo === null ? "rooms" : "lobby");
        await leaving;
        if (this.flags.demo !== null && this.room) await this.openLobby(this.room.roomId);
    }

    /** After a failed call: back to the lobby with the same devices, or straight into the call again. */
    async again(wish = this.wish): Promise<void> {
        const roomId = this.room?.roomId;
        if (!roomId) return this.#show("rooms");
        this.conference = null;
        await this.openLobby(roomId, wish);
        await this.join();
    }

    /** Out and in again, with the same devices: into the room's other conference, or back to a server that fell silent. */
    async rejoin(conference: Conference, wish = this.wish): Promise<void> {
        conference.onsuperseded = () => undefined;
        await conference.leave();
        if (this.conference === conference) await this.again(wish);
    }

    backToRooms(): void {
        this.media.close();
        this.media = new LocalMedia();
        this.#admission?.close();
        this.#admission = null;
        this.room = null;
        this.#show("rooms");
    }

    async #startDemo(name: string): Promise<void> {
        const demo = this.config?.demo;
        const person = demo?.people.get(name);
        if (!demo || !person) return this.#show("signin", new Trouble("login_refused", `There is no demo person called ${name}.`));
        try {
            await this.#signIn(this.config!.homeserver, person.userId, person.password, false);
            if (!this.client?.getRoom(demo.roomId)) await this.client?.joinRoom(demo.roomId);
            await this.#roomArrived(demo.roomId);
            await this.openLobby(demo.roomId);
            if (this.flags.join) await this.join();
        } catch (error) {
            this.#show("broken", asTrouble(error));
        }
    }

    async #signIn(homeserver: string, user: string, password: string, keep: boolean): Promise<void> {
        this.#show("loading");
        this.status = "Signing in";
        this.changed();
        this.account = await signIn(homeserver, user, password, keep);
        this.status = "Getting your rooms and encryption ready";
        this.changed();
        const client = await startClient(this.account);
        this.client = client;
        const list = () => {
            this.rooms = listRooms(client, this.config?.focus ?? "");
            this.#followIntent();
            this.changed();
        };
        list();
        watchRooms(client, list);
    }

    /** No camera is open before a conference for voice alone. */
    #followIntent(): void {
        if (this.screen === "lobby") void this.media.allowPictures(this.intent === "video");
    }

    async #roomArrived(roomId: string): Promise<void> {
        for (let i = 0; i < 50 && !this.client?.getRoom(roomId); i++) await new Promise((resolve) => setTimeout(resolve, 100));
    }

    #show(screen: Screen, trouble: Trouble | null = null): void {
        this.screen = screen;
        this.trouble = trouble;
        this.changed();
    }

    #goAway(): void {
        this.conference?.goAway();
        if (this.account) discardDevice(this.account);
    }
}

function asTrouble(error: unknown): Trouble {
    return error instanceof Trouble ? error : new Trouble("internal", error instanceof Error ? error.message : String(error));
}
