// What a tile shows and says besides its picture. Pure.

import { grade, type Grade, type Quality } from "../call/quality.ts";
import type { Shown, TileView } from "../conference/received.ts";
import type { PictureSource } from "../protocol/names.ts";

export const PAUSED = "Paused: your network is too slow for this picture";

export interface TileState {
    /** There is a picture to show: a moving one, or the last one of a paused or still one. */
    visible: boolean;
    paused: boolean;
    grade: Grade;
}

export function tileState(tile: TileView, source: PictureSource, looked: boolean, qualityOf: (receiver: string | null) => Quality | null): TileState {
    const shown = source === "camera" ? tile.camera : tile.screen;
    const muted = source === "camera" && tile.muted.video;
    if (!shown) return { visible: false, paused: false, grade: "good" };
    const paused = isPaused(shown, muted, looked);
    // A screen on which nothing moves sends hardly anything, and a paused picture is still the last one there was.
    const still = shown.verdict === "none" && shown.opened && (source === "screen" || paused);
    return {
        visible: !muted && (shown.verdict === "decrypting" || still),
        paused,
        grade: grade(muted ? null : qualityOf(shown.receiver), source === "camera" ? qualityOf(tile.audio.receiver) : null, paused),
    };
}

/** The focus says so of a slot only while it carries something that is wanted and not muted. */
function isPaused(shown: Shown, muted: boolean, looked: boolean): boolean {
    return looked && !muted && shown.receiver !== null && shown.layer !== null && shown.layer.encoding === null;
}

export const GRADES: Record<Grade, string> = {
    good: "",
    fair: "Connection not quite steady",
    poor: "Poor connection",
};
