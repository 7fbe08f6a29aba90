import assert from "node:assert/strict";
import { describe, it, mock } from "node:test";
import { Outgoing } from "../src/call/outgoing.ts";
import type { WantedEncoding } from "../src/protocol/adaptation.ts";
import type { Rid, Source } from "../src/protocol/names.ts";
import type { MediaWorker } from "../src/sframe/mediaworker.ts";
import type { ToWorker } from "../src/sframe/port.ts";

(globalThis as { RTCRtpReceiver?: unknown }).RTCRtpReceiver = { getCapabilities: () => null };

type Encodings = RTCRtpEncodingParameters[];

/** A sender as browsers have it: parameters are copies, and each change takes a while. */
function begin(source: Source = "camera") {
    let encodings: Encodings = [];
    const applied: Encodings[] = [];
    const refuse = { times: 0 };
    const sender = {
        getParameters: () => ({ encodings: structuredClone(encodings) }),
        setParameters: async (parameters: { encodings: Encodings }) => {
            await Promise.resolve();
            if (refuse.times-- > 0) throw new Error("not now");
            encodings = parameters.encodings;
            applied.push(structuredClone(encodings));
        },
        replaceTrack: async () => undefined,
    };
    const pc = {
        remoteDescription: null as object | null,
        addTransceiver: (_kind: string, init: { sendEncodings?: Encodings }) => {
            encodings = structuredClone(init.sendEncodings ?? []);
            return { sender, setCodecPreferences: () => undefined };
        },
    };
    const posted: ToWorker[] = [];
    const worker = { attach: () => undefined, post: (message: ToWorker) => void posted.push(message) } as unknown as MediaWorker;
    let queue: Promise<unknown> = Promise.resolve();
    const enqueue = <T>(step: () => Promise<T>): Promise<T> => {
        const result = queue.then(step);
        queue = result.catch(() => undefined);
        return result;
    };
    const outgoing = new Outgoing(source, {} as MediaStream, { pc: pc as unknown as RTCPeerConnection, worker, enqueue });
    const settled = async () => {
        for (let i = 0; i < 20; i++) await Promise.resolve();
        await queue;
    };
    return { outgoing, pc, applied, refuse, posted, settled };
}

const wanted = (...all: [Rid, Partial<WantedEncoding>][]) => new Map(all.map(([rid, more]) => [rid, { active: true, ...more }]));
const active = (encodings: Encodings | undefined) => encodings?.filter((one) => one.active).map(({ rid }) => rid);

describe("what is sent", () => {
    it("waits for the answer, and takes of several wishes the newest in one change", async () => {
        const { outgoing, pc, applied, settled } = begin();
        outgoing.want(wanted(["t", {}], ["f", {}]));
        await settled();
        assert.equal(applied.length, 0, "the offer names all encodings");
        pc.remoteDescription = {};
        for (const maxBitrate of [900_000, 600_000, 300_000]) outgoing.want(wanted(["t", {}], ["m", { maxBitrate }]));
        await settled();
        assert.equal(applied.length, 1);
        assert.deepEqual(active(applied[0]), ["t", "m"]);
        assert.equal(applied[0]![1]!.maxBitrate, 300_000);
        outgoing.want(wanted(["t", {}], ["m", { maxBitrate: 300_000 }]));
        await settled();
        assert.equal(applied.length, 1, "nothing new");
    });

    it("is nothing at all without a picture, and as before once there is one", async () => {
        const { outgoing, pc, applied, posted, settled } = begin();
        pc.remoteDescription = {};
        outgoing.want(wanted(["t", {}], ["f", {}]));
        await settled();
        await outgoing.setTrack(null);
        await settled();
        assert.deepEqual(active(applied.at(-1)), []);
        await outgoing.setTrack({} as MediaStreamTrack);
        await settled();
        assert.deepEqual(active(applied.at(-1)), ["t", "f"]);
        assert.deepEqual(posted, [{ type: "mute", source: 1, muted: true }, { type: "mute", source: 1, muted: false }]);
    });

    it("is tried again when the browser refuses, with what is wanted by then", async () => {
        mock.timers.enable({ apis: ["setTimeout"] });
        try {
            const { outgoing, pc, applied, refuse, settled } = begin("screen");
            pc.remoteDescription = {};
            refuse.times = 1;
            outgoing.want(wanted(["f", {}]));
            await settled();
            assert.equal(applied.length, 0);
            mock.timers.tick(200);
            await settled();
            assert.deepEqual(active(applied.at(-1)), ["f"]);
            refuse.times = 100;
            outgoing.want(wanted(["t", {}]));
            for (let i = 0; i < 5; i++) {
                await settled();
                mock.timers.tick(200);
            }
            assert.equal(refuse.times, 97, "three times, not for ever");
        } finally {
            mock.timers.reset();
        }
    });
});
