// What this viewer wants of each camera, as the difference to what the focus was told. Pure.

import { MESSAGE } from "../protocol/names.ts";

export type Size = "thumbnail" | "full";

const PIXELS: Record<Size, { width: number; height: number }> = {
    thumbnail: { width: 320, height: 180 },
    full: { width: 1280, height: 720 },
};

export class Subscriptions {
    #told = new Map<number, Size>();

    /** The message that makes `wanted` (everybody else: thumbnail, the focus's default) true; null when it is already. */
    update(members: number[], wanted: (member: number) => Size): object | null {
        const subscribe: object[] = [];
        for (const member of members) {
            const size = wanted(member);
            if ((this.#told.get(member) ?? "thumbnail") === size) continue;
            this.#told.set(member, size);
            subscribe.push({ stream_id: String(member), track_id: "camera", ...PIXELS[size] });
        }
        for (const member of this.#told.keys()) if (!members.includes(member)) this.#told.delete(member);
        return subscribe.length > 0 ? { type: MESSAGE.trackSubscription, content: { subscribe, unsubscribe: [] } } : null;
    }
}
