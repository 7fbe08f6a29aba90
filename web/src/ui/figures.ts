// The figures of the details panel, in words.

import type { Kind } from "../call/peer.ts";
import type { Conference } from "../conference/conference.ts";
import type { Shown, TileView } from "../conference/received.ts";
import type { Tiles } from "../conference/tiles.ts";
import type { Viewers } from "../protocol/adaptation.ts";
import type { PictureSource } from "../protocol/names.ts";
import type { Spot } from "../viewing/spotlight.ts";
import { lockOf, type Overdue } from "./lock.ts";
import { GRADES, tileState } from "./tilestate.ts";

export interface ReceivingRow {
    key: string;
    spot: Spot;
    muted: Record<Kind, boolean>;
    name: string;
    grade: string;
    words: string;
    picture: string;
    sound: string;
    encryption: string;
}

const LAYERS = { t: "thumbnail", m: "middle", f: "full" } as const;

export function encryptionLine(conference: Conference): string {
    const own = conference.senders.find(({ epoch }) => epoch !== null);
    const changes = (own?.epoch ?? 0) + (own?.ratchet ?? 0);
    const held = conference.worker.receiveKeys;
    const yours = !own ? "Your keys are on their way." : changes === 0 ? "" : `Your keys have changed ${changes === 1 ? "once" : `${changes} times`} since you joined, as people came and went.`;
    return ["Every frame is encrypted on the sender's device (SFrame, AES-128-GCM).", yours, `You hold ${held} ${held === 1 ? "key" : "keys"} of others.`].filter(Boolean).join(" ");
}

export function receivingRows(conference: Conference, name: (userId: string) => string): ReceivingRow[] {
    const quality = (receiver: string | null) => conference.quality.of(receiver);
    return conference.tiles.all().flatMap((tile) =>
        (["camera", "screen"] as PictureSource[]).flatMap((source) => {
            const shown = source === "camera" ? tile.camera : tile.screen;
            if (!shown) return [];
            const looked = conference.viewing.told({ member: tile.member, source }).height > 0;
            const state = tileState(tile, source, looked, quality);
            const label = source === "camera" ? name(tile.userId) : `${name(tile.userId)}'s screen`;
            const verdicts = source === "camera" ? [tile.audio.verdict, tile.camera.verdict] : [shown.verdict];
            return [
                {
                    key: `${tile.member}/${source}`,
                    spot: { member: tile.member, source },
                    muted: source === "camera" ? tile.muted : { audio: true, video: false },
                    name: label,
                    grade: state.grade,
                    words: state.paused ? "Paused" : GRADES[state.grade] || "Good",
                    picture: conference.pictures ? pictureText(shown, looked, source === "camera" && tile.muted.video, state.paused, quality(shown.receiver)) : "",
                    sound: source === "camera" ? soundText(tile.audio, tile.muted.audio, quality(tile.audio.receiver)) : "",
                    encryption: lockOf(label, verdicts, conference.tiles.missing(tile), overdue(conference.tiles, tile, source)).text,
                },
            ];
        }),
    );
}

/** Of what one tile shows: of a camera's the voice, too. */
export function overdue(tiles: Tiles, tile: TileView, source: PictureSource): Overdue {
    return { sound: source === "camera" ? tiles.overdue(tile, "audio") : null, picture: tiles.overdue(tile, source) };
}

type Figures = ReturnType<Conference["quality"]["of"]>;

function pictureText(shown: Shown, looked: boolean, muted: boolean, paused: boolean, now: Figures): string {
    if (muted) return "Camera off";
    if (shown.receiver === null) return "No place for a picture of theirs";
    if (!looked) return "Not in sight, so no picture is asked for";
    if (paused) return "Paused: your network does not carry it";
    if (!now || now.height === 0) return "No picture yet";
    const layer = shown.layer?.encoding ? `, ${LAYERS[shown.layer.encoding]} layer` : "";
    return `${now.width}×${now.height}, ${now.framesPerSecond} frames/s, ${now.kbps} kbit/s${layer}, ${percent(now.lost)} lost`;
}

function soundText(shown: Shown, muted: boolean, now: Figures): string {
    if (muted) return "Microphone off";
    if (shown.receiver === null || !now) return "No sound at the moment";
    return `Sound ${now.kbps} kbit/s, ${percent(now.lost)} lost, ${percent(now.concealed)} made up`;
}

export function sendingRows(conference: Conference): { key: string; name: string; text: string }[] {
    const reading = conference.quality.latest;
    const rows = (reading?.stats.senders ?? []).filter((row) => row.kind === "video" && row.rid !== undefined);
    const found = rows.map((row) => {
        const layer = LAYERS[row.rid as keyof typeof LAYERS] ?? String(row.rid);
        const limited = row.qualityLimitationReason;
        const parts = [
            row.frameHeight ? `${row.frameWidth}×${row.frameHeight}, ${Math.round(Number(row.framesPerSecond ?? 0))} frames/s` : "",
            row.targetBitrate ? `${Math.round(Number(row.targetBitrate) / 1000)} kbit/s` : "", // Firefox does not tell
            limited === "cpu" ? "held back by this device" : limited === "bandwidth" ? "held back by your network" : "",
        ];
        const text = row.active === false ? "off: nobody needs it now" : parts.filter(Boolean).join(", ") || "on";
        return { key: `${row.source}/${row.rid}`, name: `${row.source === "screen" ? "Screen" : "Camera"}, ${layer}:`, text };
    });
    const path = reading?.stats.transport ?? {};
    const up = Number(path.availableOutgoingBitrate ?? 0);
    const round = Number(path.currentRoundTripTime ?? 0);
    const parts = [up > 0 ? `room for ${Math.round(up / 1000)} kbit/s upwards` : "", round > 0 ? `${Math.round(1000 * round)} ms there and back` : ""].filter(Boolean);
    return parts.length > 0 ? [...found, { key: "path", name: "Network:", text: parts.join(", ") }] : found;
}

export function viewerLine(viewers: Viewers | null): string {
    if (!viewers || viewers.viewers === 0) return "";
    if (viewers.viewers === 1) return `1 person sees you and loses ${percent(viewers.lostMean)} on their own way.`;
    return `${viewers.viewers} people see you and lose ${percent(viewers.lostMean)} on their own way, the worst of them ${percent(viewers.lostWorst)}.`;
}

function percent(share: number): string {
    return share > 0 && share < 0.01 ? "<1 %" : `${Math.round(100 * share)} %`;
}
