// Announcements of a room: which count, who keeps them up, and what ends them.

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it, mock } from "node:test";
import { Announcing } from "../src/conference/announcing.ts";
import { DeadManSwitch } from "../src/conference/deadman.ts";
import { betterPlace } from "../src/conference/rivals.ts";
import { interrupted, living, SWITCHED_OFF, type Announcement } from "../src/matrix/announcements.ts";
import type { DelayedEnds } from "../src/matrix/delayedevents.ts";
import { reconnectSoon, type Reconnecting } from "../src/matrix/reconnect.ts";
import { conferenceContent, parseConference, sameConference, terms, type Conference } from "../src/protocol/events.ts";
import { about, badge } from "../src/ui/conferences.ts";

const ID = "abcdefghijklmnopqrstuv";
const conference = (more: Partial<Conference> = {}): Conference => ({ conferenceId: ID, creator: "@a:x", focus: "@sotto:x", url: null, intent: "video", members: null, createdTs: 5, ...more });

describe("an announcement", () => {
    it("is read as it was written, by its creator and by whoever carries it on", () => {
        for (const one of [conference(), conference({ url: "https://sotto.x/", intent: "voice", members: 3 })]) {
            for (const sender of ["@a:x", "@b:x"]) assert.deepEqual(parseConference(conferenceContent(one, sender), sender), one);
        }
        assert.equal("creator" in conferenceContent(conference(), "@a:x"), false);
        assert.equal(conferenceContent(conference(), "@b:x").creator, "@a:x");
    });

    it("has terms, which a focus is told, too", () => {
        assert.deepEqual(terms(conference()), { intent: "video" });
        assert.deepEqual(terms(conference({ intent: "voice", members: 3 })), { intent: "voice", limits: { members: 3 } });
    });

    it("is video for whoever does not know its intent, and none at all with a field of another type", () => {
        const read = (more: object) => parseConference({ ...conferenceContent(conference(), "@a:x"), ...more }, "@a:x");
        assert.equal(read({ intent: "smell" })?.intent, "video");
        assert.equal(read({ ended: true }), null);
        assert.equal(parseConference({}, "@a:x"), null);
        for (const more of [{ limits: { members: 0 } }, { limits: [] }, { focus: { user_id: "@sotto:x", url: "javascript:x/" } }, { creator: 7 }, { created_ts: "5" }]) {
            assert.throws(() => read(more), JSON.stringify(more));
        }
    });
});

describe("a room", () => {
    const announcement = (sender: string, created: number, more: object = {}, stateKey: string | undefined = sender): Announcement => ({
        stateKey,
        sender,
        ts: created,
        at: 0,
        content: { conference_id: `${created}`.padStart(22, "x"), focus: { user_id: "@sotto:x" }, created_ts: created, ...more },
    });
    const running = (...all: Announcement[]) => living(all).map(({ createdTs }) => createdTs);

    it("has several conferences, the newest first; each under its writer's own key", () => {
        assert.deepEqual(running(), []);
        assert.deepEqual(running(announcement("@a:x", 5), announcement("@b:x", 7)), [7, 5]);
        assert.deepEqual(running(announcement("@a:x", 5), announcement("@b:x", 7, { ended: true })), [5]);
        assert.deepEqual(running(announcement("@a:x", 5), announcement("@b:x", 9, {}, "@a:x"), announcement("@b:x", 8, {}, "")), [5]);
        assert.deepEqual(running(announcement("@a:x", 5), announcement("@b:x", 7, { focus: "nonsense" })), [5]);
        assert.deepEqual(running(announcement("@a:x", 5, { ended: true }), { ...announcement("@a:x", 6), stateKey: undefined }), [6]);
    });

    it("has one once, however many announce it; another's creator makes it another", () => {
        const carried = announcement("@b:x", 5, { creator: "@a:x" });
        assert.deepEqual(running(announcement("@a:x", 5), carried), [5]);
        assert.deepEqual(running(announcement("@a:x", 5, { ended: true }), carried), [5]);
        assert.deepEqual(running(announcement("@a:x", 5), announcement("@c:x", 5)), [5, 5]);
    });

    it("may go on after a switch ended it, for a while; what somebody ended does not", () => {
        const off = (sender: string, at: number, more: object = {}) => ({ ...announcement(sender, at), content: { ...SWITCHED_OFF, ...more } });
        const hour = 3600000;
        assert.equal(interrupted([off("@a:x", hour)], hour), true);
        assert.equal(interrupted([announcement("@b:x", 5, { ended: true }), off("@a:x", hour)], 2 * hour - 1), true);
        assert.equal(interrupted([off("@a:x", hour)], 2 * hour), false);
        assert.equal(interrupted([announcement("@a:x", hour, { ended: true })], hour), false);
        assert.equal(interrupted([off("@a:x", hour), announcement("@a:x", hour + 1)], hour), false, "announced again");
        assert.equal(interrupted([{ ...off("@a:x", hour), stateKey: "@b:x" }], hour), false);
        assert.equal(interrupted([off("@a:x", hour, { switch: "yes" })], hour), false);
    });

    it("is told in words", () => {
        const now = new Date(2026, 10, 23, 15, 0).getTime();
        const then = new Date(2026, 10, 23, 14, 32).getTime();
        assert.equal(about(conference({ createdTs: then }), now, "en-GB"), "Video, since 14:32");
        assert.equal(about(conference({ createdTs: then - 86400000, intent: "voice", members: 4 }), now, "en-GB"), "Voice only, since 22 Nov, 14:32, at most 4 people");
        const voice = conference({ intent: "voice" });
        assert.deepEqual([badge([]), badge([conference()]), badge([voice]), badge([voice, voice])], ["", "Conference running", "Voice conference running", "2 conferences running"]);
    });
});

