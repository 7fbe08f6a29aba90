import assert from "node:assert/strict";
import { describe, it, mock } from "node:test";
import { Spotlight, spotKey, type Spot } from "../src/viewing/spotlight.ts";
import { Subscriptions, type Wish } from "../src/viewing/subscriptions.ts";
import { Viewing, type Cast } from "../src/viewing/viewing.ts";

const camera = (member: number): Spot => ({ member, source: "camera" });
const screen = (member: number): Spot => ({ member, source: "screen" });
const SMALL: Wish = { width: 320, height: 180, focus: false, priority: 0 };
const FULL: Wish = { width: 1280, height: 720, focus: true, priority: 8 };

describe("the spotlight", () => {
    it("is on nobody in a grid, on the other one of two, and on whoever was chosen", () => {
        const light = new Spotlight();
        assert.equal(light.large([1, 2], []), null);
        assert.deepEqual(light.large([1], []), camera(1));
        light.toggle(camera(2), light.large([1, 2], []));
        assert.deepEqual(light.large([1, 2], []), camera(2));
        light.toggle(camera(2), light.large([1, 2], []));
        assert.equal(light.large([1, 2], []), null);
        light.pinned = camera(2);
        light.gone(2);
        assert.equal(light.large([1, 3], []), null);
    });

    it("goes to a screen by itself, once, and stays on what was chosen", () => {
        const light = new Spotlight();
        assert.deepEqual(light.large([1, 2], [2]), screen(2));
        light.toggle(camera(1), screen(2));
        assert.deepEqual(light.large([1, 2], [2]), camera(1));
        light.pinned = null;
        light.toggle(screen(2), screen(2));
        assert.equal(light.large([1, 2], [2]), null, "put back");
        light.screens([]);
        assert.deepEqual(light.large([1, 2], [2]), screen(2), "shared anew");
    });

    it("follows who speaks in speaker view, but not ourselves, and stays through silence", () => {
        const light = new Spotlight();
        light.view = "speaker";
        assert.deepEqual(light.large([1, 2, 3], []), camera(1));
        light.speaker(3, 9);
        light.speaker(9, 9);
        light.speaker(null, 9);
        assert.deepEqual(light.large([1, 2, 3], []), camera(3));
        assert.deepEqual(light.large([1, 2], []), camera(1), "gone");
    });
});

describe("subscriptions", () => {
    const wanted = (...all: [Spot, Wish][]) => new Map(all.map(([spot, wish]) => [spotKey(spot), { spot, wish }]));
    const said = (messages: object[]) => (messages as { content: { subscribe: object[] } }[]).flatMap(({ content }) => content.subscribe);

    it("say only what differs from what the focus knows", () => {
        const subscriptions = new Subscriptions();
        assert.deepEqual(subscriptions.update(wanted([camera(1), SMALL], [camera(2), SMALL])), []);
        assert.deepEqual(subscriptions.update(wanted([camera(1), SMALL], [camera(2), FULL])), [
            { type: "m.call.track_subscription", content: { subscribe: [{ stream_id: "2", track_id: "camera", width: 1280, height: 720, focus: true, priority: 8 }], unsubscribe: [] } },
        ]);
        assert.deepEqual(subscriptions.update(wanted([camera(1), SMALL], [camera(2), { ...FULL, width: 1000, height: 562 }])), [], "the same step");
        assert.deepEqual(said(subscriptions.update(wanted([camera(1), { ...SMALL, height: 200 }], [camera(2), SMALL]))).length, 2);
    });

    it("a hidden tile asks for nothing; a screen is in full unless said otherwise", () => {
        const subscriptions = new Subscriptions();
        assert.deepEqual(said(subscriptions.update(wanted([camera(1), { width: 0, height: 0, focus: false, priority: 0 }]))), [
            { stream_id: "1", track_id: "camera", width: 0, height: 0, focus: false, priority: 0 },
        ]);
        assert.deepEqual(subscriptions.update(wanted([camera(1), { width: 0, height: 0, focus: false, priority: 0 }], [screen(1), { ...FULL, priority: 0 }])), []);
        assert.equal(said(subscriptions.update(wanted([camera(1), SMALL], [screen(1), SMALL]))).length, 2);
    });

    it("begin anew with somebody who left and came back", () => {
        const subscriptions = new Subscriptions();
        subscriptions.update(wanted([camera(1), FULL]));
        subscriptions.update(wanted());
        assert.equal(said(subscriptions.update(wanted([camera(1), FULL]))).length, 1);
    });

    it("of a crowd come in messages of bearable size", () => {
        const messages = new Subscriptions().update(wanted(...Array.from({ length: 150 }, (_, i): [Spot, Wish] => [camera(60000 + i), FULL])));
        assert.equal(messages.length, 2);
        assert.equal(said(messages).length, 150);
        assert.ok(messages.every((message) => JSON.stringify(message).length < 16 * 1024));
    });
});

