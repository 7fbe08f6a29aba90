// The direct chat with the focus: when it is there to call in.

import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { describe, it } from "node:test";
import { ClientEvent, RoomStateEvent } from "matrix-js-sdk";
import { directRoom } from "../src/matrix/dm.ts";

const FOCUS = "@focus:x";

/** Of a homeserver that has made `!dm`, of which sync has not told yet. */
function client() {
    const rooms = new Map<string, object>();
    const told = Object.assign(new EventEmitter(), {
        getAccountData: () => undefined,
        setAccountDataRaw: async () => undefined,
        createRoom: async () => ({ room_id: "!dm" }),
        getRoom: (roomId: string) => rooms.get(roomId) ?? null,
    });
    return { rooms, told };
}

function room(focus: "invite" | "join") {
    return {
        roomId: "!dm",
        getMember: () => ({ membership: focus }),
        getLiveTimeline: () => ({ getState: () => ({ getStateEvents: () => ({}) }) }),
    };
}

const listens = async (told: EventEmitter) => {
    while (told.listenerCount(RoomStateEvent.Update) === 0) await new Promise((resolve) => setImmediate(resolve));
};

describe("the direct chat with the focus", () => {
    it("is there when the focus joins it", async () => {
        const { rooms, told } = client();
        const found = directRoom(told as never, FOCUS);
        await listens(told);
        rooms.set("!dm", room("invite"));
        told.emit(ClientEvent.Room);
        assert.equal(told.listenerCount(RoomStateEvent.Update), 1, "still waiting");
        rooms.set("!dm", room("join"));
        told.emit(RoomStateEvent.Update);
        assert.equal(await found, "!dm");
    });

    it("is there also when sync brings it whole: its state is told of before the room is known", async () => {
        const { rooms, told } = client();
        const found = directRoom(told as never, FOCUS);
        await listens(told);
        told.emit(RoomStateEvent.Update);
        rooms.set("!dm", room("join"));
        told.emit(ClientEvent.Room);
        assert.equal(await found, "!dm");
        assert.deepEqual(told.eventNames(), []);
    });
});