describe("alone in a conference", () => {
    it("a newer one is a better place, and the right one where two were begun at once", () => {
        const own = conference({ createdTs: 100000 });
        const other = (createdTs: number) => conference({ conferenceId: "other", createdTs });
        assert.equal(betterPlace(own, []), null);
        assert.equal(betterPlace(own, [own, other(1)]), null);
        assert.equal(betterPlace(own, [other(99999)]), null);
        assert.deepEqual(betterPlace(own, [other(100500), own]), { conference: other(100500), atOnce: true });
        assert.deepEqual(betterPlace(own, [other(190000), own])?.atOnce, false);
    });
});

/** Lets what was begun by timers finish. */
const settle = async () => {
    for (let i = 0; i < 20; i++) await Promise.resolve();
};

/** A homeserver's delayed events, as they are asked of it. */
function homeserver(more: Partial<DelayedEnds> = {}) {
    const said: string[] = [];
    let last = 0;
    const ends: DelayedEnds = {
        schedule: async () => (said.push(`schedule ${++last}`), String(last)),
        putOff: async (id) => (said.push(`put off ${id}`), true),
        callOff: async (id) => void said.push(`call off ${id}`),
        bringOn: (id) => void said.push(`bring on ${id}`),
        pending: async () => [],
        ...more,
    };
    return { said, ends };
}

