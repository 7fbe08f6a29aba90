import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Moderation } from "../src/conference/moderation.ts";
import { Malformed } from "../src/protocol/check.ts";
import { Spotlight } from "../src/viewing/spotlight.ts";

const ID = "conference";

/** @mod may, others may not; we are member 3. */
function begin(me = "@me:x") {
    const asked: unknown[] = [];
    const focused: unknown[] = [];
    const sent: unknown[] = [];
    const moderation = new Moderation({
        conferenceId: ID,
        me,
        self: () => 3,
        mayAsk: (userId) => userId === "@mod:x",
        mayFocus: () => me === "@mod:x",
        sendRequest: async (content) => sent.push(content),
        sendFocus: async (content) => sent.push(content),
        asked: (source, by) => asked.push([source, by]),
        focused: (spot) => focused.push(spot),
    });
    return { moderation, asked, focused, sent };
}

describe("a request to be silent", () => {
    const request = (more: object = {}) => ({ conference_id: ID, member: 3, source: "audio", ...more });

    it("counts when a moderator sends it, encrypted, to us in this conference", () => {
        const { moderation, asked } = begin();
        moderation.requestArrived(request(), "@mod:x", true);
        moderation.requestArrived(request({ source: "screen" }), "@mod:x", true);
        assert.deepEqual(asked, [["audio", "@mod:x"], ["screen", "@mod:x"]]);
        moderation.requestArrived(request(), "@mod:x", false);
        moderation.requestArrived(request(), "@bob:x", true);
        moderation.requestArrived(request({ member: 4 }), "@mod:x", true);
        moderation.requestArrived(request({ conference_id: "another" }), "@mod:x", true);
        assert.equal(asked.length, 2);
        for (const wrong of [null, {}, request({ source: "everything" }), request({ member: 0 })]) assert.throws(() => moderation.requestArrived(wrong, "@mod:x", true), Malformed);
    });

    it("is sent by those who may, and by nobody else", async () => {
        const [mod, bob] = [begin("@mod:x"), begin("@bob:x")];
        for (const { moderation } of [mod, bob]) {
            await moderation.askToMute(5, "camera");
            await moderation.setFocus({ member: 5, source: "screen" });
            await moderation.setFocus(null);
        }
        assert.deepEqual(mod.sent, [{ conference_id: ID, member: 5, source: "camera" }, { member: 5, source: "screen" }, {}]);
        assert.deepEqual(bob.sent, []);
    });
});

describe("a picture for everybody", () => {
    it("is told once, and ends with nothing", () => {
        const { moderation, focused } = begin();
        moderation.focusArrived({ member: 5 });
        moderation.focusArrived({ member: 5, source: "camera" });
        moderation.focusArrived({});
        assert.deepEqual(focused, [{ member: 5, source: "camera" }, null]);
        assert.throws(() => moderation.focusArrived({ member: 5, source: "audio" }), Malformed);
    });

    it("is large for who has chosen nobody, before screens, until they put it back", () => {
        const spotlight = new Spotlight();
        const common = { member: 2, source: "camera" } as const;
        const screen = { member: 3, source: "screen" } as const;
        spotlight.putBefore(common);
        assert.deepEqual(spotlight.large([2, 3], [3]), common);
        spotlight.pinned = { member: 3, source: "camera" };
        assert.deepEqual(spotlight.large([2, 3], [3])?.member, 3);
        spotlight.pinned = null;
        spotlight.toggle(common, common);
        assert.deepEqual(spotlight.large([2, 3], [3]), screen);
        spotlight.putBefore(common);
        assert.deepEqual(spotlight.large([3], [3]), screen, "they have left");
    });
});
