// The call in the direct chat: which answer belongs to which offer.

import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { describe, it, mock } from "node:test";
import { RoomEvent } from "matrix-js-sdk";
import { FocusCall } from "../src/matrix/focuscall.ts";
import { Trouble } from "../src/protocol/errors.ts";
import { NEGOTIATED_MS } from "../src/protocol/limits.ts";
import { EVENT, FIELD } from "../src/protocol/names.ts";

const FOCUS = "@focus:x";

function chat() {
    const sent: Record<string, unknown>[] = [];
    const client = Object.assign(new EventEmitter(), {
        getUserId: () => "@alice:x",
        getDeviceId: () => "ALICE",
        decryptEventIfNeeded: async () => undefined,
        sendEvent: async (_room: string, _type: string, content: Record<string, unknown>) => void sent.push(content),
    });
    let events = 0;
    const hear = (content: object) =>
        client.emit(
            RoomEvent.Timeline,
            {
                getId: () => `$${++events}`,
                getSender: () => FOCUS,
                getType: () => EVENT.negotiate,
                getWireType: () => "m.room.encrypted",
                getContent: () => ({ call_id: "call", ...content }),
                getSenderKey: () => "key",
                isBeingDecrypted: () => false,
                isDecryptionFailure: () => false,
                getTs: () => 0,
                getAge: () => 0,
            },
            { roomId: "!dm" },
            false,
        );
    const answer = (offer: Record<string, unknown>, sdp: string) => hear({ [FIELD.offerId]: offer[FIELD.offerId], description: { type: "answer", sdp } });
    return { call: new FocusCall(client as never, "!dm", FOCUS, "call"), sent, hear, answer };
}

describe("offers through the direct chat", () => {
    it("are answered", async () => {
        const { call, sent, answer } = chat();
        const answered = call.negotiate("first", {});
        answer(sent[0]!, "answer to it");
        assert.equal(await answered, "answer to it");
    });

    it("are answered by what answers them, not by what comes late or has no name", async () => {
        mock.timers.enable({ apis: ["setTimeout"] });
        try {
            const { call, sent, hear, answer } = chat();
            const first = call.negotiate("first", {});
            const refused = assert.rejects(first, (error) => error instanceof Trouble && error.code === "no_answer");
            await Promise.resolve();
            mock.timers.tick(NEGOTIATED_MS);
            await refused;
            const second = call.negotiate("second", {});
            answer(sent[0]!, "late");
            hear({ description: { type: "answer", sdp: "nameless" } });
            answer(sent[1]!, "in time");
            assert.equal(await second, "in time");
            assert.notEqual(sent[0]![FIELD.offerId], sent[1]![FIELD.offerId]);
        } finally {
            mock.timers.reset();
        }
    });
});