describe("the dead man's switch", () => {
    beforeEach(() => mock.timers.enable({ apis: ["setTimeout", "Date"] }));
    afterEach(() => mock.timers.reset());
    const pass = async (ms: number) => {
        mock.timers.tick(ms);
        await settle();
    };

    it("is put off three times in its time, and called off in the end", async () => {
        const { said, ends } = homeserver();
        const deadman = new DeadManSwitch(ends, 60000);
        deadman.arm();
        deadman.arm();
        await pass(0);
        for (let i = 0; i < 2; i++) await pass(20000);
        await deadman.disarm();
        await pass(120000);
        assert.deepEqual(said, ["schedule 1", "put off 1", "put off 1", "call off 1"]);
    });

    it("is made anew when the homeserver does not know it any more, but not when it is out of reach", async () => {
        let answer: () => Promise<boolean> = async () => false;
        const { said, ends } = homeserver({ putOff: () => answer() });
        const deadman = new DeadManSwitch(ends, 60000);
        deadman.arm();
        await pass(0);
        await pass(20000);
        answer = async () => {
            throw new TypeError("no network");
        };
        await pass(20000);
        answer = async () => true;
        await pass(20000);
        assert.deepEqual(said, ["schedule 1", "schedule 2"]);
    });

    it("is put off as soon as a homeserver that was away answers again", async () => {
        let away = true;
        const asked: string[] = [];
        const { ends } = homeserver({
            putOff: async (id) => {
                asked.push(id);
                if (away) throw new TypeError("no network");
                return true;
            },
        });
        new DeadManSwitch(ends, 60000).arm();
        await pass(0);
        await pass(20000);
        await pass(2000);
        away = false;
        await pass(2000);
        assert.deepEqual(asked, ["1", "1", "1"]);
        await pass(19999);
        assert.equal(asked.length, 3);
        await pass(1);
        assert.equal(asked.length, 4);
    });

    it("goes off at once when the page goes, and in its own time when nobody says anything", async () => {
        const { said, ends } = homeserver();
        const deadman = new DeadManSwitch(ends, 60000);
        deadman.arm();
        await pass(0);
        deadman.abandon();
        await pass(60000);
        assert.deepEqual(said, ["schedule 1"]);
        deadman.release();
        assert.deepEqual(said, ["schedule 1", "bring on 1"]);
    });

    it("calls off what a former page of ours left behind; where there is no such thing nothing happens", async () => {
        const { said, ends } = homeserver({ pending: async () => ["old", "1"] });
        new DeadManSwitch(ends, 60000).arm();
        await pass(0);
        assert.deepEqual(said, ["schedule 1", "call off old"]);
        const without = new DeadManSwitch({ ...ends, schedule: async () => null }, 60000);
        without.arm();
        await pass(0);
        await without.disarm();
        assert.deepEqual(said, ["schedule 1", "call off old"]);
    });

    it("that was disarmed while it was made is called off", async () => {
        let made: (id: string) => void = () => undefined;
        const { said, ends } = homeserver({ schedule: () => new Promise((resolve) => (made = resolve)) });
        const deadman = new DeadManSwitch(ends, 60000);
        deadman.arm();
        await pass(0);
        const disarmed = deadman.disarm();
        made("late");
        await disarmed;
        assert.deepEqual(said, ["call off late"]);
    });
});

describe("a homeserver that is away", () => {
    beforeEach(() => mock.timers.enable({ apis: ["setTimeout", "Date"] }));
    afterEach(() => mock.timers.reset());
    const pass = async (ms: number) => {
        mock.timers.tick(ms);
        await settle();
    };

    it("is asked every two seconds, one question at a time, until it answers; then sync goes on at once", async () => {
        let state = "SYNCING";
        let answer: () => Promise<void> = () => Promise.reject(new TypeError("no network"));
        const said: string[] = [];
        let told: () => void = () => undefined;
        const client = {
            getSyncState: () => state,
            retryImmediately: () => (said.push("sync"), (state = "SYNCING"), true),
            on: (_: string, look: () => void) => void (told = look),
            off: () => void said.push("off"),
            http: { request: () => (said.push("ask"), answer()) },
        };
        const stop = reconnectSoon(client as unknown as Reconnecting);
        await pass(10000);
        assert.deepEqual(said, []);
        state = "ERROR";
        told();
        for (let i = 0; i < 3; i++) await pass(2000);
        assert.deepEqual(said, ["ask", "ask", "ask"]);
        let hears: () => void = () => undefined;
        answer = () => new Promise((resolve) => (hears = resolve));
        await pass(2000);
        told();
        await pass(10000);
        assert.equal(said.length, 4);
        hears();
        await pass(0);
        await pass(10000);
        assert.deepEqual(said.slice(3), ["ask", "sync"]);
        state = "RECONNECTING";
        told();
        stop();
        await pass(10000);
        assert.deepEqual(said.slice(5), ["off"]);
    });
});

