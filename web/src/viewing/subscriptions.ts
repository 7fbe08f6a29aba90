// What this viewer wants of each picture, as the difference to what the focus was told. Pure.

import { SUBSCRIPTIONS_PER_MESSAGE } from "../protocol/limits.ts";
import { MESSAGE } from "../protocol/names.ts";
import { spotKey, type Spot } from "./spotlight.ts";

export interface Wish {
    /** In pixels of the screen; height 0: not looked at. */
    width: number;
    height: number;
    /** This is what the viewer looks at. */
    focus: boolean;
    /** 0 to 9: what keeps its picture longest when the network gets narrow. */
    priority: number;
}

/** What the focus takes for wanted where nothing was said. */
const DEFAULT: Record<Spot["source"], Wish> = {
    camera: { width: 320, height: 180, focus: false, priority: 0 },
    screen: { width: 1920, height: 1080, focus: true, priority: 0 },
};

/** Heights up to these are one encoding to the focus: nothing is said while a size stays between two of them. */
const STEPS = [0, 180, 360, Infinity];

function step(height: number): number {
    return STEPS.findIndex((limit) => height <= limit);
}

export class Subscriptions {
    #told = new Map<string, Wish>();

    /** The messages that make `wanted` true; none when it is already. The focus, too, forgets members who are gone. */
    update(wanted: ReadonlyMap<string, { spot: Spot; wish: Wish }>): object[] {
        const subscribe: object[] = [];
        for (const [key, { spot, wish }] of wanted) {
            const told = this.#told.get(key) ?? DEFAULT[spot.source];
            if (step(told.height) === step(wish.height) && told.focus === wish.focus && told.priority === wish.priority) continue;
            this.#told.set(key, wish);
            subscribe.push({ stream_id: String(spot.member), track_id: spot.source, ...wish });
        }
        for (const key of this.#told.keys()) if (!wanted.has(key)) this.#told.delete(key);
        const messages: object[] = [];
        for (let i = 0; i < subscribe.length; i += SUBSCRIPTIONS_PER_MESSAGE) {
            const some = subscribe.slice(i, i + SUBSCRIPTIONS_PER_MESSAGE);
            messages.push({ type: MESSAGE.trackSubscription, content: { subscribe: some, unsubscribe: [] } });
        }
        return messages;
    }

    told(spot: Spot): Wish {
        return this.#told.get(spotKey(spot)) ?? DEFAULT[spot.source];
    }
}
