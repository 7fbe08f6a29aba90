import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Repath, type RepathPorts } from "../src/conference/repath.ts";

/** `heals`: ms after the restart until the new path is there. */
function begin(more: Partial<RepathPorts> = {}, heals = 100) {
    const seen = { now: 0, offers: 0, done: 0, restartedAt: Infinity };
    const repath = new Repath({
        needed: () => seen.now < seen.restartedAt + heals,
        restart: async () => {
            seen.offers++;
            seen.restartedAt = seen.now;
        },
        done: () => void seen.done++,
        wait: async (ms) => void (seen.now += ms),
        now: () => seen.now,
        ...more,
    });
    return { repath, seen };
}

describe("another path", () => {
    it("is agreed on and waited for", async () => {
        const { repath, seen } = begin();
        const run = repath.run();
        assert.ok(repath.running);
        await run;
        assert.deepEqual([seen.offers, repath.restarts, seen.done, repath.running], [1, 1, 1, false]);
        assert.equal(seen.now, 400);
    });

    it("is not looked for when the old one came back at once", async () => {
        const { repath, seen } = begin({ needed: () => false });
        await repath.run();
        assert.deepEqual([seen.offers, seen.done], [0, 1]);
    });

    it("that does not come is waited for no longer than two seconds", async () => {
        const { repath, seen } = begin({}, Infinity);
        await repath.run();
        assert.deepEqual([seen.now, seen.done], [2300, 1]);
    });

    it("is asked for once in ten seconds; without an answer something else is done", async () => {
        const { repath, seen } = begin({ restart: async () => Promise.reject(new Error("no answer")), needed: () => true });
        await Promise.all([repath.run(), repath.run()]);
        await repath.run();
        assert.deepEqual([repath.restarts, seen.done], [0, 1]);
        seen.now += 10000;
        await repath.run();
        assert.equal(seen.done, 2);
    });
});
