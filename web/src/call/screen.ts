// This person's screen, window or tab, while it is shared.

import { SCREEN_CAPTURE } from "./encodings.ts";

export interface ScreenTracks {
    screen: MediaStreamTrack;
    screen_audio?: MediaStreamTrack;
}

export const canShareScreen = typeof navigator !== "undefined" && typeof navigator.mediaDevices?.getDisplayMedia === "function";

/** Asks what to share; null when the person changed their mind. `onended`: the browser's own button ended it. */
export async function captureScreen(onended: () => void): Promise<ScreenTracks | null> {
    let stream: MediaStream;
    try {
        stream = await navigator.mediaDevices.getDisplayMedia({
            video: { width: { max: SCREEN_CAPTURE.width }, height: { max: SCREEN_CAPTURE.height }, frameRate: { max: SCREEN_CAPTURE.frameRate } },
            // A tab's sound as it is: the microphone's filters would take music for noise.
            audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
        });
    } catch (error) {
        if (error instanceof DOMException && ["NotAllowedError", "AbortError"].includes(error.name)) return null;
        throw error;
    }
    const [screen] = stream.getVideoTracks();
    if (!screen) return null;
    const [sound] = stream.getAudioTracks();
    screen.contentHint = "detail";
    if (sound) sound.contentHint = "music";
    screen.onended = onended;
    return { screen, ...(sound ? { screen_audio: sound } : {}) };
}

export function endCapture(tracks: ScreenTracks | null): void {
    for (const track of [tracks?.screen, tracks?.screen_audio]) {
        if (!track) continue;
        track.onended = null;
        track.stop();
    }
}