describe("viewing", () => {
    const begin = (cast: Partial<Cast> = {}) => {
        const told: { stream_id: string; track_id: string; height: number; focus: boolean; priority: number }[][] = [];
        const all: Cast = { others: [1, 2, 3], screens: [], self: 9, dominant: null, ...cast };
        const viewing = new Viewing({
            cast: () => all,
            open: () => true,
            send: (message) => void told.push((message as { content: { subscribe: (typeof told)[0] } }).content.subscribe),
            changed: () => undefined,
        });
        return { viewing, told, all };
    };
    const brief = (list: { stream_id: string; height: number; focus: boolean; priority: number }[] | undefined) => list?.map((one) => [one.stream_id, one.height, one.focus, one.priority]);

    it("a click is told at once, a size when it has settled, in pixels of the screen", () => {
        mock.timers.enable({ apis: ["setTimeout"] });
        try {
            const { viewing, told } = begin();
            viewing.resize(700, 400, 1);
            viewing.resize(640, 380, 2);
            assert.equal(told.length, 0);
            mock.timers.tick(150);
            // Four tiles in 640x380, 177 high, at two pixels each, which may be stretched.
            assert.deepEqual(told.map(brief), [[["1", 251, false, 0], ["2", 251, false, 0], ["3", 251, false, 0]]]);
            viewing.toggle(camera(2));
            assert.equal(told.length, 2);
            const [one, two] = [told[1]!.find((each) => each.stream_id === "1")!, told[1]!.find((each) => each.stream_id === "2")!];
            assert.ok(one.height <= 180 && !one.focus, JSON.stringify(one));
            assert.ok(two.height > 360 && two.focus && two.priority === 9, JSON.stringify(two));
            viewing.close();
        } finally {
            mock.timers.reset();
        }
    });

    it("what cannot be seen is not asked for: tiles out of sight, and all of them while the page is away", () => {
        mock.timers.enable({ apis: ["setTimeout"] });
        try {
            const { viewing, told } = begin();
            viewing.resize(640, 380, 1);
            viewing.outOfSight("3/camera", true);
            mock.timers.tick(150);
            assert.deepEqual(brief(told.at(-1)), [["3", 0, false, 0]]);
            viewing.pageHidden(true);
            mock.timers.tick(4000);
            viewing.pageHidden(false);
            mock.timers.tick(4000);
            assert.equal(told.length, 1, "a glance at another tab");
            viewing.pageHidden(true);
            mock.timers.tick(5000);
            assert.deepEqual(brief(told.at(-1)), [["1", 0, false, 0], ["2", 0, false, 0]]);
            viewing.floating(camera(2), 200);
            assert.deepEqual(brief(told.at(-1)), [["2", 200, false, 0]], "its own window stays in sight");
            viewing.pageHidden(false);
            assert.deepEqual(brief(told.at(-1))?.map(([member]) => member), ["1"]);
            viewing.outOfSight("3/camera", false);
            assert.deepEqual(brief(told.at(-1))?.map(([member]) => member), ["3"]);
            viewing.close();
        } finally {
            mock.timers.reset();
        }
    });

    it("in speaker view who begins to speak comes large at once", () => {
        const { viewing, told, all } = begin();
        viewing.setView("speaker");
        all.dominant = 3;
        viewing.speaker(3, 9);
        assert.deepEqual(brief(told.at(-1)), [["1", 180, false, 0], ["3", 720, true, 8]]);
        viewing.speaker(9, 9);
        assert.equal(told.length, 2, "we do not show ourselves");
        viewing.close();
    });

    it("who holds the floor and a small screen come before the others", () => {
        const { viewing, told, all } = begin({ screens: [2] });
        all.dominant = 3;
        viewing.pin(camera(1));
        assert.deepEqual(told[0]!.map((one) => [one.stream_id, one.track_id, one.priority]), [["2", "screen", 4], ["1", "camera", 9], ["3", "camera", 6]]);
        viewing.close();
    });
});
