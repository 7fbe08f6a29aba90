// This person's microphone and camera: choosing, opening, muting.

import { count } from "../guard.ts";
import type { Kind } from "./peer.ts";
import { CAPTURE } from "./encodings.ts";

export interface Choice {
    deviceId: string;
    label: string;
}

export type Device = Kind | "speaker";

const DEVICES: Record<Device, { kind: MediaDeviceKind; name: string }> = {
    audio: { kind: "audioinput", name: "Microphone" },
    video: { kind: "videoinput", name: "Camera" },
    speaker: { kind: "audiooutput", name: "Loudspeaker" },
};

export const canChooseSpeaker = typeof HTMLMediaElement !== "undefined" && "setSinkId" in HTMLMediaElement.prototype;

/** Tracks exist while their kind is on; a muted camera is closed (its light goes out), a muted microphone too. */
export class LocalMedia {
    readonly tracks: Record<Kind, MediaStreamTrack | null> = { audio: null, video: null };
    readonly wanted: Record<Kind, boolean> = { audio: true, video: true };
    readonly chosen: Record<Kind, string | null> = { audio: null, video: null };
    readonly problem: Record<Kind, string | null> = { audio: null, video: null };
    /** False: the camera stays closed, whatever is wanted. */
    #pictures = true;
    /** Where others are heard; null: wherever the system says. */
    speaker: string | null = null;
    onchange: (kind: Kind) => void = () => undefined;
    onspeaker: () => void = () => undefined;

    /** A conference may be for voice alone. What is wanted of the camera counts again after it. */
    async allowPictures(allowed: boolean): Promise<void> {
        if (this.#pictures === allowed) return;
        this.#pictures = allowed;
        if (allowed || this.tracks.video) await this.#ensure("video");
    }

    /** Opens what is wanted: both at once, so that the browser asks once, then each for itself if that fails. */
    async open(): Promise<void> {
        if (this.wanted.audio && this.wanted.video && this.#pictures && !this.tracks.audio && !this.tracks.video) {
            try {
                const stream = await navigator.mediaDevices.getUserMedia({
                    audio: this.#constraints("audio"),
                    video: this.#constraints("video"),
                });
                this.#adopt("audio", stream.getAudioTracks()[0] ?? null);
                this.#adopt("video", stream.getVideoTracks()[0] ?? null);
                // It may have been ruled out while the browser asked.
                if (!this.#pictures) this.#adopt("video", null);
                return;
            } catch {
                // One of the two may be missing or refused: see which.
            }
        }
        await Promise.all([this.#ensure("audio"), this.#ensure("video")]);
    }

    async setOn(kind: Kind, on: boolean): Promise<void> {
        this.wanted[kind] = on;
        await this.#ensure(kind);
    }

    async choose(kind: Kind, deviceId: string): Promise<void> {
        this.chosen[kind] = deviceId;
        this.#adopt(kind, null);
        await this.#ensure(kind);
    }

    chooseSpeaker(deviceId: string): void {
        this.speaker = deviceId;
        this.onspeaker();
    }

    async choices(device: Device): Promise<Choice[]> {
        const devices = await navigator.mediaDevices.enumerateDevices().catch(() => []);
        const { kind, name } = DEVICES[device];
        return devices.filter((one) => one.kind === kind && one.deviceId !== "").map(({ deviceId, label }, i) => ({ deviceId, label: label || `${name} ${i + 1}` }));
    }

    close(): void {
        for (const kind of ["audio", "video"] as const) this.#adopt(kind, null);
    }

    async #ensure(kind: Kind): Promise<void> {
        if (!this.#allowed(kind)) return this.#adopt(kind, null);
        if (this.tracks[kind]?.readyState === "live") return;
        try {
            const stream = await navigator.mediaDevices.getUserMedia({ [kind]: this.#constraints(kind) });
            const track = stream.getTracks()[0] ?? null;
            if (this.#allowed(kind)) this.#adopt(kind, track);
            else track?.stop();
        } catch (error) {
            count("media device");
            this.wanted[kind] = false;
            this.problem[kind] = describe(kind, error);
            this.#adopt(kind, null);
        }
    }

    #allowed(kind: Kind): boolean {
        return this.wanted[kind] && (kind === "audio" || this.#pictures);
    }

    #adopt(kind: Kind, track: MediaStreamTrack | null): void {
        const old = this.tracks[kind];
        if (old && old !== track) {
            old.onended = null;
            old.stop();
        }
        this.tracks[kind] = track;
        if (track) {
            this.problem[kind] = null;
            if (kind === "video") track.contentHint = "motion";
            track.onended = () => {
                this.problem[kind] = `The ${kind === "audio" ? "microphone" : "camera"} was unplugged or taken away.`;
                this.wanted[kind] = false;
                this.#adopt(kind, null);
            };
        }
        this.onchange(kind);
    }

    #constraints(kind: Kind): MediaTrackConstraints {
        const deviceId = this.chosen[kind] ? { exact: this.chosen[kind] } : undefined;
        if (kind === "audio") return { deviceId, echoCancellation: true, noiseSuppression: true, autoGainControl: true };
        return {
            deviceId,
            width: { ideal: CAPTURE.width },
            height: { ideal: CAPTURE.height },
            frameRate: { ideal: CAPTURE.frameRate },
        };
    }
}

function describe(kind: Kind, error: unknown): string {
    const device = kind === "audio" ? "microphone" : "camera";
    const name = error instanceof DOMException ? error.name : "";
    if (name === "NotAllowedError") return `The browser may not use the ${device}: allow it beside the address bar.`;
    if (name === "NotFoundError" || name === "OverconstrainedError") return `No ${device} was found.`;
    if (name === "NotReadableError") return `The ${device} is in use by another program.`;
    return `The ${device} could not be opened.`;
}