describe("announcing", () => {
    beforeEach(() => mock.timers.enable({ apis: ["setTimeout", "Date"] }));
    afterEach(() => mock.timers.reset());
    const pass = async (ms: number) => {
        mock.timers.tick(ms);
        await settle();
    };
    const begin = (state: { announcers: string[]; others: string[]; rank: number; engaged?: boolean }) => {
        const { said, ends } = homeserver();
        const announcing = new Announcing({
            me: "@me:x",
            announcers: () => new Set(state.announcers),
            engaged: () => state.engaged ?? false,
            others: () => state.others,
            rank: () => state.rank,
            ours: () => state.rank >= 0,
            announce: async () => void (said.push("announce"), state.announcers.push("@me:x")),
            end: async () => void (said.push("end"), (state.announcers = state.announcers.filter((user) => user !== "@me:x"))),
            deadman: new DeadManSwitch(ends, 60000),
        });
        return { announcing, said, state };
    };

    it("what is ours has a dead man's switch while it is ours", async () => {
        const { announcing, said, state } = begin({ announcers: ["@me:x"], others: ["@bob:x"], rank: 0 });
        announcing.look();
        await pass(0);
        assert.deepEqual(said, ["schedule 1"]);
        state.announcers = ["@bob:x"];
        announcing.look();
        await pass(100000);
        assert.deepEqual(said, ["schedule 1", "call off 1"]);
    });

    it("is carried on by the first who is inside, and by the next only when nobody did", async () => {
        const all = [0, 1, 2].map((rank) => begin({ announcers: [], others: ["@bob:x"], rank }));
        for (const { announcing } of all) announcing.look();
        await pass(999);
        assert.deepEqual(all.map(({ said }) => said), [[], [], []]);
        await pass(1);
        assert.deepEqual(all[0]!.said, ["announce", "schedule 1"]);
        all[1]!.state.announcers.push("@bob:x");
        all[1]!.announcing.look();
        await pass(3000);
        assert.deepEqual(all[1]!.said, []);
        await pass(3000);
        assert.deepEqual(all[2]!.said.slice(0, 1), ["announce"]);
    });

    it("is not carried on while its announcer is inside, nor before we are, nor by who announces another", async () => {
        const states = [
            { announcers: ["@bob:x"], others: ["@bob:x"], rank: 0 },
            { announcers: ["@gone:x"], others: ["@bob:x"], rank: -1 },
            { announcers: ["@gone:x"], others: ["@bob:x"], rank: 0, engaged: true },
        ];
        for (const state of states) {
            const { announcing, said } = begin(state);
            announcing.look();
            await pass(60000);
            assert.deepEqual(said, []);
        }
    });

    it("that could not be sent is tried again", async () => {
        const { announcing, said, state } = begin({ announcers: ["@gone:x"], others: ["@bob:x"], rank: 0 });
        const push = state.announcers.push.bind(state.announcers);
        let refused = 2;
        state.announcers.push = (...users) => {
            if (refused-- > 0) throw new Error("no network");
            return push(...users);
        };
        announcing.look();
        for (let i = 0; i < 4; i++) await pass(1000);
        assert.deepEqual(said, ["announce", "announce", "announce", "schedule 1"]);
    });

    it("the last who leaves ends it", async () => {
        const { announcing, said } = begin({ announcers: ["@me:x"], others: [], rank: 0 });
        announcing.look();
        await pass(0);
        await announcing.leave();
        assert.deepEqual(said, ["schedule 1", "call off 1", "end"]);
    });

    it("who leaves others inside ends it once somebody else has it; while nobody has, the homeserver does in its time", async () => {
        for (const carried of [true, false]) {
            const { announcing, said, state } = begin({ announcers: ["@me:x"], others: ["@bob:x"], rank: 0 });
            announcing.look();
            await pass(0);
            const left = announcing.leave();
            await pass(1000);
            assert.deepEqual(said, ["schedule 1"]);
            if (carried) state.announcers.push("@bob:x");
            announcing.look();
            await pass(4000);
            await left;
            assert.deepEqual(said, carried ? ["schedule 1", "call off 1", "end"] : ["schedule 1"]);
            await pass(100000);
            assert.equal(said.some((one) => one.startsWith("put off")), false, "so the homeserver ends it");
        }
    });

    it("who leaves another device of theirs inside leaves it to that, and who announces nothing says nothing", async () => {
        for (const [announcers, others] of [[["@me:x"], ["@me:x"]], [["@bob:x"], []]] as const) {
            const { announcing, said } = begin({ announcers: [...announcers], others: [...others], rank: 0 });
            await announcing.leave();
            assert.equal(said.includes("end"), false);
        }
    });

    it("a page that goes away as the last one takes it along; otherwise the others see to it", async () => {
        for (const others of [[], ["@bob:x"]]) {
            const { announcing, said } = begin({ announcers: ["@me:x"], others, rank: 0 });
            announcing.look();
            await pass(0);
            announcing.goAway();
            await pass(60000);
            assert.deepEqual(said, others.length === 0 ? ["schedule 1", "bring on 1"] : ["schedule 1"]);
        }
    });
});

describe("conferences", () => {
    it("are the same by creator and id, and nothing else", () => {
        assert.ok(sameConference(conference(), conference({ createdTs: 9, focus: "@other:x" })));
        assert.ok(!sameConference(conference(), conference({ creator: "@mallory:x" })));
        assert.ok(!sameConference(conference(), null));
    });
});
